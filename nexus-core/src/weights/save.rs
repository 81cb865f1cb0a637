//! A model into a Hugging Face folder.

use super::atomic::write_file;
use super::checkpoint::{INDEX, SINGLE, transpose};
use super::parameters::{NamedParameter, parameters};
use super::shards::{by_state_dict, shard_name, split, stale_files};
use super::tensor_write::{StoredDtype, pending_tensors};
use crate::model::{Model, Spec};
use crate::{Error, Result};
use safetensors::View;
use safetensors::tensor::Dtype;
use serde_json::json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub(super) const CONFIG: &str = "config.json";

/// How a model is written.
///
/// | field | default | range |
/// |---|---|---|
/// | `dtype` | f32 | |
/// | `max_shard_bytes` | 50 GB, as in transformers 5 | >= 1 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaveOptions {
    /// The width of stored values.
    pub dtype: StoredDtype,
    /// The most bytes of tensors in one file; a larger model is written in several, with an index. A single tensor that
    /// is larger gets a file of its own.
    pub max_shard_bytes: u64,
}

impl Default for SaveOptions {
    fn default() -> Self {
        StoredDtype::default().into()
    }
}

impl From<StoredDtype> for SaveOptions {
    fn from(dtype: StoredDtype) -> Self {
        Self { dtype, max_shard_bytes: 50_000_000_000 }
    }
}

/// Writes `config.json` and `model.safetensors` into `folder`, or `model-00001-of-0000N.safetensors` and so on with
/// `model.safetensors.index.json`, in the layout from which transformers and [`load`](super::load) read. A tied head is
/// left out; adapters are not written (merge or save them separately). `options` may be just a [`StoredDtype`].
///
/// One tensor at a time is held in memory. Every file is written under another name and synced before the first is
/// renamed; weights of an earlier save in the folder are removed after the last. Where shards of an earlier save have
/// the same names, a stop between two renames leaves some of each: write into an [`AtomicFolder`](super::AtomicFolder)
/// to replace a folder as a whole.
///
/// # Errors
/// [`Error::Io`]; [`Error::Adapter`] when an adapter is attached; [`Error::Config`] for shards of 0 bytes.
pub fn save(model: &impl Model, folder: &Path, options: impl Into<SaveOptions>) -> Result<()> {
    let SaveOptions { dtype, max_shard_bytes } = options.into();
    if max_shard_bytes == 0 {
        return Err(Error::config("max_shard_bytes", 0, "at least 1"));
    }
    let spec = model.spec();
    let mut tensors = Vec::new();
    for parameter in parameters(model) {
        if parameter.path.contains(".adapter.") {
            return Err(Error::Adapter {
                why: "an adapter is attached; save the adapter, or merge it first".into(),
            });
        }
        let stored = spec.stored_as(&parameter.path);
        let mut shape = parameter.shape.clone();
        if stored.transposed {
            shape.reverse();
        }
        tensors
            .push((stored.key, Stored { parameter, transposed: stored.transposed, shape, dtype }));
    }
    tensors.sort_by(|(a, _), (b, _)| by_state_dict(a, b));
    write_weights(folder, tensors, max_shard_bytes)?;
    write_config(spec, folder, dtype)
}

/// Writes the `config.json` of a model whose weights are stored as `dtype`.
pub(super) fn write_config(spec: &Spec, folder: &Path, dtype: StoredDtype) -> Result<()> {
    let mut json = spec.json.clone();
    for field in ["dtype", "torch_dtype"] {
        if let Some(value) = json.get_mut(field) {
            *value = dtype.name().into();
        }
    }
    let path = folder.join(CONFIG);
    let text = serde_json::to_string_pretty(&json).map_err(|why| Error::format(&path, why))?;
    write_file(&path, (text + "\n").as_bytes())
}

fn write_weights(
    folder: &Path,
    tensors: Vec<(String, Stored)>,
    max_shard_bytes: u64,
) -> Result<()> {
    let total_parameters: usize = tensors.iter().map(|(_, tensor)| tensor.count()).sum();
    let total_size: usize = tensors.iter().map(|(_, tensor)| tensor.data_len()).sum();
    let shards = split(tensors, |(_, tensor)| tensor.data_len() as u64, max_shard_bytes);
    let count = shards.len();
    let mut weight_map = BTreeMap::new();
    let mut pending = Vec::with_capacity(count);
    for (i, shard) in shards.into_iter().enumerate() {
        let name = if count == 1 { SINGLE.to_string() } else { shard_name(i + 1, count) };
        weight_map.extend(shard.iter().map(|(key, _)| (key.clone(), name.clone())));
        pending.push(pending_tensors(&folder.join(name), shard)?);
    }
    pending.into_iter().try_for_each(|file| file.publish())?;
    if count > 1 {
        let metadata = json!({"total_parameters": total_parameters, "total_size": total_size});
        let index = json!({"metadata": metadata, "weight_map": weight_map});
        let path = folder.join(INDEX);
        let text = serde_json::to_string_pretty(&index).map_err(|why| Error::format(&path, why))?;
        write_file(&path, (text + "\n").as_bytes())?;
    }
    for file in stale_files(folder, count)? {
        fs::remove_file(&file).map_err(Error::io("remove", &file))?;
    }
    Ok(())
}

/// A parameter in the layout of the file; its values are read when they are written.
struct Stored {
    parameter: NamedParameter,
    transposed: bool,
    /// The shape in the file.
    shape: Vec<usize>,
    dtype: StoredDtype,
}

impl Stored {
    fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype.dtype()
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        let values = self.parameter.values();
        let values = match (self.transposed, &self.parameter.shape[..]) {
            (true, &[rows, columns]) => transpose(&values, rows, columns),
            _ => values,
        };
        Cow::Owned(self.dtype.bytes(&values))
    }
    fn data_len(&self) -> usize {
        self.count() * self.dtype.dtype().bitsize() / 8
    }
}
