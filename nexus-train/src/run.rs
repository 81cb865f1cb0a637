//! The settings of a fine-tuning run as a file, and the model made ready for it.

use crate::config::{Precision, TrainConfig};
use nexus_core::adapter::{AdapterConfig, Modules, attach, train_all, train_head};
use nexus_core::data::{EncodeOptions, LossMask};
use nexus_core::model::{Decoder, Model, store_bf16};
use nexus_core::weights::read_bounded;
use nexus_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// A fine-tuning run, as a TOML file describes it. Unknown keys are refused.
///
/// | field | default | range |
/// |---|---|---|
/// | `method` | `lora` | `full`, `lora`, `head` |
/// | `max_length` | the model's, at most 1024; of classified texts and of pairs, at most 512 | >= 2 tokens |
/// | `mask` | by the record's shape | `all`, `completion`, `assistant` |
/// | `[lora]` | see [`LoraConfig`] | |
/// | `[train]` | see [`TrainConfig`] | |
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// What is trained.
    pub method: Method,
    /// Longest example in tokens; unset, see [`encode_options`](Self::encode_options) and
    /// [`sequence_length`](Self::sequence_length).
    pub max_length: Option<usize>,
    /// Which text is trained.
    pub mask: Option<LossMask>,
    /// The adapter.
    pub lora: LoraConfig,
    /// The training.
    pub train: TrainConfig,
}

/// What is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Every parameter.
    Full,
    /// The head only: whatever stands on top of the last block.
    Head,
    /// Low-rank adapters beside a frozen model.
    #[default]
    Lora,
}

/// The adapter of a LoRA run.
///
/// | field | default | range |
/// |---|---|---|
/// | `rank` | 8 | >= 1 |
/// | `alpha` | 16 | > 0 |
/// | `dropout` | 0 | 0 <= p < 1 |
/// | `targets` | `"all-linear"` | names, a regular expression, or `"all-linear"` |
/// | `rslora`, `dora` | false | |
/// | `modules_to_save` | none | names |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank.
    pub rank: usize,
    /// Numerator of the scale.
    pub alpha: f64,
    /// Dropout on the adapter's input.
    pub dropout: f64,
    /// Which projections get an adapter.
    pub targets: Modules,
    /// Scale by `alpha / sqrt(rank)`.
    pub rslora: bool,
    /// A magnitude for every output (DoRA); slower, sometimes better at low ranks.
    pub dora: bool,
    /// Modules that are trained and saved whole.
    pub modules_to_save: Option<Vec<String>>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            dropout: 0.0,
            targets: Modules::Pattern("all-linear".into()),
            rslora: false,
            dora: false,
            modules_to_save: None,
        }
    }
}

impl RunConfig {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] with the line for a syntax error, an unknown key or a wrong type.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_bounded(path, 1 << 20)?;
        let text = std::str::from_utf8(&bytes).map_err(|why| Error::format(path, why))?;
        toml::from_str(text).map_err(|why| Error::format(path, why))
    }

    /// How records are encoded for training `model`: at most `max_length` tokens, by default what the model was made
    /// for and at most 1024.
    pub fn encode_options(&self, model: &Decoder) -> EncodeOptions {
        let default = EncodeOptions::default();
        let longest = default.max_length.min(model.config().max_positions);
        let max_length = self.max_length.unwrap_or(longest);
        EncodeOptions { max_length, mask: self.mask, ..default }
    }

    /// The most tokens of a text that is classified, or of either text of a pair: `max_length`, by default `longest`,
    /// what the model was made for, and at most 512.
    pub fn sequence_length(&self, longest: usize) -> usize {
        self.max_length.unwrap_or(longest.min(512))
    }

    /// Has a LoRA run train and save `modules` whole: those of a head that is new, whose values no file holds. The
    /// classes themselves are saved in any case.
    pub fn save_whole(&mut self, modules: &[String]) {
        let classes = |module: &String| {
            module.split('.').any(|part| part.ends_with("classifier") || part == "score")
        };
        let wanted = modules.iter().filter(|module| !classes(module)).cloned();
        let saved = self.lora.modules_to_save.iter().flatten().cloned();
        let all: BTreeSet<String> = saved.chain(wanted).collect();
        self.lora.modules_to_save = (!all.is_empty()).then(|| all.into_iter().collect());
    }

    /// Makes `model` ready for training by the chosen method; in bf16, what is frozen is stored as bf16.
    ///
    /// # Errors
    /// [`Error::Config`] for adapter settings out of range; [`Error::Adapter`] when no module is selected.
    pub fn prepare<M: Model>(&self, model: M) -> Result<M> {
        let model = match self.method {
            Method::Full => train_all(model),
            Method::Head => train_head(model)?,
            Method::Lora => attach(model, &self.lora.adapter_config(), self.train.seed)?,
        };
        Ok(match self.train.precision {
            Precision::F32 => model,
            Precision::Bf16 => store_bf16(model),
        })
    }
}

impl LoraConfig {
    /// The same settings as PEFT writes them.
    pub fn adapter_config(&self) -> AdapterConfig {
        AdapterConfig {
            r: self.rank,
            lora_alpha: self.alpha,
            lora_dropout: self.dropout,
            target_modules: Some(self.targets.clone()),
            use_rslora: self.rslora,
            use_dora: self.dora,
            modules_to_save: self.modules_to_save.clone(),
            ..AdapterConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_modules_join_those_that_are_saved_whole() {
        let mut config = RunConfig::default();
        config.save_whole(&["classifier".into(), "classifier.dense".into(), "score".into()]);
        assert_eq!(config.lora.modules_to_save, None);
        config.lora.modules_to_save = Some(vec!["embed".into()]);
        config.save_whole(&["bert.pooler.dense".into(), "pre_classifier".into()]);
        let saved = ["bert.pooler.dense", "embed"].map(String::from);
        assert_eq!(config.lora.modules_to_save.as_deref(), Some(&saved[..]));
    }

    #[test]
    fn lengths_follow_the_model_up_to_a_limit() {
        let config = RunConfig::default();
        assert_eq!((config.sequence_length(128), config.sequence_length(4096)), (128, 512));
        let config = RunConfig { max_length: Some(1000), ..config };
        assert_eq!(config.sequence_length(128), 1000);
    }

    #[test]
    fn a_file_sets_what_it_names_and_refuses_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(
            &path,
            "method = \"full\"\n[lora]\ntargets = [\"q_proj\"]\n[train]\nepochs = 1.0\n",
        )
        .unwrap();
        let config = RunConfig::read(&path).unwrap();
        assert_eq!(config.method, Method::Full);
        assert_eq!(config.lora.targets, Modules::Names(vec!["q_proj".into()]));
        assert_eq!((config.train.epochs, config.train.batch_size), (1.0, 8));
        for (text, word) in [
            ("methd = \"full\"", "methd"),
            ("[train]\nlr = 1", "lr"),
            ("method = \"qlora\"", "qlora"),
            ("[train\n", "line 1"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = RunConfig::read(&path).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("run.toml"), "{error}");
        }
    }
}
