//! `evaluate`: every task as a table and as JSON.

mod programs;

use nexus_eval::quality::Verdict;
use nexus_eval::report::Report;
use programs::{binary, lines, program, random_bert, random_model};
use serde_json::Value;
use std::process::Command;

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
fn a_report_has_intervals_calibration_speed_memory_and_energy() {
    let folder = tempfile::tempdir().unwrap();
    random_model(folder.path());
    let model = folder.path().to_str().unwrap();
    let question = |answer| {
        format!(
            "{{\"question\": \"the cat\", \"choices\": [\"sat\", \"on\"], \"answer\": {answer}}}"
        )
    };
    let questions: Vec<String> = (0..24).map(|i| question(i % 2)).collect();
    let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
    let data = lines(folder.path(), "questions.jsonl", &questions);
    let out = folder.path().join("report");
    let args = ["--model", model, "--data", &data, "--task", "choice", "--tdp-watts", "10"];
    let more = ["--report", out.to_str().unwrap(), "--objective-ms", "60000"];
    program("evaluate", &[&args[..], &more, &["--require", "accuracy=0.1"]].concat(), "").ok();
    let report = Report::read(&out.join("report.json")).unwrap();
    let found = &report.models[0];
    assert_eq!(found.intervals[0].method, "Wilson");
    assert_eq!(found.checks[0].verdict, Verdict::Pass);
    assert!(found.reliability.is_some() && found.grade.is_some());
    let speed = found.performance.as_ref().unwrap();
    assert_eq!(speed.requests, 24);
    assert!(speed.latency_at(0.5) <= speed.latency_at(0.95) && speed.latency_at(0.5).is_some());
    assert!(speed.latency_at(0.99).is_none(), "24 requests are too few for P99");
    assert!(speed.peak_memory_bytes.unwrap() > speed.model_bytes.unwrap());
    assert!(speed.joules_per_request.is_some() && speed.energy_source.is_some());
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("Latency"), "{page}");
    // What is not kept, and what is not there.
    let not_kept = [&args[..6], &["--require", "accuracy=0.99"]].concat();
    let ended = program("evaluate", &not_kept, "");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("fail: accuracy (choice)"), "{}", ended.stderr);
    let ended = program("evaluate", &[&args[..6], &["--require", "f1=0.5"]].concat(), "");
    assert!(ended.stderr.contains("accuracy, accuracy_norm"), "{}", ended.stderr);
    assert_eq!(program("evaluate", &args, "").code, Some(2), "--tdp-watts is for a report");
}

#[test]
fn a_classifier_is_measured_with_its_confusions() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    std::fs::create_dir(&base).unwrap();
    random_bert(&base);
    let records = [
        "{\"text\": \"the cat sat\", \"label\": \"felis\"}",
        "{\"text\": \"a dog sat\", \"label\": \"canis\"}",
        "{\"text\": \"the cat on a mat\", \"label\": \"felis\"}",
    ];
    let data = lines(folder.path(), "train.jsonl", &records);
    let (base, trained) = (base.to_str().unwrap(), folder.path().join("trained"));
    let model = trained.to_str().unwrap();
    let args = ["--model", base, "--train", &data, "--out", model, "--method", "full"];
    let steps = ["--max-steps", "30", "--batch-size", "3", "--learning-rate", "1e-2"];
    program("classify", &[&args[..], &steps].concat(), "").ok();
    let (out, details) = (folder.path().join("report"), folder.path().join("details.jsonl"));
    let args = ["--model", model, "--task", "classify", "--data", &data, "--json"];
    let files = ["--report", out.to_str().unwrap(), "--details", details.to_str().unwrap()];
    let json = program("evaluate", &[&args[..], &files].concat(), "").ok();
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["measures"][0]["value"], 1.0, "{json}");
    let report = Report::read(&out.join("report.json")).unwrap();
    let confusion = report.models[0].confusion.as_ref().unwrap();
    assert_eq!(confusion.labels, ["canis", "felis"]);
    assert_eq!(confusion.counts, [[1, 0], [0, 2]]);
    assert_eq!(report.models[0].intervals[1].measure, "macro_f1");
    assert_eq!(std::fs::read_to_string(details).unwrap().lines().count(), 3);
    // A bare encoder has no classes.
    let bare = ["--model", base, "--task", "classify", "--data", &data];
    assert!(program("evaluate", &bare, "").error().contains("no classification head"));
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

    // The samples of a task are compared as they are.
    let samples = output.join("samples_security_choice.jsonl");
    let samples = samples.to_str().unwrap();
    let (one, other) = (format!("a={samples}"), format!("b={samples}"));
    let compared = folder.path().join("compared");
    let args_compare = [&one, &other, "--out", compared.to_str().unwrap(), "--resamples", "100"];
    let ended = Command::new(binary("compare")).args(args_compare).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let report = Report::read(&compared.join("report.json")).unwrap();
    let names: Vec<&str> = report.models[1].measures().map(|(_, m)| m.name.as_str()).collect();
    assert_eq!(names, ["acc", "acc_norm", "acc_bytes"]);
    assert_eq!(report.models[0].intervals.len(), 3);
    assert!(report.comparisons[0].differences.iter().all(|d| d.difference == 0.0));

    // A group has the means of its tasks.
    let group = folder.path().join("security.yaml");
    let copied = folder.path().join("security_choice.yaml");
    let task = std::fs::read_to_string(&files[0]).unwrap();
    std::fs::write(&copied, task.replace("../", &format!("{assets}/"))).unwrap();
    std::fs::write(
        &group,
        "group: security\ntask: [security_choice]\naggregate_metric_list:\n  - metric: acc\n",
    )
    .unwrap();
    let args_group = ["--model", &model, "--limit", "3", "--json", "--task-file"];
    let args_group = [&args_group[..], &[group.to_str().unwrap()]].concat();
    let json: Value = serde_json::from_str(&program("evaluate", &args_group, "").ok()).unwrap();
    assert_eq!(
        json["groups"]["security"]["acc,none"],
        results["results"]["security_choice"]["acc,none"]
    );

    // A report of tasks times what was asked.
    let reported = folder.path().join("reported");
    let task = ["--model", &model, "--limit", "3", "--task-file", &files[0]];
    let out = ["--report", reported.to_str().unwrap(), "--timed", "5"];
    program("evaluate", &[&task[..], &out].concat(), "").ok();
    let report = Report::read(&reported.join("report.json")).unwrap();
    assert_eq!(report.models[0].performance.as_ref().unwrap().requests, 5);
    assert_eq!(report.models[0].intervals[0].measure, "acc");

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
