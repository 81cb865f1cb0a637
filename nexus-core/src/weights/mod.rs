//! Hugging Face model folders: read with every byte bounded, written atomically.

mod adapted;
mod atomic;
mod checkpoint;
mod load;
mod parameters;
mod save;
mod shards;
mod tensor_file;
mod tensor_write;

pub use adapted::{load_adapted, save_adapted};
pub use atomic::{AtomicFolder, read_bounded, write_file};
pub(crate) use checkpoint::transpose;
pub use load::{Headed, LoadedModel, load, load_any, load_with_head, read_config, read_spec};
pub use parameters::{NamedParameter, parameters};
pub use save::{SaveOptions, save};
pub use tensor_file::TensorFile;
pub use tensor_write::{OwnedTensor, StoredDtype, write_tensors};
