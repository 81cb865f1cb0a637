//! Perplexity against transformers' numbers and against one token at a time.

mod model;

use model::{close, expected, golden, log_probabilities, log_softmax, random, tokenizer};
use nexus_core::data::{EncodeOptions, Example, encode_records, read_records};
use nexus_core::report::EvalReport;
use nexus_core::stage::Evaluator;
use nexus_eval::{Document, ExamplePerplexity, Perplexity, ScoreOptions, rolling_windows};
use std::path::Path;

fn value(report: &EvalReport, name: &str) -> f64 {
    report.measure(name).unwrap().value
}

fn stderr(report: &EvalReport, name: &str) -> f64 {
    report.measure(name).unwrap().stderr.unwrap()
}

/// Documents of several lengths: none, one, a window, and several windows.
fn documents() -> Vec<Vec<u32>> {
    [0, 1, 7, 8, 9, 21, 33].map(|n| (0..n).map(|i| (i * 29 + n * 5 + 3) % 64).collect()).to_vec()
}

fn options(max_length: usize, batch_size: usize) -> ScoreOptions {
    ScoreOptions { max_length: Some(max_length), batch_size }
}

/// The standard error of `sum(y) / sum(x)` over clusters.
fn clustered(y: &[f64], x: &[f64]) -> f64 {
    let r = y.iter().sum::<f64>() / x.iter().sum::<f64>();
    let g = y.len() as f64;
    let squares: f64 = y.iter().zip(x).map(|(y, x)| (y - r * x).powi(2)).sum();
    (g / (g - 1.0) * squares).sqrt() / x.iter().sum::<f64>()
}

#[test]
fn rolling_perplexity_is_that_of_one_token_at_a_time_at_every_batch_size() {
    for name in ["gpt2", "llama_untied", "qwen2", "mistral"] {
        let model = golden(name);
        let mut losses = Vec::new();
        let mut lengths = Vec::new();
        for document in documents().iter().filter(|document| !document.is_empty()) {
            let windows = rolling_windows(document, 1, 8);
            let scores =
                windows.iter().flat_map(|w| log_probabilities(&model, &w.context, &w.targets));
            losses.push(-scores.sum::<f64>());
            lengths.push(document.len() as f64);
        }
        let loss = losses.iter().sum::<f64>() / lengths.iter().sum::<f64>();
        for batch_size in [1, 3, 64] {
            let documents = documents().into_iter().map(Document::from_ids).collect();
            let task = Perplexity::new(documents, 1, options(8, batch_size)).unwrap();
            let report = task.evaluate(&model).unwrap();
            close(value(&report, "loss"), loss, 1e-5);
            close(value(&report, "perplexity"), loss.exp(), 1e-5);
            close(stderr(&report, "loss"), clustered(&losses, &lengths), 1e-5);
            close(stderr(&report, "perplexity"), loss.exp() * clustered(&losses, &lengths), 1e-4);
            assert_eq!(report.measure("perplexity").unwrap().n, 79);
            assert_eq!(report.examples, 7);
            assert!(report.measure("word_perplexity").is_none(), "there is no text");
        }
    }
}

#[test]
fn losses_are_those_of_transformers() {
    for name in ["gpt2", "llama_untied", "llama_yarn", "qwen2", "mistral"] {
        let model = golden(name);
        let (mut tensors, json) = expected(name);
        let (ids, shape) = tensors.read_i64("input_ids").unwrap();
        let (labels, _) = tensors.read_i64("labels").unwrap();
        let rows = ids.chunks(shape[1]).zip(labels.chunks(shape[1]));
        let examples: Vec<Example> = rows
            .map(|(ids, labels)| {
                let ids = ids.iter().map(|&id| id as u32).collect();
                Example::new(ids, labels.iter().map(|&label| label as i32).collect())
            })
            .collect();
        let report = ExamplePerplexity::new(examples.clone(), 2).unwrap().evaluate(&model).unwrap();
        close(value(&report, "loss"), json["loss"].as_f64().unwrap(), 1e-5);
        assert!(stderr(&report, "perplexity") > 0.0);
        let (logits, _) = tensors.read_f32("logits").unwrap();
        let document = &examples[0].ids;
        let scores = logits.chunks(64).zip(&document[1..]);
        let losses: Vec<f64> = scores.map(|(row, &id)| -log_softmax(row, id as usize)).collect();
        let n = losses.len() as f64;
        let mean = losses.iter().sum::<f64>() / n;
        let variance = losses.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let documents = vec![Document::from_ids(document[1..].to_vec())];
        let task = Perplexity::new(documents, document[0], options(32, 1)).unwrap();
        let report = task.evaluate(&model).unwrap();
        close(value(&report, "loss"), mean, 1e-5);
        // A single document: over tokens.
        close(stderr(&report, "loss"), (variance / n).sqrt(), 1e-5);
    }
}

#[test]
fn words_and_bytes_divide_the_same_sum() {
    let (tokenizer, model) = (tokenizer(), random(290));
    let texts = ["the cat sat on the mat.", "a dog\n\nsat", "ünï"];
    let documents: Vec<_> =
        texts.iter().map(|text| Document::from_text(text, &tokenizer).unwrap()).collect();
    let losses: Vec<f64> = documents
        .iter()
        .map(|d| {
            -log_probabilities(&model, &[tokenizer.bos().unwrap()], &d.ids).iter().sum::<f64>()
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("texts.jsonl");
    let lines: Vec<_> =
        texts.iter().map(|text| serde_json::json!({ "text": text }).to_string()).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    let records = read_records(&path).unwrap();
    let task =
        Perplexity::from_records(&records, &tokenizer, ScoreOptions::default(), &path).unwrap();
    let report = task.evaluate(&model).unwrap();
    let loss: f64 = losses.iter().sum();
    for (name, units) in
        [("word_perplexity", [6.0, 3.0, 1.0]), ("byte_perplexity", [23.0, 10.0, 5.0])]
    {
        let total: f64 = units.iter().sum();
        close(value(&report, name), (loss / total).exp(), 1e-4);
        let error = (loss / total).exp() * clustered(&losses, &units);
        close(stderr(&report, name), error, 1e-4);
    }
    close(value(&report, "bits_per_byte"), loss / 38.0 / 2.0f64.ln(), 1e-5);
    assert_eq!(report.measure("word_perplexity").unwrap().n, 10);
    assert_eq!(report.measures[0].name, "perplexity");
}

#[test]
fn examples_count_their_trained_tokens_only() {
    let (tokenizer, model) = (tokenizer(), random(290));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pairs.jsonl");
    let lines = "{\"prompt\": \"which animal sat?\", \"completion\": \" a cat\"}\n\
                 {\"prompt\": \"the mat.\", \"completion\": \" the cat sat on\"}";
    std::fs::write(&path, lines).unwrap();
    let records = read_records(&path).unwrap();
    let encoded = encode_records(&records, &tokenizer, &EncodeOptions::default(), &path).unwrap();
    let mut sum = 0.0;
    for example in &encoded.examples {
        let context = example.labels.iter().position(|&label| label != -100).unwrap();
        let (context, targets) = example.ids.split_at(context);
        sum -= log_probabilities(&model, context, targets).iter().sum::<f64>();
    }
    let report = ExamplePerplexity::new(encoded.examples, 8).unwrap().evaluate(&model).unwrap();
    close(value(&report, "loss"), sum / encoded.trained_tokens as f64, 1e-5);
    assert_eq!(report.measure("loss").unwrap().n, encoded.trained_tokens);
    // A record with a prompt is not a document.
    let error = Perplexity::from_records(&records, &tokenizer, ScoreOptions::default(), &path);
    assert!(error.unwrap_err().to_string().contains("pairs.jsonl:1"));
}

#[test]
fn a_model_with_learned_positions_is_used_to_its_last_one_and_not_beyond() {
    let model = golden("gpt2");
    let positions = model.config().max_positions;
    let document = || vec![Document::from_ids((0..100).map(|i| i % 64).collect())];
    for max_length in [None, Some(positions)] {
        let options = ScoreOptions { max_length, batch_size: 2 };
        let report = Perplexity::new(document(), 1, options).unwrap().evaluate(&model).unwrap();
        assert_eq!(report.measure("loss").unwrap().n, 100);
    }
    let task = Perplexity::new(document(), 1, options(positions + 1, 2)).unwrap();
    let error = task.evaluate(&model).unwrap_err().to_string();
    assert!(error.contains("max_length") && error.contains(&positions.to_string()), "{error}");
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let model = golden("llama_untied");
    let some = || vec![Document::from_ids(vec![1, 2])];
    assert!(Perplexity::new(some(), 1, options(0, 1)).is_err());
    assert!(Perplexity::new(some(), 1, options(8, 0)).is_err());
    assert!(Perplexity::new(vec![], 1, options(8, 1)).is_err());
    assert!(Perplexity::new(vec![Document::from_ids(vec![])], 1, options(8, 1)).is_err());
    assert!(ExamplePerplexity::new(vec![Example::new(vec![1], vec![1])], 1).is_err());
    let outside = Perplexity::new(vec![Document::from_ids(vec![64])], 1, options(8, 1)).unwrap();
    let error = outside.evaluate(&model).unwrap_err().to_string();
    assert!(error.contains("64"), "{error}");
    let missing = read_records(Path::new("missing.jsonl"));
    assert!(missing.is_err());
}
