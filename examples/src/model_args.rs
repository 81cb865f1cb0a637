//! Which model a program works with.

use crate::{Failure, model_folder};
use burn::tensor::Device;
use clap::Args;
use nexus_core::adapter::is_adapter_folder;
use nexus_core::data::Tokenizer;
use nexus_core::model::{Decoder, Model};
use nexus_core::weights::{load, load_adapted};
use std::path::PathBuf;

/// The model's folders.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// Model folder as Hugging Face writes it (config.json, model.safetensors, tokenizer.json), or org/name or org/name@revision
    /// on the hub
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Folder of a LoRA adapter for the model, as PEFT writes it
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
}

impl ModelArgs {
    /// The model's name in reports: the last part of its folder, and of its adapter's.
    pub fn name(&self) -> String {
        let last = |path: &PathBuf| match path.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => path.display().to_string(),
        };
        match &self.adapter {
            Some(adapter) => format!("{} with {}", last(&self.model), last(adapter)),
            None => last(&self.model),
        }
    }

    /// Loads the model, with its adapter, and its tokenizer.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the parts do not belong together.
    pub fn load(&self, device: &Device) -> Result<(Decoder, Tokenizer), Failure> {
        let model: Decoder = self.load_model(device)?;
        let tokenizer = self.load_tokenizer(&model)?;
        Ok((model, tokenizer))
    }

    /// Loads the model, with its adapter, for programs that can do without a tokenizer.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_model<M: Model>(&self, device: &Device) -> Result<M, Failure> {
        let folder = &model_folder(&self.model)?;
        let weights = ["model.safetensors", "model.safetensors.index.json"];
        if is_adapter_folder(folder) && !weights.iter().any(|name| folder.join(name).exists()) {
            return Err(format!(
                "{} holds an adapter, not a model; pass it as --adapter, with its base model as --model",
                folder.display()
            )
            .into());
        }
        Ok(match &self.adapter {
            Some(adapter) => load_adapted(folder, adapter, device)?,
            None => load(folder, device)?,
        })
    }

    /// Loads the model's tokenizer and checks that the model knows every token.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_tokenizer(&self, model: &impl Model) -> Result<Tokenizer, Failure> {
        let tokenizer = Tokenizer::load(&model_folder(&self.model)?)?;
        tokenizer.check_vocabulary(model.spec().vocab_size())?;
        Ok(tokenizer)
    }
}
