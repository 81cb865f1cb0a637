//! A model from its Hugging Face folder.

use super::atomic::read_bounded;
use super::checkpoint::{Checkpoint, FreshHead};
use crate::model::{
    Decoder, Encoder, EncoderDecoder, Head, Model, ModelConfig, RandomSource, Spec,
};
use crate::{Error, Result, json};
use burn::tensor::Device;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;

/// A model of whatever kind its folder holds.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one value per program, moved once")]
pub enum LoadedModel {
    /// GPT-2, LLaMA and their like.
    Decoder(Decoder),
    /// BERT and its like.
    Encoder(Encoder),
    /// T5.
    EncoderDecoder(EncoderDecoder),
}

/// Loads the model in `folder` (`config.json` and `model.safetensors`, or shards with their index) as f32, with the head
/// that its `config.json` names.
///
/// Every parameter of the model must be in the files and every tensor of the files must be used.
///
/// # Errors
/// [`Error::Io`] and [`Error::Format`] for missing or damaged files, [`Error::Config`] for sizes out of range and for a
/// folder that holds another kind of model, [`Error::Weights`] for a missing, unexpected or misshapen tensor.
pub fn load<M: Model>(folder: &Path, device: &Device) -> Result<M> {
    read(folder, &Arc::new(read_spec(folder)?), device)
}

/// A model with a head that its files may lack.
#[derive(Clone, Debug)]
pub struct Headed<M> {
    /// The model.
    pub model: M,
    /// The modules that start afresh, by their Hugging Face names. Whoever keeps less than the whole model must keep
    /// these, because no file holds their values.
    pub fresh: Vec<String>,
}

/// Loads the model in `folder` and puts `head` on top.
///
/// What the files hold of that head is kept: the classes, when their names and the problem are the same, and the pooler.
/// The rest starts as a fresh model of `seed` does. Stored parameters of other heads are left out.
///
/// # Errors
/// As [`load`]; [`Error::Format`] when the family has no such head.
pub fn load_with_head<M: Model>(
    folder: &Path,
    device: &Device,
    head: Head,
    seed: u64,
) -> Result<Headed<M>> {
    let path = config_path(folder)?;
    let json = read_config(&path)?;
    // An architecture without a head that Nexus knows has no classes to keep.
    let stored = Spec::from_json(json.clone(), &path).ok().map(|spec| spec.head);
    let keep_classes = stored.as_ref() == Some(&head);
    let spec = Arc::new(Spec::with_head(json, &path, head)?);
    let source = RandomSource::new(seed, device);
    let checkpoint = Checkpoint::open(folder, &spec, device)?;
    let mut checkpoint = checkpoint.with_fresh_head(FreshHead::new(source, keep_classes));
    let model = M::build(&mut checkpoint, Arc::clone(&spec))?;
    let fresh = checkpoint.fresh_modules();
    checkpoint.finish()?;
    Ok(Headed { model, fresh })
}

/// Loads the model in `folder`, whatever its kind.
///
/// # Errors
/// As [`load`].
pub fn load_any(folder: &Path, device: &Device) -> Result<LoadedModel> {
    let spec = Arc::new(read_spec(folder)?);
    Ok(match &spec.config {
        ModelConfig::Decoder(_) => LoadedModel::Decoder(read(folder, &spec, device)?),
        ModelConfig::Encoder(_) => LoadedModel::Encoder(read(folder, &spec, device)?),
        ModelConfig::EncoderDecoder(_) => LoadedModel::EncoderDecoder(read(folder, &spec, device)?),
    })
}

/// The family, head and shape that the `config.json` of `folder` describes, without its weights.
///
/// # Errors
/// As [`load`], but for the weights.
pub fn read_spec(folder: &Path) -> Result<Spec> {
    let path = config_path(folder)?;
    Spec::from_json(read_config(&path)?, &path)
}

fn read<M: Model>(folder: &Path, spec: &Arc<Spec>, device: &Device) -> Result<M> {
    let mut checkpoint = Checkpoint::open(folder, spec, device)?;
    let model = M::build(&mut checkpoint, Arc::clone(spec))?;
    checkpoint.finish()?;
    Ok(model)
}

fn config_path(folder: &Path) -> Result<std::path::PathBuf> {
    if folder.is_dir() {
        return Ok(folder.join("config.json"));
    }
    Err(Error::format(
        folder,
        "no such folder; expected a Hugging Face model folder with config.json, \
         model.safetensors and tokenizer.json",
    ))
}

/// Reads a `config.json`-like file: a JSON object of at most 16 MiB and 262,144 values, in which no key occurs twice.
///
/// # Errors
/// [`Error::Io`], or [`Error::Format`] when the file is not a JSON object.
pub fn read_config(path: &Path) -> Result<Map<String, Value>> {
    let bytes = read_bounded(path, 16 << 20)?;
    json::object(&bytes).map_err(|why| Error::format(path, format!("not a JSON object: {why}")))
}
