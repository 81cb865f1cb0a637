//! `score` against the logits of transformers and PEFT.

mod programs;

use nexus_core::weights::TensorFile;
use programs::{golden, lines, program, random_model};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Score {
    input_ids: Vec<i64>,
    logprobs: Vec<f64>,
    logits: Option<Vec<Vec<f32>>>,
}

/// Logits of either side differ by the order of summation.
const TOLERANCE: f32 = 1e-4;

#[test]
fn logits_and_log_probabilities_are_those_of_transformers_and_peft() {
    let case = golden("llama_untied");
    let mut expect = TensorFile::open(&case.join("expect.safetensors")).unwrap();
    let (ids, shape) = expect.read_i64("input_ids").unwrap();
    let rows: Vec<&[i64]> = ids.chunks(shape[1]).collect();
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<String> =
        rows.iter().map(|ids| serde_json::json!({ "input_ids": ids }).to_string()).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let input = lines(folder.path(), "lines.jsonl", &records);
    let (model, adapter) = (case.join("model"), case.join("adapter"));
    let model = ["--model", model.to_str().unwrap(), "--input", &input];
    let adapter = ["--adapter", adapter.to_str().unwrap()];
    for (args, key) in [
        ([&model[..], &["--logits"]].concat(), "logits"),
        ([&model[..], &adapter, &["--logits"]].concat(), "adapter_logits"),
    ] {
        let (expected, _) = expect.read_f32(key).unwrap();
        let output = program("score", &args, "").ok();
        let scores: Vec<Score> =
            output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(scores.len(), rows.len());
        for ((score, ids), expected) in scores.iter().zip(&rows).zip(expected.chunks(shape[1] * 64))
        {
            assert_eq!(score.input_ids, *ids);
            assert_eq!(score.logprobs.len(), ids.len() - 1);
            let logits = score.logits.as_ref().unwrap();
            for (t, (found, expected)) in logits.iter().zip(expected.chunks(64)).enumerate() {
                assert_eq!(found.len(), 64);
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() < TOLERANCE, "{key}: {found} {expected}");
                }
                if let Some(&next) = ids.get(t + 1) {
                    let sum: f32 = expected.iter().map(|x| x.exp()).sum();
                    let log = f64::from(expected[next as usize] - sum.ln());
                    assert!((score.logprobs[t] - log).abs() < f64::from(TOLERANCE), "{key} {t}");
                }
            }
        }
    }
    // Without --logits: the same probabilities, nothing else.
    let output = program("score", &model, "").ok();
    assert!(!output.contains("logits"));
}

#[test]
fn texts_are_encoded_as_the_ids_that_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    random_model(folder.path());
    let model = folder.path().to_str().unwrap();
    let input = lines(folder.path(), "a.jsonl", &["{\"text\": \"the cat sat\"}"]);
    let of_text = program("score", &["--model", model, "--input", &input], "").ok();
    let score: Score = serde_json::from_str(&of_text).unwrap();
    let ids = serde_json::json!({ "input_ids": score.input_ids }).to_string();
    let input = lines(folder.path(), "b.jsonl", &["", &ids]);
    let of_ids = program("score", &["--model", model, "--input", &input], "").ok();
    assert_eq!(of_ids, of_text);
}

#[test]
fn errors_name_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let model = golden("llama_untied").join("model");
    let model = model.to_str().unwrap();
    for (bad, part) in [
        ("{\"input_ids\": [1, 64]}", "token id 64 is outside the vocabulary of 64"),
        ("{\"input_ids\": []}", "no tokens"),
        ("{\"input_ids\": [-1]}", "list of token ids"),
        ("{\"ids\": [1]}", "expected {\"input_ids\""),
        ("{", "JSON object"),
    ] {
        let input = lines(folder.path(), "bad.jsonl", &["", bad]);
        let ended = program("score", &["--model", model, "--input", &input], "");
        let error = ended.error();
        assert!(error.contains("bad.jsonl:2: ") && error.contains(part), "{bad}: {error}");
    }
    let input = lines(folder.path(), "text.jsonl", &["{\"text\": \"a\"}"]);
    let error = program("score", &["--model", model, "--input", &input], "").error();
    assert!(error.contains("tokenizer"), "{error}");
}
