//! Writes a tokenizer as transformers' `AutoTokenizer` reads it.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokenizers::models::ModelWrapper;

use super::Tokenizer;
use super::tokenizer::failed;
use super::tokenizer_folder::token_text;
use crate::{Error, Result};

/// Keys of `tokenizer_config.json` that say where the original came from, or what is written to
/// another file.
const NOT_KEPT: [&str; 9] = [
    "added_tokens_decoder",
    "auto_map",
    "backend",
    "chat_template",
    "is_local",
    "local_files_only",
    "name_or_path",
    "special_tokens_map_file",
    "tokenizer_file",
];

impl Tokenizer {
    /// Writes `tokenizer.json`, `tokenizer_config.json` and, if there is a chat template,
    /// `chat_template.jinja` into `dir`, as transformers' `AutoTokenizer` reads them. What the
    /// original `tokenizer_config.json` says besides (`model_max_length`, `padding_side`, ...) is
    /// kept.
    ///
    /// # Errors
    /// [`Error::Io`] where a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let mut whole = (*self.inner).clone();
        whole.with_post_processor(self.post.clone());
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).map_err(Error::io("write", path))
        };
        write("tokenizer.json", whole.to_string(false).map_err(failed)?)?;
        let mut config = (*self.config).clone();
        // The class that takes tokenizer.json as it is; the others would build it anew.
        config.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
        config.entry("clean_up_tokenization_spaces").or_insert(json!(false));
        if !config.contains_key("model_input_names") {
            config.insert("model_input_names".into(), self.model_inputs()?);
        }
        for (role, name) in &self.special {
            // The original may say more about a token than its name.
            if token_text(config.get(role)).as_ref() != Some(name) {
                config.insert(role.clone(), json!(name));
            }
        }
        let config = Value::Object(config);
        write("tokenizer_config.json", format!("{config:#}\n"))?;
        if let Some(template) = &self.template {
            write("chat_template.jinja", template.source().to_owned())?;
        }
        Ok(())
    }

    /// What a model is given by default: the token types too, where it was trained on pairs of
    /// texts with several. (The pairs of LLaMA's tokenizer have several, its model does not.)
    fn model_inputs(&self) -> Result<Value> {
        let (_, types) = self.wrap_pair(&[0], Some(&[0]))?;
        Ok(match self.cls().is_some() && types.iter().any(|&kind| kind != 0) {
            true => json!(["input_ids", "token_type_ids", "attention_mask"]),
            false => json!(["input_ids", "attention_mask"]),
        })
    }

    /// Obeys `tokenizer_config.json` where it is not about special tokens, and keeps it.
    pub(super) fn set_config(&mut self, mut config: Map<String, Value>) {
        let asked = config.get("clean_up_tokenization_spaces").and_then(Value::as_bool);
        let bpe = matches!(self.inner.get_model(), ModelWrapper::BPE(_));
        self.clean_up = asked.unwrap_or(false) && !bpe;
        config.retain(|key, _| !NOT_KEPT.contains(&key.as_str()));
        self.config = Arc::new(config);
    }
}
