//! Records from JSON arrays, CSV and Parquet: what is read, and every way in which a file can be
//! wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexus_core::Result;
use nexus_core::data::{
    Columns, FromRow, Label, LabeledText, Located, Record, RecordStream, SourceTarget, TaggedWords,
};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

fn file(name: &str, content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    (dir, path)
}

fn read<T: FromRow>(path: &Path, columns: &Columns) -> Result<Vec<Located<T>>> {
    RecordStream::open(path, columns)?.collect()
}

fn read_as<T: FromRow>(name: &str, content: impl AsRef<[u8]>) -> Result<Vec<Located<T>>> {
    let (_dir, path) = file(name, content);
    read(&path, &Columns::new())
}

fn check<T>(result: Result<T>, parts: &[&str]) {
    let error = result.err().expect("an error").to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

fn refused<T: FromRow>(name: &str, content: impl AsRef<[u8]>, parts: &[&str]) {
    check(read_as::<T>(name, content), parts);
}

fn text(text: &str) -> Record {
    Record::Text { text: text.into() }
}

fn labeled(text: &str, label: &str) -> LabeledText {
    LabeledText { text: text.into(), pair: None, label: Label::Text(label.into()) }
}

#[test]
fn json_arrays() {
    let content =
        "\u{feff}\n[ {\"text\": \"a ] } \\\" \\\\\"},\n\n  {\n\"text\":\"b\",\"x\":[[{}]]}\n]\n";
    for name in ["a.json", "a.jsonl"] {
        let all = read_as::<Record>(name, content).unwrap();
        assert_eq!(all.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(all[0].record, text("a ] } \" \\"));
        assert_eq!(all[1].record, text("b"));
    }
    let refused = |content: &str, parts: &[&str]| refused::<Record>("a.json", content, parts);
    refused("[]", &["no record"]);
    refused("[", &["cut off"]);
    refused("[{\"text\":\"a\"}", &["cut off"]);
    refused("[{\"text\":\"a", &["cut off"]);
    refused("[{\"text\":\"a\"},]", &["JSON object"]);
    refused("[,{\"text\":\"a\"}]", &["JSON object"]);
    refused("[\n1]", &[":2:", "JSON object"]);
    refused("[{\"text\":\"a\"} {\"text\":\"b\"}]", &["`,` or `]`"]);
    refused("[{\"text\":\"a\"}]\n[]", &[":2:", "more after"]);
    refused("[{\"text\":\"a\"},\n{\n\"text\"}]", &[":3:", "column", "object"]);
    refused("[{\"text\":\"a\"},\n{\"text\":3}]", &[":2:", "\"text\"", "string"]);
    let mut long = "[{\"text\":\"".to_owned();
    long.push_str(&"a".repeat(17 << 20));
    refused(&long, &[":1:", "16 MiB"]);
    refused(&format!("[{{\"a\":{}", "[".repeat(1 << 20)), &["cut off"]);
}

#[test]
fn csv() {
    let content = "\u{feff}id,text,label\r\n1,\"a, \"\"b\"\"\nc\",pos\r\n2,d,\n\n3,e,neg";
    let all = read_as::<LabeledText>("a.csv", content).unwrap();
    assert_eq!(all[0].record, labeled("a, \"b\"\nc", "pos"));
    assert_eq!(all[2].record, labeled("e", "neg"));
    assert_eq!((all[0].line, all[1].line), (2, 4));
    let tabs = read_as::<LabeledText>("a.tsv", "text\tlabel\na, b\t1\n").unwrap();
    assert_eq!(tabs[0].record, labeled("a, b", "1"));
    let lists = "tokens,tags\n\"[\"\"a\"\", \"\"b\"\"]\",\"[0, \"\"x\"\"]\"\n";
    let lists = read_as::<TaggedWords>("a.csv", lists).unwrap().remove(0).record;
    assert_eq!(lists.words, ["a", "b"]);
    assert_eq!(lists.tags, [Label::Int(0), Label::Text("x".into())]);

    refused::<LabeledText>(
        "a.csv",
        "text,intent\na,b",
        &[":1:", "\"text\", \"intent\"", "without \"label\""],
    );
    refused::<LabeledText>("a.csv", "text,label\na,b\nc", &[":3:", "1 fields", "header 2"]);
    refused::<LabeledText>("a.csv", b"text,label\na,b\n\xff,c", &[":3:", "UTF-8"]);
    refused::<LabeledText>("a.csv", "text,label,text\na,b,c", &["\"text\" twice"]);
    refused::<LabeledText>("a.csv", "text,label\n", &["no record"]);
    refused::<LabeledText>("a.csv", "", &["unknown"]);
    refused::<LabeledText>("a.csv", ",".repeat(70_000), &["65536 fields"]);
    refused::<TaggedWords>("a.csv", "tokens,tags\na b,c", &[":2:", "\"tokens\"", "JSON list"]);
    let open_quote = format!("text,label\na,b\n\"{}", "c\n".repeat(9 << 20));
    refused::<LabeledText>("a.csv", open_quote, &[":3:", "16 MiB", "quote"]);
}

#[test]
fn shapes_of_labelled_records() {
    let one = |line: &str| read_as::<LabeledText>("a.jsonl", line);
    let pair = one(r#"{"text_a":"a","text_b":"b","label":[1.0,0]}"#).unwrap().remove(0).record;
    assert_eq!(pair.pair.as_deref(), Some("b"));
    assert_eq!(pair.label, Label::List(vec![Label::Float(1.0), Label::Int(0)]));
    check(one("{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\"}"), &[":2:", "without \"label\""]);
    check(one(r#"{"text_a":"a","label":1}"#), &["without \"text_b\""]);
    check(one(r#"{"text":"","text_a":"a","text_b":"b","label":1}"#), &["ambiguous"]);
    check(one(r#"{"text":"a","label":null}"#), &["\"label\"", "null"]);
    check(one(r#"{"text":"a","label":[[1]]}"#), &["\"label\"", "holds a list"]);
    check(one(r#"{"text":7,"label":1}"#), &["\"text\"", "integer `7`", "string"]);
    let tagged = |line: &str| read_as::<TaggedWords>("a.jsonl", line);
    check(tagged(r#"{"tokens":["a","b"],"tags":["O"]}"#), &[":1:", "2 tokens", "1 tags"]);
    check(tagged(r#"{"tokens":[],"tags":[]}"#), &["empty"]);
    check(tagged(r#"{"tokens":["a"],"tags":[true]}"#), &["\"tags\"", "true"]);
    let pair = read_as::<SourceTarget>("a.jsonl", r#"{"source":"s","target":"t"}"#).unwrap();
    assert_eq!(pair[0].record, SourceTarget { source: "s".into(), target: "t".into() });
    check(read_as::<Record>("a.jsonl", r#"{"source":"s","target":"t"}"#), &["unknown", "source"]);
}

#[test]
fn columns_are_mapped() {
    let mapped = Columns::new().with("text", "sentence").with("label", "intent");
    let expected = [labeled("a", "x")];
    for (name, content) in [
        ("a.csv", "label,sentence,intent\n9,a,x\n"),
        ("a.jsonl", r#"{"label":9,"sentence":"a","intent":"x"}"#),
    ] {
        let (_dir, path) = file(name, content);
        let read = read::<LabeledText>(&path, &mapped).unwrap();
        assert_eq!(read.into_iter().map(|r| r.record).collect::<Vec<_>>(), expected);
    }
    let (_dir, path) = file("a.csv", "text,b\na,x\n");
    let sentence = Columns::new().with("text", "sentence");
    check(read::<LabeledText>(&path, &sentence), &["\"sentence\"", "text", "\"text\", \"b\""]);
    let unknown = Columns::new().with("txt", "b");
    check(read::<LabeledText>(&path, &unknown), &["columns.txt", "text_a", "label"]);
    let twice = Columns::new().with("text", "b").with("label", "b");
    check(read::<LabeledText>(&path, &twice), &["no other role"]);
    // Names may be exchanged.
    let (_dir, path) = file("a.csv", "text,label\nx,a\n");
    let exchanged = Columns::new().with("text", "label").with("label", "text");
    assert_eq!(read::<LabeledText>(&path, &exchanged).unwrap()[0].record, expected[0]);
    // Of several shapes, the one with a named column is meant.
    let (_dir, path) = file("a.csv", "instruction,output,text\ni,o,t\n");
    check(read::<Record>(&path, &Columns::new()), &["ambiguous", "columns"]);
    let chosen = Columns::new().with("text", "text");
    assert_eq!(read::<Record>(&path, &chosen).unwrap()[0].record, text("t"));
    let json: Columns = serde_json::from_str(r#"{"text":"sentence","label":"intent"}"#).unwrap();
    assert_eq!(json, mapped);
}

const SCHEMA: &str = "message schema {
    optional binary text (UTF8);
    required int64 label;
    optional double score;
    optional group tags (LIST) { repeated group list { optional int64 element; } }
}";

/// A Parquet file with two row groups of `rows` rows each: texts `t0`, `t1`, ..., every fifth
/// missing where `gaps`, labels 0, 1, ..., and two tags a row.
fn parquet(path: &Path, codec: Compression, rows: i64, gaps: bool) {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    for group in 0..2 {
        let numbers: Vec<i64> = (group * rows..(group + 1) * rows).collect();
        let present: Vec<i16> = numbers.iter().map(|n| i16::from(!gaps || n % 5 != 4)).collect();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let texts = std::iter::zip(&numbers, &present).filter(|(_, present)| **present == 1);
        let texts: Vec<_> =
            texts.map(|(n, _)| ByteArray::from(format!("t{n}").into_bytes())).collect();
        column.typed::<ByteArrayType>().write_batch(&texts, Some(&present), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&numbers, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let (scores, present) = (vec![0.5; numbers.len()], vec![1; numbers.len()]);
        column.typed::<DoubleType>().write_batch(&scores, Some(&present), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let tags: Vec<i64> = numbers.iter().flat_map(|n| [*n, n + 1]).collect();
        let (present, starts) = (vec![3; tags.len()], [0, 1].repeat(numbers.len()));
        column.typed::<Int64Type>().write_batch(&tags, Some(&present), Some(&starts)).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn parquet_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    for codec in
        [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::GZIP(Default::default())]
    {
        parquet(&path, codec, 150, false);
        let all = read::<LabeledText>(&path, &Columns::new()).unwrap();
        assert_eq!(all.len(), 300);
        for (i, located) in all.iter().enumerate() {
            let label = Label::Int(i as i64);
            let record = LabeledText { text: format!("t{i}"), pair: None, label };
            assert_eq!(located, &Located { record, line: i + 1 });
        }
    }
    let lists = Columns::new().with("label", "tags");
    let all = read::<LabeledText>(&path, &lists).unwrap();
    assert_eq!(all[200].record.label, Label::List(vec![Label::Int(200), Label::Int(201)]));
    let score = Columns::new().with("label", "score");
    let all = read::<LabeledText>(&path, &score).unwrap();
    assert_eq!(all[0].record.label, Label::Float(0.5));
}

#[test]
fn wrong_parquet_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    parquet(&path, Compression::SNAPPY, 10, true);
    let labeled = |columns: &Columns| read::<LabeledText>(&path, columns);
    check(labeled(&Columns::new()), &[":5:", "\"text\"", "null", "string"]);
    let number = Columns::new().with("text", "score");
    check(labeled(&number), &["\"score\"", "DOUBLE", "must hold text"]);
    let list = Columns::new().with("text", "tags");
    check(labeled(&list), &["\"tags\"", "LIST", "must hold text"]);
    let missing = Columns::new().with("text", "sentence");
    check(labeled(&missing), &["\"sentence\"", "\"text\", \"label\", \"score\", \"tags\""]);
    check(read::<SourceTarget>(&path, &Columns::new()), &["unknown", "columns", "\"score\""]);
    refused::<Record>("a.parquet", "text", &["not Parquet"]);
    refused::<Record>("a.parquet", "", &["not Parquet"]);
}

/// Written by pandas through pyarrow (`golden/parquet/export.py`).
#[test]
fn a_file_of_pyarrow() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/parquet/pandas.parquet");
    let labels = Columns::new().with("label", "names");
    let all = read::<LabeledText>(&path, &labels).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].record.text, "Zażółć gęślą jaźń");
    let names = |names: &[&str]| {
        Label::List(names.iter().map(|name| Label::Text((*name).into())).collect())
    };
    assert_eq!(all[0].record.label, names(&["a", "b"]));
    assert_eq!(all[1].record.label, names(&[]));
    let category = Columns::new().with("label", "category");
    let all = read::<LabeledText>(&path, &category).unwrap();
    assert_eq!(all[2].record.label, Label::Text("neg".into()));
    let chats = read::<Record>(&path, &Columns::new().with("messages", "messages")).unwrap();
    let Record::Chat { messages, .. } = &chats[1].record else { panic!("{chats:?}") };
    assert_eq!((messages[0].role.as_str(), messages[0].content.as_str()), ("user", Some("q1")));
    check(read::<LabeledText>(&path, &category.clone().with("text", "count")), &["INT64"]);
    check(
        read::<LabeledText>(&path, &Columns::new().with("label", "day")),
        &["\"day\"", "Timestamp"],
    );
}

proptest! {
    /// However the objects are laid out, both forms hold the same records.
    #[test]
    fn an_array_is_its_elements(
        texts in prop::collection::vec("[\\PC\n\"\\\\\\[\\]{}, ]{0,12}", 1..12), gap in "[ \n\t]{0,3}",
    ) {
        let objects: Vec<String> =
            texts.iter().map(|t| serde_json::json!({"text": t, "x": [{"y": t}]}).to_string()).collect();
        let array = format!("{gap}[{gap}{}{gap}]{gap}", objects.join(&format!("{gap},{gap}")));
        let array = read_as::<Record>("a.json", array).unwrap();
        let lines = read_as::<Record>("a.jsonl", objects.join("\n")).unwrap();
        let records = |all: Vec<Located>| all.into_iter().map(|l| l.record).collect::<Vec<_>>();
        let expected: Vec<_> = texts.iter().map(|t| text(t)).collect();
        prop_assert_eq!(records(array), expected.clone());
        prop_assert_eq!(records(lines), expected);
    }

    /// Damage anywhere in a Parquet file is an error or another value, never a panic.
    #[test]
    fn damaged_parquet_files(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = PARQUET.with(Clone::clone);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(at) = cut {
            bytes.truncate(at.index(bytes.len()));
        }
        let _ = read_as::<LabeledText>("a.parquet", bytes);
    }
}

thread_local! {
    static PARQUET: Vec<u8> = {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        parquet(&path, Compression::SNAPPY, 30, true);
        std::fs::read(&path).unwrap()
    };
}
