//! A checkpoint in one file or in shards, as a source of parameters.

use super::atomic::read_bounded;
use super::tensor_file::TensorFile;
use crate::json::Unique;
use crate::model::{Head, Init, ParameterSource, RandomSource, Spec, split_path};
use crate::{Error, Result};
use burn::tensor::Device;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// Reads a model's parameters from its folder and accounts for every key.
#[derive(Debug)]
pub(super) struct Checkpoint<'a> {
    spec: &'a Spec,
    device: &'a Device,
    files: Vec<TensorFile>,
    /// Which file holds a key.
    keys: BTreeMap<String, usize>,
    used: BTreeSet<String>,
    /// Where the parameters of a head come from that the files lack.
    fresh: Option<FreshHead>,
}

/// A head that is put on top of a stored model.
#[derive(Debug)]
pub(super) struct FreshHead {
    /// Gives the new parameters.
    pub(super) source: RandomSource,
    /// Whether the stored classes are the wanted ones.
    pub(super) keep_classes: bool,
}

impl FreshHead {
    /// Whether the parameter at `path` is made up rather than read.
    fn makes(&self, path: &str, stored: bool) -> bool {
        let (module, _) = split_path(path);
        match module.split('.').next() {
            Some("classes") => !(stored && self.keep_classes),
            Some("pooler" | "masked" | "head") => !stored,
            _ => false,
        }
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: Unique<BTreeMap<String, String>>,
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
        Ok(Self { spec, device, files, keys, used: BTreeSet::new(), fresh: None })
    }

    /// Allows the files to lack the head, or to hold another.
    pub(super) fn with_fresh_head(mut self, fresh: FreshHead) -> Self {
        self.fresh = Some(fresh);
        self
    }

    /// The key as this file spells it: older files leave out the prefix of the bare model.
    fn spelled(&self, key: &str) -> Option<String> {
        let spellings = self.spec.names().spellings(key).into_iter().flatten();
        std::iter::once(key.to_string()).chain(spellings).find(|k| self.keys.contains_key(k))
    }

    fn read(&mut self, key: &str) -> Result<(Vec<f32>, Vec<usize>)> {
        self.files[self.keys[key]].read_f32(key)
    }

    /// Checks that nothing in the files was left over.
    pub(super) fn finish(mut self) -> Result<()> {
        let names = self.spec.names();
        // All of them belong to the language head; under another head they are nothing of this model.
        let replaced = self.fresh.is_some() && self.spec.head != Head::Language;
        for (key, original) in names.copies.iter().filter(|_| !replaced) {
            if self.keys.contains_key(*key) && !self.used.contains(*key) {
                self.check_copy(key, original)?;
            }
        }
        let other_head = |key: &str| {
            self.fresh.is_some() && names.head_keys.iter().any(|head| key.starts_with(head))
        };
        let left: Vec<_> = self
            .keys
            .keys()
            .filter(|key| !self.used.contains(*key))
            .filter(|key| !names.buffers.iter().any(|buffer| key.ends_with(buffer)))
            .filter(|key| !other_head(key))
            .collect();
        match left.first() {
            None => Ok(()),
            Some(key) => Err(Error::Weights {
                key: key.to_string(),
                expected: format!("only the tensors of {}", self.described()),
                found: format!("{} tensor(s) that belong to no part of it", left.len()),
            }),
        }
    }

    /// The model in words.
    fn described(&self) -> String {
        let json = &self.spec.json;
        let text =
            |value: Option<&serde_json::Value>| value.and_then(|v| v.as_str().map(str::to_string));
        let class = json.get("architectures").and_then(|list| text(list.get(0)));
        let kind = class.or_else(|| text(json.get("model_type")));
        let layers = ["num_hidden_layers", "n_layer", "n_layers", "num_layers"];
        let layers = layers.iter().find_map(|field| json.get(*field)?.as_u64()).unwrap_or(0);
        format!("a {} with {layers} layers", kind.unwrap_or_else(|| "model".into()))
    }

    /// Some writers store a tied parameter as a copy. A copy that differs means that it is not tied.
    fn check_copy(&mut self, key: &str, original: &str) -> Result<()> {
        let stored = self.spec.stored_as(original).key;
        let Some(stored) = self.spelled(&stored) else { return Ok(()) };
        if self.read(key)? != self.read(&stored)? {
            return Err(Error::Weights {
                key: key.into(),
                expected: format!("a copy of {stored}, to which config.json ties it"),
                found: "other values; set tie_word_embeddings to false in config.json".into(),
            });
        }
        self.used.insert(key.into());
        Ok(())
    }
}

impl ParameterSource for Checkpoint<'_> {
    fn values(&mut self, path: &str, shape: &[usize], init: Init) -> Result<Vec<f32>> {
        let stored = self.spec.stored_as(path);
        let is_stored = self.spelled(&stored.key).is_some();
        if let Some(fresh) = self.fresh.as_mut().filter(|fresh| fresh.makes(path, is_stored)) {
            return fresh.source.values(path, shape, init);
        }
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

    fn has(&self, path: &str) -> Option<bool> {
        Some(self.spelled(&self.spec.stored_as(path).key).is_some())
    }

    fn device(&self) -> &Device {
        self.device
    }
}

fn open_shards(folder: &Path) -> Result<(Vec<TensorFile>, BTreeMap<String, usize>)> {
    let path = folder.join(INDEX);
    let bytes = read_bounded(&path, 256 << 20)?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|why| Error::format(&path, why))?;
    let Unique(weight_map) = index.weight_map;
    let mut names: Vec<&String> = weight_map.values().collect();
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
            if weight_map.get(key) != Some(names[i]) {
                return Err(Error::Weights {
                    key: key.to_string(),
                    expected: format!("an entry for {} in {INDEX}", names[i]),
                    found: "none; shard and index do not belong together".into(),
                });
            }
            keys.insert(key.to_string(), i);
        }
    }
    if let Some((key, shard)) = weight_map.iter().find(|(key, _)| !keys.contains_key(*key)) {
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
