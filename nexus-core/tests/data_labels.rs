//! Labels of data files, their classes, and the classes of a `config.json`.

use std::path::PathBuf;

use nexus_core::data::{Columns, Label, LabelMap, LabeledText, Problem, TaggedWords, Target};
use serde_json::{Value, json};

fn file(name: &str, content: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    (dir, path)
}

fn from_csv(content: &str) -> nexus_core::Result<LabelMap> {
    let (_dir, path) = file("a.csv", content);
    LabelMap::read::<LabeledText>(&path, &Columns::new())
}

fn label(value: Value) -> Label {
    Label::try_from(value).unwrap()
}

fn map(names: &[&str]) -> LabelMap {
    LabelMap::new(names.iter().copied()).unwrap()
}

fn check<T: std::fmt::Debug, E: ToString>(result: Result<T, E>, parts: &[&str]) {
    let error = result.unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

#[test]
fn classes_of_a_file() {
    let names = from_csv("text,label\na,pos\nb,neg\nc,pos\n").unwrap();
    assert_eq!(names.names(), ["neg", "pos"]);
    assert_eq!((names.id("pos"), names.name(0), names.name(2)), (Some(1), Some("neg"), None));
    let numbers = from_csv("text,label\na,10\nb,-1\nc,9\n").unwrap();
    assert_eq!(numbers.names(), ["-1", "9", "10"]);
    // Two spellings of a number are two names.
    assert_eq!(from_csv("text,label\na,1\nb,01\n").unwrap().names(), ["01", "1"]);
    let lists = from_csv("text,label\na,\"[\"\"x\"\", \"\"z\"\"]\"\nb,[]\nc,\"[\"\"y\"\"]\"\n");
    assert_eq!(lists.unwrap().names(), ["x", "y", "z"]);
    let (_dir, path) = file("a.jsonl", r#"{"tokens":["a","b"],"tags":["O","B-X"]}"#);
    let tags = LabelMap::read::<TaggedWords>(&path, &Columns::new()).unwrap();
    assert_eq!(tags.names(), ["B-X", "O"]);

    let (_dir, path) =
        file("a.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":0.5}");
    let read = LabelMap::read::<LabeledText>(&path, &Columns::new());
    check(read, &["a.jsonl:2:", "0.5", "regression"]);
    let many: String = (0..70_000).map(|i| format!("a,{i}\n")).collect();
    check(from_csv(&format!("text,label\n{many}")), &["65536", "label's column"]);
}

#[test]
fn single_labels() {
    let names = map(&["neg", "pos"]);
    let class = |map: &LabelMap, value| map.target(&label(value), Problem::SingleLabel);
    assert_eq!(class(&names, json!("pos")), Ok(Target::Class(1)));
    // Without integer names, an integer is an id, in a CSV file as well.
    assert_eq!(class(&names, json!(1)), Ok(Target::Class(1)));
    assert_eq!(class(&names, json!("1")), Ok(Target::Class(1)));
    check(class(&names, json!("good")), &["\"good\"", "\"neg\", \"pos\""]);
    check(class(&names, json!(2)), &["2", "\"neg\""]);
    check(class(&names, json!(-1)), &["-1"]);
    check(class(&names, json!(0.5)), &["0.5", "not one class"]);
    check(class(&names, json!(["pos"])), &["[\"pos\"]", "not one class"]);
    // With integer names, it is a name.
    let numbers = map(&["1", "2"]);
    assert_eq!(class(&numbers, json!(1)), Ok(Target::Class(0)));
    check(class(&numbers, json!(0)), &["0", "\"1\", \"2\""]);
    let many = LabelMap::numbered(9).unwrap();
    check(class(&many, json!("x".repeat(1000))), &["x\"...", "\"LABEL_4\"] and 4 more"]);
}

#[test]
fn several_labels_and_values() {
    let names = map(&["a", "b", "c"]);
    let several = |value| names.target(&label(value), Problem::MultiLabel);
    assert_eq!(several(json!(["c", "a"])), Ok(Target::Values(vec![1.0, 0.0, 1.0])));
    assert_eq!(several(json!([])), Ok(Target::Values(vec![0.0; 3])));
    assert_eq!(several(json!([0, 1.0, 0])), Ok(Target::Values(vec![0.0, 1.0, 0.0])));
    check(several(json!([0, 1])), &["2 labels", "expected 3", "\"a\""]);
    check(several(json!([0, 1, 2])), &["2 in a list", "0, 1 or names"]);
    check(several(json!(["a", "x"])), &["\"x\"", "unknown"]);
    check(several(json!("a")), &["\"a\"", "not a list"]);
    let value = |map: &LabelMap, value| map.target(&label(value), Problem::Regression);
    let none = LabelMap::default();
    assert_eq!(value(&none, json!(2)), Ok(Target::Values(vec![2.0])));
    assert_eq!(value(&none, json!(" 2.5 ")), Ok(Target::Values(vec![2.5])));
    assert_eq!(value(&map(&["x", "y"]), json!([1, -0.5])), Ok(Target::Values(vec![1.0, -0.5])));
    check(value(&none, json!([1, 2])), &["2 labels", "expected 1"]);
    check(value(&none, json!("good")), &["\"good\"", "not a number"]);
    check(value(&none, json!("nan")), &["not a number"]);
    check(value(&none, json!(1e300)), &["not a number"]);
}

#[test]
fn names_are_distinct_and_not_too_many() {
    check(LabelMap::new(["a", "b", "a"]), &["\"a\" twice"]);
    check(LabelMap::numbered(70_000), &["65536"]);
}
