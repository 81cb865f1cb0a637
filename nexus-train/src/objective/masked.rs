//! Masked language modelling.

use super::Objective;
use super::cross_entropy::{Weighting, cross_entropy_sum};
use super::tokens::labelled;
use crate::step::{mix, unit};
use burn::tensor::{Device, Tensor};
use nexus_core::data::{Example, IGNORED, Tokenizer, collate};
use nexus_core::model::{Encoder, Model, Pass, TokenBatch};
use nexus_core::{Error, Result};
use std::collections::HashSet;

/// Mean cross-entropy of masked tokens, in nats per token (Devlin et al. 2018, arXiv:1810.04805, section 3.1): in every
/// step, each token is chosen with a probability; of the chosen ones 80 % become the mask token, 10 % a random token of
/// the vocabulary, 10 % stay. Special tokens are never chosen.
///
/// Tokens are chosen one by one, as transformers does, not a fixed number of each text. Of a text where chance chooses
/// none, one is chosen, as in the authors' program, so that every text is learned from in every step.
#[derive(Clone, Debug)]
pub struct MaskedLm {
    /// `None`: examples are masked already.
    masking: Option<Masking>,
    weighting: Weighting,
}

/// How tokens are masked.
#[derive(Clone, Debug)]
struct Masking {
    probability: f64,
    mask: u32,
    vocabulary: u32,
    special: HashSet<u32>,
}

impl MaskedLm {
    /// Masks tokens of `tokenizer`; `probability` is usually 0.15. What labels an example has is overwritten:
    /// [`MaskedTextEncoder`](nexus_core::data::MaskedTextEncoder) gives none.
    ///
    /// # Errors
    /// [`Error::Config`] unless `probability` is above 0 and below 1; [`Error::Tokenizer`] when there is no mask token.
    pub fn new(tokenizer: &Tokenizer, probability: f64) -> Result<Self> {
        if !(probability > 0.0 && probability < 1.0) {
            return Err(Error::config("mask_probability", probability, "above 0 and below 1"));
        }
        let Some(mask) = tokenizer.mask() else {
            let why = "it has no mask token; name one as mask_token in tokenizer_config.json";
            return Err(Error::Tokenizer { why: why.into() });
        };
        // Those around a text need not be marked as special in the vocabulary.
        let around = tokenizer.wrap_pair(&[], Some(&[]))?.0;
        let masking = Masking {
            probability,
            mask,
            vocabulary: tokenizer.vocab_size() as u32,
            special: tokenizer.special_ids().into_iter().chain(around).collect(),
        };
        Ok(Self { masking: Some(masking), weighting: Weighting::default() })
    }

    /// For examples that are masked already: their labels say which tokens are learned, nothing is drawn.
    pub fn with_given_labels() -> Self {
        Self { masking: None, weighting: Weighting::default() }
    }

    /// Spreads this share of a target over the vocabulary.
    ///
    /// # Errors
    /// [`Error::Config`] unless it is from 0 up to below 1.
    pub fn with_label_smoothing(mut self, smoothing: f64) -> Result<Self> {
        self.weighting.smoothing = smoothing;
        self.weighting.check()?;
        Ok(self)
    }
}

impl Masking {
    /// Masks one example; a pure function of the example and the seed.
    fn apply(&self, mut example: Example, seed: u64) -> Example {
        example.labels = vec![IGNORED; example.ids.len()];
        let draws: Vec<(usize, u64)> = (0..example.ids.len())
            .filter(|&i| !self.special.contains(&example.ids[i]))
            .map(|i| (i, mix(seed, i as u64)))
            .collect();
        // The smallest number would be the first below a growing probability.
        let least = draws.iter().min_by(|(_, a), (_, b)| unit(*a).total_cmp(&unit(*b)));
        let least = least.map(|(i, _)| *i);
        for (i, draw) in draws {
            if unit(draw) >= self.probability && Some(i) != least {
                continue;
            }
            let id = &mut example.ids[i];
            example.labels[i] = *id as i32;
            let choice = unit(mix(draw, 1));
            if choice < 0.8 {
                *id = self.mask;
            } else if choice < 0.9 {
                *id = (unit(mix(draw, 2)) * f64::from(self.vocabulary)) as u32;
            }
        }
        example
    }
}

impl Objective<Encoder> for MaskedLm {
    fn weight(&self, example: &Example) -> f64 {
        Objective::<Encoder>::labels(self, example) as f64
    }

    fn labels(&self, example: &Example) -> usize {
        example.labelled_tokens()
    }

    fn check(&self, model: &Encoder, example: &Example) -> Result<(), String> {
        example.check(model.spec())?;
        example.check_label_count()?;
        example.check_token_labels(model.spec())
    }

    fn prepare(&self, example: Example, seed: u64) -> Example {
        match &self.masking {
            Some(masking) => masking.apply(example, seed),
            None => example,
        }
    }

    fn loss_sum(
        &self,
        model: &Encoder,
        examples: &[Example],
        pad_id: u32,
        device: &Device,
        pass: &Pass,
    ) -> Result<Tensor<1>> {
        let batch = collate(examples, pad_id);
        let (rows, targets) = labelled(&batch.labels);
        let logits = model.masked_logits(&TokenBatch::new(&batch, device), &rows, pass)?;
        Ok(cross_entropy_sum(logits, &targets, &self.weighting))
    }
}
