//! The families: each a translation of a `config.json` and a key map, without tensor mathematics.

mod gpt2;
mod llama;
mod reader;
mod rope;

use super::config::DecoderConfig;
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::path::Path;

pub use reader::ConfigReader;

/// A family of decoders that Nexus can read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// GPT-2 (Radford et al. 2019).
    Gpt2,
    /// LLaMA and its descendants with the same data flow: Mistral, Qwen2, SmolLM, TinyLlama.
    Llama,
}

/// A model's shape together with everything needed to write it back as a Hugging Face folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The family, which decides key names and layouts.
    pub family: Family,
    /// The shape.
    pub config: DecoderConfig,
    /// The `config.json` that the model came with, kept whole for saving.
    pub json: Map<String, Value>,
}

/// Where a parameter of ours lives in a Hugging Face file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAs {
    /// The key, such as `model.layers.0.self_attn.q_proj.weight`.
    pub key: String,
    /// Whether the file holds `[outputs, inputs]` where we hold `[inputs, outputs]`.
    pub transposed: bool,
}

/// The model types of `config.json` that can be loaded.
pub const MODEL_TYPES: &[&str] = &["gpt2", "llama", "mistral", "qwen2"];

impl Spec {
    /// Translates a `config.json`.
    ///
    /// # Errors
    /// [`Error::Format`] for an unknown model type, a missing field or a feature that the decoder lacks;
    /// [`Error::Config`] for a value out of range.
    pub fn from_json(json: Map<String, Value>, path: &Path) -> Result<Self> {
        let reader = ConfigReader::new(&json, path);
        let model_type = reader.text("model_type")?;
        let (family, config) = match model_type {
            "gpt2" => (Family::Gpt2, gpt2::config(&reader)?),
            "llama" | "mistral" | "qwen2" => (Family::Llama, llama::config(&reader, model_type)?),
            other => {
                return Err(Error::format(
                    path,
                    format!(
                        "model_type '{other}' is not supported; supported are {}",
                        MODEL_TYPES.join(", ")
                    ),
                ));
            }
        };
        config.check()?;
        Ok(Self { family, config, json })
    }

    /// Where the parameter at one of our paths is stored.
    pub fn stored_as(&self, path: &str) -> StoredAs {
        let names = self.names();
        let (module, parameter) = split_path(path);
        let key = format!("{}.{parameter}", self.module_name(module));
        // Matrices of projections only: embeddings are [V, D] on both sides.
        let matrix = parameter == "weight"
            && (module == "head"
                || [".attention.", ".mlp."].iter().any(|part| module.contains(part)));
        StoredAs { key, transposed: matrix && (!names.conv1d || module == "head") }
    }

    /// The Hugging Face path of one of our modules, such as `model.layers.0.self_attn.q_proj`.
    pub fn module_name(&self, module: &str) -> String {
        let names = self.names();
        fn lookup<'a>(names: &Names, name: &'a str) -> &'a str {
            names.modules.iter().find(|(ours, _)| *ours == name).map_or(name, |(_, theirs)| theirs)
        }
        match module.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) {
            Some((index, inner)) => format!("{}.{index}.{}", names.blocks, lookup(names, inner)),
            None => lookup(names, module).to_string(),
        }
    }

    /// Whether projections are stored `[inputs, outputs]` (GPT-2's Conv1D), PEFT's `fan_in_fan_out`.
    pub fn conv1d(&self) -> bool {
        self.names().conv1d
    }

    pub(crate) fn names(&self) -> &'static Names {
        match self.family {
            Family::Gpt2 => &gpt2::NAMES,
            Family::Llama => &llama::NAMES,
        }
    }
}

/// A parameter's path as module and name; the embeddings are parameters of the model itself.
pub(crate) fn split_path(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or((path, "weight"))
}

/// The key map of a family.
#[derive(Debug)]
pub(crate) struct Names {
    /// Prefix of the blocks, before the index.
    blocks: &'static str,
    /// Our module name (inside a block, or top level) and theirs.
    modules: &'static [(&'static str, &'static str)],
    /// Whether projections inside blocks are stored `[inputs, outputs]`.
    conv1d: bool,
    /// A prefix that older files lack.
    pub(crate) optional_prefix: &'static str,
    /// Keys that hold no parameter (buffers of older versions), by their ending.
    pub(crate) buffers: &'static [&'static str],
}
