//! The five seams: what can be done with a model.

use crate::Result;
use crate::data::ExampleSource;
use crate::observe::Observer;
use crate::report::{EvalReport, OptimizeReport, TrainReport};

/// Changes a model's parameters by gradient descent on data.
pub trait Trainer<M> {
    /// Trains `model`; `observer` sees every step and can stop the run.
    ///
    /// # Errors
    /// The implementer's: at least configuration errors before the first step, and
    /// [`Error::NonFinite`](crate::Error::NonFinite) when the loss diverges.
    fn train(
        &mut self,
        model: M,
        data: &TrainData<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Trained<M>>;
}

/// Measures a model.
pub trait Evaluator<M> {
    /// Measures `model` without changing it.
    ///
    /// # Errors
    /// The implementer's: at least when there is nothing to measure on.
    fn evaluate(&self, model: &M) -> Result<EvalReport>;
}

/// Stores a model's weights in fewer bits.
pub trait Quantizer<M> {
    /// Quantizes `model`; `calibration` shows typical inputs where the method needs them.
    ///
    /// # Errors
    /// The implementer's.
    fn quantize(&self, model: M, calibration: &dyn ExampleSource) -> Result<Optimized<M>>;
}

/// Removes weights from a model.
pub trait Pruner<M> {
    /// Prunes `model`; `calibration` shows typical inputs where the method needs them.
    ///
    /// # Errors
    /// The implementer's.
    fn prune(&self, model: M, calibration: &dyn ExampleSource) -> Result<Optimized<M>>;
}

/// Teaches a smaller model what a larger one knows.
pub trait Distiller<T, S> {
    /// Trains `student` on the outputs of `teacher`.
    ///
    /// # Errors
    /// The implementer's.
    fn distill(
        &mut self,
        teacher: &T,
        student: S,
        data: &TrainData<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Optimized<S>>;
}

/// What a training run reads.
#[derive(Clone, Copy)]
pub struct TrainData<'a> {
    /// The training examples.
    pub train: &'a dyn ExampleSource,
    /// Held-out examples for evaluation during the run.
    pub valid: Option<&'a dyn ExampleSource>,
    /// The id that fills rows up; its positions are never trained on.
    pub pad_id: u32,
}

/// A trained model with the account of its training.
#[derive(Debug)]
pub struct Trained<M> {
    /// The model, outside any gradient.
    pub model: M,
    /// What happened.
    pub report: TrainReport,
}

/// A smaller or faster model with the account of how it was made.
#[derive(Debug)]
pub struct Optimized<M> {
    /// The model.
    pub model: M,
    /// What changed.
    pub report: OptimizeReport,
}
