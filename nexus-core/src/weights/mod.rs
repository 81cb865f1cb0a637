//! Hugging Face model folders: read with every byte bounded, written atomically.

mod atomic;
mod checkpoint;
mod load;
mod parameters;
mod save;
mod tensor_file;

pub use atomic::{AtomicFolder, read_bounded, write_file};
pub(crate) use checkpoint::transpose;
pub use load::{LoadedModel, load, load_any, load_with_head, read_config, read_spec};
pub use parameters::{NamedParameter, parameters};
pub use save::{OwnedTensor, StoredDtype, save, write_tensors};
pub use tensor_file::TensorFile;
