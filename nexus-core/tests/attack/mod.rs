//! What the attack tests have in common: little memory, and inputs gone wrong.
#![allow(dead_code, reason = "each test program uses a part")]

use nexus_core::Result;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Mutations of each kind of file.
pub(crate) const MUTATIONS: u64 = 2000;

/// Runs the body of the test called `test` in a process of its own that may map `mebibytes` in all, so that a loader that
/// allocates what a file claims ends there. A program of this crate maps about 150 before it does anything.
pub(crate) fn confined(test: &str, mebibytes: u64, body: impl FnOnce()) {
    if !cfg!(target_os = "linux") || std::env::var("ATTACK").is_ok_and(|name| name == test) {
        return body();
    }
    let limit = format!("ulimit -v {} && exec \"$0\" \"$@\"", mebibytes << 10);
    let output = Command::new("sh")
        .args(["-c", &limit])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        // Each thread's arena would map 64 MiB.
        .env("MALLOC_ARENA_MAX", "1")
        .env("ATTACK", test)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let tail: String = text.chars().skip(text.chars().count().saturating_sub(3000)).collect();
    assert!(
        output.status.success(),
        "{test}, confined to {mebibytes} MiB: {}\n{tail}",
        output.status
    );
    assert!(text.contains("1 passed"), "{test} is not the name of this test:\n{tail}");
}

/// The outcome of a loader, which may be an error of its type but no panic.
#[track_caller]
pub(crate) fn survives<T>(what: impl Display, load: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(load)) {
        Ok(outcome) => outcome,
        Err(_) => panic!("the loader panicked: {what}"),
    }
}

/// Requires an error that names `word`.
#[track_caller]
pub(crate) fn refuses<T>(what: impl Display, word: &str, load: impl FnOnce() -> Result<T>) {
    match survives(&what, load) {
        Ok(_) => panic!("accepted: {what}"),
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains(word), "{what}: {word:?} is not in: {error}");
        }
    }
}

pub(crate) fn golden(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../nexus-train/tests/golden").join(case)
}

/// A copy of a folder that a test may damage.
pub(crate) fn copy(folder: &Path) -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), target.path().join(entry.file_name())).unwrap();
    }
    target
}

/// Shortens the file at `path` to each of its [`cuts`], the longest first, and calls `attack` with each length. The file is
/// whole again in the end.
pub(crate) fn cut_file(path: &Path, mut attack: impl FnMut(usize)) {
    let whole = std::fs::read(path).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    for cut in cuts(&whole).into_iter().rev() {
        file.set_len(cut as u64).unwrap();
        attack(cut);
    }
    std::fs::write(path, whole).unwrap();
}

/// Where to cut a file: everywhere below 64 KiB. A larger one, which must be of safetensors, is cut inside its first 8
/// bytes, around each mark and quote of the header, around the header's end and around the ends of all tensors.
fn cuts(bytes: &[u8]) -> Vec<usize> {
    if bytes.len() < 64 << 10 {
        return (0..bytes.len()).collect();
    }
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = &bytes[8..end];
    let marks = header.iter().enumerate().filter(|(_, byte)| br#"{}[],:""#.contains(byte));
    let entries: serde_json::Map<String, Value> = serde_json::from_slice(header).unwrap();
    let offsets = entries.values().flat_map(|entry| entry["data_offsets"].as_array());
    let ends = offsets.flatten().map(|offset| end + offset.as_u64().unwrap() as usize);
    let boundaries: BTreeSet<usize> =
        marks.map(|(at, _)| 8 + at).chain([end]).chain(ends).collect();
    let around = boundaries.into_iter().flat_map(|at| at - 1..=at + 1);
    let cuts: BTreeSet<usize> = (0..8).chain(around).filter(|&cut| cut < bytes.len()).collect();
    cuts.into_iter().collect()
}

/// Calls `attack` with the number of each mutation and the mutated bytes: flipped bits, extreme numbers, pieces removed,
/// doubled or taken from `words`.
pub(crate) fn mutate(bytes: &[u8], words: &[&[u8]], mut attack: impl FnMut(u64, &[u8])) {
    for seed in 0..MUTATIONS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = bytes.to_vec();
        for _ in 0..rng.random_range(1..4) {
            mutate_once(&mut bytes, words, &mut rng);
        }
        attack(seed, &bytes);
    }
}

fn mutate_once(bytes: &mut Vec<u8>, words: &[&[u8]], rng: &mut ChaCha8Rng) {
    if bytes.is_empty() {
        return;
    }
    // Half of the places lie in the head, where the structure is.
    let range = if rng.random() { bytes.len() } else { bytes.len().min(400) };
    let at = rng.random_range(0..range);
    let end = (at + rng.random_range(0..9usize)).min(bytes.len());
    match rng.random_range(0..6) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => bytes[at] = [0, 0x7f, 0x80, 0xff, rng.random()][rng.random_range(0..5)],
        2 => {
            let value = [u64::MAX, i64::MAX as u64, u64::from(u32::MAX), 1 << 40, 0]
                [rng.random_range(0..5)];
            let value = value.to_le_bytes();
            bytes[at..end].copy_from_slice(&value[..end - at]);
        }
        3 => drop(bytes.drain(at..end)),
        4 => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        _ if words.is_empty() => bytes.insert(at, rng.random()),
        _ => {
            let word = words[rng.random_range(0..words.len())];
            bytes.splice(at..end, word.iter().copied());
        }
    }
}

/// Words that mean something in JSON.
pub(crate) const JSON_WORDS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"0.5",
    b"4294967296",
    b"18446744073709551615",
    b"\"\\ud800\"",
    b"\xff",
    b"\"\\u0000\"",
    b"{}",
    b"[[",
];

/// Values that a field should not have.
pub(crate) fn hostile_values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(3),
        json!(0.5),
        json!(1e308),
        json!(1_000_000_000u64),
        json!(1u64 << 32),
        json!(1u64 << 60),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}../\u{202e}"),
        json!([]),
        json!([{}, null, 1e300]),
        json!({}),
        json!({"": [1u64 << 60]}),
    ]
}

/// Calls `attack` with a name and the document for every field, nested ones too, removed or with each hostile value.
pub(crate) fn each_field(document: &Value, attack: &mut impl FnMut(String, &Value)) {
    for pointer in pointers(document, "") {
        for value in hostile_values() {
            let mut changed = document.clone();
            let name = format!("{pointer} = {value}");
            *changed.pointer_mut(&pointer).unwrap() = value;
            attack(name, &changed);
        }
    }
}

fn pointers(value: &Value, path: &str) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, v)| (key.clone(), v)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => return Vec::new(),
    };
    let mut all = Vec::new();
    // Of a long list, the first entries will do.
    for (key, child) in children.into_iter().take(80) {
        let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
        all.extend(pointers(child, &path));
        all.push(path);
    }
    all
}
