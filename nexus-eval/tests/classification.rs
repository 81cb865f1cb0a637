//! Classifiers measured on golden models, whose logits transformers computed, against counts by hand.

mod model;

use model::{close, device, expected, folder};
use nexus_core::data::{Example, Target};
use nexus_core::model::Encoder;
use nexus_core::report::EvalReport;
use nexus_core::stage::Evaluator;
use nexus_core::weights::load;
use nexus_eval::report::{ModelReport, ReliabilityBin};
use nexus_eval::stats::Bootstrap;
use nexus_eval::{Classification, ClassificationOutcome};

/// f32 logits of size 1 on both sides.
const TOLERANCE: f64 = 1e-4;

fn encoder(name: &str) -> Encoder {
    load(&folder(name).join("model"), &device()).unwrap()
}

/// The rows of the golden batch without padding, each with its target.
fn examples(name: &str, targets: impl IntoIterator<Item = Target>) -> Vec<Example> {
    let (mut tensors, _) = expected(name);
    let (ids, shape) = tensors.read_i64("input_ids").unwrap();
    let (mask, _) = tensors.read_i64("attention_mask").unwrap();
    let types = tensors.read_i64("token_type_ids").map(|(types, _)| types).ok();
    let row = |(i, target): (usize, Target)| {
        let from = i * shape[1];
        let length = mask[from..][..shape[1]].iter().sum::<i64>() as usize;
        let part = |all: &Vec<i64>| all[from..][..length].to_vec();
        Example {
            ids: part(&ids).into_iter().map(|id| id as u32).collect(),
            types: types.as_ref().map(part).unwrap_or_default().iter().map(|&t| t as u8).collect(),
            target,
            ..Example::default()
        }
    };
    targets.into_iter().enumerate().map(row).collect()
}

fn value(report: &EvalReport, name: &str) -> f64 {
    report.measure(name).unwrap().value
}

fn measure(name: &str, targets: Vec<Target>, batch_size: usize) -> EvalReport {
    let task = Classification::new(examples(name, targets), batch_size, 0).unwrap();
    task.evaluate(&encoder(name)).unwrap()
}

#[test]
fn single_labels_equal_counts_by_hand() {
    // The logits' largest are at classes 3, 3, 4 and 3.
    let targets = || [3, 0, 4, 3].map(Target::Class).to_vec();
    for batch_size in [1, 3, 4] {
        let report = measure("bert_classes", targets(), batch_size);
        assert_eq!(report.examples, 4);
        close(value(&report, "accuracy"), 0.75, TOLERANCE);
        // Class 0: never hit. Class 3: 2 hits, 1 wrong, so 4 / 5. Class 4: 1. Classes 1 and 2 do not occur.
        close(value(&report, "macro_f1"), (0.0 + 0.8 + 1.0) / 3.0, TOLERANCE);
    }
    let task = Classification::new(examples("bert_classes", targets()), 2, 0).unwrap();
    let (whole, outcomes) = task.measure(&encoder("bert_classes"), &mut |_, _| {}).unwrap();
    let names = ["a", "b", "c", "d", "e"].map(String::from);
    let mut report = ModelReport { name: "bert".into(), ..ModelReport::default() };
    report.add_classification(whole.clone(), &outcomes, &names, &Bootstrap::default()).unwrap();
    report.check().unwrap();
    let mut table = vec![vec![0; 5]; 5];
    (table[3][3], table[0][3], table[4][4]) = (2, 1, 1);
    assert_eq!(report.confusion.as_ref().unwrap().counts, table);
    // Wilson's interval of 3 of 4, and one of the bootstrap.
    let interval = |name: &str| report.interval("classification", whole.measure(name).unwrap());
    let accuracy = interval("accuracy").unwrap();
    close(accuracy.low, 0.300642, 1e-6);
    close(accuracy.high, 0.954413, 1e-6);
    assert!(interval("macro_f1").unwrap().contains(value(&whole, "macro_f1")));
    // Each answer's confidence is its softmax.
    let diagram = report.reliability.clone().unwrap();
    let mean = |of: fn(&ReliabilityBin) -> f64| {
        diagram.bins.iter().map(|bin| bin.n as f64 * of(bin)).sum::<f64>() / 4.0
    };
    let confidence = |o: &ClassificationOutcome| o.probabilities()[o.chosen.unwrap()];
    close(mean(|bin| bin.confidence), outcomes.iter().map(confidence).sum::<f64>() / 4.0, 1e-12);
    close(mean(|bin| bin.accuracy), 0.75, 1e-12);
    // An example alone is answered as among the others.
    let (alone, _) =
        task.only(1).unwrap().measure(&encoder("bert_classes"), &mut |_, _| {}).unwrap();
    assert_eq!((alone.examples, value(&alone, "accuracy")), (1, outcomes[1].score));
    assert!(task.only(4).is_none());
    assert!(
        report.add_classification(whole, &outcomes, &names[..3], &Bootstrap::default()).is_err()
    );

    let (_, json) = expected("bert_classes");
    let report = measure("bert_classes", [3, 0, 4, 1].map(Target::Class).to_vec(), 4);
    close(value(&report, "loss"), json["loss"].as_f64().unwrap(), TOLERANCE);
    close(value(&report, "accuracy"), 0.5, TOLERANCE);
}

#[test]
fn several_labels_equal_counts_by_hand() {
    // Logits above 0: classes 2, 3, 4; 2, 3, 4; 3, 4; 2, 3, 4.
    let targets = [
        [1.0, 0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 1.0, 0.0, 1.0],
        [0.0, 0.0, 1.0, 1.0, 1.0],
    ];
    let targets = targets.map(|row| Target::Values(row.to_vec())).to_vec();
    let report = measure("bert_multi", targets, 3);
    // Hits 1 + 0 + 1 + 3, wrong 2 + 3 + 1 + 0, missed 1 + 0 + 2 + 0.
    close(value(&report, "micro_f1"), 10.0 / (10.0 + 6.0 + 3.0), TOLERANCE);
    // By class: 0; 0; 1 hit, 2 wrong, 1 missed; 2 hits, 2 wrong; 2 hits, 2 wrong.
    let by_class = [0.0, 0.0, 2.0 / 5.0, 4.0 / 6.0, 4.0 / 6.0];
    close(value(&report, "macro_f1"), by_class.iter().sum::<f64>() / 5.0, TOLERANCE);
    close(value(&report, "exact_match"), 0.25, TOLERANCE);
}

#[test]
fn regression_equals_the_mean_squared_error_of_pytorch() {
    let (mut tensors, json) = expected("bert_regression");
    let (values, _) = tensors.read_f32("label_values").unwrap();
    let targets = values.iter().map(|&value| Target::Values(vec![value])).collect();
    let report = measure("bert_regression", targets, 3);
    close(value(&report, "mse"), json["loss"].as_f64().unwrap(), TOLERANCE);
}

#[test]
fn examples_that_the_model_cannot_read_are_named() {
    let model = encoder("bert_classes");
    let error = |change: fn(&mut Example)| {
        let mut examples = examples("bert_classes", [3, 0].map(Target::Class));
        change(&mut examples[1]);
        let task = Classification::new(examples, 2, 0).unwrap();
        task.evaluate(&model).unwrap_err().to_string()
    };
    let empty = error(|example| (example.ids, example.types) = (Vec::new(), Vec::new()));
    assert!(empty.contains("example 1") && empty.contains("no token"), "{empty}");
    let foreign = error(|example| example.ids[0] = 5000);
    assert!(foreign.contains("example 1") && foreign.contains("5000"), "{foreign}");
    let types = error(|example| example.types = vec![2; example.ids.len()]);
    assert!(types.contains("token type 2") && types.contains("type_vocab_size"), "{types}");
    let class = error(|example| example.target = Target::Class(5));
    assert!(class.contains("does not fit"), "{class}");
}
