//! Masked language modelling.

use super::cross_entropy::{Weighting, cross_entropy_sum};
use super::tokens::labelled;
use super::{Objective, check_ids};
use crate::step::{mix, unit};
use burn::tensor::{Device, Tensor};
use nexus_core::data::{Example, IGNORED, Tokenizer, collate};
use nexus_core::model::{Encoder, Pass, TokenBatch};
use nexus_core::{Error, Result};

/// Mean cross-entropy of masked tokens, in nats per token (Devlin et al. 2018, arXiv:1810.04805, section 3.1): in every
/// step, each token is chosen with `probability`; of the chosen ones 80 % become the mask token, 10 % a random token,
/// 10 % stay.
///
/// Examples that come with labels keep them; special tokens are never chosen.
#[derive(Clone, Debug)]
pub struct MaskedLm {
    probability: f64,
    mask: u32,
    vocabulary: u32,
    special: Vec<u32>,
    weighting: Weighting,
}

impl MaskedLm {
    /// Masks tokens of `tokenizer`; `probability` is usually 0.15.
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
        Ok(Self {
            probability,
            mask,
            vocabulary: tokenizer.vocab_size() as u32,
            special: tokenizer.special_ids(),
            weighting: Weighting::default(),
        })
    }

    /// For examples that are masked already.
    pub fn with_given_labels() -> Self {
        Self {
            probability: 0.0,
            mask: 0,
            vocabulary: 0,
            special: Vec::new(),
            weighting: Weighting::default(),
        }
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

    /// Masks one example; a pure function of the example and the seed.
    fn mask(&self, mut example: Example, seed: u64) -> Example {
        example.labels = vec![IGNORED; example.ids.len()];
        for (i, id) in example.ids.iter_mut().enumerate() {
            let seed = mix(seed, i as u64);
            if self.special.contains(id) || unit(seed) >= self.probability {
                continue;
            }
            example.labels[i] = *id as i32;
            let choice = unit(mix(seed, 1));
            if choice < 0.8 {
                *id = self.mask;
            } else if choice < 0.9 {
                *id = (unit(mix(seed, 2)) * f64::from(self.vocabulary)) as u32;
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
        example.labels.iter().filter(|&&label| label != IGNORED).count()
    }

    fn check(&self, model: &Encoder, example: &Example) -> Result<(), String> {
        let labels: Vec<u32> =
            example.labels.iter().filter(|&&l| l != IGNORED).map(|&l| l as u32).collect();
        check_ids(model, example.ids.iter().chain(&labels))
    }

    fn prepare(&self, example: Example, seed: u64) -> Example {
        let given = example.labels.iter().any(|&label| label != IGNORED);
        if given || self.probability == 0.0 { example } else { self.mask(example, seed) }
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
