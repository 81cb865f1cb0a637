//! `finetune` as a user runs it: killed and resumed, wrong input, what it writes.

mod programs;

use programs::{binary, lines, program, random_model};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// 24 records of unequal length.
fn records(folder: &Path) -> String {
    let words = ["cat", "dog", "bird", "mat", "the", "a", "sat", "on"];
    let record = |i: usize| {
        let text = |n: usize, m: usize| {
            (0..n).map(|j| words[(i * m + j * 3 + i / 5) % 8]).collect::<Vec<_>>().join(" ")
        };
        format!(
            "{{\"prompt\": \"{}?\", \"completion\": \" {}\"}}",
            text(2 + i % 4, 5),
            text(1 + i % 5, 7)
        )
    };
    let records: Vec<String> = (0..24).map(record).collect();
    lines(folder, "train.jsonl", &records.iter().map(String::as_str).collect::<Vec<_>>())
}

fn arguments(model: &Path, data: &str, out: &Path, method: &str) -> Vec<String> {
    let log = out.with_extension("jsonl");
    let settings = "--max-steps 20 --batch-size 2 --grad-accumulation 2 --save-steps 11 \
                    --learning-rate 1e-2 --lora-dropout 0.1 --max-length 32";
    let mut args: Vec<String> = settings.split_whitespace().map(str::to_string).collect();
    let paths = [
        ("--model", model.to_str().unwrap()),
        ("--train", data),
        ("--valid", data),
        ("--out", out.to_str().unwrap()),
        ("--log", log.to_str().unwrap()),
        ("--method", method),
    ];
    args.extend(paths.iter().flat_map(|(flag, value)| [flag.to_string(), value.to_string()]));
    args
}

fn strings(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// The log without its wall times.
fn log(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.with_extension("jsonl")).unwrap();
    text.lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().remove("seconds");
            line
        })
        .collect()
}

fn weights(out: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    ["adapter_model.safetensors", "model.safetensors"]
        .into_iter()
        .filter_map(|name| Some((name, fs::read(out.join(name)).ok()?)))
        .collect()
}

#[test]
fn killed_after_step_11_and_resumed_it_ends_bit_for_bit_as_if_it_had_not_been() {
    for method in ["lora", "full"] {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        fs::create_dir(&model).unwrap();
        random_model(&model);
        let data = records(folder.path());
        let whole = folder.path().join("whole");
        program("finetune", &strings(&arguments(&model, &data, &whole, method)), "").ok();

        let parts = folder.path().join("parts");
        let args = arguments(&model, &data, &parts, method);
        let mut child = Command::new(binary("finetune"))
            .args(&args)
            .args(["--threads", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Kill it as soon as the checkpoint of step 11 is there: in the middle of the second epoch of six steps.
        let started = Instant::now();
        while !parts.join("checkpoint-11").is_dir() {
            assert!(started.elapsed() < Duration::from_secs(120), "{method}: no checkpoint");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();

        // Without --resume the earlier run is not written over.
        let ended = program("finetune", &strings(&args), "");
        assert!(ended.error().contains("--resume"));
        program("finetune", &[&strings(&args)[..], &["--resume"]].concat(), "").ok();
        assert_eq!(log(&whole), log(&parts), "{method}");
        let (whole, parts) = (weights(&whole), weights(&parts));
        assert_eq!(whole.len(), 1);
        assert!(whole == parts, "{method}: the weights differ");
    }
}

#[test]
fn it_writes_an_adapter_a_report_and_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    random_model(&model);
    let data = records(folder.path());
    let out = folder.path().join("out");
    let args = arguments(&model, &data, &out, "lora");
    let json = program("finetune", &[&strings(&args)[..], &["--json"]].concat(), "").ok();
    let report: Value = serde_json::from_str(&json).unwrap();
    let measure = |side: &str| report[side][0]["measures"][0]["value"].as_f64().unwrap();
    assert!(measure("after") < measure("before"), "{json}");
    for name in ["adapter_config.json", "adapter_model.safetensors", "report.json", "report.md"] {
        assert!(out.join(name).is_file(), "{name}");
    }
    let steps = log(&out);
    assert_eq!(steps.len(), 20);
    for key in ["step", "loss", "grad_norm", "learning_rate", "tokens"] {
        assert!(steps.iter().all(|step| step[key].is_number()), "{key}");
    }
    // The adapter works where it was written.
    let (model, adapter) = (model.to_str().unwrap(), out.to_str().unwrap());
    let args = ["--model", model, "--adapter", adapter, "--task", "perplexity", "--data", &data];
    let json = program("evaluate", &[&args[..], &["--json"]].concat(), "").ok();
    let evaluated: Value = serde_json::from_str(&json).unwrap();
    let perplexity = evaluated["measures"][0]["value"].as_f64().unwrap();
    assert!((perplexity / measure("after") - 1.0).abs() < 1e-5, "{perplexity}");
}

#[test]
fn conversations_need_a_template_and_train_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    random_model(&model);
    let turn =
        |role: &str, text: &str| format!("{{\"role\": \"{role}\", \"content\": \"{text}\"}}");
    let chat =
        format!("{{\"messages\": [{}, {}]}}", turn("user", "a cat?"), turn("assistant", "sat"));
    let data = lines(folder.path(), "chat.jsonl", &[&chat, &chat]);
    let out = folder.path().join("out");
    let (model, out) = (model.to_str().unwrap(), out.to_str().unwrap());
    let args = ["--model", model, "--train", &data, "--out", out, "--max-steps", "2"];
    assert!(program("finetune", &args, "").error().contains("chat_template.jinja"));
    program("finetune", &[&args[..], &["--template", "chatml"]].concat(), "").ok();
    assert!(Path::new(out).join("chat_template.jinja").is_file());
}

#[test]
fn wrong_input_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    random_model(&model);
    let data = records(folder.path());
    let out = folder.path().join("out");
    let with = |extra: &[&str], data: &str| {
        let args = arguments(&model, data, &out, "lora");
        let ended = program("finetune", &[&strings(&args)[..], extra].concat(), "");
        let error = ended.error();
        assert!(!out.exists(), "nothing is written: {error}");
        error
    };
    let config = lines(folder.path(), "run.toml", &["[train]", "learning_rat = 1"]);
    assert!(with(&["--config", &config], &data).contains("learning_rat"));
    assert!(with(&["--resume"], &data).contains("no checkpoint"));
    assert!(with(&["--lora-targets", "query"], &data).contains("q_proj"));
    assert!(with(&["--lora-rank", "5000"], &data).contains("5000"));
    assert!(with(&["--device", "cuda:0"], &data).contains("--features cuda"));
    let empty = lines(folder.path(), "empty.jsonl", &[]);
    assert!(with(&[], &empty).contains("empty.jsonl"));
    let broken = lines(folder.path(), "broken.jsonl", &["{\"text\": \"a\"}", "{\"text\": "]);
    assert!(with(&[], &broken).contains("broken.jsonl:2"));
    // The prompt alone fills --max-length, so nothing of the completion is left to train.
    let long = format!("{{\"prompt\": \"{}\", \"completion\": \" a\"}}", "cat ".repeat(60));
    let error = with(&[], &lines(folder.path(), "none.jsonl", &[&long]));
    assert!(error.contains("none.jsonl"), "{error}");
}
