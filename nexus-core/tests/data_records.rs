//! Record files: every shape, and every way in which a file can be wrong.

use std::io::Write;
use std::path::PathBuf;

use nexus_core::data::{Located, Record, read_jsonl, read_records, read_text};
use serde_json::json;

fn file(name: &str, content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::File::create(&path).unwrap().write_all(content.as_ref()).unwrap();
    (dir, path)
}

fn read(content: impl AsRef<[u8]>) -> Result<Vec<Located>, String> {
    let (_dir, path) = file("data.jsonl", content);
    read_jsonl(&path).map_err(|e| e.to_string())
}

fn one(value: serde_json::Value) -> Result<Record, String> {
    read(value.to_string()).map(|mut all| all.remove(0).record)
}

fn refused(content: impl AsRef<[u8]>, parts: &[&str]) {
    let error = read(content).unwrap_err();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

fn dialogue(record: Record) -> Vec<(String, String, bool)> {
    let Record::Chat { messages, .. } = record else { panic!("{record:?}") };
    let text = |m: &nexus_core::data::Message| m.content.as_str().unwrap_or("-").to_owned();
    messages.iter().map(|m| (m.role.clone(), text(m), m.is_trained())).collect()
}

fn turn(role: &str, text: &str, trained: bool) -> (String, String, bool) {
    (role.into(), text.into(), trained)
}

#[test]
fn text_and_completion() {
    let text = one(json!({"text": "a\nb", "label": 3})).unwrap();
    assert_eq!(text, Record::Text { text: "a\nb".into() });
    let completion = one(json!({"completion": "c", "prompt": "p", "id": 1})).unwrap();
    assert_eq!(completion, Record::Completion { prompt: "p".into(), completion: "c".into() });
}

#[test]
fn prompt_and_completion_as_messages_train_the_completion_only() {
    let record = one(json!({
        "prompt": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "old"}],
        "completion": [{"role": "assistant", "content": "new"}],
    }));
    assert_eq!(
        dialogue(record.unwrap()),
        [turn("user", "q", false), turn("assistant", "old", false), turn("assistant", "new", true)]
    );
}

#[test]
fn messages_keep_their_keys_in_order() {
    let line = r#"{"role":"assistant","content":null,"tool_calls":[{"b":1,"a":2}],"name":"x"}"#;
    let record = read(format!(r#"{{"messages":[{line}],"tools":"[{{\"n\":1}}]"}}"#)).unwrap();
    let Record::Chat { messages, tools } = &record[0].record else { panic!() };
    assert_eq!(serde_json::to_string(&messages[0]).unwrap(), line);
    assert_eq!(tools, &Some(json!([{"n": 1}])));
}

#[test]
fn alpaca_wording() {
    let with = one(json!({"instruction": "Add.", "input": "1 2", "output": "3"})).unwrap();
    let prompt = "Below is an instruction that describes a task, paired with an input that \
                  provides further context. Write a response that appropriately completes the \
                  request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n";
    assert_eq!(with, Record::Completion { prompt: prompt.into(), completion: "3".into() });
    let without = one(json!({"instruction": "Go.", "input": "", "output": "o"})).unwrap();
    let prompt = "Below is an instruction that describes a task. Write a response that \
                  appropriately completes the request.\n\n### Instruction:\nGo.\n\n### Response:\n";
    assert_eq!(without, Record::Completion { prompt: prompt.into(), completion: "o".into() });
    let system = one(json!({"instruction": "Go.", "output": "o", "system": "S"})).unwrap();
    let prompt = "S\n\n### Instruction:\nGo.\n\n### Response:\n";
    assert_eq!(system, Record::Completion { prompt: prompt.into(), completion: "o".into() });
    let history = json!({"instruction": "i", "output": "o", "history": [["a", "b"]]});
    assert!(one(history).unwrap_err().contains("history"));
}

#[test]
fn sharegpt() {
    let from = |from: &str, value: &str| json!({"from": from, "value": value});
    let record = one(json!({"conversations": [
        from("system", "s"), from("human", "h"), from("gpt", "g"), from("user", "u"),
        from("function_call", "{}"), from("observation", "o"), from("assistant", "a"),
    ]}));
    let expected = [
        turn("system", "s", false),
        turn("user", "h", false),
        turn("assistant", "g", true),
        turn("user", "u", false),
        turn("assistant", "{}", true),
        turn("tool", "o", false),
        turn("assistant", "a", true),
    ];
    assert_eq!(dialogue(record.unwrap()), expected);
    let unknown = one(json!({"conversations": [from("robot", "x")]})).unwrap_err();
    assert!(unknown.contains("robot") && unknown.contains("human"), "{unknown}");
}

#[test]
fn lines_are_counted_and_empty_ones_skipped() {
    let records = read("\u{feff}{\"text\":\"a\"}\r\n\n   \n{\"text\":\"b\"}").unwrap();
    assert_eq!(records.iter().map(|r| r.line).collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn unknown_and_ambiguous_shapes_are_named() {
    let good = "{\"text\":\"a\"}\n";
    refused(
        format!("{good}{{\"question\":\"q\",\"answer\":\"a\"}}"),
        &[":2:", "unknown", "\"question\"", "\"answer\"", "conversations", "completion"],
    );
    refused(r#"{"text":"a","messages":[]}"#, &["ambiguous", "\"text\"", "\"messages\""]);
    refused(r#"{"prompt":"a","chosen":"b","rejected":"c"}"#, &["unknown", "chosen"]);
    refused("{}", &["unknown"]);
}

#[test]
fn wrong_types_are_named() {
    refused(r#"{"text":5}"#, &["\"text\"", "string"]);
    refused(r#"{"text":null}"#, &["\"text\""]);
    refused(r#"{"prompt":"a","completion":[]}"#, &["\"completion\""]);
    refused(r#"{"messages":[]}"#, &["no messages"]);
    refused(r#"{"messages":[{"content":"x"}]}"#, &["\"messages\"", "role"]);
    refused(r#"{"messages":[{"role":"user"}],"tools":{}}"#, &["\"tools\""]);
}

#[test]
fn damaged_files() {
    refused("{\"text\":\"a\"}\n{\"text\":", &[":2:", "column 8"]);
    refused("5", &["JSON object"]);
    refused("", &["no record"]);
    refused("\n\n", &["no record"]);
    refused(b"{\"text\":\"a\"}\n{\"text\":\"\xff\"}", &[":2:", "UTF-8"]);
    let deep = format!("{{\"text\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    refused(deep, &["recursion"]);
    let mut long = b"{\"text\":\"".to_vec();
    long.resize(17 << 20, b'a');
    refused(long, &[":1:", "16 MiB"]);
}

#[test]
fn text_files_keep_their_paragraphs() {
    let (_dir, path) = file("a.txt", "\u{feff}One\r\n\n\nTwo \n");
    let all = read_records(&path).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].record, Record::Text { text: "One\r\n\n\nTwo \n".into() });
    let (_dir, path) = file("a.txt", " \n");
    assert!(read_text(&path).unwrap_err().to_string().contains("empty"));
    let (_dir, path) = file("a.txt", b"a\nb\nc\xff");
    assert!(read_text(&path).unwrap_err().to_string().contains(":3:"));
}

#[test]
fn the_extension_decides() {
    let (_dir, path) = file("a.JSON", "{\"text\":\"a\"}");
    assert_eq!(read_records(&path).unwrap().len(), 1);
    let (_dir, path) = file("a.xml", "<text>a</text>");
    assert!(read_records(&path).unwrap_err().to_string().contains(".jsonl"));
    let (_dir, path) = file("a.csv", "text\na");
    assert_eq!(read_records(&path).unwrap()[0].line, 2);
    assert!(read_records(&path.with_file_name("absent.jsonl")).is_err());
}
