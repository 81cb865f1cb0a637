//! The generation loop over token ids.

use super::sample::{Sampler, SamplingConfig};
use crate::model::{Decoder, Pass, Position, ids_tensor};
use crate::{Error, Result};
use burn::tensor::Device;
use std::ops::ControlFlow;

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model produced an end-of-sequence token.
    Eos,
    /// A stop string appeared, or the caller's function said so.
    Stop,
    /// `max_new_tokens`, or the end of a learned position table.
    Length,
}

/// Generated token ids, without the prompt and without the end-of-sequence token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The new tokens.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
}

/// Continues `prompt`, one token at a time with a key/value cache. `on_token` sees each token as it comes and can stop.
///
/// # Errors
/// [`Error::Config`] for sampling settings out of range; [`Error::Refused`] for an empty prompt or one with ids outside
/// the vocabulary.
pub fn generate(
    model: &Decoder,
    prompt: &[u32],
    sampling: &SamplingConfig,
    max_new_tokens: usize,
    eos: &[u32],
    device: &Device,
    mut on_token: impl FnMut(u32) -> Result<ControlFlow<()>>,
) -> Result<Generation> {
    let vocabulary = model.config().vocab_size;
    if prompt.is_empty() {
        return Err(Error::Refused("the prompt has no tokens; give at least one".into()));
    }
    if let Some(id) = prompt.iter().find(|&&id| id as usize >= vocabulary) {
        return Err(Error::Refused(format!(
            "token id {id} of the prompt is outside the vocabulary of {vocabulary}"
        )));
    }
    let mut sampler = Sampler::new(sampling.clone())?;
    let longest = match model.config().position {
        Position::Learned => model.config().max_positions,
        Position::Rotary(_) => usize::MAX,
    };
    let mut seen = prompt.to_vec();
    let mut cache = model.cache();
    let mut new = prompt.to_vec();
    let mut ids = Vec::new();
    let finish = loop {
        if ids.len() >= max_new_tokens || seen.len() > longest {
            break Finish::Length;
        }
        let values: Vec<i32> = new.iter().map(|&id| id as i32).collect();
        let hidden =
            model.hidden_cached(ids_tensor(&values, [1, new.len()], device), &mut cache)?;
        let [_, time, width] = hidden.dims();
        let last = hidden.narrow(1, time - 1, 1).reshape([1, width]);
        let logits = model.logits(last, &Pass::inference()).into_data();
        let logits: Vec<f32> = logits.iter::<f32>().collect();
        let next = sampler.next(&logits, &seen)?;
        if eos.contains(&next) {
            break Finish::Eos;
        }
        ids.push(next);
        seen.push(next);
        new = vec![next];
        if on_token(next)?.is_break() {
            break Finish::Stop;
        }
    };
    Ok(Generation { ids, finish })
}
