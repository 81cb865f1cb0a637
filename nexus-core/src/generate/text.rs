//! Generation from text to text, with stop strings and streaming.

use super::batch::continue_each;
use super::config::GenerationConfig;
use super::run::{Finish, Generation, generate};
use super::sample::SamplingConfig;
use crate::Result;
use crate::data::{DecodeStream, Tokenizer};
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
    let mut written = Written::new(tokenizer, stop);
    let mut shown = 0;
    let eos = tokenizer.eos().to_vec();
    let generation = generate(model, prompt, sampling, max_new_tokens, &eos, device, |id| {
        let flow = written.push(id)?;
        let text = &written.text;
        let safe = written.stopped_at.unwrap_or_else(|| text.len() - held_back(text, stop));
        if safe > shown {
            on_text(&text[shown..safe]);
            shown = safe;
        }
        Ok(flow)
    })?;
    let generation = written.finish(generation)?;
    if generation.text.len() > shown {
        on_text(&generation.text[shown..]);
    }
    Ok(generation)
}

/// Continues the tokens of several prompts together, as [`generate_text`] would each, prompt `i` with `seeds[i]`: equal but
/// for the rounding of sums of another length. Rows that have ended, by a stop string too, leave the batch.
///
/// # Errors
/// As [`generate_batch`](super::generate_batch); [`Error::Config`](crate::Error::Config) for another number of seeds than
/// prompts; [`Error::Tokenizer`](crate::Error::Tokenizer) when the ids cannot be decoded.
#[allow(clippy::too_many_arguments, reason = "each is a separate decision of the caller")]
pub fn generate_text_batch(
    model: &Decoder,
    tokenizer: &Tokenizer,
    prompts: &[&[u32]],
    sampling: &SamplingConfig,
    seeds: &[u64],
    max_new_tokens: usize,
    stop: &[String],
    device: &Device,
) -> Result<Vec<TextGeneration>> {
    let mut rows: Vec<Written<'_>> =
        prompts.iter().map(|_| Written::new(tokenizer, stop)).collect();
    let config = GenerationConfig {
        max_new_tokens,
        eos: tokenizer.eos().to_vec(),
        ..GenerationConfig::default()
    };
    let push = |index: usize, id| match rows.get_mut(index) {
        Some(row) => row.push(id),
        None => Ok(ControlFlow::Break(())),
    };
    let all = continue_each(model, prompts, sampling, seeds, &config, device, push)?;
    rows.into_iter().zip(all).map(|(row, generation)| row.finish(generation)).collect()
}

/// The text of a row as far as it is written.
struct Written<'a> {
    text: String,
    /// Where a stop string begins.
    stopped_at: Option<usize>,
    decoder: DecodeStream<'a>,
    stop: &'a [String],
}

impl<'a> Written<'a> {
    fn new(tokenizer: &'a Tokenizer, stop: &'a [String]) -> Self {
        let decoder = tokenizer.decode_stream(true);
        Self { text: String::new(), stopped_at: None, decoder, stop }
    }

    fn push(&mut self, id: u32) -> Result<ControlFlow<()>> {
        if let Some(piece) = self.decoder.push(id)? {
            self.text.push_str(&piece);
        }
        let stop = self.stop.iter().filter(|stop| !stop.is_empty());
        self.stopped_at = stop.filter_map(|stop| self.text.find(stop)).min();
        Ok(match self.stopped_at {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        })
    }

    fn finish(mut self, generation: Generation) -> Result<TextGeneration> {
        match self.stopped_at {
            Some(end) => self.text.truncate(end),
            None => self.text.extend(self.decoder.finish()?),
        }
        let Generation { ids, finish, score } = generation;
        Ok(TextGeneration { text: self.text, tokens: ids.len(), finish, score })
    }
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
