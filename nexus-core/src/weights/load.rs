//! A model from its Hugging Face folder.

use super::atomic::read_bounded;
use super::checkpoint::Checkpoint;
use crate::model::{Decoder, Spec};
use crate::{Error, Result};
use burn::tensor::Device;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;

/// Loads the decoder in `folder` (`config.json` and `model.safetensors`, or shards with their index) as f32.
///
/// Every parameter of the model must be in the files and every tensor of the files must be used.
///
/// # Errors
/// [`Error::Io`] and [`Error::Format`] for missing or damaged files, [`Error::Config`] for sizes out of range,
/// [`Error::Weights`] for a missing, unexpected or misshapen tensor.
pub fn load(folder: &Path, device: &Device) -> Result<Decoder> {
    if !folder.is_dir() {
        return Err(Error::format(
            folder,
            "no such folder; expected a Hugging Face model folder with config.json, \
             model.safetensors and tokenizer.json",
        ));
    }
    let path = folder.join("config.json");
    let spec = Spec::from_json(read_config(&path)?, &path)?;
    let spec = Arc::new(spec);
    let mut checkpoint = Checkpoint::open(folder, &spec, device)?;
    let model = Decoder::build(&mut checkpoint, Arc::clone(&spec))?;
    checkpoint.finish()?;
    Ok(model)
}

/// Reads a `config.json`-like file: a JSON object of at most 16 MiB.
///
/// # Errors
/// [`Error::Io`], or [`Error::Format`] when the file is not a JSON object.
pub fn read_config(path: &Path) -> Result<Map<String, Value>> {
    let bytes = read_bounded(path, 16 << 20)?;
    serde_json::from_slice(&bytes)
        .map_err(|why| Error::format(path, format!("not a JSON object: {why}")))
}
