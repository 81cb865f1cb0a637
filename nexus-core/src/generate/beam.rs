//! Beam search over the continuations of several prompts at once.

use super::config::GenerationConfig;
use super::run::{Finish, Generation};
use super::sample::{no_finite_logit, penalise};
use super::step::Steps;
use crate::{Error, Result};

/// Beam search.
///
/// At every step the `num_beams` running hypotheses of a prompt are extended by every token, and scored by the sum of
/// their log-probabilities (log-softmax of the logits, then the repetition penalty, then the constraints of
/// [`GenerationConfig`]). Of the best `num_beams * max(2, 1 + number of eos tokens)` extensions
///
/// - those among the first `num_beams` that end, by an end-of-sequence token or by the last allowed one, become finished
///   hypotheses, with the score `sum / |Y|^length_penalty`, where `|Y|` counts the new tokens and the end-of-sequence
///   token; the best `num_beams` finished ones are kept;
/// - the first `num_beams` that do not end run on. (The surplus of candidates makes sure that there are as many.)
///
/// The penalty is that of Wu et al. 2016 (arXiv:1609.08144, equation 14) without its constant 5, as transformers and
/// fairseq have it. Sums are negative, so a positive penalty favours long sequences. When a prompt's search is over is
/// for [`EarlyStopping`] to say. Prompts do not influence each other. Sequences and scores are those of transformers
/// 5.23, except that a hypothesis which the constraints leave no token simply ends.
///
/// One beam is not quite greedy search: its penalty works on log-probabilities, and with
/// [`EarlyStopping::Never`] it may run on past an end.
///
/// | field | default | range |
/// |---|---|---|
/// | `num_beams` | 4 | from 1 to 1024 |
/// | `length_penalty` | 1 | from -16 to 16 |
/// | `early_stopping` | `Estimate` | |
/// | `num_return_sequences` | 1 | from 1 to `num_beams` |
/// | `repetition_penalty` | 1 | > 0 |
#[derive(Clone, Debug, PartialEq)]
pub struct BeamConfig {
    /// Number of hypotheses that run, and that are kept when finished.
    pub num_beams: usize,
    /// The power of the length that sums of log-probabilities are divided by; 0 leaves them alone.
    pub length_penalty: f64,
    /// When the search is over.
    pub early_stopping: EarlyStopping,
    /// Number of hypotheses that come back, best first. There are fewer when the model has no more to say, as with a
    /// vocabulary smaller than `num_beams` and one new token.
    pub num_return_sequences: usize,
    /// Multiplies negative log-probabilities of tokens seen before (arXiv:1909.05858, section 4.1).
    pub repetition_penalty: f64,
}

/// When a beam search is over, the limit on the length aside: not before there are `num_beams` finished hypotheses, and
/// then ...
///
/// (Kasai et al. 2022, arXiv:2204.05424, compare the first with the last.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyStopping {
    /// ... at once. `True` in transformers.
    WhenFull,
    /// ... when the best running one, ended at its present length, would not beat the worst finished one. `False` in
    /// transformers. With a positive penalty this may stop too early: it could still grow better.
    #[default]
    Estimate,
    /// ... when the best running one cannot beat the worst finished one any more: with a positive penalty, not even
    /// with the sum that it has at the greatest length. `"never"` in transformers.
    Never,
}

impl Default for BeamConfig {
    fn default() -> Self {
        Self {
            num_beams: 4,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::Estimate,
            num_return_sequences: 1,
            repetition_penalty: 1.0,
        }
    }
}

impl BeamConfig {
    pub(super) fn check(&self) -> Result<()> {
        if !(1..=1024).contains(&self.num_beams) {
            return Err(Error::config("num_beams", self.num_beams, "from 1 to 1024"));
        }
        if !(1..=self.num_beams).contains(&self.num_return_sequences) {
            let allowed = format!("from 1 to num_beams = {}", self.num_beams);
            return Err(Error::config("num_return_sequences", self.num_return_sequences, allowed));
        }
        if !(-16.0..=16.0).contains(&self.length_penalty) {
            return Err(Error::config("length_penalty", self.length_penalty, "from -16 to 16"));
        }
        if !self.repetition_penalty.is_finite() || self.repetition_penalty <= 0.0 {
            let allowed = "above 0 (1 = no penalty)";
            return Err(Error::config("repetition_penalty", self.repetition_penalty, allowed));
        }
        Ok(())
    }

    fn score(&self, sum: f64, length: usize) -> f64 {
        sum / (length as f64).powf(self.length_penalty)
    }
}

/// The beam search of one prompt.
struct Beams<'a> {
    config: &'a GenerationConfig,
    beams: &'a BeamConfig,
    /// Number of tokens of the prompt.
    prompt: usize,
    /// Largest number of new tokens.
    limit: usize,
    running: Vec<Hypothesis>,
    /// Best first.
    finished: Vec<Generation>,
}

/// A hypothesis that can go on.
struct Hypothesis {
    /// Its row of the batch.
    row: usize,
    /// The prompt and the new tokens.
    seen: Vec<u32>,
    /// Sum of log-probabilities.
    sum: f64,
}

/// A hypothesis and one more token.
struct Candidate {
    beam: usize,
    token: u32,
    sum: f64,
}

/// Searches all prompts together, whose tokens `steps` has; `limits` are the largest numbers of new tokens.
pub(super) fn beam_search(
    steps: &mut impl Steps,
    prompts: &[&[u32]],
    limits: &[usize],
    config: &GenerationConfig,
    beams: &BeamConfig,
) -> Result<Vec<Vec<Generation>>> {
    let begin = |(row, (prompt, &limit)): (usize, (&&[u32], &usize))| Beams {
        config,
        beams,
        prompt: prompt.len(),
        limit,
        running: vec![Hypothesis { row, seen: prompt.to_vec(), sum: 0.0 }],
        finished: Vec::new(),
    };
    let mut all: Vec<Beams> = prompts.iter().zip(limits).enumerate().map(begin).collect();
    let mut count = prompts.len();
    let mut logits = steps.first()?;
    loop {
        let vocabulary = logits.len() / count;
        let (mut rows, mut tokens) = (Vec::new(), Vec::new());
        for search in all.iter_mut().filter(|search| !search.running.is_empty()) {
            search.advance(&logits, vocabulary)?;
            for hypothesis in &mut search.running {
                tokens.extend(hypothesis.seen.last());
                rows.push(hypothesis.row);
                hypothesis.row = rows.len() - 1;
            }
        }
        if rows.is_empty() {
            break;
        }
        logits = steps.next(&rows, &tokens)?;
        count = rows.len();
    }
    let returned = |mut search: Beams| {
        search.finished.truncate(beams.num_return_sequences);
        search.finished
    };
    Ok(all.into_iter().map(returned).collect())
}

impl Beams<'_> {
    /// One more token, given the logits of all rows.
    fn advance(&mut self, logits: &[f32], vocabulary: usize) -> Result<()> {
        let BeamConfig { num_beams, early_stopping, .. } = *self.beams;
        let candidates = self.candidates(logits, vocabulary)?;
        let mut running = Vec::new();
        for (rank, Candidate { beam, token, sum }) in candidates.into_iter().enumerate() {
            let Hypothesis { row, seen, .. } = &self.running[beam];
            let length = seen.len() + 1 - self.prompt;
            let eos = self.config.eos.contains(&token);
            if eos || length == self.limit {
                if rank < num_beams {
                    let mut ids = seen[self.prompt..].to_vec();
                    ids.extend((!eos).then_some(token));
                    let finish = if eos { Finish::Eos } else { Finish::Length };
                    let score = Some(self.beams.score(sum, length));
                    self.finished.push(Generation { ids, finish, score });
                }
            } else if running.len() < num_beams {
                let seen = seen.iter().copied().chain([token]).collect();
                running.push(Hypothesis { row: *row, seen, sum });
            }
        }
        // Stable: of equals the earlier comes first.
        self.finished.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
        self.finished.truncate(num_beams);
        self.running = running;
        if self.is_over(early_stopping) {
            self.running.clear();
        }
        Ok(())
    }

    /// The best extensions, best first.
    fn candidates(&self, logits: &[f32], vocabulary: usize) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::with_capacity(self.running.len() * vocabulary);
        for (beam, Hypothesis { row, seen, sum }) in self.running.iter().enumerate() {
            let mut scores = log_softmax(&logits[row * vocabulary..][..vocabulary]);
            penalise(&mut scores, seen, self.beams.repetition_penalty);
            self.config.constrain(&mut scores, seen, seen.len() - self.prompt, self.limit);
            let possible = (0..).zip(scores).filter(|(_, score)| score.is_finite());
            candidates.extend(possible.map(|(token, score)| Candidate {
                beam,
                token,
                sum: sum + score,
            }));
        }
        if candidates.is_empty() && self.finished.is_empty() {
            return Err(no_finite_logit());
        }
        // Of equals the first, as argmax everywhere.
        let order = |a: &Candidate, b: &Candidate| {
            b.sum.total_cmp(&a.sum).then(a.beam.cmp(&b.beam)).then(a.token.cmp(&b.token))
        };
        let kept = self.beams.num_beams * 2.max(1 + self.config.eos.len());
        if candidates.len() > kept {
            candidates.select_nth_unstable_by(kept - 1, order);
            candidates.truncate(kept);
        }
        candidates.sort_by(order);
        Ok(candidates)
    }

    /// Whether nothing that still runs is worth going on with.
    fn is_over(&self, early_stopping: EarlyStopping) -> bool {
        let (Some(best), Some(worst)) = (self.running.first(), self.finished.last()) else {
            return self.running.is_empty();
        };
        if self.finished.len() < self.beams.num_beams {
            return false;
        }
        let length = match early_stopping {
            EarlyStopping::WhenFull => return true,
            EarlyStopping::Never if self.beams.length_penalty > 0.0 => self.limit,
            EarlyStopping::Never | EarlyStopping::Estimate => best.seen.len() - self.prompt,
        };
        worst.score.is_none_or(|worst| self.beams.score(best.sum, length) <= worst)
    }
}

/// Log-probabilities; what is not finite has none.
fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let finite = || logits.iter().filter(|logit| logit.is_finite()).map(|&logit| f64::from(logit));
    let largest = finite().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = finite().map(|logit| (logit - largest).exp()).sum();
    let shift = largest + total.ln();
    let score = |&logit: &f32| match logit.is_finite() {
        true => f64::from(logit) - shift,
        false => f64::NEG_INFINITY,
    };
    logits.iter().map(score).collect()
}
