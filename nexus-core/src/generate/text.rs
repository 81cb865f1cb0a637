//! Generation from text to text, with stop strings and streaming.

use super::run::{Finish, Generation, generate};
use super::sample::SamplingConfig;
use crate::Result;
use crate::data::Tokenizer;
use crate::model::Decoder;
use burn::tensor::Device;
use std::ops::ControlFlow;

/// Generated text, without the prompt, the end-of-sequence token and the stop string.
#[derive(Clone, Debug, PartialEq)]
pub struct TextGeneration {
    /// The text.
    pub text: String,
    /// Number of generated tokens.
    pub tokens: usize,
    /// Why it ended.
    pub finish: Finish,
    /// As in [`Generation`](super::Generation).
    pub score: Option<f64>,
}

/// Continues the tokens of a prompt as text. `on_text` receives pieces as soon as they can no longer be part of a stop
/// string.
///
/// # Errors
/// As [`generate`], and [`Error::Tokenizer`](crate::Error::Tokenizer) when the ids cannot be decoded.
#[allow(clippy::too_many_arguments, reason = "each is a separate decision of the caller")]
pub fn generate_text(
    model: &Decoder,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    sampling: &SamplingConfig,
    max_new_tokens: usize,
    stop: &[String],
    device: &Device,
    mut on_text: impl FnMut(&str),
) -> Result<TextGeneration> {
    let mut text = String::new();
    let mut shown = 0;
    let mut stopped_at = None;
    let mut decoder = tokenizer.decode_stream(true);
    let eos = tokenizer.eos().to_vec();
    let generation = generate(model, prompt, sampling, max_new_tokens, &eos, device, |id| {
        if let Some(piece) = decoder.push(id)? {
            text.push_str(&piece);
        }
        stopped_at = stop.iter().filter(|s| !s.is_empty()).filter_map(|s| text.find(s)).min();
        let safe = stopped_at.unwrap_or_else(|| text.len() - held_back(&text, stop));
        if safe > shown {
            on_text(&text[shown..safe]);
            shown = safe;
        }
        Ok(if stopped_at.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    match stopped_at {
        Some(end) => text.truncate(end),
        None => {
            if let Some(piece) = decoder.finish()? {
                text.push_str(&piece);
            }
            if text.len() > shown {
                on_text(&text[shown..]);
            }
        }
    }
    let Generation { ids, finish, score } = generation;
    Ok(TextGeneration { text, tokens: ids.len(), finish, score })
}

/// How many bytes at the end of `text` could be the beginning of a stop string.
fn held_back(text: &str, stop: &[String]) -> usize {
    let longest = |stop: &String| {
        stop.char_indices()
            .map(|(i, _)| &stop[..i])
            .filter(|start| text.ends_with(start))
            .map(str::len)
            .max()
    };
    stop.iter().filter_map(longest).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::held_back;

    #[test]
    fn the_start_of_a_stop_string_is_held_back() {
        let stop = ["\n\nQ".to_string(), "END".to_string()];
        assert_eq!(held_back("text", &stop), 0);
        assert_eq!(held_back("text\n", &stop), 1);
        assert_eq!(held_back("text\n\n", &stop), 2);
        assert_eq!(held_back("EN", &stop), 2);
        assert_eq!(held_back("ENE", &stop), 1);
    }
}
