//! A run's settings: what the user writes, and what has been checked.

use crate::schedule::{Schedule, ScheduleKind};
use nexus_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The settings of a training run, under the names that Hugging Face users know.
///
/// | field | default | range |
/// |---|---|---|
/// | `max_steps` | from `epochs` | >= 1 |
/// | `epochs` | 3 | > 0 |
/// | `batch_size` | 8 | >= 1 |
/// | `grad_accumulation` | 1 | >= 1 |
/// | `learning_rate` | 5e-5 | > 0 |
/// | `schedule` | linear | constant, linear, cosine |
/// | `warmup_steps` | 0 | at most the number of steps |
/// | `weight_decay` | 0 | >= 0 |
/// | `adam_beta1`, `adam_beta2` | 0.9, 0.999 | 0 <= beta < 1 |
/// | `adam_epsilon` | 1e-8 | > 0 |
/// | `max_grad_norm` | 1 | > 0, or null for no clipping |
/// | `precision` | f32 | f32, bf16 |
/// | `eval_steps`, `save_steps` | none | >= 1 |
/// | `save_total_limit` | none | >= 1 |
/// | `early_stopping_patience` | none | >= 1; needs `eval_steps` |
/// | `metric_for_best_model` | `eval_loss` | a metric of the evaluation |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// What the operands of the large matrix products are rounded to; see [`Precision`].
    pub precision: Precision,
    /// Optimizer steps in all; wins over `epochs`.
    pub max_steps: Option<usize>,
    /// Passes over the training data.
    pub epochs: f64,
    /// Records per micro-batch.
    pub batch_size: usize,
    /// Micro-batches per optimizer step.
    pub grad_accumulation: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// How the learning rate moves.
    pub schedule: ScheduleKind,
    /// Steps over which the learning rate rises from 0.
    pub warmup_steps: usize,
    /// Decoupled weight decay of matrices and embeddings; norms and biases do not decay.
    pub weight_decay: f64,
    /// AdamW's beta 1.
    pub adam_beta1: f64,
    /// AdamW's beta 2.
    pub adam_beta2: f64,
    /// AdamW's epsilon.
    pub adam_epsilon: f64,
    /// The norm to which the whole gradient is clipped.
    pub max_grad_norm: Option<f64>,
    /// Evaluate every so many steps.
    pub eval_steps: Option<usize>,
    /// Save a checkpoint every so many steps.
    pub save_steps: Option<usize>,
    /// Keep at most so many checkpoints; the best one is always kept.
    pub save_total_limit: Option<usize>,
    /// Stop after so many evaluations without improvement.
    pub early_stopping_patience: Option<usize>,
    /// What counts as improvement.
    pub early_stopping_threshold: f64,
    /// The metric that decides which model is best.
    pub metric_for_best_model: String,
    /// Whether more of that metric is better; by default false for a loss or perplexity, true otherwise.
    pub greater_is_better: Option<bool>,
    /// End with the best model rather than the last.
    pub load_best_model_at_end: bool,
    /// Record the mean loss in `trainer_state.json` every so many steps.
    pub logging_steps: usize,
    /// Seed of the data order and the dropout masks.
    pub seed: u64,
    /// Whether every epoch has its own order.
    pub shuffle: bool,
    /// Whether records of similar length are batched together.
    pub group_by_length: bool,
}

/// What the operands of the large matrix products are rounded to. Sums, activations, gradients, norms and the optimizer
/// are f32 either way; bf16 is faster where the processor multiplies it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Not rounded.
    #[default]
    F32,
    /// bf16. Frozen weights are then stored as bf16 as well, by
    /// [`RunConfig::prepare`](crate::RunConfig::prepare).
    Bf16,
}

impl From<Precision> for nexus_kernels::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            precision: Precision::F32,
            max_steps: None,
            epochs: 3.0,
            batch_size: 8,
            grad_accumulation: 1,
            learning_rate: 5e-5,
            schedule: ScheduleKind::Linear,
            warmup_steps: 0,
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: Some(1.0),
            eval_steps: None,
            save_steps: None,
            save_total_limit: None,
            early_stopping_patience: None,
            early_stopping_threshold: 0.0,
            metric_for_best_model: "eval_loss".into(),
            greater_is_better: None,
            load_best_model_at_end: false,
            logging_steps: 10,
            seed: 42,
            shuffle: true,
            group_by_length: true,
        }
    }
}

/// Checked settings together with what follows from the data's size; only this can run.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainPlan {
    pub(crate) config: TrainConfig,
    /// Optimizer steps in all.
    pub max_steps: usize,
    /// Optimizer steps of one pass over the data.
    pub steps_per_epoch: usize,
    /// Records of one optimizer step.
    pub records_per_step: usize,
    /// The learning rate of each step.
    pub schedule: Schedule,
}

impl TrainConfig {
    /// Checks every range for a run over `examples` records.
    ///
    /// # Errors
    /// [`Error::Config`] names the field and what it allows.
    pub fn check(&self, examples: usize) -> Result<TrainPlan> {
        let positive = [
            ("epochs", self.epochs),
            ("learning_rate", self.learning_rate),
            ("adam_epsilon", self.adam_epsilon),
            ("max_grad_norm", self.max_grad_norm.unwrap_or(1.0)),
        ];
        for (field, value) in positive {
            if !value.is_finite() || value <= 0.0 {
                return Err(Error::config(field, value, "a number above 0"));
            }
        }
        for (field, value) in [("adam_beta1", self.adam_beta1), ("adam_beta2", self.adam_beta2)] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::config(field, value, "from 0 up to below 1"));
            }
        }
        let decay = [
            ("weight_decay", self.weight_decay),
            ("early_stopping_threshold", self.early_stopping_threshold),
        ];
        for (field, value) in decay {
            if !value.is_finite() || value < 0.0 {
                return Err(Error::config(field, value, "0 or above"));
            }
        }
        let counts = [
            ("batch_size", Some(self.batch_size)),
            ("grad_accumulation", Some(self.grad_accumulation)),
            ("max_steps", self.max_steps),
            ("eval_steps", self.eval_steps),
            ("save_steps", self.save_steps),
            ("save_total_limit", self.save_total_limit),
            ("early_stopping_patience", self.early_stopping_patience),
            ("logging_steps", Some(self.logging_steps)),
        ];
        for (field, value) in counts {
            if value == Some(0) {
                return Err(Error::config(field, 0, "at least 1"));
            }
        }
        if self.eval_steps.is_none() {
            let needs = [
                ("early_stopping_patience", self.early_stopping_patience.is_some()),
                ("load_best_model_at_end", self.load_best_model_at_end),
            ];
            if let Some((field, _)) = needs.into_iter().find(|(_, set)| *set) {
                return Err(Error::config(field, "set", "to be unset, or eval_steps to be set"));
            }
        }
        if examples == 0 {
            return Err(Error::config("training examples", 0, "at least one record"));
        }
        let Some(records_per_step) = self.batch_size.checked_mul(self.grad_accumulation) else {
            return Err(Error::config("batch_size", self.batch_size, "a smaller number"));
        };
        let steps_per_epoch = examples.div_ceil(records_per_step);
        let max_steps = match self.max_steps {
            Some(steps) => steps,
            None => (self.epochs * steps_per_epoch as f64).ceil() as usize,
        };
        if self.warmup_steps > max_steps {
            let allowed = format!("at most the number of steps, {max_steps}");
            return Err(Error::config("warmup_steps", self.warmup_steps, allowed));
        }
        let schedule = Schedule {
            kind: self.schedule,
            peak: self.learning_rate,
            warmup_steps: self.warmup_steps,
            max_steps,
        };
        Ok(TrainPlan {
            config: self.clone(),
            max_steps,
            steps_per_epoch,
            records_per_step,
            schedule,
        })
    }

    /// Whether more of the chosen metric is better.
    pub fn greater_is_better(&self) -> bool {
        let name = &self.metric_for_best_model;
        self.greater_is_better.unwrap_or(!(name.contains("loss") || name.contains("perplexity")))
    }
}

impl TrainPlan {
    /// Passes over the data after `step` steps.
    pub fn epoch(&self, step: usize) -> f64 {
        step as f64 / self.steps_per_epoch as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_become_steps_with_the_incomplete_step_counted() {
        let config =
            TrainConfig { epochs: 2.0, batch_size: 4, grad_accumulation: 2, ..Default::default() };
        let plan = config.check(17).unwrap();
        assert_eq!((plan.records_per_step, plan.steps_per_epoch, plan.max_steps), (8, 3, 6));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        let bad = [
            (TrainConfig { batch_size: 0, ..Default::default() }, "batch_size"),
            (TrainConfig { learning_rate: -1.0, ..Default::default() }, "learning_rate"),
            (TrainConfig { learning_rate: f64::NAN, ..Default::default() }, "learning_rate"),
            (TrainConfig { adam_beta2: 1.0, ..Default::default() }, "adam_beta2"),
            (TrainConfig { max_grad_norm: Some(0.0), ..Default::default() }, "max_grad_norm"),
            (TrainConfig { early_stopping_patience: Some(2), ..Default::default() }, "early"),
            (TrainConfig { warmup_steps: 99, max_steps: Some(9), ..Default::default() }, "warmup"),
        ];
        for (config, field) in bad {
            let error = config.check(10).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
        assert!(TrainConfig::default().check(0).is_err());
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = serde_json::from_str::<TrainConfig>(r#"{"learning_rat": 1}"#).unwrap_err();
        assert!(error.to_string().contains("learning_rat"));
    }
}
