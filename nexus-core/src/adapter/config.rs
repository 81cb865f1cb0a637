//! `adapter_config.json` in PEFT's form.

use crate::{Error, Result};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// The fields of PEFT's LoRA configuration that Nexus implements.
///
/// | field | default | range |
/// |---|---|---|
/// | `r` | 8 | >= 1, at most the smaller side of the projection |
/// | `lora_alpha` | 8 | > 0 |
/// | `lora_dropout` | 0 | 0 <= p < 1 |
/// | `target_modules` | `"all-linear"` | a list of names, a regular expression, or `"all-linear"` |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdapterConfig {
    /// Always `LORA`.
    pub peft_type: String,
    /// What the model is for; `CAUSAL_LM` for a decoder.
    pub task_type: Option<String>,
    /// Folder or name of the base model.
    pub base_model_name_or_path: Option<String>,
    /// Rank.
    pub r: usize,
    /// Numerator of the scale.
    #[serde(serialize_with = "whole")]
    pub lora_alpha: f64,
    /// Probability of dropping an input of the adapter.
    pub lora_dropout: f64,
    /// Whether the scale is `alpha / sqrt(r)` (arXiv:2312.03732) instead of `alpha / r`.
    pub use_rslora: bool,
    /// Which projections get an adapter.
    pub target_modules: Option<Modules>,
    /// Which of them do not.
    pub exclude_modules: Option<Modules>,
    /// Only in blocks of these indices.
    pub layers_to_transform: Option<Layers>,
    /// Rank by pattern: a regular expression that the end of the module path must match.
    pub rank_pattern: BTreeMap<String, usize>,
    /// Alpha by pattern.
    #[serde(serialize_with = "whole_values")]
    pub alpha_pattern: BTreeMap<String, f64>,
    /// Modules that are trained and saved whole.
    pub modules_to_save: Option<Vec<String>>,
    /// Whether the base stores `[inputs, outputs]` (GPT-2).
    pub fan_in_fan_out: bool,
    /// Which biases train; only `none`.
    pub bias: String,
    /// Whether each output has a magnitude of its own (DoRA, arXiv:2402.09353); not for embeddings.
    pub use_dora: bool,
    /// A bias on B; not available.
    pub lora_bias: bool,
    /// Whether the file is for inference; PEFT writes true.
    pub inference_mode: bool,
    /// How A and B start; true means A uniform, B zero.
    pub init_lora_weights: serde_json::Value,
    /// Fields of PEFT that Nexus does not use, kept so that a file survives a round trip.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
    /// Which parameters of the vocabulary (`embedding.weight`, `head.weight`, `masked.bias`) are stored in full beside the
    /// adapter, because the base has another vocabulary. Not part of this file: the file of weights says it.
    #[serde(skip)]
    pub stored_vocabulary: BTreeSet<String>,
}

/// A list of names, a regular expression, or `all-linear`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Modules {
    /// Names, each the end of a module path.
    Names(Vec<String>),
    /// A regular expression over whole module paths, or `all-linear`.
    Pattern(String),
}

/// One block index or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Layers {
    /// One block.
    One(usize),
    /// Several blocks.
    Many(Vec<usize>),
}

impl Layers {
    /// Whether block `index` is meant.
    pub fn contains(&self, index: usize) -> bool {
        match self {
            Self::One(one) => *one == index,
            Self::Many(many) => many.contains(&index),
        }
    }
}

impl Default for AdapterConfig {
    fn default() -> Self {
        let null = serde_json::Value::Null;
        let empty = serde_json::json!({});
        // What PEFT writes beside the fields above, so that a file of ours looks like one of its own.
        let other = [
            ("alora_invocation_tokens", null.clone()),
            ("auto_mapping", null.clone()),
            ("corda_config", null.clone()),
            ("eva_config", null.clone()),
            ("layer_replication", null.clone()),
            ("layers_pattern", null.clone()),
            ("loftq_config", empty),
            ("megatron_config", null.clone()),
            ("megatron_core", "megatron.core".into()),
            ("qalora_group_size", 16.into()),
            ("revision", null.clone()),
            ("target_parameters", null.clone()),
            ("trainable_token_indices", null),
            ("use_qalora", false.into()),
        ];
        Self {
            peft_type: "LORA".into(),
            task_type: Some("CAUSAL_LM".into()),
            base_model_name_or_path: None,
            r: 8,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            use_rslora: false,
            target_modules: Some(Modules::Pattern("all-linear".into())),
            exclude_modules: None,
            layers_to_transform: None,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
            modules_to_save: None,
            fan_in_fan_out: false,
            bias: "none".into(),
            use_dora: false,
            lora_bias: false,
            inference_mode: true,
            init_lora_weights: true.into(),
            other: other.into_iter().map(|(k, v)| (k.to_string(), v)).collect(),
            stored_vocabulary: BTreeSet::new(),
        }
    }
}

impl AdapterConfig {
    /// Checks every range, and that nothing is asked for that would silently be left out.
    ///
    /// # Errors
    /// [`Error::Config`] names the field.
    pub fn check(&self) -> Result<()> {
        if self.peft_type != "LORA" {
            return Err(Error::config("peft_type", &self.peft_type, "LORA"));
        }
        let ranks = std::iter::once(&self.r).chain(self.rank_pattern.values());
        for &rank in ranks {
            if rank == 0 || rank > 1 << 16 {
                return Err(Error::config("r", rank, "a rank from 1 to 65536"));
            }
        }
        let alphas = std::iter::once(&self.lora_alpha).chain(self.alpha_pattern.values());
        for &alpha in alphas {
            if !alpha.is_finite() || alpha <= 0.0 {
                return Err(Error::config("lora_alpha", alpha, "a number above 0"));
            }
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            return Err(Error::config("lora_dropout", self.lora_dropout, "from 0 up to below 1"));
        }
        if self.bias != "none" {
            return Err(Error::config("bias", &self.bias, "none"));
        }
        if self.lora_bias {
            return Err(Error::config("lora_bias", true, "false; this variant is not available"));
        }
        let unavailable = [
            "layer_replication",
            "trainable_token_indices",
            "target_parameters",
            "alora_invocation_tokens",
            "use_qalora",
            "megatron_config",
        ];
        for field in unavailable {
            use serde_json::Value::{Bool, Null};
            match self.other.get(field) {
                None | Some(Null | Bool(false)) => {}
                Some(value) => {
                    return Err(Error::config(field, value, "null; this variant is not available"));
                }
            }
        }
        Ok(())
    }
}

/// Writes 8.0 as 8: PEFT writes alpha as it was given, nearly always a whole number.
fn whole<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match *value as u32 {
        whole if f64::from(whole) == *value => serializer.serialize_u32(whole),
        _ => serializer.serialize_f64(*value),
    }
}

fn whole_values<S: Serializer>(
    values: &BTreeMap<String, f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Whole(#[serde(serialize_with = "whole")] f64);
    serializer.collect_map(values.iter().map(|(key, &value)| (key, Whole(value))))
}
