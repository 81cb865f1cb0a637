//! Variants of LoRA against PEFT: DoRA, embeddings, several adapters on one base, a grown vocabulary.

mod case;

use case::{Case, device, distance, gradients, logits, steps};
use nexus_core::adapter::{
    Adapter, AdapterConfig, Combination, Modules, attach, load_adapter, merge_and_unload, mix,
    save_adapter, set_adapter_state,
};
use nexus_core::data::{Example, collate};
use nexus_core::generate::{GenerationConfig, generate_batch, generate_batch_with_adapters};
use nexus_core::model::{
    AdapterState, Classify, Decoder, Encoder, EncoderDecoder, Model, Pass, TokenBatch, ids_tensor,
    resize_vocabulary,
};
use nexus_core::weights::load;
use nexus_train::{CausalLm, Objective, Seq2Seq, SequenceClassification};
use std::path::Path;

/// f32 on both sides: what remains is the order of summation, measured at up to 1e-5 on logits of size 10.
const LOGITS: f32 = 1e-4;

/// Logits of a batch; `None` at padding of the reference.
type Logits<M> = fn(&M, &[Example]) -> Vec<Option<f32>>;

/// The adapter in folder `kind` of a case: logits, loss, gradients, ten steps, merging, and its file.
fn check<M: Model, O: Objective<M> + Clone + 'static>(
    name: &str,
    kind: &str,
    objective: O,
    examples: &[Example],
    logits: Logits<M>,
) {
    let mut case = Case::open(name);
    let folder = case.folder.join(if kind == "lora" { "adapter" } else { kind });
    let prefix = if kind == "lora" { "adapter" } else { kind };
    let base: M = load(&case.folder.join("model"), &device()).unwrap();
    let before = logits(&base, examples);
    let model = load_adapter(base.clone(), &folder).unwrap();
    compare(&mut case, &logits(&model, examples), &format!("{prefix}_logits"));

    let trained = model.valid().train();
    let weight: f64 = examples.iter().map(|example| objective.weight(example)).sum();
    let pass = Pass::training(0);
    let loss = objective.loss_sum(&trained, examples, 0, &device(), &pass).unwrap() / weight;
    let (found, _) = gradients::collect(&trained, &loss);
    let (loss, expected) = (f64::from(loss.into_scalar::<f32>()), &case.json);
    let expected = expected[format!("{prefix}_loss")].as_f64().unwrap();
    assert!((loss - expected).abs() < steps::LOSS, "{name}: loss {loss}, expected {expected}");
    let start = format!("{prefix}_grad.");
    let references = case.expect.names().filter(|key| key.starts_with(&start)).count();
    assert_eq!(found.len(), references, "{name}: number of adapted parameters");
    gradients::assert_equal(&mut case, found, &format!("{prefix}_grad"), name);
    let trace = steps::ten(&case, model.clone(), objective, examples.to_vec());
    steps::assert_equal(&case, &trace, kind);

    assert_file(&model, &folder, name);
    let merged = set_adapter_state(model.clone(), AdapterState::Merged);
    let key =
        if kind == "lora" { "merged_logits".into() } else { format!("{prefix}_merged_logits") };
    compare(&mut case, &logits(&merged, examples), &key);
    let active = set_adapter_state(merged, AdapterState::Active);
    compare(&mut case, &logits(&active, examples), &format!("{prefix}_logits"));
    let disabled = logits(&set_adapter_state(model.clone(), AdapterState::Disabled), examples);
    let worst =
        before.iter().zip(&disabled).filter_map(|(a, b)| Some((a.as_ref()? - b.as_ref()?).abs()));
    // Modules that PEFT saves in full stay in place when the factors are switched off.
    if model.adapter().unwrap().modules_to_save.is_none() {
        assert!(worst.fold(0.0, f32::max) < LOGITS, "{name}: disabled");
    }
    compare(&mut case, &logits(&merge_and_unload(model), examples), &key);
}

/// The file that we write is the file that PEFT wrote.
fn assert_file<M: Model>(model: &M, theirs: &Path, name: &str) {
    let folder = tempfile::tempdir().unwrap();
    save_adapter(model, "model", folder.path()).unwrap();
    let read = |folder: &Path| std::fs::read(folder.join("adapter_model.safetensors")).unwrap();
    assert!(read(folder.path()) == read(theirs), "{name}: the adapter's file differs");
}

fn compare(case: &mut Case, found: &[Option<f32>], key: &str) {
    let (expected, _) = case.expect.read_f32(key).unwrap();
    assert_eq!(found.len(), expected.len(), "{} {key}", case.name);
    let pairs = found.iter().zip(expected).filter_map(|(f, e)| f.map(|f| (f, e)));
    let (found, expected): (Vec<f32>, Vec<f32>) = pairs.unzip();
    let distance = distance(&found, &expected);
    assert!(distance < LOGITS, "{} {key}: {distance}", case.name);
}

fn causal_logits(model: &Decoder, examples: &[Example]) -> Vec<Option<f32>> {
    let batch = collate(examples, 0);
    let ids = ids_tensor(&batch.ids, [batch.rows, batch.columns], &device());
    logits(model, ids).into_iter().map(Some).collect()
}

fn class_logits(model: &Encoder, examples: &[Example]) -> Vec<Option<f32>> {
    let tokens = TokenBatch::new(&collate(examples, 0), &device());
    let logits = model.class_logits(&tokens, &Pass::inference()).unwrap();
    logits.into_data().iter::<f32>().map(Some).collect()
}

fn answer_logits(model: &EncoderDecoder, examples: &[Example]) -> Vec<Option<f32>> {
    let pass = Pass::inference();
    let sources: Vec<Example> =
        examples.iter().map(|e| Example::new(e.ids.clone(), Vec::new())).collect();
    let tokens = TokenBatch::new(&collate(&sources, 0), &device());
    let memory = model.encode(&tokens, &pass).unwrap();
    let columns = examples[0].labels.len();
    let read = |example: &Example| {
        let labels = example.labels.iter().map(|&label| label.max(0));
        std::iter::once(0).chain(labels).take(columns).collect::<Vec<_>>()
    };
    let answers: Vec<i32> = examples.iter().flat_map(read).collect();
    let hidden =
        model.decode(ids_tensor(&answers, [examples.len(), columns], &device()), &memory, &pass);
    let [batch, time, width] = hidden.dims();
    let logits = model.logits(hidden.reshape([batch * time, width]), &pass);
    logits.into_data().iter::<f32>().map(Some).collect()
}

/// The rows of a causal case, padding included: nothing that matters looks at it.
fn causal_examples(name: &str) -> Vec<Example> {
    let ([_, columns], ids, labels) = Case::open(name).batch();
    let rows = ids.chunks(columns).zip(labels.chunks(columns));
    rows.map(|(ids, labels)| {
        Example::new(ids.iter().map(|&id| id as u32).collect(), labels.to_vec())
    })
    .collect()
}

#[test]
fn dora_equals_peft() {
    for name in ["gpt2_dora", "llama_dora"] {
        check(name, "dora", CausalLm, &causal_examples(name), causal_logits);
        check(name, "lora", CausalLm, &causal_examples(name), causal_logits);
    }
    let examples = Case::open("bert_classes").examples();
    check("bert_classes", "dora", SequenceClassification::new(), &examples, class_logits);
    let examples = Case::open("t5_gated").examples();
    check("t5_gated", "dora", Seq2Seq::new(), &examples, answer_logits);
}

#[test]
fn lora_on_embeddings_equals_peft() {
    for name in ["gpt2_embedding", "llama_embedding"] {
        check(name, "lora", CausalLm, &causal_examples(name), causal_logits);
    }
}

#[test]
fn an_adapter_that_brings_the_embedding_along_is_read_and_written() {
    let mut case = Case::open("llama_embedding");
    let examples = causal_examples("llama_embedding");
    let folder = case.folder.join("adapter_auto");
    let model = load_adapter(case.load(&device()), &folder).unwrap();
    compare(&mut case, &causal_logits(&model, &examples), "adapter_logits");
    assert_file(&model, &folder, "adapter_auto");
}

#[test]
fn fresh_adapters_of_every_kind_change_nothing() {
    let examples = causal_examples("gpt2_embedding");
    let base = Case::open("gpt2_embedding").load(&device());
    let before = causal_logits(&base, &examples);
    let names =
        |names: &[&str]| Some(Modules::Names(names.iter().map(|n| n.to_string()).collect()));
    let dora = AdapterConfig { use_dora: true, ..AdapterConfig::default() };
    let table = AdapterConfig { target_modules: names(&["wte", "c_attn"]), ..Default::default() };
    for config in [dora.clone(), table] {
        let model = attach(base.clone(), &config, 5).unwrap();
        let after = causal_logits(&model, &examples);
        let worst = before.iter().zip(&after).map(|(a, b)| (a.unwrap() - b.unwrap()).abs());
        // DoRA divides and multiplies by the same norm.
        assert!(worst.fold(0.0, f32::max) < 1e-5);
    }
    let both = AdapterConfig { target_modules: names(&["wte"]), ..dora };
    let error = attach(base, &both, 5).unwrap_err().to_string();
    assert!(error.contains("use_dora of transformer.wte"), "{error}");
}

#[test]
fn adapters_are_switched_combined_and_mixed_on_one_base() {
    let mut case = Case::open("llama_adapters");
    let examples = causal_examples_of_all(&mut case);
    let base = case.load(&device());
    let read = |name: &str| Adapter::load(&base, &case.folder.join(name)).unwrap();
    let [first, second, third] = ["first", "second", "third"].map(read);
    compare(&mut case, &causal_logits(&base, &examples), "logits");
    for (name, adapter) in [("first", &first), ("second", &second), ("third", &third)] {
        let model = adapter.on(base.clone()).unwrap();
        compare(&mut case, &causal_logits(&model, &examples), &format!("{name}_logits"));
        assert_file(&model, &case.folder.join(name), name);
    }
    let both = [(&first, 1.0), (&second, 1.0)];
    let both = Adapter::combine(&both, Combination::Cat).unwrap().on(base.clone()).unwrap();
    compare(&mut case, &causal_logits(&both, &examples), "first_and_second_logits");

    let svd = |rank| Combination::Svd { rank };
    for (name, adapters, how) in [
        ("linear", [(&first, 0.7), (&third, 0.3)], Combination::Linear),
        ("linear_negative", [(&first, 0.7), (&third, -0.3)], Combination::Linear),
        ("cat", [(&first, 0.7), (&second, 0.3)], Combination::Cat),
        ("svd", [(&first, 0.7), (&second, 0.3)], svd(None)),
        ("svd_rank_2", [(&first, 0.7), (&third, 0.3)], svd(Some(2))),
    ] {
        let model = Adapter::combine(&adapters, how).unwrap().on(base.clone()).unwrap();
        compare(&mut case, &causal_logits(&model, &examples), &format!("{name}_logits"));
        let stored = case.folder.join(name);
        if stored.is_dir() {
            let again = load_adapter(base.clone(), &stored).unwrap();
            compare(&mut case, &causal_logits(&again, &examples), &format!("{name}_logits"));
            let saved = tempfile::tempdir().unwrap();
            save_adapter(&model, "model", saved.path()).unwrap();
            let again = load_adapter(base.clone(), saved.path()).unwrap();
            compare(&mut case, &causal_logits(&again, &examples), &format!("{name}_logits"));
        }
    }
    let unequal = [(&first, 0.5), (&second, 0.5)];
    let error = Adapter::combine(&unequal, Combination::Linear).unwrap_err().to_string();
    assert!(error.contains("equal ranks"), "{error}");

    let mixed = mix(base.clone(), &[&first, &second, &third]).unwrap();
    compare(&mut case, &causal_logits(&mixed, &examples), "logits");
    let number = |name: &serde_json::Value| match name.as_str().unwrap() {
        "first" => Some(0),
        "second" => Some(1),
        "third" => Some(2),
        _ => None,
    };
    let rows: Vec<Option<usize>> =
        case.json["rows"].as_array().unwrap().iter().map(number).collect();
    let batch = collate(&examples, 0);
    let ids = ids_tensor(&batch.ids, [batch.rows, batch.columns], &device());
    let pass = Pass::inference().with_adapters(rows.clone());
    let hidden = mixed.hidden(ids.clone(), &pass).unwrap();
    let [batch, time, width] = hidden.dims();
    let found = mixed.logits(hidden.reshape([batch * time, width]), &pass);
    let found: Vec<_> = found.into_data().iter::<f32>().map(Some).collect();
    compare(&mut case, &found, "rows_logits");
    let wrong = Pass::inference().with_adapters(vec![None; 2]);
    let error = mixed.hidden(ids, &wrong).unwrap_err().to_string();
    assert!(error.contains("one for each of its 5 sequences"), "{error}");
}

/// Every row of the case as an example without labels.
fn causal_examples_of_all(case: &mut Case) -> Vec<Example> {
    let (ids, shape) = case.expect.read_i64("input_ids").unwrap();
    let row = |row: &[i64]| Example::new(row.iter().map(|&id| id as u32).collect(), vec![]);
    ids.chunks(shape[1]).map(row).collect()
}

#[test]
fn adapters_of_another_base_are_refused_by_name() {
    let case = Case::open("llama_adapters");
    let base = case.load(&device());
    let first = Adapter::load(&base, &case.folder.join("first")).unwrap();
    let other = Case::open("llama_untied");
    let theirs = other.load(&device());
    let second = Adapter::load(&theirs, &other.folder.join("adapter")).unwrap();
    let texts = [
        second.on(base.clone()).unwrap_err().to_string(),
        mix(base.clone(), &[&first, &second]).unwrap_err().to_string(),
        Adapter::combine(&[(&first, 1.0), (&second, 1.0)], Combination::Cat)
            .unwrap_err()
            .to_string(),
    ];
    for text in texts {
        assert!(text.contains("q_proj") || text.contains("inputs.query"), "{text}");
        assert!(text.contains("[18, 24]"), "{text}");
    }
    let model = first.on(base).unwrap();
    let again = first.on(model).unwrap_err().to_string();
    assert!(again.contains("has one already"), "{again}");
}

#[test]
fn a_mixed_batch_is_continued_as_each_adapter_continues_alone() {
    let case = Case::open("llama_adapters");
    let base = case.load(&device());
    let read = |name: &str| Adapter::load(&base, &case.folder.join(name)).unwrap();
    let [first, second] = ["first", "second"].map(read);
    let mixed = mix(base.clone(), &[&first, &second]).unwrap();
    let prompts: Vec<Vec<u32>> = vec![vec![5, 9, 3], vec![7], vec![4, 4, 8, 11], vec![5, 9, 3]];
    let rows = [Some(0), None, Some(1), Some(1)];
    let config = GenerationConfig { max_new_tokens: 8, ..GenerationConfig::default() };
    let together =
        generate_batch_with_adapters(&mixed, &prompts, &rows, &config, &device()).unwrap();
    for ((prompt, row), found) in prompts.iter().zip(rows).zip(&together) {
        let alone = match row {
            None => base.clone(),
            Some(0) => first.on(base.clone()).unwrap(),
            Some(_) => second.on(base.clone()).unwrap(),
        };
        let prompt = std::slice::from_ref(prompt);
        let expected = generate_batch(&alone, prompt, &config, &device()).unwrap();
        assert_eq!(found[0].ids, expected[0][0].ids, "{row:?}");
    }
    assert_ne!(together[0][0].ids, together[3][0].ids, "the adapters make no difference");
    let beyond = [Some(2), None, None, None];
    for model in [&mixed, &base] {
        let error = generate_batch_with_adapters(model, &prompts, &beyond, &config, &device());
        assert!(error.unwrap_err().to_string().contains("there is no number 2"));
    }
    let error = generate_batch_with_adapters(&mixed, &prompts, &rows[..2], &config, &device());
    assert!(error.unwrap_err().to_string().contains("one for each of 4 prompts"));
}

#[test]
fn a_grown_vocabulary_travels_with_the_adapter() {
    let check = |name: &str| {
        let mut case = Case::open(name);
        let vocabulary = case.json["new_vocab_size"].as_u64().unwrap() as usize;
        let adapter = case.folder.join("adapter");
        (
            case.folder.clone(),
            vocabulary,
            adapter,
            case.expect.read_f32("adapter_logits").unwrap().0,
        )
    };
    let (folder, vocabulary, adapter, expected) = check("resize_llama");
    let examples = causal_examples_of_all(&mut Case::open("resize_llama"));
    for base in ["model", "resized"] {
        let base: Decoder = load(&folder.join(base), &device()).unwrap();
        let model = load_adapter(base, &adapter).unwrap();
        assert_eq!(model.config().vocab_size, vocabulary);
        let found: Vec<f32> = causal_logits(&model, &examples).into_iter().flatten().collect();
        assert!(distance(&found, &expected) < LOGITS, "{}", distance(&found, &expected));
        assert_file(&model, &adapter, "resize_llama");
    }
    let small: Decoder = load(&folder.join("model"), &device()).unwrap();
    let error = Adapter::load(&small, &adapter).unwrap_err().to_string();
    assert!(error.contains("embed_tokens.weight") && error.contains("[51, 18]"), "{error}");

    // What is attached after growing stores the embedding; a fresh row is the mean of the old ones.
    let grown = resize_vocabulary(small, vocabulary).unwrap();
    let names = Some(Modules::Names(vec!["q_proj".into()]));
    let config = AdapterConfig { target_modules: names, ..AdapterConfig::default() };
    let model = attach(grown, &config, 1).unwrap();
    let saved = tempfile::tempdir().unwrap();
    save_adapter(&model, "model", saved.path()).unwrap();
    let again: Decoder = load(&folder.join("model"), &device()).unwrap();
    let again = load_adapter(again, saved.path()).unwrap();
    assert_eq!(causal_logits(&again, &examples), causal_logits(&model, &examples));

    let (folder, vocabulary, adapter, expected) = check("resize_bert");
    let mut case = Case::open("resize_bert");
    let examples = case.examples();
    for base in ["model", "resized"] {
        let base: Encoder = load(&folder.join(base), &device()).unwrap();
        let model = load_adapter(base, &adapter).unwrap();
        assert_eq!(model.config().vocab_size, vocabulary);
        let tokens = TokenBatch::new(&collate(&examples, 0), &device());
        let [batch, time] = tokens.ids.dims();
        let rows: Vec<i32> = (0..(batch * time) as i32).collect();
        let found = model.masked_logits(&tokens, &rows, &Pass::inference()).unwrap();
        let found: Vec<f32> = found.into_data().iter::<f32>().collect();
        let real = |&i: &usize| i / vocabulary % time < examples[i / vocabulary / time].ids.len();
        let kept: Vec<usize> = (0..found.len()).filter(real).collect();
        let worst = kept.iter().map(|&i| (found[i] - expected[i]).abs()).fold(0.0, f32::max);
        assert!(worst < LOGITS, "{worst}");
        assert_file(&model, &adapter, "resize_bert");
    }
}
