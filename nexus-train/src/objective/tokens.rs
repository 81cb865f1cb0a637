//! Classification of every token.

use super::Objective;
use super::cross_entropy::{Weighting, cross_entropy_sum};
use burn::tensor::{Device, Tensor};
use nexus_core::Result;
use nexus_core::data::{Example, IGNORED, collate};
use nexus_core::model::{Encoder, Head, Model, Pass, TokenBatch};

/// Mean cross-entropy of the labelled tokens, in nats per token; labels of -100 are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenClassification {
    weighting: Weighting,
}

impl TokenClassification {
    /// Without class weights and smoothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Weights every class; the mean is over the weights of the targets.
    ///
    /// # Errors
    /// [`Error::Config`](nexus_core::Error::Config) for a weight that is negative or not finite.
    pub fn with_class_weights(mut self, weights: Vec<f32>) -> Result<Self> {
        self.weighting.class_weights = Some(weights);
        self.weighting.check()?;
        Ok(self)
    }

    /// Spreads this share of a target over all classes.
    ///
    /// # Errors
    /// [`Error::Config`](nexus_core::Error::Config) unless it is from 0 up to below 1.
    pub fn with_label_smoothing(mut self, smoothing: f64) -> Result<Self> {
        self.weighting.smoothing = smoothing;
        self.weighting.check()?;
        Ok(self)
    }
}

impl Objective<Encoder> for TokenClassification {
    fn weight(&self, example: &Example) -> f64 {
        let labels = example.labels.iter().filter(|&&label| label != IGNORED);
        labels.map(|&label| self.weighting.of(label as usize)).sum()
    }

    fn labels(&self, example: &Example) -> usize {
        example.labelled_tokens()
    }

    fn check(&self, model: &Encoder, example: &Example) -> Result<(), String> {
        example.check(model.spec())?;
        example.check_label_count()?;
        let Head::Tokens(classes) = &model.spec().head else {
            return Err("the model has no head for tokens; load it with one".into());
        };
        let count = classes.len();
        self.weighting.check_classes(count)?;
        let known = |label: i32| label == IGNORED || (0..count as i32).contains(&label);
        match example.labels.iter().find(|&&label| !known(label)) {
            Some(label) => Err(format!("class {label} is not one of the model's {count}")),
            None => Ok(()),
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
        let logits = model.token_logits(&TokenBatch::new(&batch, device), &rows, pass)?;
        Ok(cross_entropy_sum(logits, &targets, &self.weighting))
    }
}

/// The positions that have a label, and the labels.
pub(super) fn labelled(labels: &[i32]) -> (Vec<i32>, Vec<i32>) {
    let with_label = labels.iter().enumerate().filter(|(_, label)| **label != IGNORED);
    with_label.map(|(position, &label)| (position as i32, label)).unzip()
}
