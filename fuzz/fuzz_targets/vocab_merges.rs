//! `vocab.json` and `merges.txt`, parted by the first byte 0 of the input, and the tokenizer that comes of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nexus_fuzz::{Folder, use_tokenizer};
use std::sync::LazyLock;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::empty("vocab.json"));

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |&byte| byte == 0);
    FOLDER.write(parts.next().unwrap_or_default());
    let merges = FOLDER.path().join("merges.txt");
    std::fs::write(merges, parts.next().unwrap_or_default()).expect("writing the merges");
    use_tokenizer(FOLDER.path());
});
