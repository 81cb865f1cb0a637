//! The generation loop over token ids.

use super::config::GenerationConfig;
use super::sample::{Sampler, SamplingConfig};
use super::step::{DecoderSteps, Steps};
use crate::model::{Decoder, Position};
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
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The new tokens.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
    /// With beam search, the log-probability of the new tokens divided by the power of their number (see
    /// [`BeamConfig`](super::BeamConfig)).
    pub score: Option<f64>,
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
    check_prompts(&[prompt], model.config().vocab_size)?;
    let sampler = Sampler::new(sampling.clone())?;
    let limit = limit(model, prompt, max_new_tokens);
    if limit == 0 {
        return Ok(Generation { ids: Vec::new(), finish: Finish::Length, score: None });
    }
    let config =
        GenerationConfig { max_new_tokens, eos: eos.to_vec(), ..GenerationConfig::default() };
    let prompts = [prompt];
    let mut steps = DecoderSteps::new(model, &prompts, None, device);
    let row = Row { index: 0, seen: prompt.to_vec(), prompt: prompt.len(), limit, sampler };
    let mut all = sample_rows(&mut steps, vec![row], &config, |_, id| on_token(id))?;
    all.pop().ok_or_else(|| Error::Refused("nothing was generated".into()))
}

/// One sequence that is being generated.
pub(super) struct Row {
    /// Its place among the results.
    pub(super) index: usize,
    /// The prompt and the new tokens.
    pub(super) seen: Vec<u32>,
    /// Number of tokens of the prompt.
    pub(super) prompt: usize,
    /// Largest number of new tokens, at least 1.
    pub(super) limit: usize,
    pub(super) sampler: Sampler,
}

/// Continues all rows, whose prompts `steps` has, one token at a time. `on_token` sees the place of a row and its new
/// token, and can stop the row. Rows that have ended cost nothing any more.
pub(super) fn sample_rows(
    steps: &mut impl Steps,
    mut rows: Vec<Row>,
    config: &GenerationConfig,
    mut on_token: impl FnMut(usize, u32) -> Result<ControlFlow<()>>,
) -> Result<Vec<Generation>> {
    let mut done = Vec::with_capacity(rows.len());
    let mut logits = steps.first()?;
    while !rows.is_empty() {
        let vocabulary = logits.len() / rows.len();
        let mut going_on = Vec::with_capacity(rows.len());
        let mut kept = Vec::with_capacity(rows.len());
        for (place, mut row) in rows.into_iter().enumerate() {
            let logits = &mut logits[place * vocabulary..][..vocabulary];
            let new = row.seen.len() - row.prompt;
            config.constrain(logits, &row.seen, new, row.limit);
            let next = row.sampler.next(logits, &row.seen)?;
            let finish = if config.eos.contains(&next) {
                Some(Finish::Eos)
            } else {
                row.seen.push(next);
                match on_token(row.index, next)? {
                    ControlFlow::Break(()) => Some(Finish::Stop),
                    ControlFlow::Continue(()) => (new + 1 >= row.limit).then_some(Finish::Length),
                }
            };
            match finish {
                Some(finish) => {
                    let ids = row.seen.split_off(row.prompt);
                    done.push((row.index, Generation { ids, finish, score: None }));
                }
                None => {
                    kept.push(place);
                    going_on.push(row);
                }
            }
        }
        rows = going_on;
        if !rows.is_empty() {
            let tokens: Vec<u32> = rows.iter().filter_map(|row| row.seen.last().copied()).collect();
            logits = steps.next(&kept, &tokens)?;
        }
    }
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, generation)| generation).collect())
}

/// Refuses empty prompts and ids outside the vocabulary.
pub(super) fn check_prompts(prompts: &[&[u32]], vocabulary: usize) -> Result<()> {
    if prompts.iter().any(|prompt| prompt.is_empty()) {
        return Err(Error::Refused("the prompt has no tokens; give at least one".into()));
    }
    match prompts.iter().flat_map(|prompt| prompt.iter()).find(|&&id| id as usize >= vocabulary) {
        Some(id) => Err(Error::Refused(format!(
            "token id {id} of the prompt is outside the vocabulary of {vocabulary}"
        ))),
        None => Ok(()),
    }
}

/// How many of `max_new_tokens` fit behind `prompt`: the last token of all needs no position.
pub(super) fn limit(model: &Decoder, prompt: &[u32], max_new_tokens: usize) -> usize {
    match model.config().position {
        Position::Learned => {
            let longest = model.config().max_positions + 1;
            max_new_tokens.min(longest.saturating_sub(prompt.len()))
        }
        Position::Rotary(_) => max_new_tokens,
    }
}
