//! Several prompts or sources at once.

use super::beam::beam_search;
use super::config::{GenerationConfig, Search};
use super::run::{Generation, Row, check_prompts, limit, sample_rows};
use super::sample::{Sampler, SamplingConfig};
use super::step::{DecoderSteps, Seq2SeqSteps, Steps};
use crate::adapter::check_numbers;
use crate::model::{Decoder, EncoderDecoder, Model, Position, RotaryScaling};
use crate::{Error, Result};
use burn::tensor::Device;
use std::ops::ControlFlow;

/// Continues several prompts together. Of each prompt come `num_return_sequences` continuations, best first; without
/// beam search one.
///
/// Prompts may differ in length: the shorter ones are padded at the left. Padding is never attended to, and learned
/// positions count from each prompt's first token. Rotary positions count from the padding on, since only their
/// differences matter. So every prompt is continued as it would be alone, but for the rounding of sums of another
/// length; prompt `i` draws as [`generate`](super::generate) does with `seed + i`.
///
/// Rows that have ended leave the batch.
///
/// # Errors
/// [`Error::Config`] for settings out of range, or a prompt longer than a learned position table; [`Error::Refused`] for
/// an empty prompt, for ids outside the vocabulary, and for prompts of unequal length when dynamic rotary scaling
/// would stretch their positions by the length of the longest.
pub fn generate_batch(
    model: &Decoder,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    device: &Device,
) -> Result<Vec<Vec<Generation>>> {
    continue_prompts(model, prompts, None, config, device)
}

/// [`generate_batch`] with a model of [`mix`](crate::adapter::mix): prompt `i` is continued with adapter `adapters[i]`, or
/// with the base alone.
///
/// # Errors
/// As [`generate_batch`]; [`Error::Config`] for another number of adapters than prompts; [`Error::Adapter`] for one that
/// the model does not have.
pub fn generate_batch_with_adapters(
    model: &Decoder,
    prompts: &[Vec<u32>],
    adapters: &[Option<usize>],
    config: &GenerationConfig,
    device: &Device,
) -> Result<Vec<Vec<Generation>>> {
    check_adapters(model, adapters, prompts.len())?;
    continue_prompts(model, prompts, Some(adapters), config, device)
}

fn check_adapters(model: &impl Model, adapters: &[Option<usize>], prompts: usize) -> Result<()> {
    match adapters.len() == prompts {
        true => check_numbers(model, adapters),
        false => {
            let allowed = format!("one for each of {prompts} prompts");
            Err(Error::config("adapters of a batch", adapters.len(), allowed))
        }
    }
}

fn continue_prompts(
    model: &Decoder,
    prompts: &[Vec<u32>],
    adapters: Option<&[Option<usize>]>,
    config: &GenerationConfig,
    device: &Device,
) -> Result<Vec<Vec<Generation>>> {
    let vocabulary = model.config().vocab_size;
    config.check(vocabulary)?;
    let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    check_prompts(&prompts, vocabulary)?;
    check_lengths(model, &prompts, config.max_new_tokens)?;
    let limits: Vec<usize> =
        prompts.iter().map(|prompt| limit(model, prompt, config.max_new_tokens)).collect();
    run(&mut DecoderSteps::new(model, &prompts, adapters, device), &prompts, &limits, config)
}

/// Answers several sources together. Of each source come `num_return_sequences` answers, best first; without beam
/// search one. What stands before an answer, for the repetition penalty and for repeated runs, is its start token alone.
///
/// Sources may differ in length. Source `i` draws with `seed + i`; answers that have ended leave the batch.
///
/// # Errors
/// [`Error::Config`] for settings out of range; [`Error::Refused`] for an empty source and for ids outside the
/// vocabulary.
pub fn generate_seq2seq(
    model: &EncoderDecoder,
    sources: &[Vec<u32>],
    config: &GenerationConfig,
    device: &Device,
) -> Result<Vec<Vec<Generation>>> {
    answer_sources(model, sources, None, config, device)
}

/// [`generate_seq2seq`] with a model of [`mix`](crate::adapter::mix): source `i` is answered with adapter `adapters[i]`,
/// or with the base alone.
///
/// # Errors
/// As [`generate_seq2seq`]; [`Error::Config`] for another number of adapters than sources; [`Error::Adapter`] for one that
/// the model does not have.
pub fn generate_seq2seq_with_adapters(
    model: &EncoderDecoder,
    sources: &[Vec<u32>],
    adapters: &[Option<usize>],
    config: &GenerationConfig,
    device: &Device,
) -> Result<Vec<Vec<Generation>>> {
    check_adapters(model, adapters, sources.len())?;
    answer_sources(model, sources, Some(adapters), config, device)
}

fn answer_sources(
    model: &EncoderDecoder,
    sources: &[Vec<u32>],
    adapters: Option<&[Option<usize>]>,
    config: &GenerationConfig,
    device: &Device,
) -> Result<Vec<Vec<Generation>>> {
    let vocabulary = model.config().vocab_size;
    config.check(vocabulary)?;
    let sources: Vec<&[u32]> = sources.iter().map(Vec::as_slice).collect();
    check_prompts(&sources, vocabulary)?;
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let start = [model.config().start_token];
    let prompts = vec![start.as_slice(); sources.len()];
    let limits = vec![config.max_new_tokens; sources.len()];
    let mut steps = Seq2SeqSteps::new(model, &sources, adapters, device)?;
    run(&mut steps, &prompts, &limits, config)
}

/// Continues `prompts`, which `steps` has.
fn run(
    steps: &mut impl Steps,
    prompts: &[&[u32]],
    limits: &[usize],
    config: &GenerationConfig,
) -> Result<Vec<Vec<Generation>>> {
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let sampling = match &config.search {
        Search::Beams(beams) => return beam_search(steps, prompts, limits, config, beams),
        Search::Sample(sampling) => sampling,
    };
    let seeds = (0..prompts.len() as u64).map(|index| sampling.seed.wrapping_add(index));
    let rows = rows(prompts, limits, sampling, seeds)?;
    let all = sample_rows(steps, rows, config, |_, _| Ok(ControlFlow::Continue(())))?;
    Ok(all.into_iter().map(|generation| vec![generation]).collect())
}

/// Continues prompts together, prompt `i` with `seeds[i]`. `on_token` sees the place of a prompt and its new token, and can
/// stop it.
pub(super) fn continue_each(
    model: &Decoder,
    prompts: &[&[u32]],
    sampling: &SamplingConfig,
    seeds: &[u64],
    config: &GenerationConfig,
    device: &Device,
    on_token: impl FnMut(usize, u32) -> Result<ControlFlow<()>>,
) -> Result<Vec<Generation>> {
    let vocabulary = model.config().vocab_size;
    config.check(vocabulary)?;
    if seeds.len() != prompts.len() {
        let allowed = format!("one for each of {} prompts", prompts.len());
        return Err(Error::config("seeds of a batch", seeds.len(), allowed));
    }
    check_prompts(prompts, vocabulary)?;
    check_lengths(model, prompts, config.max_new_tokens)?;
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let limits: Vec<usize> =
        prompts.iter().map(|prompt| limit(model, prompt, config.max_new_tokens)).collect();
    let rows = rows(prompts, &limits, sampling, seeds.iter().copied())?;
    sample_rows(&mut DecoderSteps::new(model, prompts, None, device), rows, config, on_token)
}

fn rows(
    prompts: &[&[u32]],
    limits: &[usize],
    sampling: &SamplingConfig,
    seeds: impl Iterator<Item = u64>,
) -> Result<Vec<Row>> {
    let row = |(index, ((prompt, &limit), seed)): (usize, ((&&[u32], &usize), u64))| {
        let sampler = Sampler::new(SamplingConfig { seed, ..sampling.clone() })?;
        Ok(Row { index, seen: prompt.to_vec(), prompt: prompt.len(), limit, sampler })
    };
    prompts.iter().zip(limits).zip(seeds).enumerate().map(row).collect()
}

fn check_lengths(model: &Decoder, prompts: &[&[u32]], max_new_tokens: usize) -> Result<()> {
    let lengths = || prompts.iter().map(|prompt| prompt.len());
    let longest = lengths().max().unwrap_or(0);
    let config = model.config();
    let Position::Rotary(rotary) = &config.position else {
        if longest > config.max_positions {
            let allowed = format!("at most n_positions = {}", config.max_positions);
            return Err(Error::config("prompt length", longest, allowed));
        }
        return Ok(());
    };
    if let RotaryScaling::Dynamic { trained_length, .. } = rotary.scaling
        && lengths().any(|length| length < longest)
        // The last token of all is not read again.
        && longest.saturating_add(max_new_tokens - 1) > trained_length
    {
        return Err(Error::Refused(format!(
            "dynamic rotary scaling depends on the length of each sequence beyond {trained_length} \
             tokens; batch prompts of equal length, or generate one by one"
        )));
    }
    Ok(())
}
