//! Several texts to several texts.

use super::batch::{generate_batch, generate_seq2seq};
use super::config::GenerationConfig;
use super::run::Generation;
use super::text::TextGeneration;
use crate::Result;
use crate::data::Tokenizer;
use crate::model::{Decoder, EncoderDecoder};
use burn::tensor::Device;
use std::borrow::Cow;

/// Continues several texts together; see [`generate_batch`]. Prompts are encoded with the special tokens that the
/// tokenizer puts around a text, continuations decoded without any. When `config` has no `eos`, the tokenizer's end a
/// sequence.
///
/// # Errors
/// As [`generate_batch`], and [`Error::Tokenizer`](crate::Error::Tokenizer) when a text cannot be encoded or decoded.
pub fn generate_texts<T: AsRef<str>>(
    model: &Decoder,
    tokenizer: &Tokenizer,
    prompts: &[T],
    config: &GenerationConfig,
    device: &Device,
) -> Result<Vec<Vec<TextGeneration>>> {
    let ids = encode(tokenizer, prompts)?;
    decode(tokenizer, generate_batch(model, &ids, &with_eos(config, tokenizer), device)?)
}

/// Answers several texts together; see [`generate_seq2seq`]. Sources are encoded with the special tokens that the
/// tokenizer puts around a text, answers decoded without any. When `config` has no `eos`, the tokenizer's end an answer.
///
/// # Errors
/// As [`generate_seq2seq`], and [`Error::Tokenizer`](crate::Error::Tokenizer) when a text cannot be encoded or decoded.
pub fn generate_seq2seq_texts<T: AsRef<str>>(
    model: &EncoderDecoder,
    tokenizer: &Tokenizer,
    sources: &[T],
    config: &GenerationConfig,
    device: &Device,
) -> Result<Vec<Vec<TextGeneration>>> {
    let ids = encode(tokenizer, sources)?;
    decode(tokenizer, generate_seq2seq(model, &ids, &with_eos(config, tokenizer), device)?)
}

fn encode<T: AsRef<str>>(tokenizer: &Tokenizer, texts: &[T]) -> Result<Vec<Vec<u32>>> {
    texts.iter().map(|text| tokenizer.encode(text.as_ref(), true)).collect()
}

fn with_eos<'a>(config: &'a GenerationConfig, tokenizer: &Tokenizer) -> Cow<'a, GenerationConfig> {
    if !config.eos.is_empty() {
        return Cow::Borrowed(config);
    }
    Cow::Owned(GenerationConfig { eos: tokenizer.eos().to_vec(), ..config.clone() })
}

fn decode(
    tokenizer: &Tokenizer,
    generations: Vec<Vec<Generation>>,
) -> Result<Vec<Vec<TextGeneration>>> {
    let one = |Generation { ids, finish, score }| {
        let text = tokenizer.decode(&ids, true)?;
        Ok(TextGeneration { text, tokens: ids.len(), finish, score })
    };
    generations.into_iter().map(|row| row.into_iter().map(one).collect()).collect()
}
