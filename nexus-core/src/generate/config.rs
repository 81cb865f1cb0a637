//! What every way of generating shares: limits, forbidden tokens, the way tokens are chosen.

use super::beam::BeamConfig;
use super::sample::{Sampler, SamplingConfig};
use crate::{Error, Result};

/// How a batch of prompts or sources is continued. Checked before use.
///
/// | field | default | range |
/// |---|---|---|
/// | `max_new_tokens` | 20 | >= 1 |
/// | `min_new_tokens` | 0 | from 0 to `max_new_tokens`; above 0 only with `eos` |
/// | `no_repeat_ngram_size` | none | >= 1 |
/// | `forced_bos`, `forced_eos` | none | below the vocabulary's size |
/// | `eos` | none | below the vocabulary's size |
/// | `search` | greedy | see [`SamplingConfig`] and [`BeamConfig`] |
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationConfig {
    /// Largest number of new tokens, the end-of-sequence token included. The end of a learned position table is a limit
    /// too.
    pub max_new_tokens: usize,
    /// No end-of-sequence token comes before as many new tokens.
    ///
    /// (`min_length` of transformers counts what stands before: the start token of an answer, or the prompt.)
    pub min_new_tokens: usize,
    /// No run of as many tokens occurs twice, prompt (or start token) included (Paulus et al. 2017, arXiv:1705.04304,
    /// section 2.5).
    pub no_repeat_ngram_size: Option<usize>,
    /// The first new token.
    pub forced_bos: Option<u32>,
    /// The last of `max_new_tokens` tokens, where nothing has ended before.
    pub forced_eos: Option<u32>,
    /// The tokens that end a sequence. Without any, only the limits do.
    pub eos: Vec<u32>,
    /// How tokens are chosen.
    pub search: Search,
}

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Search {
    /// One after the other: the most probable, or drawn. Row `i` of a batch draws with `seed + i`.
    Sample(SamplingConfig),
    /// Beam search.
    Beams(BeamConfig),
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            max_new_tokens: 20,
            min_new_tokens: 0,
            no_repeat_ngram_size: None,
            forced_bos: None,
            forced_eos: None,
            eos: Vec::new(),
            search: Search::Sample(SamplingConfig::default()),
        }
    }
}

impl GenerationConfig {
    /// Checks every range of the table above for a model with `vocabulary` tokens.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is out of range.
    pub fn check(&self, vocabulary: usize) -> Result<()> {
        if self.max_new_tokens == 0 {
            return Err(Error::config("max_new_tokens", 0, "at least 1"));
        }
        let least = self.min_new_tokens;
        if least > self.max_new_tokens {
            let allowed = format!("at most max_new_tokens = {}", self.max_new_tokens);
            return Err(Error::config("min_new_tokens", least, allowed));
        }
        if least > 0 && self.eos.is_empty() {
            let allowed = "0 without an end-of-sequence token; give one in eos";
            return Err(Error::config("min_new_tokens", least, allowed));
        }
        if self.no_repeat_ngram_size == Some(0) {
            return Err(Error::config("no_repeat_ngram_size", 0, "at least 1, or none"));
        }
        let forced = [("forced_bos", self.forced_bos), ("forced_eos", self.forced_eos)];
        let forced = forced.into_iter().filter_map(|(field, id)| Some((field, id?)));
        for (field, id) in forced.chain(self.eos.iter().map(|&id| ("eos", id))) {
            if id as usize >= vocabulary {
                let allowed = format!("a token id below the vocabulary of {vocabulary}");
                return Err(Error::config(field, id, allowed));
            }
        }
        match &self.search {
            Search::Sample(sampling) => Sampler::new(sampling.clone()).map(drop),
            Search::Beams(beams) => beams.check(),
        }
    }

    /// Applies what is forbidden and forced to the logits or log-probabilities `[V]` of the token behind `seen`, whose
    /// last `new` tokens are new, of at most `limit`.
    pub(super) fn constrain<F: Copy + From<f32>>(
        &self,
        scores: &mut [F],
        seen: &[u32],
        new: usize,
        limit: usize,
    ) {
        let never = F::from(f32::NEG_INFINITY);
        let mut forbid = |id: u32| {
            if let Some(score) = scores.get_mut(id as usize) {
                *score = never;
            }
        };
        if let Some(size) =
            self.no_repeat_ngram_size.filter(|&size| (1..=seen.len()).contains(&size))
        {
            let end = &seen[seen.len() + 1 - size..];
            let same = |run: &&[u32]| run[..size - 1] == *end;
            seen.windows(size).filter(same).for_each(|run| forbid(run[size - 1]));
        }
        if new < self.min_new_tokens {
            self.eos.iter().for_each(|&id| forbid(id));
        }
        let last = self.forced_eos.filter(|_| new + 1 == limit);
        if let Some(id) = last.or(self.forced_bos.filter(|_| new == 0)) {
            scores.fill(never);
            if let Some(score) = scores.get_mut(id as usize) {
                *score = F::from(0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_name_the_field() {
        let plain = GenerationConfig { eos: vec![1], ..GenerationConfig::default() };
        plain.check(5).unwrap();
        let beams = |beams| Search::Beams(beams);
        for (config, field) in [
            (GenerationConfig { max_new_tokens: 0, ..plain.clone() }, "max_new_tokens"),
            (GenerationConfig { min_new_tokens: 21, ..plain.clone() }, "min_new_tokens"),
            (
                GenerationConfig { min_new_tokens: 1, eos: vec![], ..plain.clone() },
                "min_new_tokens",
            ),
            (GenerationConfig { no_repeat_ngram_size: Some(0), ..plain.clone() }, "no_repeat"),
            (GenerationConfig { forced_bos: Some(5), ..plain.clone() }, "forced_bos"),
            (GenerationConfig { forced_eos: Some(5), ..plain.clone() }, "forced_eos"),
            (GenerationConfig { eos: vec![5], ..plain.clone() }, "eos"),
            (
                GenerationConfig {
                    search: Search::Sample(SamplingConfig { top_p: 0.0, ..Default::default() }),
                    ..plain.clone()
                },
                "top_p",
            ),
            (
                GenerationConfig {
                    search: beams(BeamConfig { num_beams: 0, ..Default::default() }),
                    ..plain.clone()
                },
                "num_beams",
            ),
            (
                GenerationConfig {
                    search: beams(BeamConfig { num_return_sequences: 5, ..Default::default() }),
                    ..plain.clone()
                },
                "num_return_sequences",
            ),
            (
                GenerationConfig {
                    search: beams(BeamConfig { length_penalty: f64::NAN, ..Default::default() }),
                    ..plain.clone()
                },
                "length_penalty",
            ),
            (
                GenerationConfig {
                    search: beams(BeamConfig { repetition_penalty: 0.0, ..Default::default() }),
                    ..plain.clone()
                },
                "repetition_penalty",
            ),
        ] {
            assert!(config.check(5).unwrap_err().to_string().starts_with(field), "{field}");
        }
    }

    #[test]
    fn repeated_runs_are_forbidden_and_forced_tokens_alone_allowed() {
        let allowed = |config: &GenerationConfig, seen: &[u32], new| -> Vec<usize> {
            let mut scores = [-1.0f32; 5];
            config.constrain(&mut scores, seen, new, 4);
            (0..5).filter(|&i| scores[i].is_finite()).collect()
        };
        let size = |size| GenerationConfig {
            no_repeat_ngram_size: Some(size),
            forced_bos: Some(2),
            forced_eos: Some(4),
            ..GenerationConfig::default()
        };
        assert_eq!(allowed(&size(2), &[0, 1, 0, 2, 0], 1), [0, 3, 4]);
        assert_eq!(allowed(&size(3), &[0, 1, 0, 2, 0], 1), [0, 1, 2, 3, 4]);
        assert_eq!(allowed(&size(3), &[0, 1, 3, 2, 0, 1], 1), [0, 1, 2, 4]);
        assert_eq!(allowed(&size(1), &[0, 3], 1), [1, 2, 4]);
        assert_eq!(allowed(&size(9), &[0, 3], 1), [0, 1, 2, 3, 4]);
        assert_eq!(allowed(&size(1), &[2], 0), [2]);
        assert_eq!(allowed(&size(1), &[2], 3), [4]);
    }
}
