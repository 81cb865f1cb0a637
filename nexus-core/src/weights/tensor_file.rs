//! One safetensors file, read tensor by tensor.

use crate::{Error, Result};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The format's own limit on the header.
const MAX_HEADER: u64 = 100_000_000;

/// An open safetensors file. Only the header is held; a tensor's bytes are read when asked for.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: File,
    data_start: u64,
    tensors: BTreeMap<String, TensorInfo>,
}

impl TensorFile {
    /// Opens `path` and checks its header against the file's length, so that no later read can be cut short.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Format`] when the header is damaged, too large, or does not match the file.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        let damaged = |why: String| {
            Error::format(path, format!("{why}; the file is damaged, fetch or save it again"))
        };
        let mut prefix = [0; 8];
        if length < 8 {
            return Err(damaged(format!("{length} bytes are too few for a safetensors file")));
        }
        file.read_exact(&mut prefix).map_err(Error::io("read", path))?;
        let header_length = u64::from_le_bytes(prefix);
        if header_length > MAX_HEADER || header_length > length - 8 {
            return Err(damaged(format!(
                "the header claims {header_length} bytes, the file has {length}"
            )));
        }
        let mut header = vec![0; header_length as usize];
        file.read_exact(&mut header).map_err(Error::io("read", path))?;
        let invalid = |why: String| damaged(format!("the header is not valid: {why}"));
        let Header(tensors) =
            serde_json::from_slice(&header).map_err(|why| invalid(why.to_string()))?;
        let data_start = 8 + header_length;
        let expected = data_start.saturating_add(data_length(&tensors).map_err(invalid)?);
        if expected != length {
            return Err(damaged(format!(
                "the header describes {expected} bytes, the file has {length}"
            )));
        }
        Ok(Self { path: path.to_path_buf(), file, data_start, tensors })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| info.shape.as_slice())
    }

    /// A float tensor's values as f32, with its shape. bf16 and f16 are widened exactly; f64 is rounded.
    ///
    /// # Errors
    /// [`Error::Weights`] when the tensor is missing or not a float tensor; [`Error::Io`].
    pub fn read_f32(&mut self, name: &str) -> Result<(Vec<f32>, Vec<usize>)> {
        let (bytes, info) = self.read(name)?;
        let values = match info.dtype {
            Dtype::F32 => decode(&bytes, f32::from_le_bytes),
            Dtype::F16 => decode(&bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => decode(&bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Dtype::F64 => decode(&bytes, |b| f64::from_le_bytes(b) as f32),
            other => {
                return Err(Error::Weights {
                    key: name.to_string(),
                    expected: "f32, f16, bf16 or f64 values".into(),
                    found: format!("{other:?}"),
                });
            }
        };
        Ok((values, info.shape))
    }

    /// An integer tensor's values as i64, with its shape.
    ///
    /// # Errors
    /// [`Error::Weights`] when the tensor is missing or not i32 or i64; [`Error::Io`].
    pub fn read_i64(&mut self, name: &str) -> Result<(Vec<i64>, Vec<usize>)> {
        let (bytes, info) = self.read(name)?;
        let values = match info.dtype {
            Dtype::I64 => decode(&bytes, i64::from_le_bytes),
            Dtype::I32 => decode(&bytes, |b| i64::from(i32::from_le_bytes(b))),
            other => {
                return Err(Error::Weights {
                    key: name.to_string(),
                    expected: "i32 or i64 values".into(),
                    found: format!("{other:?}"),
                });
            }
        };
        Ok((values, info.shape))
    }

    fn read(&mut self, name: &str) -> Result<(Vec<u8>, TensorInfo)> {
        let info = self.tensors.get(name).cloned().ok_or_else(|| Error::Weights {
            key: name.to_string(),
            expected: format!("a tensor of this name in {}", self.path.display()),
            found: "none".into(),
        })?;
        // Both ends were checked against the file's length when it was opened.
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        self.file
            .seek(SeekFrom::Start(self.data_start + start as u64))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(Error::io("read", &self.path))?;
        Ok((bytes, info))
    }
}

/// The tensors of a header. Its parser in the safetensors crate takes some ten times the memory, and keeps the last of
/// two tensors of one name.
struct Header(BTreeMap<String, TensorInfo>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor).map(Header)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = BTreeMap<String, TensorInfo>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an entry per tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut tensors = BTreeMap::new();
        while let Some(name) = entries.next_key::<String>()? {
            if name == "__metadata__" {
                entries.next_value::<HashMap<String, String>>()?;
                continue;
            }
            match tensors.entry(name) {
                Entry::Vacant(place) => place.insert(entries.next_value()?),
                Entry::Occupied(place) => {
                    let why = format!("the tensor {:?} occurs twice", place.key());
                    return Err(A::Error::custom(why));
                }
            };
        }
        Ok(tensors)
    }
}

/// The length of the data, where the tensors follow each other without gap or overlap and each takes the bytes that its
/// shape needs.
fn data_length(tensors: &BTreeMap<String, TensorInfo>) -> Result<u64, String> {
    let mut by_offset: Vec<_> = tensors.iter().collect();
    by_offset.sort_by_key(|(_, info)| info.data_offsets);
    let mut at = 0;
    for (name, info) in by_offset {
        let (start, end) = info.data_offsets;
        if start != at || end < start {
            return Err(format!("tensor {name:?} is at {start}..{end}, expected at {at}"));
        }
        let elements = info.shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
        let bits = elements.and_then(|n| n.checked_mul(info.dtype.bitsize()));
        if bits != (end - start).checked_mul(8) {
            let (dtype, shape) = (info.dtype, &info.shape);
            let held = end - start;
            return Err(format!("tensor {name:?} has {held} bytes for {dtype:?} of {shape:?}"));
        }
        at = end;
    }
    Ok(at as u64)
}

fn decode<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| value(chunk)).collect()
}
