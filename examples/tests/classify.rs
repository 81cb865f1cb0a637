//! `classify` as a user runs it: what each method writes, and wrong input.

mod programs;

use programs::{WORDS, lines, program, random_bert};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A model folder, and 24 texts of which one word says the label.
struct Files {
    folder: tempfile::TempDir,
    model: PathBuf,
    train: String,
    test: String,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        fs::create_dir(&model).unwrap();
        random_bert(&model);
        let record = |i: usize| {
            let others: Vec<&str> =
                (0..1 + i % 4).map(|j| WORDS[4 + (i / 3 + 3 * j) % 4]).collect();
            (format!("{} {}", WORDS[i % 3], others.join(" ")), ["felis", "canis", "aves"][i % 3])
        };
        let train: Vec<String> = (0..24)
            .map(record)
            .map(|(text, label)| format!("{{\"text\": \"{text}\", \"label\": \"{label}\"}}"))
            .collect();
        let train = lines(
            folder.path(),
            "train.jsonl",
            &train.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        // Quotes around a field and inside it; texts that training does not have.
        let test = [
            "text,label",
            "cat mat a sat,felis",
            "\"dog mat sat\",canis",
            "bird the on,aves",
            "cat sat the on,felis",
        ];
        let test = lines(folder.path(), "test.csv", &test);
        Self { folder, model, train, test }
    }

    fn out(&self, method: &str) -> PathBuf {
        self.folder.path().join(method)
    }

    fn arguments<'a>(&'a self, out: &'a Path, method: &'a str, test: &'a str) -> Vec<&'a str> {
        // The head alone learns from states that do not move, so it takes longer.
        let settings = match method {
            "head" => "--max-steps 300 --batch-size 24 --learning-rate 5e-2",
            _ => "--max-steps 40 --batch-size 8 --learning-rate 1e-2 --lora-rank 4",
        };
        let (model, out) = (self.model.to_str().unwrap(), out.to_str().unwrap());
        let paths = ["--model", model, "--train", &self.train, "--test", test, "--out", out];
        settings.split(' ').chain(paths).chain(["--method", method]).collect()
    }
}

fn accuracy(report: &Value, side: &str) -> f64 {
    let measures = report[side][0]["measures"].as_array().unwrap();
    let accuracy = measures.iter().find(|measure| measure["name"] == "accuracy").unwrap();
    accuracy["value"].as_f64().unwrap()
}

#[test]
fn every_method_learns_and_writes_what_it_trained() {
    let files = Files::new();
    for method in ["full", "lora", "head"] {
        let out = files.out(method);
        // States of a random encoder say little of texts that were not trained.
        let test = if method == "head" { &files.train } else { &files.test };
        let args = [&files.arguments(&out, method, test)[..], &["--json"]].concat();
        let json = program("classify", &args, "").ok();
        let report: Value = serde_json::from_str(&json).unwrap();
        let stored = fs::read_to_string(out.join("report.json")).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), report, "{method}");
        let (before, after) = (accuracy(&report, "before"), accuracy(&report, "after"));
        // The first word tells the class, which every method finds out; chance is a third.
        assert!(after > before && after == 1.0, "{method}: {before} -> {after}");
        assert_eq!(report["after"][0]["measures"][0]["n"], if method == "head" { 24 } else { 4 });
        assert!(
            fs::read_to_string(out.join("report.md")).unwrap().contains("accuracy"),
            "{method}"
        );

        let is_there = |name: &str| out.join(name).is_file();
        assert!(is_there("tokenizer.json"), "{method}");
        assert_eq!(is_there("adapter_model.safetensors"), method == "lora");
        assert_eq!(is_there("model.safetensors"), method != "lora");
        if method == "lora" {
            let config = fs::read_to_string(out.join("adapter_config.json")).unwrap();
            assert!(config.contains("SEQ_CLS") && config.contains("\"classifier\""), "{config}");
            continue;
        }
        let config = fs::read_to_string(out.join("config.json")).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["architectures"][0], "BertForSequenceClassification");
        // The classes have the names of the labels, in their order.
        let names = ["aves", "canis", "felis"];
        let classes = config["id2label"].as_object().unwrap();
        assert!(classes.values().map(|name| name.as_str().unwrap()).eq(names), "{config}");

        // What was written starts the next run where this one ended.
        let (next, model) = (out.join("next"), out.to_str().unwrap());
        let mut args = files.arguments(&next, method, test);
        let at = args.iter().position(|&arg| arg == "--model").unwrap();
        args[at + 1] = model;
        let json = program("classify", &[&args[..], &["--json"]].concat(), "").ok();
        assert_eq!(accuracy(&serde_json::from_str(&json).unwrap(), "before"), after, "{method}");
    }
    // The head alone: every other parameter is as it was.
    let weights = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    let base = safetensor(&weights(&files.model), "encoder.layer.1.output.dense.weight");
    let name = "bert.encoder.layer.1.output.dense.weight";
    assert_eq!(safetensor(&weights(&files.out("head")), name), base);
    assert_ne!(safetensor(&weights(&files.out("full")), name), base);
}

/// The bytes of a tensor.
fn safetensor(file: &[u8], name: &str) -> Vec<u8> {
    let start = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..start]).unwrap();
    let offset = |i: usize| start + header[name]["data_offsets"][i].as_u64().unwrap() as usize;
    file[offset(0)..offset(1)].to_vec()
}

#[test]
fn pairs_and_columns_of_other_names() {
    let files = Files::new();
    let rows =
        ["s1,s2,gold", "cat,the cat,yes", "cat,a dog,no", "dog,dog sat,yes", "bird,a cat,no"];
    let data = lines(files.folder.path(), "pairs.csv", &rows);
    let out = files.out("pairs");
    let (model, out) = (files.model.to_str().unwrap(), out.to_str().unwrap());
    let args = ["--model", model, "--train", &data, "--out", out, "--max-steps", "2"];
    let columns = ["--columns", "text_a=s1,text_b=s2,label=gold"];
    program("classify", &[&args[..], &columns].concat(), "").ok();
    let error = program("classify", &args, "").error();
    assert!(error.contains("pairs.csv:1") && error.contains("text_a"), "{error}");
}

#[test]
fn wrong_input_is_one_clear_error() {
    let files = Files::new();
    let out = files.out("out");
    let file = |name: &str, rows: &[&str]| lines(files.folder.path(), name, rows);
    let with = |test: &str, extra: &[&str]| {
        let args = [&files.arguments(&out, "full", test)[..], extra].concat();
        let error = program("classify", &args, "").error();
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!out.exists(), "nothing is written: {error}");
        error
    };
    let has = |error: &str, words: &[&str]| {
        for word in words {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    };
    let unknown = file("unknown.csv", &["text,label", "a cat,felis", "a mat,lupus"]);
    has(&with(&unknown, &[]), &["unknown.csv:3", "lupus", "felis"]);
    let missing = file("missing.csv", &["text,kind", "a cat,felis"]);
    has(&with(&missing, &[]), &["missing.csv:1", "label", "kind"]);
    let short = file("short.csv", &["text,label", "a cat,felis", "a cat"]);
    has(&with(&short, &[]), &["short.csv:3"]);
    let broken = file("broken.jsonl", &["{\"text\": \"a\", \"label\": \"aves\"}", "{\"text\": "]);
    has(&with(&broken, &[]), &["broken.jsonl:2"]);
    let null = file("null.jsonl", &["{\"text\": \"a\", \"label\": null}"]);
    has(&with(&null, &[]), &["null.jsonl:1", "label"]);
    has(&with(&file("empty.jsonl", &[]), &[]), &["empty.jsonl"]);
    has(&with("absent.csv", &[]), &["absent.csv"]);
    has(&with(&files.test, &["--columns", "label=tag"]), &["train.jsonl:1", "tag"]);
    has(&with(&files.test, &["--columns", "label"]), &["--columns", "ROLE=COLUMN"]);
    // More tokens than the model has positions for.
    let row = format!("{} ,felis", "cat ".repeat(30));
    let long = file("long.csv", &["text,label", "a cat,felis", &row]);
    let args = [&files.arguments(&out, "full", &long)[..], &["--max-length", "24"]].concat();
    let ended = program("classify", &args, "");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    has(&ended.stderr, &["error: sequence length = 24", "20"]);
    assert!(!ended.stderr.contains("training") && !out.exists(), "{}", ended.stderr);
    has(&with(&files.test, &["--problem", "regression"]), &["train.jsonl:1"]);
}
