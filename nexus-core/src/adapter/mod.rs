//! LoRA adapters, read and written as PEFT does.

mod attach;
mod config;
mod file;
mod select;

pub use attach::{
    attach, merge_and_unload, set_adapter_state, train_alike, train_all, train_head, unload,
};
pub use config::{AdapterConfig, Modules};
pub use file::{is_adapter_folder, load_adapter, parameter_name, save_adapter};
