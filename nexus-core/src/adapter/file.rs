//! `adapter_config.json` and `adapter_model.safetensors`, written as PEFT writes them.

use super::names::{WholeKeys, parameter_name, stored_whole};
use super::select::Selection;
use crate::model::Model;
use crate::weights::{OwnedTensor, parameters, transpose, write_file, write_tensors};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) const CONFIG: &str = "adapter_config.json";
pub(super) const WEIGHTS: &str = "adapter_model.safetensors";

/// Whether `folder` holds an adapter rather than a model.
pub fn is_adapter_folder(folder: &Path) -> bool {
    folder.join(CONFIG).is_file()
}

/// Writes the attached adapter into `folder`; `base` is recorded as the base model's name. Where the vocabulary was
/// resized, embedding and head are stored as well.
///
/// # Errors
/// [`Error::Adapter`] when none is attached; [`Error::Io`].
pub fn save_adapter(model: &impl Model, base: &str, folder: &Path) -> Result<()> {
    let Some(config) = model.adapter() else {
        return Err(Error::Adapter { why: "none is attached, so there is none to save".into() });
    };
    let selection = Selection::new(config)?;
    let spec = model.spec();
    let all = parameters(model);
    let own_head = all.iter().any(|parameter| parameter.path == "head.weight");
    let adapted = all.iter().any(|parameter| parameter.path == "embedding.adapter.a");
    let mut tensors = BTreeMap::new();
    for parameter in all {
        let path = parameter.path.as_str();
        let factor = path.contains(".adapter.");
        if !factor && !stored_whole(spec, &selection, path) {
            continue;
        }
        let values = parameter.values();
        // Our factors are transposed as projections are.
        let transposed = factor || spec.stored_as(path).transposed;
        let tensor = match (transposed, parameter.shape.as_slice()) {
            (true, &[rows, columns]) => {
                OwnedTensor::f32(&transpose(&values, rows, columns), &[columns, rows])
            }
            (_, shape) => OwnedTensor::f32(&values, shape),
        };
        if factor {
            tensors.insert(parameter_name(spec, path), tensor);
            continue;
        }
        let keys = WholeKeys::new(spec, path, own_head);
        match selection.stores(path) {
            true => {
                tensors.extend(keys.written(adapted).into_iter().map(|key| (key, tensor.clone())));
            }
            false => {
                tensors.insert(keys.own, tensor);
            }
        }
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
