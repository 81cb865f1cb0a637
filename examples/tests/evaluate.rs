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
fn task_files_give_the_files_of_the_harness_and_a_cache_answers_the_second_time() {
    let assets = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
    let folder = tempfile::tempdir().unwrap();
    let (output, cache) = (folder.path().join("out"), folder.path().join("responses.jsonl"));
    let model = format!("{assets}/decoder");
    let files = ["security_choice", "security_text", "security_answers"];
    let files = files.map(|name| format!("{assets}/tasks/{name}.yaml"));
    let mut args = vec!["--model", &model, "--limit", "3", "--cache", cache.to_str().unwrap()];
    args.extend(["--output", output.to_str().unwrap()]);
    args.extend(files.iter().flat_map(|file| ["--task-file", file.as_str()]));
    let table = program("evaluate", &args, "").ok();
    for name in ["acc_norm", "bits_per_byte", "exact_match,first-two-words"] {
        assert!(table.contains(name), "{table}");
    }
    let text = std::fs::read_to_string(output.join("results.json")).unwrap();
    let results: Value = serde_json::from_str(&text).unwrap();
    assert!(results["results"]["security_choice"]["acc,none"].is_f64(), "{text}");
    assert_eq!(results["n-samples"]["security_text"]["effective"], 3);
    assert_eq!(results["config"]["limit"], 3);
    let samples = std::fs::read_to_string(output.join("samples_security_choice.jsonl")).unwrap();
    assert_eq!(samples.lines().count(), 3);
    let responses = std::fs::read_to_string(&cache).unwrap();

    let again = program("evaluate", &[&args[..], &["--json"]].concat(), "").ok();
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["results"], results["results"]);
    assert_eq!(std::fs::read_to_string(&cache).unwrap(), responses);
    // A cache that is damaged is said to be.
    std::fs::write(&cache, &responses[..responses.len() - 9]).unwrap();
    let ended = program("evaluate", &args, "");
    assert!(ended.stderr.contains("is damaged"), "{}", ended.stderr);
    assert_eq!(ended.ok(), table);
    let both = [&args[..], &["--task", "choice", "--data", "x.jsonl"]].concat();
    assert_eq!(program("evaluate", &both, "").code, Some(2));
    assert!(
        program("evaluate", &["--model", &model, "--task-file", "missing.yaml"], "")
            .error()
            .contains("missing.yaml")
    );
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
