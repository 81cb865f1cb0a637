//! `tokenizer_config.json` beside a small `tokenizer.json`, and the tokenizer and chat template that come of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nexus_core::data::Tokenizer;
use nexus_fuzz::{Folder, use_tokenizer};
use std::sync::LazyLock;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    let folder = Folder::empty("tokenizer_config.json");
    let texts = ["ab a  b </s>x".to_string()].into_iter();
    let tokenizer = Tokenizer::train_bpe(texts, 260, &["</s>"]).expect("a tokenizer");
    tokenizer.save(folder.path()).expect("saving it");
    folder
});

fuzz_target!(|input: &[u8]| {
    FOLDER.write(input);
    use_tokenizer(FOLDER.path());
});
