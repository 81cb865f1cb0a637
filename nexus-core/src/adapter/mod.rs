//! LoRA and DoRA adapters, read and written as PEFT does.

mod attach;
mod combine;
mod config;
mod detached;
mod file;
mod load;
mod mix;
mod names;
mod select;
mod svd;
mod train;

pub use attach::{attach, merge_and_unload, set_adapter_state, unload};
pub use combine::Combination;
pub use config::{AdapterConfig, Modules};
pub use detached::Adapter;
pub use file::{is_adapter_folder, save_adapter};
pub use load::load_adapter;
pub(crate) use mix::check_numbers;
pub use mix::mix;
pub use names::parameter_name;
pub use train::{train_alike, train_all, train_head};
