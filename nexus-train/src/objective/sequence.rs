//! Classification and regression of whole sequences.

use super::Objective;
use super::cross_entropy::{Weighting, cross_entropy_sum, row};
use burn::tensor::{Device, Tensor, activation};
use nexus_core::data::{Example, Problem, Target, collate};
use nexus_core::model::{Classify, Pass, TokenBatch};
use nexus_core::{Error, Result};

/// The loss that the model's [`Problem`] asks for:
///
/// | problem | loss | target |
/// |---|---|---|
/// | single label | mean cross-entropy, in nats | [`Target::Class`] |
/// | several labels | mean binary cross-entropy over B x C, in nats | [`Target::Values`] of 0 and 1 |
/// | regression | mean squared error over B x C | [`Target::Values`] |
///
/// Class weights and label smoothing are for single labels; for the other problems they are refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SequenceClassification {
    weighting: Weighting,
}

impl SequenceClassification {
    /// Without class weights and smoothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Weights every class of a single-label problem; the mean is over the weights of the targets.
    ///
    /// # Errors
    /// [`Error::Config`] for a weight that is negative or not finite.
    pub fn with_class_weights(mut self, weights: Vec<f32>) -> Result<Self> {
        self.weighting.class_weights = Some(weights);
        self.weighting.check()?;
        Ok(self)
    }

    /// Spreads this share of a single-label target over all classes.
    ///
    /// # Errors
    /// [`Error::Config`] unless it is from 0 up to below 1.
    pub fn with_label_smoothing(mut self, smoothing: f64) -> Result<Self> {
        self.weighting.smoothing = smoothing;
        self.weighting.check()?;
        Ok(self)
    }
}

impl<M: Classify> Objective<M> for SequenceClassification {
    fn weight(&self, example: &Example) -> f64 {
        match &example.target {
            Target::Class(class) => self.weighting.of(*class as usize),
            Target::Values(values) => values.len() as f64,
            Target::Unset => 0.0,
        }
    }

    fn labels(&self, example: &Example) -> usize {
        match &example.target {
            Target::Class(_) => 1,
            Target::Values(values) => values.len(),
            Target::Unset => 0,
        }
    }

    fn check(&self, model: &M, example: &Example) -> Result<(), String> {
        example.check(model.spec())?;
        let Some(classes) = model.spec().classes() else {
            return Err("the model has no classification head; load it with one".into());
        };
        let count = classes.len();
        if classes.problem != Problem::SingleLabel && self.weighting != Weighting::default() {
            return Err(format!(
                "class weights and label smoothing are for single labels only, not for problem_type = {}; leave them out",
                classes.problem.name()
            ));
        }
        self.weighting.check_classes(count)?;
        match (classes.problem, &example.target) {
            (_, Target::Unset) => Err("the example has no label".into()),
            (Problem::SingleLabel, Target::Class(class)) if (*class as usize) < count => Ok(()),
            (Problem::SingleLabel, Target::Class(class)) => {
                Err(format!("class {class} is not one of the model's {count}"))
            }
            (Problem::MultiLabel | Problem::Regression, Target::Values(values))
                if values.len() == count =>
            {
                Ok(())
            }
            (Problem::MultiLabel | Problem::Regression, Target::Values(values)) => {
                Err(format!("{} values for {count} labels", values.len()))
            }
            (problem, _) => Err(format!(
                "the label is of another kind than problem_type = {} asks for",
                problem.name()
            )),
        }
    }

    fn loss_sum(
        &self,
        model: &M,
        examples: &[Example],
        pad_id: u32,
        device: &Device,
        pass: &Pass,
    ) -> Result<Tensor<1>> {
        let batch = collate(examples, pad_id);
        let logits = model.class_logits(&TokenBatch::new(&batch, device), pass)?;
        let [rows, classes] = logits.dims();
        let problem = model.spec().classes().map(|classes| classes.problem);
        if problem == Some(Problem::SingleLabel) {
            let targets: Vec<i32> = batch
                .targets
                .iter()
                .map(|target| match target {
                    Target::Class(class) => Ok(*class as i32),
                    _ => Err(Error::Refused("an example has no class".into())),
                })
                .collect::<Result<_>>()?;
            return Ok(cross_entropy_sum(logits, &targets, &self.weighting));
        }
        let mut values = Vec::with_capacity(rows * classes);
        for target in &batch.targets {
            match target {
                Target::Values(row) if row.len() == classes => values.extend(row),
                _ => return Err(Error::Refused(format!("an example has not {classes} values"))),
            }
        }
        let targets = row(values, [rows, classes], device);
        if problem == Some(Problem::Regression) {
            let error = logits - targets;
            return Ok((error.clone() * error).sum());
        }
        // -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)) = softplus(x) - t x, stable for any x.
        Ok((activation::softplus(logits.clone(), 1.0) - logits * targets).sum())
    }
}
