//! Which model a program works with.

use crate::{Failure, model_folder};
use burn::tensor::Device;
use clap::Args;
use nexus_core::adapter::{is_adapter_folder, load_adapter};
use nexus_core::data::Tokenizer;
use nexus_core::model::Decoder;
use nexus_core::weights;
use std::path::PathBuf;

/// The model's folders.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// Model folder as Hugging Face writes it (config.json, model.safetensors, tokenizer.json), or org/name[@revision]
    /// on the hub
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Folder of a LoRA adapter for the model, as PEFT writes it
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
}

impl ModelArgs {
    /// Loads the model, with its adapter, and its tokenizer.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the parts do not belong together.
    pub fn load(&self, device: &Device) -> Result<(Decoder, Tokenizer), Failure> {
        let model = self.load_model(device)?;
        let tokenizer = self.load_tokenizer(&model)?;
        Ok((model, tokenizer))
    }

    /// Loads the model, with its adapter, for programs that can do without a tokenizer.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_model(&self, device: &Device) -> Result<Decoder, Failure> {
        let folder = &model_folder(&self.model)?;
        if is_adapter_folder(folder) && !folder.join("config.json").exists() {
            return Err(format!(
                "{} holds an adapter, not a model; pass it as --adapter, with its base model as --model",
                folder.display()
            )
            .into());
        }
        let model = weights::load(folder, device)?;
        Ok(match &self.adapter {
            Some(adapter) => load_adapter(model, adapter)?,
            None => model,
        })
    }

    /// Loads the model's tokenizer and checks that the model knows every token.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_tokenizer(&self, model: &Decoder) -> Result<Tokenizer, Failure> {
        let tokenizer = Tokenizer::load(&model_folder(&self.model)?)?;
        tokenizer.check_vocabulary(model.config().vocab_size)?;
        Ok(tokenizer)
    }
}
