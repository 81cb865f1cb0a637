//! A decoder that answers a task's requests.

use super::generation::Generation;
use super::request::{Request, Respond, Response};
use crate::likelihood::{
    ScoreOptions, check_finite, device_of, greedy_log_probabilities, row, score_rows, sum,
};
use crate::prompt::{encode_pair, encode_prompt, prefix_token};
use crate::windows::rolling_windows;
use crate::{Error, Result};
use nexus_core::data::{Example, Tokenizer};
use nexus_core::generate::{SamplingConfig, generate_text_batch};
use nexus_core::model::{Decoder, Position, RotaryScaling};
use sha2::{Digest, Sha256};
use std::path::Path;

/// A causal language model with its tokenizer.
///
/// Texts become tokens as [`encode_pair`] and [`encode_prompt`] say. A context that is too long loses its beginning: of
/// the harness's lengths, `max_length` for a likelihood, `max_length - max_gen_toks` for an answer. Answers are generated
/// in batches too, each with a seed of its own, so that nothing but rounding depends on the batch size.
#[derive(Clone, Debug)]
pub struct LanguageModel<'a> {
    model: &'a Decoder,
    tokenizer: &'a Tokenizer,
    batch_size: usize,
    max_length: usize,
    fingerprint: String,
}

impl<'a> LanguageModel<'a> {
    /// A model under a name for its weights and tokenizer that no other has, such as [`fingerprint`] of its folder.
    ///
    /// # Errors
    /// [`Error::Config`] for options out of range.
    pub fn new(
        model: &'a Decoder,
        tokenizer: &'a Tokenizer,
        fingerprint: &str,
        options: &ScoreOptions,
    ) -> Result<Self> {
        options.check()?;
        let max_length = options.max_length(model.config())?;
        let fingerprint = format!("{fingerprint} max_length {max_length}");
        Ok(Self { model, tokenizer, batch_size: options.batch_size, max_length, fingerprint })
    }

    /// The most tokens that the model reads at a time.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    fn likelihood_row(&self, context: &str, continuation: &str) -> Result<Example> {
        let (context, continuation) = encode_pair(self.tokenizer, context, continuation)?;
        // The last token is predicted but not read.
        let room = (self.max_length + 1).checked_sub(continuation.len()).filter(|&room| room > 0);
        let room = room.ok_or_else(|| {
            let (tokens, most) = (continuation.len(), self.max_length);
            Error::Refused(format!("a continuation has {tokens} tokens; raise max_length = {most}"))
        })?;
        Ok(row(&context[context.len().saturating_sub(room)..], &continuation))
    }

    /// The tokens of the context of an answer.
    fn prompt(&self, context: &str, generation: &Generation) -> Result<Vec<u32>> {
        let most = generation.max_gen_toks;
        let room = self.max_length.checked_sub(most).filter(|&room| room > 0);
        let room = room.ok_or_else(|| {
            let allowed = format!("less than max_length = {}", self.max_length);
            Error::config("max_gen_toks", most, allowed)
        })?;
        let mut ids = encode_prompt(self.tokenizer, context)?;
        Ok(ids.split_off(ids.len().saturating_sub(room)))
    }

    /// Answers all requests for a text.
    fn generate(
        &self,
        requests: &[&Request],
        done: &mut dyn FnMut(usize, Response) -> Result<()>,
    ) -> Result<()> {
        let mut prompts = Vec::new();
        for (place, request) in requests.iter().enumerate() {
            if let Request::Generate { context, generation } = request {
                prompts.push((place, self.prompt(context, generation)?, generation));
            }
        }
        // The longest first: what does not fit into memory fails at once, and little is padded.
        prompts.sort_by_key(|(_, ids, _)| std::cmp::Reverse(ids.len()));
        let device = device_of(self.model)?;
        while let Some((_, _, generation)) = prompts.first() {
            let generation = (*generation).clone();
            let alike = |other: &Generation| {
                generation == Generation { seed: generation.seed, ..other.clone() }
            };
            let (same, rest): (Vec<_>, Vec<_>) =
                prompts.into_iter().partition(|(_, _, other)| alike(other));
            prompts = rest;
            let Generation { until, max_gen_toks, temperature, top_p, top_k, .. } = generation;
            let sampling =
                SamplingConfig { temperature, top_p, top_k, ..SamplingConfig::default() };
            for rows in same.chunks(self.rows_at_once()) {
                let ids: Vec<&[u32]> = rows.iter().map(|(_, ids, _)| ids.as_slice()).collect();
                let seeds: Vec<u64> = rows.iter().map(|(.., generation)| generation.seed).collect();
                let texts = generate_text_batch(
                    self.model,
                    self.tokenizer,
                    &ids,
                    &sampling,
                    &seeds,
                    max_gen_toks,
                    &until,
                    &device,
                )?;
                for ((place, ..), generated) in rows.iter().zip(texts) {
                    done(*place, Response::Text(generated.text))?;
                }
            }
        }
        Ok(())
    }

    /// How many answers are generated together: with dynamic rotary scaling, prompts of different lengths cannot be.
    fn rows_at_once(&self) -> usize {
        match &self.model.config().position {
            Position::Rotary(rotary) if matches!(rotary.scaling, RotaryScaling::Dynamic { .. }) => {
                1
            }
            _ => self.batch_size,
        }
    }
}

impl Respond for LanguageModel<'_> {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn respond(
        &self,
        requests: &[&Request],
        done: &mut dyn FnMut(usize, Response) -> Result<()>,
    ) -> Result<()> {
        let (mut pairs, mut pair_owners) = (Vec::new(), Vec::new());
        let (mut windows, mut window_owners) = (Vec::new(), Vec::new());
        // Of each rolling request: the sum so far, and how many windows are to come.
        let mut rolling: Vec<(f64, usize)> = vec![(0.0, 0); requests.len()];
        for (place, request) in requests.iter().enumerate() {
            match request {
                Request::LogLikelihood { context, continuation } => {
                    pairs.push(self.likelihood_row(context, continuation)?);
                    pair_owners.push(place);
                }
                Request::LogLikelihoodRolling { text } => {
                    let ids = self.tokenizer.encode(text, false)?;
                    if ids.is_empty() {
                        done(place, Response::LogLikelihoodRolling(0.0))?;
                    }
                    for window in
                        rolling_windows(&ids, prefix_token(self.tokenizer)?, self.max_length)
                    {
                        windows.push(row(&window.context, &window.targets));
                        window_owners.push(place);
                        rolling[place].1 += 1;
                    }
                }
                Request::Generate { .. } => {}
                Request::Classify { .. } => {
                    return Err(Error::Refused(
                        "output_type classification needs a model with a classification head"
                            .into(),
                    ));
                }
            }
        }
        let model = self.model;
        let greedy = |ids, labels: &[i32]| greedy_log_probabilities(model, ids, labels);
        score_rows(model, &pairs, self.batch_size, greedy, |i, values| {
            let (values, greedy): (Vec<f32>, Vec<bool>) = values.into_iter().unzip();
            check_finite(values.iter().copied())?;
            let greedy = greedy.into_iter().all(|greedy| greedy);
            done(pair_owners[i], Response::LogLikelihood { sum: sum(&values), greedy })
        })?;
        let score = |ids, labels: &[i32]| model.log_probabilities(ids, labels);
        score_rows(model, &windows, self.batch_size, score, |i, values| {
            check_finite(values.iter().copied())?;
            let (total, left) = &mut rolling[window_owners[i]];
            *total += sum(&values);
            *left -= 1;
            match left {
                0 => done(window_owners[i], Response::LogLikelihoodRolling(*total)),
                _ => Ok(()),
            }
        })?;
        self.generate(requests, done)
    }
}

/// SHA-256 over the names and contents of the files of model folders that decide what the model says: weights,
/// configuration and tokenizer.
///
/// # Errors
/// [`Error::Io`]; [`Error::Refused`] when there is no such file.
pub fn fingerprint(folders: &[&Path]) -> Result<String> {
    let mut all = Sha256::new();
    let mut any = false;
    for folder in folders {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io("read", *folder))? {
            paths.push(entry.map_err(Error::io("read", *folder))?.path());
        }
        paths.sort();
        for path in paths {
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            if !path.is_file() || !["safetensors", "json", "model", "txt"].contains(&extension) {
                continue;
            }
            any = true;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let hash = nexus_core::report::DataFile::hash(&path, 0)?.sha256;
            all.update(format!("{name} {hash}\n"));
        }
        all.update("\n");
    }
    match any {
        true => Ok(all.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
        false => Err(Error::Refused("the model's folders hold no file to tell it by".into())),
    }
}
