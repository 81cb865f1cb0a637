//! A model into a Hugging Face folder.

use super::checkpoint::transpose;
use super::parameters::parameters;
use crate::model::Model;
use crate::{Error, Result};
use half::bf16;
use safetensors::View;
use safetensors::tensor::Dtype;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A tensor on the host, ready to be written.
#[derive(Clone, Debug)]
pub struct OwnedTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl OwnedTensor {
    /// f32 values, row major.
    pub fn f32(values: &[f32], shape: &[usize]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    /// f32 values stored as `dtype`, row major.
    pub fn cast(values: &[f32], shape: &[usize], dtype: StoredDtype) -> Self {
        match dtype {
            StoredDtype::F32 => Self::f32(values, shape),
            StoredDtype::Bf16 => {
                let rounded = values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes());
                Self { dtype: Dtype::BF16, shape: shape.to_vec(), bytes: rounded.collect() }
            }
        }
    }
}

/// The width of stored values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoredDtype {
    /// 32 bits, exact.
    #[default]
    F32,
    /// 16 bits with f32's range, rounded to nearest even.
    Bf16,
}

impl View for &OwnedTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes `config.json` and `model.safetensors` into `folder`, in the layout from which transformers and
/// [`load`](super::load) read, with values of `dtype`. A tied head is left out; adapters are not written (merge or save
/// them separately).
///
/// # Errors
/// [`Error::Io`]; [`Error::Adapter`] when an adapter is attached.
pub fn save(model: &impl Model, folder: &Path, dtype: StoredDtype) -> Result<()> {
    let spec = model.spec();
    let mut tensors = BTreeMap::new();
    for parameter in parameters(model) {
        if parameter.path.contains(".adapter.") {
            return Err(Error::Adapter {
                why: "an adapter is attached; save the adapter, or merge it first".into(),
            });
        }
        let stored = spec.stored_as(&parameter.path);
        let values = parameter.values();
        let tensor = match (stored.transposed, &parameter.shape[..]) {
            (true, &[rows, columns]) => {
                OwnedTensor::cast(&transpose(&values, rows, columns), &[columns, rows], dtype)
            }
            (_, shape) => OwnedTensor::cast(&values, shape, dtype),
        };
        tensors.insert(stored.key, tensor);
    }
    write_tensors(&folder.join("model.safetensors"), &tensors)?;
    let mut json = spec.json.clone();
    let name = match dtype {
        StoredDtype::F32 => "float32",
        StoredDtype::Bf16 => "bfloat16",
    };
    for field in ["dtype", "torch_dtype"] {
        if let Some(value) = json.get_mut(field) {
            *value = name.into();
        }
    }
    let path = folder.join("config.json");
    let text = serde_json::to_string_pretty(&json).map_err(|why| Error::format(&path, why))?;
    super::write_file(&path, (text + "\n").as_bytes())
}

/// Writes tensors with the metadata that transformers expects (`{"format": "pt"}`), synced and renamed into place.
///
/// # Errors
/// [`Error::Io`].
pub fn write_tensors(path: &Path, tensors: &BTreeMap<String, OwnedTensor>) -> Result<()> {
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes =
        safetensors::serialize(tensors, Some(metadata)).map_err(|why| Error::format(path, why))?;
    super::write_file(path, &bytes)
}
