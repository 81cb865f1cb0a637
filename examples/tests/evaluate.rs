//! `evaluate`: every task as a table and as JSON.

mod programs;

use programs::{lines, program, random_model};
use serde_json::Value;

#[test]
fn every_task_prints_a_table_or_one_json_object() {
    let folder = tempfile::tempdir().unwrap();
    random_model(folder.path());
    let model = folder.path().to_str().unwrap();
    let texts = ["{\"text\": \"the cat sat\"}", "{\"text\": \"a dog, a bird\"}"];
    let pairs = [
        "{\"prompt\": \"which animal sat?\", \"completion\": \" a cat\"}",
        "{\"prompt\": \"the mat.\", \"completion\": \" the cat sat on\"}",
    ];
    let questions = [
        "{\"question\": \"which animal sat?\", \"choices\": [\"a cat\", \"a dog\"], \"answer\": 0}",
        "{\"question\": \"the cat\", \"choices\": [\" sat\", \" mat\"], \"answer\": 1}",
    ];
    let documents = ["perplexity", "loss", "word_perplexity", "byte_perplexity", "bits_per_byte"];
    for (task, data, measures) in [
        ("perplexity", lines(folder.path(), "texts.jsonl", &texts), &documents[..]),
        ("perplexity", lines(folder.path(), "pairs.jsonl", &pairs), &documents[..2]),
        ("choice", lines(folder.path(), "q.jsonl", &questions), &["accuracy", "accuracy_norm"]),
        ("generate", lines(folder.path(), "pairs.jsonl", &pairs), &["exact_match"]),
    ] {
        let args = ["--model", model, "--task", task, "--data", &data, "--max-new-tokens", "4"];
        let table = program("evaluate", &args, "").ok();
        let widths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), measures.len() + 2, "{table}");
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");

        let json = program("evaluate", &[&args[..], &["--json"]].concat(), "").ok();
        let report: Value = serde_json::from_str(&json).unwrap();
        let found = report["measures"].as_array().unwrap();
        let names: Vec<&str> = found.iter().map(|m| m["name"].as_str().unwrap()).collect();
        assert_eq!(names, measures);
        assert!(found.iter().all(|m| m["value"].is_f64() && m["stderr"].is_f64()), "{json}");
        assert_eq!(report["examples"], 2);
    }
}

#[test]
fn details_hold_a_line_per_question() {
    let folder = tempfile::tempdir().unwrap();
    random_model(folder.path());
    let model = folder.path().to_str().unwrap();
    let question = "{\"question\": \"the cat\", \"choices\": [\"sat\", \"on\"], \"answer\": 1}";
    let data = lines(folder.path(), "questions.jsonl", &[question, question]);
    let details = folder.path().join("details.jsonl");
    let args = ["--model", model, "--data", &data, "--details", details.to_str().unwrap()];
    program("evaluate", &[&args[..], &["--task", "choice"]].concat(), "").ok();
    let text = std::fs::read_to_string(&details).unwrap();
    let outcomes: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(outcomes.len(), 2);
    assert_eq!(outcomes[1]["index"], 1);
    assert_eq!(outcomes[1]["log_likelihoods"].as_array().unwrap().len(), 2);
    let ended = program("evaluate", &[&args[..], &["--task", "perplexity"]].concat(), "");
    assert!(ended.error().contains("--details"));
}

#[test]
fn what_is_wrong_is_said_with_exit_code_1_and_wrong_usage_with_2() {
    let folder = tempfile::tempdir().unwrap();
    random_model(folder.path());
    let model = folder.path().to_str().unwrap();
    let data = lines(folder.path(), "q.jsonl", &["{\"question\": \"a\", \"choices\": [\"b\"]}"]);
    let choice = |model, data| {
        program("evaluate", &["--model", model, "--task", "choice", "--data", data], "")
    };
    assert!(choice(model, &data).error().contains("q.jsonl:1: "));
    assert!(choice(model, "missing.jsonl").error().contains("missing.jsonl"));
    assert!(choice("missing", &data).error().contains("neither a folder"));
    let args = ["--model", model, "--task", "choice", "--data", &data, "--device", "abacus"];
    assert!(program("evaluate", &args, "").error().contains("flex"));
    for wrong in [&["--task", "guess"][..], &["--model"], &[]] {
        assert_eq!(program("evaluate", wrong, "").code, Some(2), "{wrong:?}");
    }
    for name in ["evaluate", "score", "generate"] {
        let help = program(name, &["--help"], "").ok();
        assert!(help.lines().next().unwrap().ends_with('.'), "{help}");
        assert!(help.contains("Example:\n"), "{help}");
        assert!(help.contains(&format!("--example {name} -- --model")), "{help}");
        assert!(help.contains("[compiled in: flex"), "{help}");
    }
}
