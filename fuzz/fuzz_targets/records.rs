//! CSV, JSON and text files; the first byte of the input says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nexus_core::data::{Columns, LabeledText, Record, RecordStream};
use nexus_fuzz::Folder;
use std::sync::LazyLock;

static FOLDERS: LazyLock<[Folder; 5]> = LazyLock::new(|| {
    ["data.jsonl", "data.json", "data.csv", "data.tsv", "data.txt"].map(Folder::empty)
});

fuzz_target!(|input: &[u8]| {
    let Some((which, input)) = input.split_first() else { return };
    let folder = &FOLDERS[usize::from(*which) % FOLDERS.len()];
    folder.write(input);
    if let Ok(records) = RecordStream::<Record>::open(folder.file(), &Columns::new()) {
        records.for_each(drop);
    }
    if let Ok(records) = RecordStream::<LabeledText>::open(folder.file(), &Columns::new()) {
        records.for_each(drop);
    }
});
