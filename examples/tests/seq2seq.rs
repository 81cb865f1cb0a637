//! `seq2seq`: trains a small T5 in full and with an adapter, and lets it answer.

mod programs;

use programs::{copy, golden, lines, program};
use serde_json::json;
use std::fs;
use std::path::Path;

const PAIRS: [(&str, &str); 4] = [
    ("eins zwei", "one two"),
    ("zwei drei", "two three"),
    ("drei eins", "three one"),
    ("zwei zwei", "two two"),
];

/// The golden T5 of 40 tokens, with a tokenizer of words.
fn model(folder: &Path) -> String {
    let model = folder.join("model");
    fs::create_dir(&model).unwrap();
    copy(&golden("t5_relu/model"), &model);
    let words = ["<pad>", "</s>", "<unk>", "eins", "zwei", "drei", "one", "two", "three", "say"];
    let vocab: serde_json::Map<_, _> =
        words.iter().enumerate().map(|(id, word)| (word.to_string(), json!(id))).collect();
    let special = |id: usize| {
        json!({"id": id, "content": words[id], "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0), special(1), special(2)],
        "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
        "decoder": null, "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    });
    fs::write(model.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let config = json!({"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"});
    fs::write(model.join("tokenizer_config.json"), config.to_string()).unwrap();
    model.to_str().unwrap().to_string()
}

fn csv(folder: &Path) -> String {
    let rows: Vec<String> = PAIRS.iter().map(|(de, en)| format!("{en},{de}")).collect();
    let rows: Vec<&str> = std::iter::once("en,de").chain(rows.iter().map(String::as_str)).collect();
    lines(folder, "pairs.csv", &rows)
}

#[test]
fn it_trains_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (model(folder.path()), csv(folder.path()));
    let texts = PAIRS.map(|(source, _)| format!("say {source}"));
    let texts: Vec<&str> = texts.iter().flat_map(|text| ["--text", text]).collect();
    let answers = |args: &[&str]| {
        let search = ["--max-new-tokens", "6", "--num-beams", "2"];
        program("seq2seq", &[&["answer"], args, &texts, &search].concat(), "").ok()
    };
    let expected: String = PAIRS.iter().map(|(_, target)| format!("{target}\n")).collect();
    assert_ne!(answers(&["--model", &model]), expected, "untrained");

    // Under an adapter the head, tied to the embedding, stays as it is and bounds the logits: the loss ends at 0.9.
    for (method, rate, share) in [("full", "1e-2", 0.1), ("lora", "5e-3", 0.3)] {
        let out = folder.path().join(method);
        let (log, out) = (out.with_extension("jsonl"), out.to_str().unwrap());
        let columns = "source=de,target=en";
        let files = ["--model", &model, "--train", &data, "--columns", columns, "--out", out];
        let settings = "--prefix say\u{20}|--max-steps|150|--batch-size|4|--lora-rank|8";
        let settings: Vec<&str> = settings.split('|').skip(1).collect();
        let log_text = log.to_str().unwrap();
        let more =
            ["--prefix", "say ", "--method", method, "--learning-rate", rate, "--log", log_text];
        let args = [&["train"], &files[..], &more, &settings].concat();
        let said = program("seq2seq", &args, "").ok();
        assert!(said.starts_with("final loss 0.") && said.contains(out), "{said}");

        let steps = fs::read_to_string(&log).unwrap();
        let loss = |line: &str| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64().unwrap()
        };
        let (first, last) = (steps.lines().next().unwrap(), steps.lines().last().unwrap());
        assert_eq!(steps.lines().count(), 150, "{method}");
        assert!(loss(last) < share * loss(first), "{method}: {first} -> {last}");

        let trained = match method {
            "full" => answers(&["--model", out]),
            _ => answers(&["--model", &model, "--adapter", out]),
        };
        assert_eq!(trained, expected, "{method}");
    }
}

#[test]
fn wrong_input_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (model(folder.path()), csv(folder.path()));
    let out = folder.path().join("out");
    let train = |data: &str, extra: &[&str]| {
        let files = ["train", "--model", &model, "--train", data, "--out", out.to_str().unwrap()];
        let error = program("seq2seq", &[&files[..], extra].concat(), "").error();
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!out.exists(), "nothing is written: {error}");
        error
    };
    let error = train(&data, &[]);
    assert!(error.contains("pairs.csv:1") && error.contains("source"), "{error}");
    let error = train(&data, &["--columns", "source=de,target=fr"]);
    assert!(error.contains("pairs.csv:1") && error.contains("fr"), "{error}");
    let bad = lines(folder.path(), "bad.jsonl", &["{\"source\": \"a\", \"target\": 3}"]);
    assert!(train(&bad, &[]).contains("bad.jsonl:1"));
    assert!(train(&data, &["--method", "head"]).contains("pairs.csv:1"));

    // Another kind of model.
    let decoder = tempfile::tempdir().unwrap();
    programs::random_model(decoder.path());
    let args = ["answer", "--model", decoder.path().to_str().unwrap(), "--text", "a"];
    assert!(program("seq2seq", &args, "").error().contains("model_type"));
    let args = ["answer", "--model", &model, "--text", "eins", "--num-beams", "0"];
    assert!(program("seq2seq", &args, "").error().contains("num_beams"));
}
