//! A checkpoint in one file or in shards, as a source of parameters.

use super::atomic::read_bounded;
use super::tensor_file::TensorFile;
use crate::model::{Init, ParameterSource, Spec};
use crate::{Error, Result};
use burn::tensor::Device;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Reads a model's parameters from its folder and accounts for every key.
#[derive(Debug)]
pub(super) struct Checkpoint<'a> {
    spec: &'a Spec,
    device: &'a Device,
    files: Vec<TensorFile>,
    /// Which file holds a key.
    keys: BTreeMap<String, usize>,
    used: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl<'a> Checkpoint<'a> {
    pub(super) fn open(folder: &Path, spec: &'a Spec, device: &'a Device) -> Result<Self> {
        let (files, keys) = if folder.join(INDEX).is_file() && !folder.join(SINGLE).is_file() {
            open_shards(folder)?
        } else {
            let path = folder.join(SINGLE);
            if !path.is_file() {
                return Err(Error::format(
                    folder,
                    format!("holds neither {SINGLE} nor {INDEX}; pickled .bin files are not read"),
                ));
            }
            let file = TensorFile::open(&path)?;
            let keys = file.names().map(|name| (name.to_string(), 0)).collect();
            (vec![file], keys)
        };
        Ok(Self { spec, device, files, keys, used: BTreeSet::new() })
    }

    /// The key as this file spells it: older files leave out the prefix of the bare model.
    fn spelled(&self, key: &str) -> Option<String> {
        let bare = || key.strip_prefix(self.spec.names().optional_prefix);
        [Some(key), bare()]
            .into_iter()
            .flatten()
            .find(|k| self.keys.contains_key(*k))
            .map(Into::into)
    }

    fn read(&mut self, key: &str) -> Result<(Vec<f32>, Vec<usize>)> {
        self.files[self.keys[key]].read_f32(key)
    }

    /// Checks that nothing in the files was left over.
    pub(super) fn finish(mut self) -> Result<()> {
        if self.spec.config.tied_head && self.keys.contains_key("lm_head.weight") {
            // Some writers store the tied head as a copy. A head that differs means the config is wrong.
            let embedding = self.spec.stored_as("embedding.weight").key;
            let embedding = self.spelled(&embedding).unwrap_or(embedding);
            if self.read("lm_head.weight")? != self.read(&embedding)? {
                return Err(Error::Weights {
                    key: "lm_head.weight".into(),
                    expected: "a copy of the embedding, since tie_word_embeddings is true".into(),
                    found: "other values; set tie_word_embeddings to false in config.json".into(),
                });
            }
            self.used.insert("lm_head.weight".into());
        }
        let buffers = self.spec.names().buffers;
        let left: Vec<_> = self
            .keys
            .keys()
            .filter(|key| !self.used.contains(*key))
            .filter(|key| !buffers.iter().any(|buffer| key.ends_with(buffer)))
            .collect();
        match left.first() {
            None => Ok(()),
            Some(key) => Err(Error::Weights {
                key: key.to_string(),
                expected: format!(
                    "only the tensors of a {} with {} layers",
                    self.spec.json.get("model_type").and_then(|v| v.as_str()).unwrap_or("decoder"),
                    self.spec.config.layers
                ),
                found: format!("{} tensor(s) that belong to no part of it", left.len()),
            }),
        }
    }
}

impl ParameterSource for Checkpoint<'_> {
    fn values(&mut self, path: &str, shape: &[usize], _init: Init) -> Result<Vec<f32>> {
        let stored = self.spec.stored_as(path);
        let mut expected = shape.to_vec();
        if stored.transposed {
            expected.reverse();
        }
        let Some(key) = self.spelled(&stored.key) else {
            return Err(Error::Weights {
                key: stored.key,
                expected: format!("a tensor of shape {expected:?}"),
                found: "no such key; the folder may hold another architecture".into(),
            });
        };
        // The shape is compared before the values are read, so a wrong file costs no memory.
        let found = self.files[self.keys[&key]].shape(&key).unwrap_or_default();
        if found != expected {
            return Err(Error::Weights {
                expected: format!("shape {expected:?} from config.json"),
                found: format!("shape {found:?}"),
                key,
            });
        }
        let (values, _) = self.read(&key)?;
        self.used.insert(key);
        Ok(match (stored.transposed, shape) {
            (true, &[rows, columns]) => transpose(&values, columns, rows),
            _ => values,
        })
    }

    fn device(&self) -> &Device {
        self.device
    }
}

fn open_shards(folder: &Path) -> Result<(Vec<TensorFile>, BTreeMap<String, usize>)> {
    let path = folder.join(INDEX);
    let bytes = read_bounded(&path, 256 << 20)?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|why| Error::format(&path, why))?;
    let mut names: Vec<&String> = index.weight_map.values().collect();
    names.sort();
    names.dedup();
    let mut files = Vec::with_capacity(names.len());
    for name in &names {
        // A shard lies beside its index; anything else is a path out of the folder.
        if Path::new(name).file_name().is_none_or(|file| file.to_string_lossy() != **name) {
            return Err(Error::format(&path, format!("shard '{name}' is not a plain file name")));
        }
        let shard = folder.join(name);
        if !shard.is_file() {
            return Err(Error::format(
                &path,
                format!("shard {name} is missing from the folder; fetch it again"),
            ));
        }
        files.push(TensorFile::open(&shard)?);
    }
    let mut keys = BTreeMap::new();
    for (i, file) in files.iter().enumerate() {
        for key in file.names() {
            if index.weight_map.get(key) != Some(names[i]) {
                return Err(Error::Weights {
                    key: key.to_string(),
                    expected: format!("an entry for {} in {INDEX}", names[i]),
                    found: "none; shard and index do not belong together".into(),
                });
            }
            keys.insert(key.to_string(), i);
        }
    }
    if let Some((key, shard)) = index.weight_map.iter().find(|(key, _)| !keys.contains_key(*key)) {
        return Err(Error::Weights {
            key: key.clone(),
            expected: format!("a tensor in {shard}, as {INDEX} says"),
            found: "none; shard and index do not belong together".into(),
        });
    }
    Ok((files, keys))
}

/// `[rows, columns]` to `[columns, rows]`, in blocks that stay in cache.
pub(crate) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut result = vec![0.0; values.len()];
    for row0 in (0..rows).step_by(BLOCK) {
        for column0 in (0..columns).step_by(BLOCK) {
            for row in row0..rows.min(row0 + BLOCK) {
                for column in column0..columns.min(column0 + BLOCK) {
                    result[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transpose_swaps_rows_and_columns() {
        let values: Vec<f32> = (0..35 * 70).map(|i| i as f32).collect();
        let swapped = transpose(&values, 35, 70);
        assert_eq!(swapped[69 * 35 + 34], values[34 * 70 + 69]);
        assert_eq!(transpose(&swapped, 70, 35), values);
    }
}
