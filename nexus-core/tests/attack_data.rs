//! Hostile data files: Parquet, CSV and JSON.

mod attack;

use attack::{JSON_WORDS, confined, cut_file, mutate, refuses, survives};
use nexus_core::Result;
use nexus_core::data::{Columns, FromRow, LabeledText, Record, RecordStream};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most records that are read of a file: a page of a few bytes may stand for millions.
const RECORDS: usize = 1000;

fn read_as<T: FromRow>(path: &Path) -> Result<usize> {
    let mut count = 0;
    for record in RecordStream::<T>::open(path, &Columns::new())?.take(RECORDS) {
        record?;
        count += 1;
    }
    Ok(count)
}

fn read(path: &Path) -> Result<usize> {
    read_as::<Record>(path)
}

fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    (dir, path)
}

/// A Parquet file with a column of text.
fn parquet(codec: Compression, dictionary: bool, rows: usize) -> Vec<u8> {
    let schema =
        Arc::new(parse_message_type("message m { REQUIRED BYTE_ARRAY text (UTF8); }").unwrap());
    let properties =
        WriterProperties::builder().set_compression(codec).set_dictionary_enabled(dictionary);
    let mut out = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut out, schema, Arc::new(properties.build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<_> =
        (0..rows).map(|i| ByteArray::from(format!("text {}", i % 7).into_bytes())).collect();
    column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    out
}

/// A number in thrift's compact protocol.
fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A Parquet file whose footer holds these bytes.
fn footer(bytes: &[u8]) -> Vec<u8> {
    [b"PAR1", bytes, &(bytes.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

#[test]
fn parquet_cut_and_mutated() {
    confined("parquet_cut_and_mutated", 1024, || {
        let golden = include_bytes!("golden/parquet/pandas.parquet").to_vec();
        let snappy = parquet(Compression::SNAPPY, true, 40);
        let plain = parquet(Compression::UNCOMPRESSED, false, 40);
        for (name, whole) in [("pandas", golden), ("snappy", snappy), ("plain", plain)] {
            let (_dir, path) = file("data.parquet", &whole);
            let words: &[&[u8]] = &[b"PAR1", b"\xff\xff\xff\xff\x0f", b"\x15", b"\x19\xfc"];
            cut_file(&path, |cut| {
                refuses(format!("{name} cut at {cut}"), "data.parquet", || read(&path));
            });
            mutate(&whole, words, |seed, bytes| {
                fs::write(&path, bytes).unwrap();
                let _ = survives(format!("{name}, mutation {seed}"), || read(&path));
                let _ =
                    survives(format!("{name}, mutation {seed}"), || read_as::<LabeledText>(&path));
            });
            // The metadata is at the end.
            for at in whole.len().saturating_sub(700)..whole.len() {
                for value in [0, 0x7f, 0x80, 0xff, whole[at] ^ 1, whole[at] ^ 0x10] {
                    let mut bytes = whole.clone();
                    bytes[at] = value;
                    fs::write(&path, bytes).unwrap();
                    let _ = survives(format!("{name}, {value} at {at}"), || read(&path));
                }
            }
        }
    });
}

#[test]
fn parquet_pages_that_claim_too_much() {
    confined("parquet_pages_that_claim_too_much", 1024, || {
        for (codec, dictionary) in [
            (Compression::SNAPPY, true),
            (Compression::SNAPPY, false),
            (Compression::GZIP(Default::default()), true),
            (Compression::UNCOMPRESSED, false),
            (Compression::UNCOMPRESSED, true),
        ] {
            let whole = parquet(codec, dictionary, 200);
            let (_dir, path) = file("data.parquet", &whole);
            assert_eq!(read(&path).unwrap(), 200);
            // Every number of every header, replaced by one of the same width, or at the cost of what follows.
            for at in 4..80.min(whole.len()) {
                for value in [i64::from(i32::MAX), 1 << 30, 1 << 25, -1, i64::from(i32::MIN)] {
                    let zigzag = varint(((value << 1) ^ (value >> 63)) as u64);
                    let mut bytes = whole.clone();
                    bytes[at..at + zigzag.len()].copy_from_slice(&zigzag);
                    fs::write(&path, bytes).unwrap();
                    let _ = survives(format!("{codec}: {value} at {at}"), || read(&path));
                }
            }
        }
    });
}

#[test]
fn parquet_footers() {
    confined("parquet_footers", 1024, || {
        let refuse = |what: &str, bytes: &[u8]| {
            let (_dir, path) = file("data.parquet", bytes);
            refuses(what, "data.parquet", || read(&path));
        };
        // Version 1, then a schema: one group in the other. 0x35 is the repetition, 0x18 the name, 0x15 the children.
        let group = [0x35, 0, 0x18, 1, b'a', 0x15, 2, 0];
        for depth in [100usize, 100_000, 4_000_000] {
            let schema =
                [&[0x15, 2, 0x19, 0xfc][..], &varint(depth as u64), &group.repeat(depth)].concat();
            refuse(&format!("{depth} groups in each other"), &footer(&schema));
        }
        for count in [1 << 20, 1 << 31, u64::MAX] {
            refuse(
                "a schema of many elements",
                &footer(&[&[0x15, 2, 0x19, 0xfc][..], &varint(count)].concat()),
            );
            refuse(
                "many row groups",
                &footer(&[&[0x15, 2, 0x49, 0xfc][..], &varint(count)].concat()),
            );
            refuse(
                "a long name",
                &footer(&[&[0x15, 2, 0x19, 0x1c, 0x48][..], &varint(count)].concat()),
            );
        }
        // Structs in structs that no field of the format has.
        refuse("structs", &footer(&[0xfc; 100_000]));
        refuse("lists", &footer(&[&[0xf9][..], &[0x19; 100_000]].concat()));
        for length in [0, 8, 1000, u32::MAX] {
            refuse(
                "a footer's length",
                &[b"PAR1\x15\x02", &length.to_le_bytes()[..], b"PAR1"].concat(),
            );
        }
        refuse("nothing", b"");
        refuse("magic only", b"PAR1PAR1");
    });
}

#[test]
fn csv_and_json() {
    confined("csv_and_json", 1024, || {
        let csv = b"text,label\n\"a \"\"b\"\",\n c\",x\nd,y\r\ne,\"z\"\n";
        let jsonl =
            b"{\"text\": \"a\", \"label\": 1}\n\n{\"text\": \"b\\u00e9\", \"label\": [0, 1.5]}\n";
        let chat = br#"[{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
            "tools": "[{\"type\": \"function\"}]"}, {"messages": "[{\"role\": \"user\", \"content\": \"q\"}]"}]"#;
        let words = [JSON_WORDS, &[b"\n", b"\r", b"\"\"", b"\xef\xbb\xbf"]].concat();
        let files: [(&str, &[u8]); 5] = [
            ("a.csv", csv),
            ("a.tsv", csv),
            ("a.jsonl", jsonl),
            ("a.json", chat),
            ("a.txt", b"a\nb"),
        ];
        for (name, whole) in files {
            let (_dir, path) = file(name, whole);
            let read_both = |what: String| {
                let _ = survives(&what, || read(&path));
                let _ = survives(&what, || read_as::<LabeledText>(&path));
            };
            for cut in 0..whole.len() {
                fs::write(&path, &whole[..cut]).unwrap();
                read_both(format!("{name} cut at {cut}"));
            }
            mutate(whole, &words, |seed, bytes| {
                fs::write(&path, bytes).unwrap();
                read_both(format!("{name}, mutation {seed}"));
            });
        }
    });
}

#[test]
fn records_that_are_too_large() {
    confined("records_that_are_too_large", 1024, || {
        let refuse = |name: &str, content: &[u8], word: &str| {
            let (_dir, path) = file(name, content);
            refuses(format!("{name}: {word}"), word, || read(&path));
        };
        let large = 40 << 20;
        refuse("open.csv", &[b"text\n\"", &vec![b'a'; large][..]].concat(), "16 MiB");
        refuse("commas.csv", &vec![b','; large], "");
        refuse("row.csv", &[b"text,x\n", &vec![b','; large][..]].concat(), "");
        refuse("line.jsonl", &[b"{\"text\": \"", &vec![b'a'; large][..]].concat(), "16 MiB");
        refuse("open.json", &[b"[{\"text\": \"", &vec![b'a'; large][..]].concat(), "16 MiB");
        refuse("brackets.json", &[b"[{\"a\":", &vec![b'['; large][..]].concat(), "16 MiB");
        for open in ["{\"text\":", "{\"a\":[", "[", "[{"] {
            refuse("deep.jsonl", open.repeat(100_000).as_bytes(), "deep.jsonl");
        }
        let wide = format!("{{\"text\": \"a\", \"x\": [{}0]}}", "0,".repeat(8_000_000));
        refuse("wide.jsonl", wide.as_bytes(), "values");
        refuse("wide.json", format!("[{wide}]").as_bytes(), "values");
        let quoted = format!("messages\n\"[{}0]\"\n", "0,".repeat(8_000_000));
        refuse("wide.csv", quoted.as_bytes(), "values");
        refuse("twice.jsonl", br#"{"text": "a", "text": "b"}"#, "twice");
        refuse("large.txt", &vec![b'a'; 65 << 20], "64 MiB");
        let columns = (0..4_000_000).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
        refuse("columns.csv", format!("text,{columns}\n").as_bytes(), "");
    });
}
