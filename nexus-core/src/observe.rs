//! What a training run tells while it goes on.

use crate::Result;
use crate::report::TrainReport;
use serde::Serialize;
use std::path::Path;

/// Watches a run: progress bars, logs, metrics. Every method has an empty default.
pub trait Observer {
    /// The run begins.
    ///
    /// # Errors
    /// An error from any of these methods ends the run.
    fn on_start(&mut self, _plan: &RunStart) -> Result<()> {
        Ok(())
    }

    /// An optimizer step is done.
    ///
    /// # Errors
    /// As [`on_start`](Self::on_start).
    fn on_step(&mut self, _step: &StepStats) -> Result<()> {
        Ok(())
    }

    /// The model was evaluated.
    ///
    /// # Errors
    /// As [`on_start`](Self::on_start).
    fn on_evaluation(&mut self, _evaluation: &Evaluation) -> Result<()> {
        Ok(())
    }

    /// A checkpoint was committed.
    ///
    /// # Errors
    /// As [`on_start`](Self::on_start).
    fn on_checkpoint(&mut self, _step: usize, _folder: &Path) -> Result<()> {
        Ok(())
    }

    /// The run is over.
    ///
    /// # Errors
    /// As [`on_start`](Self::on_start).
    fn on_end(&mut self, _report: &TrainReport) -> Result<()> {
        Ok(())
    }

    /// Asked after every step: true ends the run in good order.
    fn wants_stop(&self) -> bool {
        false
    }
}

/// An observer that sees nothing.
impl Observer for () {}

/// Several observers, told in order.
impl Observer for Vec<Box<dyn Observer>> {
    fn on_start(&mut self, plan: &RunStart) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.on_start(plan))
    }

    fn on_step(&mut self, step: &StepStats) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.on_step(step))
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.on_evaluation(evaluation))
    }

    fn on_checkpoint(&mut self, step: usize, folder: &Path) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.on_checkpoint(step, folder))
    }

    fn on_end(&mut self, report: &TrainReport) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.on_end(report))
    }

    fn wants_stop(&self) -> bool {
        self.iter().any(|observer| observer.wants_stop())
    }
}

/// What is known when a run begins.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunStart {
    /// Steps already done when the run was resumed; 0 otherwise.
    pub first_step: usize,
    /// Steps in all.
    pub max_steps: usize,
    /// Training examples.
    pub examples: usize,
    /// Parameters that training changes.
    pub trainable_parameters: usize,
    /// Parameters in all.
    pub parameters: usize,
}

/// One optimizer step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepStats {
    /// The step, counted from 1.
    pub step: usize,
    /// Passes over the data so far, with its fraction.
    pub epoch: f64,
    /// Mean loss over the trained tokens of the step, in nats per token.
    pub loss: f64,
    /// Norm of the whole gradient before clipping.
    pub grad_norm: f64,
    /// The learning rate that the step used.
    pub learning_rate: f64,
    /// Tokens processed in the step, padding left out.
    pub tokens: usize,
    /// Tokens of the step with a label.
    pub trained_tokens: usize,
    /// Wall time of the step in seconds.
    pub seconds: f64,
}

/// An evaluation during training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// The step after which it took place.
    pub step: usize,
    /// Passes over the data so far, with its fraction.
    pub epoch: f64,
    /// The metrics by name, such as `eval_loss`, in the order in which they were measured.
    pub metrics: Vec<(String, f64)>,
    /// Examples that were evaluated.
    pub examples: usize,
    /// Wall time in seconds.
    pub seconds: f64,
    /// Whether the chosen metric is the best so far.
    pub best: bool,
}
