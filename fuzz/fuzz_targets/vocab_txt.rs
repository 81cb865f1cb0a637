//! `vocab.txt`, and the tokenizer that comes of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nexus_fuzz::{Folder, use_tokenizer};
use std::sync::LazyLock;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::empty("vocab.txt"));

fuzz_target!(|input: &[u8]| {
    FOLDER.write(input);
    use_tokenizer(FOLDER.path());
});
