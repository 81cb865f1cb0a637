//! Encoders, encoder-decoders and classification heads against transformers and PEFT: logits, loss, every gradient, ten
//! AdamW steps, in full and with an adapter; files that go back as they came.

mod case;

use burn::module::Module;
use burn::tensor::Tensor;
use case::{Case, device, distance, gradients, steps};
use nexus_core::adapter::{load_adapter, merge_and_unload, save_adapter, train_all};
use nexus_core::data::{Example, IGNORED, collate};
use nexus_core::model::{
    Classify, Decoder, Encoder, EncoderDecoder, Model, Pass, TokenBatch, ids_tensor,
};
use nexus_core::weights::{StoredDtype, load, save};
use nexus_train::{MaskedLm, Objective, Seq2Seq, SequenceClassification, TokenClassification};

/// f32 on both sides: what remains is the order of summation, measured at up to 1e-5 on logits of size 10.
const LOGITS: f32 = 1e-4;

const SEQUENCE: &[&str] = &[
    "bert_classes",
    "bert_multi",
    "bert_regression",
    "bert_regression_three",
    "roberta_classes",
    "distilbert_classes",
];
const DECODER_SEQUENCE: &[&str] = &["llama_classes", "gpt2_classes"];
const TOKENS: &[&str] = &["bert_tokens"];
const MASKED: &[&str] = &["bert_masked", "roberta_masked", "distilbert_masked"];
const SEQ2SEQ: &[&str] = &["t5_relu", "t5_gated"];

/// Logits in the order of the reference; `None` where the reference has padding.
type Logits<M> = fn(&M, &[Example]) -> Vec<Option<f32>>;

/// Everything that is asked of one model and objective.
fn check<M: Model, O: Objective<M> + Clone + 'static>(
    name: &str,
    objective: O,
    pad_id: u32,
    logits: Logits<M>,
) {
    let mut case = Case::open(name);
    let model: M = load(&case.folder.join("model"), &device()).unwrap();
    let examples = case.examples();
    compare(&mut case, &logits(&model, &examples), "logits");

    let full = train_all(model.clone());
    let (loss, found, untouched) = loss_and_gradients(full.clone(), &objective, &examples, pad_id);
    let expected = case.json["loss"].as_f64().unwrap();
    assert!((loss - expected).abs() < steps::LOSS, "{name}: loss {loss}, expected {expected}");
    assert!(untouched.is_empty(), "{name}: no gradient for {untouched:?}");
    let references = case.expect.names().filter(|key| key.starts_with("grad.")).count();
    assert_eq!(found.len(), references, "{name}: number of parameters");
    gradients::assert_equal(&mut case, found, "grad", name);
    let trace = steps::ten(&case, full, objective.clone(), examples.clone());
    steps::assert_equal(&case, &trace, "full");

    let adapter = case.folder.join("adapter");
    let adapted = load_adapter(model.clone(), &adapter).unwrap();
    compare(&mut case, &logits(&adapted, &examples), "adapter_logits");
    let (loss, found, _) = loss_and_gradients(adapted.clone(), &objective, &examples, pad_id);
    let expected = case.json["adapter_loss"].as_f64().unwrap();
    assert!((loss - expected).abs() < steps::LOSS, "{name}: loss {loss}, expected {expected}");
    let references = case.expect.names().filter(|key| key.starts_with("adapter_grad.")).count();
    assert_eq!(found.len(), references, "{name}: number of adapted parameters");
    gradients::assert_equal(&mut case, found, "adapter_grad", name);
    let trace = steps::ten(&case, adapted.clone(), objective, examples.clone());
    steps::assert_equal(&case, &trace, "lora");

    let folder = tempfile::tempdir().unwrap();
    save_adapter(&adapted, "model", folder.path()).unwrap();
    let file = "adapter_model.safetensors";
    let (ours, theirs) = (folder.path().join(file), adapter.join(file));
    assert_eq!(std::fs::read(ours).unwrap(), std::fs::read(theirs).unwrap(), "{name}: adapter");
    let merged = merge_and_unload(adapted);
    compare(&mut case, &logits(&merged, &examples), "merged_logits");

    let folder = tempfile::tempdir().unwrap();
    save(&model, folder.path(), StoredDtype::F32).unwrap();
    let file = "model.safetensors";
    let (ours, theirs) = (folder.path().join(file), case.folder.join("model").join(file));
    assert_eq!(std::fs::read(ours).unwrap(), std::fs::read(theirs).unwrap(), "{name}: weights");
}

fn compare(case: &mut Case, found: &[Option<f32>], key: &str) {
    let (expected, _) = case.expect.read_f32(key).unwrap();
    assert_eq!(found.len(), expected.len(), "{} {key}", case.name);
    let pairs = found.iter().zip(expected).filter_map(|(f, e)| f.map(|f| (f, e)));
    let (found, expected): (Vec<f32>, Vec<f32>) = pairs.unzip();
    let distance = distance(&found, &expected);
    assert!(distance < LOGITS, "{} {key}: {distance}", case.name);
}

fn loss_and_gradients<M: Model>(
    model: M,
    objective: &impl Objective<M>,
    examples: &[Example],
    pad_id: u32,
) -> (f64, Vec<gradients::Gradient>, Vec<String>) {
    let model = model.valid().train();
    let loss = mean_loss(&model, objective, examples, pad_id);
    let (found, untouched) = gradients::collect(&model, &loss);
    (f64::from(loss.into_scalar::<f32>()), found, untouched)
}

fn mean_loss<M: Model>(
    model: &M,
    objective: &impl Objective<M>,
    examples: &[Example],
    pad_id: u32,
) -> Tensor<1> {
    for example in examples {
        objective.check(model, example).unwrap();
    }
    let weight: f64 = examples.iter().map(|example| objective.weight(example)).sum();
    let device = model.devices()[0].clone();
    let pass = Pass::training(0);
    objective.loss_sum(model, examples, pad_id, &device, &pass).unwrap() / weight
}

fn tokens(model: &impl Model, examples: &[Example]) -> TokenBatch {
    TokenBatch::new(&collate(examples, 0), &model.devices()[0])
}

fn class_logits<M: Classify>(model: &M, examples: &[Example]) -> Vec<Option<f32>> {
    let logits = model.class_logits(&tokens(model, examples), &Pass::inference()).unwrap();
    logits.into_data().iter::<f32>().map(Some).collect()
}

/// All positions of the batch; those of padding are not compared.
fn at_positions(
    examples: &[Example],
    logits: impl FnOnce(&[i32]) -> Tensor<2>,
) -> Vec<Option<f32>> {
    let columns = examples.iter().map(|example| example.ids.len()).max().unwrap();
    let rows: Vec<i32> = (0..(examples.len() * columns) as i32).collect();
    let logits = logits(&rows);
    let width = logits.dims()[1];
    let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
    let real = |position: usize| position % columns < examples[position / columns].ids.len();
    values.iter().enumerate().map(|(i, &value)| real(i / width).then_some(value)).collect()
}

fn token_logits(model: &Encoder, examples: &[Example]) -> Vec<Option<f32>> {
    at_positions(examples, |rows| {
        model.token_logits(&tokens(model, examples), rows, &Pass::inference()).unwrap()
    })
}

fn masked_logits(model: &Encoder, examples: &[Example]) -> Vec<Option<f32>> {
    at_positions(examples, |rows| {
        model.masked_logits(&tokens(model, examples), rows, &Pass::inference()).unwrap()
    })
}

fn answer_logits(model: &EncoderDecoder, examples: &[Example]) -> Vec<Option<f32>> {
    let pass = Pass::inference();
    let sources: Vec<Example> =
        examples.iter().map(|e| Example::new(e.ids.clone(), Vec::new())).collect();
    let memory = model.encode(&tokens(model, &sources), &pass).unwrap();
    let columns = examples[0].labels.len();
    let mut answers = Vec::new();
    for example in examples {
        let read = example.labels.iter().map(|&label| label.max(0));
        answers.extend(std::iter::once(0).chain(read).take(columns));
    }
    let ids = ids_tensor(&answers, [examples.len(), columns], &model.devices()[0]);
    let hidden = model.decode(ids, &memory, &pass);
    let [batch, time, width] = hidden.dims();
    let logits = model.logits(hidden.reshape([batch * time, width]), &pass);
    logits.into_data().iter::<f32>().map(Some).collect()
}

#[test]
fn classifiers_equal_transformers() {
    for name in SEQUENCE {
        check::<Encoder, _>(name, SequenceClassification::new(), 0, class_logits);
    }
    for name in DECODER_SEQUENCE {
        check::<Decoder, _>(name, SequenceClassification::new(), 0, class_logits);
    }
}

#[test]
fn token_classifiers_equal_transformers() {
    for name in TOKENS {
        check(name, TokenClassification::new(), 0, token_logits);
    }
}

#[test]
fn masked_language_models_equal_transformers() {
    for name in MASKED {
        check(name, MaskedLm::with_given_labels(), 0, masked_logits);
    }
}

#[test]
fn t5_equals_transformers() {
    for name in SEQ2SEQ {
        check(name, Seq2Seq::new(), 0, answer_logits);
    }
}

#[test]
fn features_equal_transformers() {
    let mut case = Case::open("bert_features");
    let model: Encoder = load(&case.folder.join("model"), &device()).unwrap();
    let examples = case.examples();
    let pass = Pass::inference();
    let adapted = load_adapter(model.clone(), &case.folder.join("adapter")).unwrap();
    for (model, prefix) in [(&model, ""), (&adapted, "adapter_")] {
        let hidden = model.hidden(&tokens(model, &examples), &pass).unwrap();
        let [batch, time, width] = hidden.dims();
        let rows = hidden.clone().reshape([batch * time, width]);
        compare(&mut case, &at_positions(&examples, |_| rows), &format!("{prefix}hidden"));
        let pooled = model.pooled(hidden, &pass).unwrap();
        let pooled: Vec<_> = pooled.into_data().iter::<f32>().map(Some).collect();
        compare(&mut case, &pooled, &format!("{prefix}pooled"));
    }
}

#[test]
fn class_weights_and_smoothing_equal_pytorch() {
    let close = |found: Tensor<1>, expected: &serde_json::Value, what: &str| {
        let (found, expected) = (f64::from(found.into_scalar::<f32>()), expected.as_f64().unwrap());
        assert!((found - expected).abs() < steps::LOSS, "{what}: {found}, expected {expected}");
    };
    let mut case = Case::open("bert_classes");
    let model: Encoder = load(&case.folder.join("model"), &device()).unwrap();
    let examples = case.examples();
    let weights: Vec<f32> =
        case.numbers("class_weights").into_iter().map(|weight| weight as f32).collect();
    let plain = SequenceClassification::new;
    for (objective, key) in [
        (plain().with_class_weights(weights.clone()).unwrap(), "weighted_loss"),
        (plain().with_label_smoothing(0.1).unwrap(), "smoothed_loss"),
        (
            plain().with_class_weights(weights).unwrap().with_label_smoothing(0.1).unwrap(),
            "weighted_smoothed_loss",
        ),
    ] {
        close(mean_loss(&model, &objective, &examples, 0), &case.json[key], key);
    }
    for name in TOKENS {
        let mut case = Case::open(name);
        let model: Encoder = load(&case.folder.join("model"), &device()).unwrap();
        let objective = TokenClassification::new().with_label_smoothing(0.1).unwrap();
        let examples = case.examples();
        close(mean_loss(&model, &objective, &examples, 0), &case.json["smoothed_loss"], name);
    }
    for name in MASKED {
        let mut case = Case::open(name);
        let model: Encoder = load(&case.folder.join("model"), &device()).unwrap();
        let objective = MaskedLm::with_given_labels().with_label_smoothing(0.1).unwrap();
        let examples = case.examples();
        assert!(examples.iter().any(|example| example.labels.contains(&IGNORED)));
        close(mean_loss(&model, &objective, &examples, 0), &case.json["smoothed_loss"], name);
    }
    for name in SEQ2SEQ {
        let mut case = Case::open(name);
        let model: EncoderDecoder = load(&case.folder.join("model"), &device()).unwrap();
        let objective = Seq2Seq::new().with_label_smoothing(0.1).unwrap();
        let examples = case.examples();
        assert!(examples.iter().any(|example| example.labels.contains(&IGNORED)));
        close(mean_loss(&model, &objective, &examples, 0), &case.json["smoothed_loss"], name);
    }
}
