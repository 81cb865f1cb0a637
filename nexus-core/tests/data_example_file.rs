//! Examples on disk are those in memory, and neither reading nor writing holds a whole file.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use nexus_core::Result;
use nexus_core::data::{
    Columns, Encode, Example, ExampleFile, ExampleFileWriter, ExampleSource, Pieces, Record,
    RecordStream, Target, TextEncoder, Tokenizer, encode_records, encode_to_disk, read_records,
};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

fn spill(examples: &[Example]) -> ExampleFile {
    let mut writer = ExampleFileWriter::create(&std::env::temp_dir()).unwrap();
    examples.iter().for_each(|example| writer.push(example).unwrap());
    assert_eq!((writer.len(), writer.is_empty()), (examples.len(), examples.is_empty()));
    writer.finish().unwrap()
}

fn example() -> impl Strategy<Value = Example> {
    let id = prop_oneof![0u32..300, any::<u32>()];
    let values = prop::collection::vec(-1e6f32..1e6, 0..5);
    let target = prop_oneof![
        Just(Target::Unset),
        any::<u32>().prop_map(Target::Class),
        values.prop_map(Target::Values),
    ];
    let (ids, masks) = (prop::collection::vec(id, 0..30), any::<u32>());
    let types = prop::collection::vec(any::<u8>(), 0..30);
    let labels = prop::option::of(prop::collection::vec(any::<i32>(), 0..30));
    (ids, masks, types, labels, target).prop_map(|(ids, masks, types, labels, target)| {
        let own = |i: usize| if masks >> i & 1 == 1 { ids[i] as i32 } else { -100 };
        let labels = labels.unwrap_or_else(|| (0..ids.len()).map(own).collect());
        Example { ids, types, labels, target }
    })
}

proptest! {
    #[test]
    fn every_example_comes_back(examples in prop::collection::vec(example(), 0..8)) {
        let file = spill(&examples);
        prop_assert_eq!(file.len(), examples.len());
        for (i, example) in examples.iter().enumerate().rev() {
            prop_assert_eq!(&file.get(i).unwrap(), example);
            prop_assert_eq!(file.length(i), example.ids.len());
        }
        prop_assert!(file.get(examples.len()).is_err() && file.get(usize::MAX).is_err());
        prop_assert_eq!(file.length(examples.len()), 0);
    }
}

#[test]
fn a_stream_encodes_to_what_memory_holds() {
    let text = "the quick brown fox jumps over the lazy dog, and the dog sleeps. ".to_owned();
    let tokenizer = Tokenizer::train_bpe(std::iter::repeat_n(text, 20), 320, &[]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let mut lines = String::new();
    for i in 0..2500 {
        let words = "the lazy dog ".repeat(i % 40);
        let line = match i % 3 {
            0 => serde_json::json!({"text": words}),
            _ => serde_json::json!({"prompt": words, "completion": i.to_string()}),
        };
        lines += &format!("{line}\n");
    }
    std::fs::write(&path, lines).unwrap();
    let options = nexus_core::data::EncodeOptions { max_length: 24, ..Default::default() };
    let memory = encode_records(&read_records(&path).unwrap(), &tokenizer, &options, &path);
    let memory = memory.unwrap();
    let stream = RecordStream::<Record>::open(&path, &Columns::new()).unwrap();
    let disk = encode_to_disk(stream, &TextEncoder { tokenizer, options }, dir.path()).unwrap();
    assert_eq!(disk.examples.len(), memory.examples.len());
    for (i, example) in memory.examples.iter().enumerate() {
        assert_eq!(&disk.examples.get(i).unwrap(), example);
    }
    assert_eq!((disk.tokens, disk.trained_tokens), (memory.tokens, memory.trained_tokens));
    assert_eq!((disk.truncated, disk.untrainable), (memory.truncated, memory.untrainable));
    // Only the data file has a name.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn errors_name_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let to_disk = |content: &str, folder: &Path| {
        std::fs::write(&path, content).unwrap();
        let stream = RecordStream::open(&path, &Columns::new()).unwrap();
        encode_to_disk(stream, &Letters, folder)
            .map(|e| e.examples.len())
            .map_err(|e| e.to_string())
    };
    let wrong = to_disk("{\"text\":\"a\"}\n{\"txt\":\"a\"}", dir.path()).unwrap_err();
    assert!(wrong.contains("a.jsonl:2:"), "{wrong}");
    let refused = to_disk("{\"text\":\"a\"}\n\n{\"text\":\"!\"}", dir.path()).unwrap_err();
    assert!(refused.contains("a.jsonl:3: no letters"), "{refused}");
    let missing = to_disk("{\"text\":\"a\"}", &dir.path().join("missing")).unwrap_err();
    assert!(missing.contains("missing"), "{missing}");
    let nothing = to_disk("{\"text\":\"\"}", dir.path()).unwrap_err();
    assert!(nothing.contains("none of the 1 records"), "{nothing}");
}

/// Each letter is a token, so that encoding takes no time.
struct Letters;

impl Encode<Record> for Letters {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn encode(&self, record: &Record) -> Result<Pieces> {
        let Record::Text { text } = record else { return Ok(Pieces::default()) };
        if text == "!" {
            return Err(nexus_core::Error::Refused("no letters".into()));
        }
        let ids: Vec<u32> = text.bytes().map(u32::from).collect();
        let labels: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let (trained, truncated) = (labels.len(), false);
        let examples = if trained > 0 { vec![Example::new(ids, labels)] } else { Vec::new() };
        Ok(Pieces { examples, trained, truncated })
    }
}

const TEXT: usize = 2000;
const ROW_GROUP: usize = 4000;

/// A file of `mib` MiB in records of 2000 letters, in the format of its extension.
fn large_file(path: &Path, mib: usize) {
    let rows = (mib << 20) / TEXT;
    let text = |i: usize| format!("{i:08}{}", "a".repeat(TEXT - 8));
    let file = std::fs::File::create(path).unwrap();
    if path.extension().unwrap() == "parquet" {
        let schema = parse_message_type("message m { required binary text (UTF8); }").unwrap();
        let mut writer =
            SerializedFileWriter::new(file, Arc::new(schema), Default::default()).unwrap();
        for start in (0..rows).step_by(ROW_GROUP) {
            let mut group = writer.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let texts =
                (start..rows.min(start + ROW_GROUP)).map(|i| ByteArray::from(text(i).into_bytes()));
            let texts: Vec<_> = texts.collect();
            column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.close().unwrap();
        return;
    }
    let (head, middle, tail) = match path.extension().unwrap().to_str().unwrap() {
        "json" => ("[{\"text\":\"", "\"},{\"text\":\"", "\"}]"),
        "jsonl" => ("{\"text\":\"", "\"}\n{\"text\":\"", "\"}\n"),
        _ => ("text\n", "\n", "\n"),
    };
    let mut file = std::io::BufWriter::new(file);
    file.write_all(head.as_bytes()).unwrap();
    for i in 0..rows {
        let between = if i == 0 { "" } else { middle };
        write!(file, "{between}{}", text(i)).unwrap();
    }
    file.write_all(tail.as_bytes()).unwrap();
    file.flush().unwrap();
}

/// The most memory that this process has held, in MiB.
#[cfg(target_os = "linux")]
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() >> 10
}

/// Encodes a file of `mib` MiB in each format within `limit` MiB. Runs in a process of its own, as
/// the peak is that of the process.
#[cfg(target_os = "linux")]
fn within(mib: usize, limit: usize) {
    const CHILD: &str = "NEXUS_TEST_ENCODE_FILE";
    if let Some(path) = std::env::var_os(CHILD) {
        let path = Path::new(&path);
        let before = peak();
        let stream = RecordStream::open(path, &Columns::new()).unwrap();
        let encoded = encode_to_disk(stream, &Letters, path.parent().unwrap()).unwrap();
        let rows = encoded.examples.len();
        let last = encoded.examples.get(rows - 1).unwrap();
        assert_eq!((rows, last.ids.len()), ((mib << 20) / TEXT, TEXT));
        let grown = peak() - before;
        assert!(grown < limit, "{}: {grown} MiB for a file of {mib} MiB", path.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let test = std::thread::current().name().unwrap().to_owned();
    for name in ["a.jsonl", "a.json", "a.csv", "a.parquet"] {
        let path = dir.path().join(name);
        large_file(&path, mib);
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", &test, "--include-ignored", "--nocapture"]).env(CHILD, &path);
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_need_not_fit_into_memory() {
    within(64, 48);
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "writes 300 MiB files"]
fn a_large_file_takes_no_more_memory() {
    within(300, 48);
}
