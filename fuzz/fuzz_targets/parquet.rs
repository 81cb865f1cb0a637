//! Parquet files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nexus_core::data::{Columns, Record, RecordStream};
use nexus_fuzz::Folder;
use std::sync::LazyLock;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::empty("data.parquet"));

fuzz_target!(|input: &[u8]| {
    FOLDER.write(input);
    if let Ok(records) = RecordStream::<Record>::open(FOLDER.file(), &Columns::new()) {
        // A page of a few bytes may stand for millions of equal records.
        records.take(1000).for_each(drop);
    }
});
