//! From logits to the next token.

use crate::model::unit;
use crate::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// How the next token is chosen.
///
/// | field | default | range |
/// |---|---|---|
/// | `temperature` | 0 (greedy) | >= 0 |
/// | `top_k` | none | >= 1 |
/// | `top_p` | 1 | 0 < p <= 1 |
/// | `min_p` | 0 | 0 <= p <= 1 |
/// | `repetition_penalty` | 1 | > 0 |
/// | `seed` | 0 | any |
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingConfig {
    /// Divides the logits; 0 takes the most probable token.
    pub temperature: f64,
    /// Keeps the k most probable tokens (and those that tie with the last).
    pub top_k: Option<usize>,
    /// Keeps the smallest set of tokens whose probabilities reach p (arXiv:1904.09751).
    pub top_p: f64,
    /// Drops tokens less probable than this share of the most probable one (arXiv:2407.01082).
    pub min_p: f64,
    /// Divides positive and multiplies negative logits of tokens seen before (arXiv:1909.05858, section 4.1).
    pub repetition_penalty: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 0,
        }
    }
}

/// A checked [`SamplingConfig`] with its random state.
#[derive(Clone, Debug)]
pub struct Sampler {
    config: SamplingConfig,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// Checks the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] names the field that is out of range.
    pub fn new(config: SamplingConfig) -> Result<Self> {
        let c = &config;
        let in_unit = |p: f64| (0.0..=1.0).contains(&p);
        if !c.temperature.is_finite() || c.temperature < 0.0 {
            return Err(Error::config("temperature", c.temperature, "0 (greedy) or above"));
        }
        if c.top_k == Some(0) {
            return Err(Error::config("top_k", 0, "at least 1"));
        }
        if !in_unit(c.top_p) || c.top_p == 0.0 {
            return Err(Error::config("top_p", c.top_p, "above 0, at most 1"));
        }
        if !in_unit(c.min_p) {
            return Err(Error::config("min_p", c.min_p, "from 0 to 1"));
        }
        if !c.repetition_penalty.is_finite() || c.repetition_penalty <= 0.0 {
            let allowed = "above 0 (1 = no penalty)";
            return Err(Error::config("repetition_penalty", c.repetition_penalty, allowed));
        }
        let rng = ChaCha8Rng::seed_from_u64(config.seed);
        Ok(Self { config, rng })
    }

    /// Chooses the next token from logits `[V]`; `seen` are the tokens so far, prompt included.
    ///
    /// # Errors
    /// [`Error::Refused`] when there are no finite logits.
    pub fn next(&mut self, logits: &[f32], seen: &[u32]) -> Result<u32> {
        if self.config.temperature == 0.0 {
            let logits = self.penalised(logits, seen);
            return (0..logits.len())
                .filter(|&i| logits[i].is_finite())
                // The first of equals, as argmax everywhere.
                .reduce(|best, i| if logits[i] > logits[best] { i } else { best })
                .map(|i| i as u32)
                .ok_or_else(no_finite_logit);
        }
        let probabilities = self.probabilities(logits, seen)?;
        let draw = unit(&mut self.rng);
        let mut sum = 0.0;
        let mut last = None;
        for (i, p) in probabilities.iter().enumerate().filter(|(_, p)| **p > 0.0) {
            sum += p;
            last = Some(i as u32);
            if draw < sum {
                break;
            }
        }
        last.ok_or_else(no_finite_logit)
    }

    /// The distribution that is drawn from: penalty, temperature, top-k, top-p, min-p, in this order, as transformers
    /// applies them.
    ///
    /// # Errors
    /// [`Error::Refused`] when there are no finite logits.
    pub fn probabilities(&self, logits: &[f32], seen: &[u32]) -> Result<Vec<f64>> {
        let c = &self.config;
        let mut logits = self.penalised(logits, seen);
        if c.temperature > 0.0 {
            logits.iter_mut().for_each(|logit| *logit /= c.temperature);
        }
        let mut order: Vec<usize> = (0..logits.len()).filter(|&i| logits[i].is_finite()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let Some(&best) = order.first() else { return Err(no_finite_logit()) };
        let largest = logits[best];
        if let Some(k) = c.top_k.filter(|&k| k < order.len()) {
            let last = logits[order[k - 1]];
            order.retain(|&i| logits[i] >= last);
        }
        if c.top_p < 1.0 {
            let total: f64 = order.iter().map(|&i| (logits[i] - largest).exp()).sum();
            // From the least probable end: dropped while what is dropped stays within 1 - p.
            let mut dropped = 0.0;
            let mut kept = order.len();
            while kept > 1 {
                dropped += (logits[order[kept - 1]] - largest).exp() / total;
                if dropped > 1.0 - c.top_p {
                    break;
                }
                kept -= 1;
            }
            order.truncate(kept);
        }
        if c.min_p > 0.0 {
            order.retain(|&i| (logits[i] - largest).exp() >= c.min_p);
        }
        let total: f64 = order.iter().map(|&i| (logits[i] - largest).exp()).sum();
        let mut probabilities = vec![0.0; logits.len()];
        for i in order {
            probabilities[i] = (logits[i] - largest).exp() / total;
        }
        Ok(probabilities)
    }

    fn penalised(&self, logits: &[f32], seen: &[u32]) -> Vec<f64> {
        let mut logits: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
        penalise(&mut logits, seen, self.config.repetition_penalty);
        logits
    }
}

/// The repetition penalty: negative scores of tokens in `seen` are multiplied, the others divided.
pub(super) fn penalise(scores: &mut [f64], seen: &[u32], penalty: f64) {
    if penalty == 1.0 {
        return;
    }
    for id in seen.iter().collect::<BTreeSet<_>>() {
        if let Some(score) = scores.get_mut(*id as usize) {
            *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
        }
    }
}

pub(super) fn no_finite_logit() -> Error {
    Error::Refused(
        "no logit is finite; the model's weights may be damaged, or no token is allowed any more"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_repeat_with_the_seed_and_follow_the_distribution() {
        let config = SamplingConfig { temperature: 1.0, seed: 5, ..SamplingConfig::default() };
        let draw = |config: &SamplingConfig| -> Vec<u32> {
            let mut sampler = Sampler::new(config.clone()).unwrap();
            (0..4000)
                .map(|_| sampler.next(&[0.0, 1.0f32.ln(), 2.0f32.ln()], &[]).unwrap())
                .collect()
        };
        let draws = draw(&config);
        assert_eq!(draws, draw(&config));
        let share = draws.iter().filter(|&&id| id == 2).count() as f64 / 4000.0;
        // Three standard deviations at p = 1/2, n = 4000.
        assert!((share - 0.5).abs() < 0.024, "{share}");
    }

    #[test]
    fn bad_settings_name_the_field() {
        for (config, field) in [
            (SamplingConfig { temperature: -1.0, ..Default::default() }, "temperature"),
            (SamplingConfig { top_k: Some(0), ..Default::default() }, "top_k"),
            (SamplingConfig { top_p: 0.0, ..Default::default() }, "top_p"),
            (SamplingConfig { min_p: 1.5, ..Default::default() }, "min_p"),
            (
                SamplingConfig { repetition_penalty: 0.0, ..Default::default() },
                "repetition_penalty",
            ),
        ] {
            assert!(Sampler::new(config).unwrap_err().to_string().starts_with(field));
        }
    }

    #[test]
    fn nan_logits_are_an_error_not_a_panic() {
        let mut sampler =
            Sampler::new(SamplingConfig { temperature: 1.0, ..Default::default() }).unwrap();
        assert!(sampler.next(&[f32::NAN; 4], &[]).is_err());
        assert!(sampler.next(&[], &[]).is_err());
        assert_eq!(sampler.next(&[f32::NAN, 1.0], &[]).unwrap(), 1);
    }
}
