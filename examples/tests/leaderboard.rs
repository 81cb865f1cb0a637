//! `leaderboard`: reports of `evaluate` in, tables and ratings out.

mod programs;

use programs::{Ended, lines, plain_program, program, random_model_of};
use serde_json::Value;

fn leaderboard(file: &str, args: &[&str]) -> Ended {
    plain_program("leaderboard", &[&["--file", file], args].concat(), "")
}

#[test]
fn reports_become_a_table_and_outcomes_become_ratings() {
    let folder = tempfile::tempdir().unwrap();
    let questions = [
        r#"{"question": "which animal sat?", "choices": ["a cat", "a dog"], "answer": 0}"#,
        r#"{"question": "the cat", "choices": [" sat", " mat"], "answer": 1}"#,
    ];
    let data = lines(folder.path(), "questions.jsonl", &questions);
    let board = folder.path().join("board.sqlite");
    let board = board.to_str().unwrap();
    let mut values = Vec::new();
    for (name, width) in [("small", 16), ("large", 32)] {
        let model = folder.path().join(name);
        std::fs::create_dir(&model).unwrap();
        random_model_of(&model, width);
        let flags = ["--model", model.to_str().unwrap(), "--task", "choice", "--data", &data];
        let json = program("evaluate", &[&flags[..], &["--json"]].concat(), "").ok();
        let report: Value = serde_json::from_str(&json).unwrap();
        values.push((name, report["measures"][0]["value"].as_f64().unwrap()));
        let file = lines(folder.path(), &format!("{name}.json"), &[&json]);
        let add = ["add", "--model", name, &file];
        assert_eq!(leaderboard(board, &add).ok(), "added 2 of 2 results\n");
    }
    let outcomes = ["match", "--task", "choice", "--source", "votes", "large", "small"];
    let counts = ["--wins", "7", "--losses", "2", "--ties", "1"];
    assert_eq!(leaderboard(board, &[&outcomes[..], &counts].concat()).ok(), "");

    let text = leaderboard(board, &["show"]).ok();
    assert!(text.contains("choice, accuracy") && text.contains("95 % interval"), "{text}");
    assert!(text.contains("7/2/1") && text.contains("2/7/1"), "{text}");
    let json = leaderboard(board, &["show", "--task", "choice", "--json"]).ok();
    let shown: Value = serde_json::from_str(&json).unwrap();
    let tables = shown["tables"].as_array().unwrap();
    let table = tables.iter().find(|table| table["measure"] == "accuracy").unwrap();
    let rows = table["rows"].as_array().unwrap();
    let found = |name: &str| rows.iter().find(|row| row["entry"]["model"] == name).unwrap();
    for (name, value) in values {
        assert_eq!(found(name)["entry"]["value"], value);
    }
    let ratings = shown["ratings"]["rows"].as_array().unwrap();
    assert_eq!(ratings[0]["model"], "large");
    assert!(ratings[0]["rating"].as_f64() > ratings[1]["rating"].as_f64());
}

#[test]
fn wrong_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let board = folder.path().join("board.sqlite");
    let board = board.to_str().unwrap();
    let error = leaderboard(board, &["show"]).error();
    assert!(error.contains("board.sqlite"), "{error}");
    let report = lines(folder.path(), "report.json", &["{}"]);
    let error = leaderboard(board, &["add", "--model", "m", &report]).error();
    assert!(error.contains("report.json") && error.contains("evaluate --json"), "{error}");
}
