//! `adapter_config.json` and `adapter_model.safetensors`, as PEFT reads and writes them.

use super::attach::{Factors, attach_with};
use super::config::AdapterConfig;
use super::select::Selection;
use crate::model::{Model, Spec, split_path};
use crate::weights::{
    OwnedTensor, TensorFile, parameters, read_bounded, transpose, write_file, write_tensors,
};
use crate::{Error, Result, json};
use burn::module::{ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.";

/// The name of the parameter at one of our paths: the Hugging Face key, or PEFT's key for a part of an adapter.
pub fn parameter_name(spec: &Spec, path: &str) -> String {
    match path.rsplit_once(".adapter.") {
        Some((module, part)) => {
            let module = spec.module_name(module);
            format!("{PREFIX}{module}.lora_{}.weight", part.to_uppercase())
        }
        None => spec.stored_as(path).key,
    }
}

/// Whether `folder` holds an adapter rather than a model.
pub fn is_adapter_folder(folder: &Path) -> bool {
    folder.join(CONFIG).is_file()
}

/// Writes the attached adapter into `folder`; `base` is recorded as the base model's name.
///
/// # Errors
/// [`Error::Adapter`] when none is attached; [`Error::Io`].
pub fn save_adapter(model: &impl Model, base: &str, folder: &Path) -> Result<()> {
    let Some(config) = model.adapter() else {
        return Err(Error::Adapter { why: "none is attached, so there is none to save".into() });
    };
    let selection = Selection::new(config)?;
    let spec = model.spec();
    let mut tensors = BTreeMap::new();
    for parameter in parameters(model) {
        let name = parameter_name(spec, &parameter.path);
        let (module, _) = split_path(&parameter.path);
        let shape = parameter.shape.as_slice();
        let tensor = if parameter.path.contains(".adapter.") {
            let &[rows, columns] = shape else { continue };
            let values = transpose(&parameter.values(), rows, columns);
            (name, OwnedTensor::f32(&values, &[columns, rows]))
        } else if selection.saves(&spec.module_name(module)) {
            let stored = spec.stored_as(&parameter.path);
            let tensor = match (stored.transposed, shape) {
                (true, &[rows, columns]) => {
                    let values = transpose(&parameter.values(), rows, columns);
                    OwnedTensor::f32(&values, &[columns, rows])
                }
                _ => OwnedTensor::f32(&parameter.values(), shape),
            };
            (format!("{PREFIX}{name}"), tensor)
        } else {
            continue;
        };
        tensors.insert(tensor.0, tensor.1);
    }
    write_tensors(&folder.join(WEIGHTS), &tensors)?;
    let mut config = config.clone();
    config.base_model_name_or_path = Some(base.to_string());
    config.inference_mode = true;
    let path = folder.join(CONFIG);
    // Through a map, so that the keys are sorted as PEFT sorts them.
    let sorted: BTreeMap<String, serde_json::Value> = serde_json::to_value(&config)
        .and_then(serde_json::from_value)
        .map_err(|why| Error::format(&path, why))?;
    let text = serde_json::to_string_pretty(&sorted).map_err(|why| Error::format(&path, why))?;
    write_file(&path, text.as_bytes())
}

/// Reads an adapter and attaches it, frozen base and trainable adapter.
///
/// Every tensor of the file must find its place and every selected module its tensors.
///
/// # Errors
/// [`Error::Format`] and [`Error::Io`] for damaged files, [`Error::Config`] for a variant that is not available,
/// [`Error::Adapter`] when no key matches, [`Error::Weights`] for a missing, unexpected or misshapen tensor.
pub fn load_adapter<M: Model>(model: M, folder: &Path) -> Result<M> {
    let path = folder.join(CONFIG);
    let bytes = read_bounded(&path, 16 << 20)?;
    let config = json::object(&bytes).map_err(|why| Error::format(&path, why))?;
    let config: AdapterConfig =
        serde_json::from_value(config.into()).map_err(|why| Error::format(&path, why))?;
    if config.target_modules.is_none() {
        return Err(Error::format(&path, "target_modules is missing"));
    }
    let selection = Selection::new(&config)?;
    let weights = folder.join(WEIGHTS);
    if !weights.is_file() {
        return Err(Error::format(folder, format!("holds no {WEIGHTS}")));
    }
    let mut file = TensorFile::open(&weights)?;
    let keys: BTreeSet<String> = file.names().map(str::to_string).collect();

    let spec = Arc::clone(model.spec());
    let mut model = model;
    let modules: Vec<String> =
        model.projections_mut().iter().map(|(path, _)| spec.module_name(path)).collect();
    let by_name: HashSet<&str> = modules.iter().map(String::as_str).collect();
    let known = |key: &str| {
        let inner = key.strip_prefix(PREFIX).unwrap_or(key);
        inner.split_once(".lora_").is_some_and(|(module, _)| by_name.contains(module))
    };
    if !keys.iter().any(|key| known(key)) {
        return Err(Error::Adapter {
            why: format!(
                "no key of {} matches this model (first key: {}); was it trained on another base?",
                weights.display(),
                keys.first().map_or("none", String::as_str)
            ),
        });
    }

    let mut used = BTreeSet::new();
    let mut model = attach_with(model, &config, |salt, rank, [inputs, outputs], device| {
        let module = &modules[salt as usize];
        let mut factor = |part: &str, rows: usize, columns: usize| {
            let key = format!("{PREFIX}{module}.lora_{part}.weight");
            let values = read_exact(&mut file, &key, &[rows, columns])?;
            used.insert(key);
            // PEFT stores A as [r, inputs] and B as [outputs, r].
            Ok::<_, Error>(transpose(&values, rows, columns))
        };
        let a = factor("A", rank, inputs)?;
        let b = factor("B", outputs, rank)?;
        Ok(Factors { a, b, device: device.clone() })
    })?;

    let mut whole = Vec::new();
    for parameter in parameters(&model) {
        let (module, _) = split_path(&parameter.path);
        if parameter.path.contains(".adapter.") || !selection.saves(&spec.module_name(module)) {
            continue;
        }
        let stored = spec.stored_as(&parameter.path);
        let key = format!("{PREFIX}{}", stored.key);
        let mut shape = parameter.shape.clone();
        if stored.transposed {
            shape.reverse();
        }
        let values = read_exact(&mut file, &key, &shape)?;
        let values = match (stored.transposed, &shape[..]) {
            (true, &[rows, columns]) => transpose(&values, rows, columns),
            _ => values,
        };
        whole.push((parameter.path, values));
        used.insert(key);
    }
    if !whole.is_empty() {
        model = model.map(&mut Replace { path: Vec::new(), values: whole.into_iter().collect() });
    }
    match keys.difference(&used).next() {
        None => Ok(model),
        Some(key) => Err(Error::Weights {
            key: key.clone(),
            expected: "only tensors of the modules that adapter_config.json selects".into(),
            found: "a tensor that no module takes".into(),
        }),
    }
}

fn read_exact(file: &mut TensorFile, key: &str, shape: &[usize]) -> Result<Vec<f32>> {
    match file.shape(key) {
        Some(found) if found == shape => Ok(file.read_f32(key)?.0),
        found => Err(Error::Weights {
            key: key.to_string(),
            expected: format!("shape {shape:?}"),
            found: found.map_or("no such key".into(), |found| format!("shape {found:?}")),
        }),
    }
}

/// Replaces the values of parameters by path.
struct Replace {
    path: Vec<String>,
    values: BTreeMap<String, Vec<f32>>,
}

impl ModuleMapper for Replace {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.values.remove(&self.path.join(".")) {
            None => param,
            Some(values) => param.map(|old| {
                let trainable = old.is_require_grad();
                let data = TensorData::new(values, old.dims());
                Tensor::from_data(data, &old.device()).set_require_grad(trainable)
            }),
        }
    }
}
