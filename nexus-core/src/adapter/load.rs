//! `adapter_config.json` and `adapter_model.safetensors`, read as PEFT reads them.

use super::attach::no_dora;
use super::config::AdapterConfig;
use super::detached::{Adapter, Site, Whole, each_site};
use super::file::{CONFIG, WEIGHTS};
use super::names::{PREFIX, WholeKeys, of_vocabulary, stored_whole};
use super::select::Selection;
use crate::model::{LowRank, Model, resize_vocabulary, split_path};
use crate::weights::{NamedParameter, TensorFile, parameters, read_bounded, transpose};
use crate::{Error, Result, json};
use burn::tensor::{Device, Tensor, TensorData};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

/// Reads an adapter and attaches it, frozen base and trainable adapter.
///
/// Every tensor of the file must find its place and every selected module its tensors. An adapter that brings an
/// embedding for another vocabulary resizes the model's first ([`resize_vocabulary`]).
///
/// # Errors
/// [`Error::Format`] and [`Error::Io`] for damaged files, [`Error::Config`] for a variant that is not available,
/// [`Error::Adapter`] when no key matches, [`Error::Weights`] for a missing, unexpected or misshapen tensor.
pub fn load_adapter<M: Model>(model: M, folder: &Path) -> Result<M> {
    let mut file = AdapterFile::open(folder)?;
    let model = match file.vocabulary(&model) {
        Some(size) if size != model.spec().vocab_size() && model.adapter().is_none() => {
            resize_vocabulary(model, size)?
        }
        _ => model,
    };
    file.read(&model)?.on(model)
}

impl Adapter {
    /// Reads an adapter for `base`, which it leaves as it is.
    ///
    /// # Errors
    /// As [`load_adapter`]; [`Error::Weights`] also for an adapter with an embedding of another vocabulary than the
    /// base's.
    pub fn load<M: Model>(base: &M, folder: &Path) -> Result<Self> {
        AdapterFile::open(folder)?.read(base)
    }
}

/// The two files of an adapter and what has been read of them.
struct AdapterFile {
    config: AdapterConfig,
    weights: TensorFile,
    name: String,
    keys: BTreeSet<String>,
    used: BTreeSet<String>,
}

impl AdapterFile {
    fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let bytes = read_bounded(&path, 16 << 20)?;
        let config = json::object(&bytes).map_err(|why| Error::format(&path, why))?;
        let config: AdapterConfig =
            serde_json::from_value(config.into()).map_err(|why| Error::format(&path, why))?;
        if config.target_modules.is_none() {
            return Err(Error::format(&path, "target_modules is missing"));
        }
        config.check()?;
        let path = folder.join(WEIGHTS);
        if !path.is_file() {
            return Err(Error::format(folder, format!("holds no {WEIGHTS}")));
        }
        let weights = TensorFile::open(&path)?;
        let keys = weights.names().map(str::to_string).collect();
        Ok(Self { config, weights, name: path.display().to_string(), keys, used: BTreeSet::new() })
    }

    /// The size of the vocabulary for which the file brings an embedding.
    fn vocabulary(&self, model: &impl Model) -> Option<usize> {
        let keys = WholeKeys::new(model.spec(), "embedding.weight", false);
        let key = [Some(keys.own), keys.base_layer];
        let key = key.into_iter().flatten().find(|key| self.keys.contains(key))?;
        self.weights.shape(&key)?.first().copied()
    }

    fn read<M: Model>(&mut self, base: &M) -> Result<Adapter> {
        let given = self.config.clone();
        let selection = Selection::new(&given)?;
        let mut base = base.clone();
        self.check_base(&mut base)?;
        let (mut parts, mut modules) = (BTreeMap::new(), BTreeSet::new());
        each_site(&mut base, |site| {
            if selection.targets(&site.module, site.table) && !selection.saves(&site.module) {
                let part = self.part(&site, &selection)?;
                parts.insert(site.path, part);
                modules.insert(site.module);
            }
            Ok(())
        })?;
        let whole = self.whole(&base, &selection)?;
        match self.keys.difference(&self.used).next() {
            None => {
                let whole_only = |path: &&String| {
                    of_vocabulary(path)
                        && !selection.saves(&base.spec().module_name(split_path(path).0))
                };
                let stored_vocabulary = whole.keys().filter(whole_only).cloned().collect();
                let config = Arc::new(AdapterConfig { stored_vocabulary, ..given.clone() });
                Ok(Adapter { config, parts, whole, modules })
            }
            Some(key) => Err(Error::Weights {
                key: key.clone(),
                expected: "only tensors of the modules that adapter_config.json selects".into(),
                found: "a tensor that no module takes".into(),
            }),
        }
    }

    /// Refuses a file of which not even one key belongs to the model.
    fn check_base<M: Model>(&self, base: &mut M) -> Result<()> {
        let mut modules = HashSet::new();
        each_site(base, |site| {
            modules.insert(site.module);
            Ok(())
        })?;
        let known = |key: &String| {
            let inner = key.strip_prefix(PREFIX).unwrap_or(key);
            inner.split_once(".lora_").is_some_and(|(module, _)| modules.contains(module))
        };
        match self.keys.iter().any(known) {
            true => Ok(()),
            false => Err(Error::Adapter {
                why: format!(
                    "no key of {} matches this model (first key: {}); was it trained on another base?",
                    self.name,
                    self.keys.first().map_or("none", String::as_str)
                ),
            }),
        }
    }

    fn part(&mut self, site: &Site<'_>, selection: &Selection<'_>) -> Result<LowRank> {
        let settings = selection.settings(&site.module, self.config.lora_dropout, site.salt);
        let rank = settings.rank;
        let [inputs, outputs] = site.target.dims();
        let device = site.target.weight().without_autodiff().device();
        let [a, b] = match site.table {
            true => ["lora_embedding_A", "lora_embedding_B"],
            false => ["lora_A.weight", "lora_B.weight"],
        };
        // PEFT stores A as [r, inputs] and B as [outputs, r].
        let mut factor = |name: &str, rows: usize, columns: usize| {
            let values = self.take(&format!("{PREFIX}{}.{name}", site.module), &[rows, columns])?;
            Ok::<_, Error>(matrix(transpose(&values, rows, columns), [columns, rows], &device))
        };
        let part = LowRank::new(factor(a, rank, inputs)?, factor(b, outputs, rank)?, settings);
        if !self.config.use_dora {
            return Ok(part);
        }
        if site.table {
            return Err(no_dora(&site.module));
        }
        let key = format!("{PREFIX}{}.lora_magnitude_vector", site.module);
        let magnitude = TensorData::new(self.take(&key, &[outputs])?, [outputs]);
        Ok(part.with_magnitude(Tensor::from_data(magnitude, &device)))
    }

    /// What is stored in full: what `modules_to_save` names, and the embedding and the head where they are there.
    fn whole(
        &mut self,
        base: &impl Model,
        selection: &Selection<'_>,
    ) -> Result<BTreeMap<String, Whole>> {
        let spec = Arc::clone(base.spec());
        let all = parameters(base);
        let own_head = all.iter().any(|parameter| parameter.path == "head.weight");
        let mut whole = BTreeMap::new();
        for parameter in &all {
            let path = parameter.path.as_str();
            // What modules_to_save names has to be there, the vocabulary may be.
            let required = stored_whole(&spec, selection, path);
            if !required && !of_vocabulary(path) {
                continue;
            }
            let transposed = spec.stored_as(path).transposed;
            let keys = WholeKeys::new(&spec, path, own_head);
            let [own, base_layer] = [Some(keys.own.clone()), keys.base_layer]
                .map(|key| key.filter(|key| self.keys.contains(key)));
            let mut key = own.or(base_layer);
            if key.is_none() && path == "masked.bias" {
                key = keys.copies.iter().find(|key| self.keys.contains(*key)).cloned();
            }
            let values = match key {
                Some(key) => Some(self.oriented(&key, parameter, transposed)?),
                None if required => Some(self.oriented(&keys.own, parameter, transposed)?),
                None => None,
            };
            for copy in &keys.copies {
                if !self.keys.contains(copy) || self.used.contains(copy) {
                    continue;
                }
                let expected = values.clone().unwrap_or_else(|| parameter.values());
                if self.oriented(copy, parameter, transposed)? != expected {
                    return Err(Error::Weights {
                        key: copy.clone(),
                        expected: format!("a copy of {path}, to which config.json ties it"),
                        found: "other values; an adapter cannot untie a head".into(),
                    });
                }
            }
            if let (Some(values), Some(old)) = (values, parameter.flat()) {
                let count = values.len();
                let data = TensorData::new(values, [count]);
                let values = Tensor::from_data(data, &old.without_autodiff().device());
                whole.insert(
                    parameter.path.clone(),
                    Whole { shape: parameter.shape.clone(), values },
                );
            }
        }
        Ok(whole)
    }

    /// The values of a parameter in our layout.
    fn oriented(
        &mut self,
        key: &str,
        parameter: &NamedParameter,
        transposed: bool,
    ) -> Result<Vec<f32>> {
        let mut shape = parameter.shape.clone();
        if transposed {
            shape.reverse();
        }
        let values = self.take(key, &shape)?;
        Ok(match (transposed, &shape[..]) {
            (true, &[rows, columns]) => transpose(&values, rows, columns),
            _ => values,
        })
    }

    fn take(&mut self, key: &str, shape: &[usize]) -> Result<Vec<f32>> {
        match self.weights.shape(key) {
            Some(found) if found == shape => {
                self.used.insert(key.to_string());
                Ok(self.weights.read_f32(key)?.0)
            }
            found => Err(Error::Weights {
                key: key.to_string(),
                expected: format!("shape {shape:?}"),
                found: found.map_or("no such key".into(), |found| format!("shape {found:?}")),
            }),
        }
    }
}

fn matrix(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
