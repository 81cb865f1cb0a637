//! The families: each a translation of a `config.json` and a key map, without tensor mathematics.

mod bert;
mod gpt2;
mod llama;
mod names;
mod reader;
mod rope;
mod t5;

use super::config::{DecoderConfig, MlpKind};
use super::encoder_config::EncoderConfig;
use super::head::Head;
use super::seq2seq_config::EncoderDecoderConfig;
use crate::{Error, Result};
use names::Names;
use serde_json::{Map, Value};
use std::path::Path;

pub use reader::ConfigReader;

/// A family of models that Nexus can read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// GPT-2 (Radford et al. 2019).
    Gpt2,
    /// LLaMA and its descendants with the same data flow: Mistral, Qwen2, SmolLM, TinyLlama.
    Llama,
    /// BERT (Devlin et al. 2018, arXiv:1810.04805).
    Bert,
    /// RoBERTa (Liu et al. 2019, arXiv:1907.11692).
    Roberta,
    /// DistilBERT (Sanh et al. 2019, arXiv:1910.01108).
    DistilBert,
    /// T5 (Raffel et al. 2019, arXiv:1910.10683), versions 1.0 and 1.1.
    T5,
}

/// The shape of a model.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelConfig {
    /// Of a [`Decoder`](super::Decoder).
    Decoder(DecoderConfig),
    /// Of an [`Encoder`](super::Encoder).
    Encoder(EncoderConfig),
    /// Of an [`EncoderDecoder`](super::EncoderDecoder).
    EncoderDecoder(EncoderDecoderConfig),
}

/// A model's shape together with everything needed to write it back as a Hugging Face folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The family, which decides key names and layouts.
    pub family: Family,
    /// What stands on top.
    pub head: Head,
    /// The shape.
    pub config: ModelConfig,
    /// The `config.json` that the model came with, kept whole for saving.
    pub json: Map<String, Value>,
    /// Whether the vocabulary was resized, so that the folder it came from no longer holds its embedding.
    pub resized: bool,
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
pub const MODEL_TYPES: &[&str] =
    &["gpt2", "llama", "mistral", "qwen2", "bert", "roberta", "distilbert", "t5"];

/// Modules whose weight is a table `[rows, D]` on both sides; every other matrix belongs to a projection.
const TABLES: [&str; 4] = ["embedding", "positions", "types", "relative_bias"];

impl Spec {
    /// Translates a `config.json`.
    ///
    /// # Errors
    /// [`Error::Format`] for an unknown model type, a missing field or a feature that the models lack;
    /// [`Error::Config`] for a value out of range.
    pub fn from_json(json: Map<String, Value>, path: &Path) -> Result<Self> {
        let (family, config) = Self::shape(&json, path)?;
        let default = match family {
            Family::Bert | Family::Roberta | Family::DistilBert => Head::Features,
            Family::Gpt2 | Family::Llama | Family::T5 => Head::Language,
        };
        let head = Head::from_json(&ConfigReader::new(&json, path), default)?;
        Self { family, head, config, json, resized: false }.checked(path)
    }

    /// Translates a `config.json` for a model with `head`, whatever head it names; the spec's own JSON names the
    /// new one.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json); [`Error::Config`] when the family has no such head.
    pub fn with_head(json: Map<String, Value>, path: &Path, head: Head) -> Result<Self> {
        let (family, config) = Self::shape(&json, path)?;
        let mut spec = Self { family, head, config, json, resized: false }.checked(path)?;
        let architecture = spec.architecture();
        spec.head.clone().write(&mut spec.json, architecture);
        Ok(spec)
    }

    fn shape(json: &Map<String, Value>, path: &Path) -> Result<(Family, ModelConfig)> {
        let reader = ConfigReader::new(json, path);
        let model_type = reader.text("model_type")?;
        use ModelConfig::{Decoder, Encoder, EncoderDecoder};
        let (family, config) = match model_type {
            "gpt2" => (Family::Gpt2, Decoder(gpt2::config(&reader)?)),
            "llama" | "mistral" | "qwen2" => {
                (Family::Llama, Decoder(llama::config(&reader, model_type)?))
            }
            "bert" => (Family::Bert, Encoder(bert::bert(&reader)?)),
            "roberta" => (Family::Roberta, Encoder(bert::roberta(&reader)?)),
            "distilbert" => (Family::DistilBert, Encoder(bert::distilbert(&reader)?)),
            "t5" => (Family::T5, EncoderDecoder(t5::config(&reader)?)),
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
        match &config {
            Decoder(config) => config.check()?,
            Encoder(config) => config.check()?,
            EncoderDecoder(config) => config.check()?,
        }
        Ok((family, config))
    }

    /// Refuses a head that the family lacks.
    fn checked(self, path: &Path) -> Result<Self> {
        let refused = match (&self.config, &self.head) {
            (ModelConfig::Decoder(_), Head::Tokens(_)) => "token classification",
            (ModelConfig::EncoderDecoder(_), Head::Features) => "a bare model",
            (ModelConfig::EncoderDecoder(_), Head::Sequence(_)) => "sequence classification",
            (ModelConfig::EncoderDecoder(_), Head::Tokens(_)) => "token classification",
            _ => return Ok(self),
        };
        Err(Error::format(path, format!("{refused} is not supported for this model_type")))
    }

    /// The name of the Hugging Face class, such as `BertForSequenceClassification`.
    fn architecture(&self) -> String {
        let class = match (self.family, self.json.get("model_type").and_then(Value::as_str)) {
            (Family::Gpt2, _) => "GPT2",
            (Family::Llama, Some("mistral")) => "Mistral",
            (Family::Llama, Some("qwen2")) => "Qwen2",
            (Family::Llama, _) => "Llama",
            (Family::Bert, _) => "Bert",
            (Family::Roberta, _) => "Roberta",
            (Family::DistilBert, _) => "DistilBert",
            (Family::T5, _) => "T5",
        };
        let role = match (&self.head, self.family) {
            (Head::Features, _) => "Model",
            (Head::Sequence(_), _) => "ForSequenceClassification",
            (Head::Tokens(_), _) => "ForTokenClassification",
            (Head::Language, Family::Gpt2) => "LMHeadModel",
            (Head::Language, Family::Llama) => "ForCausalLM",
            (Head::Language, Family::T5) => "ForConditionalGeneration",
            (Head::Language, _) => "ForMaskedLM",
        };
        format!("{class}{role}")
    }

    /// V: number of rows of the embedding.
    pub fn vocab_size(&self) -> usize {
        match &self.config {
            ModelConfig::Decoder(config) => config.vocab_size,
            ModelConfig::Encoder(config) => config.vocab_size,
            ModelConfig::EncoderDecoder(config) => config.vocab_size,
        }
    }

    /// The classes of the head, when it has some.
    pub fn classes(&self) -> Option<&super::head::Classes> {
        self.head.classes()
    }

    /// Where the parameter at one of our paths is stored.
    pub fn stored_as(&self, path: &str) -> StoredAs {
        let (module, parameter) = split_path(path);
        let key = format!("{}.{parameter}", self.module_name(module));
        let table = TABLES.iter().any(|table| module == *table || module.ends_with(table));
        let straight = self.names().conv1d && module.starts_with("blocks.");
        StoredAs { key, transposed: parameter == "weight" && !table && !straight }
    }

    /// The Hugging Face path of one of our modules, such as `model.layers.0.self_attn.q_proj`.
    pub fn module_name(&self, module: &str) -> String {
        self.names().module(module, self.head != Head::Features)
    }

    /// Whether projections are stored `[inputs, outputs]` (GPT-2's Conv1D), PEFT's `fan_in_fan_out`.
    pub fn conv1d(&self) -> bool {
        self.names().conv1d
    }

    pub(crate) fn names(&self) -> &'static Names {
        match self.family {
            Family::Gpt2 => &gpt2::NAMES,
            Family::Llama => &llama::NAMES,
            Family::Bert => &bert::BERT,
            Family::Roberta => bert::roberta_names(&self.head),
            Family::DistilBert => &bert::DISTILBERT,
            Family::T5 => match &self.config {
                ModelConfig::EncoderDecoder(config) if config.mlp == MlpKind::Gated => &t5::GATED,
                _ => &t5::PLAIN,
            },
        }
    }
}

/// A parameter's path as module and name.
pub(crate) fn split_path(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or((path, "weight"))
}
