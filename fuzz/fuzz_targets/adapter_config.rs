//! `adapter_config.json`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nexus_core::adapter::load_adapter;
use nexus_core::model::Decoder;
use nexus_core::weights::load;
use nexus_fuzz::{Folder, golden};
use std::cell::LazyCell;

thread_local! {
    static MODEL: LazyCell<(Decoder, Folder)> = const {
        LazyCell::new(|| {
            let device = nexus_core::device("flex").expect("the CPU");
            let model = load(&golden("llama_untied/model"), &device).expect("the model");
            (model, Folder::golden("llama_untied/adapter", "adapter_config.json"))
        })
    };
}

fuzz_target!(|input: &[u8]| {
    MODEL.with(|both| {
        let (model, folder) = &**both;
        folder.write(input);
        let _ = load_adapter(model.clone(), folder.path());
    });
});
