//! Tensors into a safetensors file, one at a time.

use super::atomic::PendingFile;
use crate::{Error, Result};
use half::bf16;
use safetensors::View;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
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
        Self::cast(values, shape, StoredDtype::F32)
    }

    /// f32 values stored as `dtype`, row major.
    pub fn cast(values: &[f32], shape: &[usize], dtype: StoredDtype) -> Self {
        Self { dtype: dtype.dtype(), shape: shape.to_vec(), bytes: dtype.bytes(values) }
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

impl StoredDtype {
    /// Its name in a `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Its name in a safetensors file.
    pub(super) fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::Bf16 => Dtype::BF16,
        }
    }

    /// f32 values in this width, little endian.
    pub(super) fn bytes(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Bf16 => {
                values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect()
            }
        }
    }
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

/// Writes tensors with the metadata that transformers expects (`{"format": "pt"}`), synced and renamed into place.
///
/// # Errors
/// [`Error::Io`].
pub fn write_tensors(path: &Path, tensors: &BTreeMap<String, OwnedTensor>) -> Result<()> {
    pending_tensors(path, tensors.iter().map(|(name, tensor)| (name.clone(), tensor)))?.publish()
}

/// As [`write_tensors`], before the renaming. The bytes of a tensor are asked for when they are written, so that one
/// tensor is held at a time. Byte for byte what `safetensors::serialize` gives.
pub(super) fn pending_tensors<V: View>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, V)>,
) -> Result<PendingFile> {
    let mut tensors: Vec<_> = tensors.into_iter().collect();
    tensors.sort_by(|(a, x), (b, y)| (Reverse(x.dtype()), a).cmp(&(Reverse(y.dtype()), b)));
    let mut end = 0;
    let infos = tensors.iter().map(|(name, tensor)| {
        let start = end;
        end += tensor.data_len();
        let shape = tensor.shape().to_vec();
        (name.clone(), TensorInfo { dtype: tensor.dtype(), shape, data_offsets: (start, end) })
    });
    let format = HashMap::from([("format".to_string(), "pt".to_string())]);
    let header = Metadata::new(Some(format), infos.collect())
        .map_err(|why| Error::format(path, why))
        .and_then(|header| serde_json::to_vec(&header).map_err(|why| Error::format(path, why)));
    let mut header = header?;
    // The data starts at a multiple of 8 bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    PendingFile::write(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        tensors.iter().try_for_each(|(_, tensor)| file.write_all(&tensor.data()))
    })
}
