//! `model.safetensors`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nexus_core::weights::load_any;
use nexus_fuzz::Folder;
use std::sync::LazyLock;

static FOLDER: LazyLock<Folder> =
    LazyLock::new(|| Folder::golden("llama_untied/model", "model.safetensors"));

fuzz_target!(|input: &[u8]| {
    FOLDER.write(input);
    let _ = load_any(FOLDER.path(), &nexus_core::device("flex").expect("the CPU"));
});
