//! Examples and settings that do not fit the model end the run with an error that names them.

mod case;

use case::{Case, device};
use nexus_core::adapter::train_all;
use nexus_core::data::{Example, IGNORED, Target, collate};
use nexus_core::model::{Decoder, Encoder, Model, Pass, TokenBatch};
use nexus_core::stage::{TrainData, Trainer};
use nexus_core::weights::load;
use nexus_train::{
    CausalLm, MaskedLm, Objective, SequenceClassification, Sft, TokenClassification, TrainConfig,
};

fn golden<M: Model>(name: &str) -> (M, Vec<Example>) {
    let mut case = Case::open(name);
    let model = load(&case.folder.join("model"), &device()).unwrap();
    (train_all(model), case.examples())
}

/// The error of a run over the golden batch after `change`.
fn error<M: Model>(
    name: &str,
    objective: impl Objective<M> + 'static,
    change: impl Fn(&mut Example),
) -> String {
    let (model, mut examples) = golden::<M>(name);
    change(&mut examples[1]);
    let config = TrainConfig { max_steps: Some(1), shuffle: false, ..TrainConfig::default() };
    let data = TrainData { train: &examples, valid: None, pad_id: 0 };
    let trained = Sft::with_objective(config, objective).train(model, &data, &mut ());
    trained.map(|trained| trained.report).unwrap_err().to_string()
}

fn check(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

#[test]
fn examples_without_tokens() {
    let empty = |example: &mut Example| {
        (example.ids, example.types, example.labels) = (Vec::new(), Vec::new(), Vec::new());
    };
    let parts = ["step 1", "example 1", "no token"];
    check(&error::<Decoder>("llama_classes", SequenceClassification::new(), empty), &parts);
    check(&error::<Encoder>("bert_classes", SequenceClassification::new(), empty), &parts);
    check(&error::<Encoder>("bert_tokens", TokenClassification::new(), empty), &parts);
    check(&error::<Encoder>("bert_masked", MaskedLm::with_given_labels(), empty), &parts);
}

#[test]
fn token_types_that_the_model_does_not_tell_apart() {
    // RoBERTa has one type, so a pair of texts must not have two.
    let second = |example: &mut Example| example.types = vec![1; example.ids.len()];
    let parts = ["example 1", "token type 1", "type_vocab_size"];
    check(&error::<Encoder>("roberta_classes", SequenceClassification::new(), second), &parts);
    check(&error::<Encoder>("roberta_masked", MaskedLm::with_given_labels(), second), &parts);
    // DistilBERT reads no types, so any are fine.
    let (model, mut examples) = golden::<Encoder>("distilbert_classes");
    second(&mut examples[0]);
    SequenceClassification::new().check(&model, &examples[0]).unwrap();
}

#[test]
fn labels_and_weights_of_another_number() {
    let weights = || vec![1.0, 2.0];
    let objective = || TokenClassification::new().with_class_weights(weights()).unwrap();
    let parts = ["2 class weights", "give one each"];
    check(&error::<Encoder>("bert_tokens", objective(), |_| ()), &parts);
    let smoothed = objective().with_label_smoothing(0.1).unwrap();
    check(&error::<Encoder>("bert_tokens", smoothed, |_| ()), &parts);
    let objective = SequenceClassification::new().with_class_weights(weights()).unwrap();
    check(&error::<Encoder>("bert_classes", objective, |_| ()), &parts);
    let short = |example: &mut Example| {
        example.labels.pop();
    };
    check(&error::<Encoder>("bert_masked", MaskedLm::with_given_labels(), short), &["labels for"]);
    check(&error::<Encoder>("bert_tokens", TokenClassification::new(), short), &["labels for"]);
    check(&error::<Decoder>("gpt2_classes", CausalLm, |_| ()), &["0 labels for"]);
}

#[test]
fn settings_for_single_labels_are_refused_for_other_problems() {
    for name in ["bert_multi", "bert_regression"] {
        let smoothed = SequenceClassification::new().with_label_smoothing(0.1).unwrap();
        let weighted = SequenceClassification::new().with_class_weights(vec![1.0; 5]).unwrap();
        for objective in [smoothed, weighted] {
            check(&error::<Encoder>(name, objective, |_| ()), &["single labels only", "leave"]);
        }
    }
}

#[test]
fn class_weights_of_tokens_count_the_labelled_ones() {
    let (model, examples) = golden::<Encoder>("bert_tokens");
    assert!(examples.iter().any(|example| example.labels.contains(&IGNORED)));
    let classes = model.spec().classes().unwrap().len();
    let weights: Vec<f32> = (0..classes).map(|class| 0.5 + class as f32).collect();
    let batch = collate(&examples, 0);
    let rows: Vec<i32> = (0..batch.labels.len() as i32).collect();
    let tokens = TokenBatch::new(&batch, &device());
    let pass = Pass::inference();
    let logits = model.token_logits(&tokens, &rows, &pass).unwrap();
    let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
    for smoothing in [0.0, 0.1] {
        // torch.nn.CrossEntropyLoss(weight, ignore_index=-100, label_smoothing), written out in f64.
        let (mut sum, mut weight) = (0.0, 0.0);
        for (row, &label) in logits.chunks(classes).zip(&batch.labels) {
            if label == IGNORED {
                continue;
            }
            let all = row.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
            let minus_log =
                |class: usize| f64::from(weights[class]) * (all - f64::from(row[class]));
            let spread: f64 = (0..classes).map(minus_log).sum();
            sum +=
                (1.0 - smoothing) * minus_log(label as usize) + smoothing / classes as f64 * spread;
            weight += f64::from(weights[label as usize]);
        }
        let objective = TokenClassification::new().with_class_weights(weights.clone()).unwrap();
        let objective = objective.with_label_smoothing(smoothing).unwrap();
        let loss = objective.loss_sum(&model, &examples, 0, &device(), &pass).unwrap();
        let found = f64::from(loss.into_scalar::<f32>());
        assert!((found - sum).abs() / sum < 1e-5, "{found}, by hand {sum}");
        let total: f64 = examples.iter().map(|example| objective.weight(example)).sum();
        assert!((total - weight).abs() < 1e-9);
    }
    assert_eq!(Target::Unset, examples[0].target);
}
