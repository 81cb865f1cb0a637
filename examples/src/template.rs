//! The chat template of a conversation.

use crate::Failure;
use nexus_core::data::{CHATML, Tokenizer};

/// The tokenizer with the chat template that was asked for, and what ends a message under it added to `stop`.
///
/// `template` is `chatml`, a Jinja file, or `None` for the model's own.
///
/// # Errors
/// When there is no template, or it cannot be read.
pub fn with_template(
    tokenizer: Tokenizer,
    template: Option<&str>,
    stop: &mut Vec<String>,
) -> Result<Tokenizer, Failure> {
    match template {
        None if tokenizer.chat_template().is_some() => Ok(tokenizer),
        None => Err("the model has no chat template; pass --template chatml for a model that was tuned on ChatML, or a \
                     Jinja file"
            .into()),
        Some("chatml") => {
            let end = "<|im_end|>";
            // A model that knows the marker ends with it as a token, another writes it out.
            let tokenizer = match tokenizer.token_id(end) {
                Some(_) => tokenizer.with_special(None, Some(end), None)?,
                None => {
                    stop.push(end.into());
                    tokenizer
                }
            };
            Ok(tokenizer.with_chat_template(CHATML)?)
        }
        Some(path) => {
            let source = std::fs::read_to_string(path)
                .map_err(|why| format!("--template {path}: neither chatml nor a readable file: {why}"))?;
            Ok(tokenizer.with_chat_template(&source)?)
        }
    }
}
