//! `adapter_config.json`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nexus_fuzz::Adapter;
use std::cell::LazyCell;

thread_local! {
    static ADAPTER: LazyCell<Adapter> = const { LazyCell::new(|| Adapter::new("adapter_config.json")) };
}

fuzz_target!(|input: &[u8]| {
    ADAPTER.with(|adapter| adapter.attack(input));
});
