//! What is learned: how a micro-batch becomes a loss.

mod causal;
mod cross_entropy;
mod masked;
mod seq2seq;
mod sequence;
mod tokens;

pub use causal::CausalLm;
pub use masked::MaskedLm;
pub use seq2seq::Seq2Seq;
pub use sequence::SequenceClassification;
pub use tokens::TokenClassification;

use burn::tensor::{Device, Tensor};
use nexus_core::Result;
use nexus_core::data::Example;
use nexus_core::model::Pass;

/// A training objective for models of type `M`.
///
/// The loss of an optimizer step is the sum of [`loss_sum`](Self::loss_sum) over its micro-batches divided by the sum of
/// [`weight`](Self::weight) over its examples, so that it does not depend on how the step is divided.
pub trait Objective<M> {
    /// What the example adds to the denominator of the mean loss.
    fn weight(&self, example: &Example) -> f64;

    /// The number of labels of the example, for reports.
    fn labels(&self, example: &Example) -> usize;

    /// Checks that `model` can learn from the example.
    ///
    /// # Errors
    /// What is wrong with the example and how to repair it.
    fn check(&self, model: &M, example: &Example) -> Result<(), String>;

    /// The example as it is trained on in one step; `seed` is this example's own in this step.
    fn prepare(&self, example: Example, seed: u64) -> Example {
        let _ = seed;
        example
    }

    /// The summed loss of a micro-batch with at least one label, `[1]`.
    ///
    /// # Errors
    /// As the model's forward pass.
    fn loss_sum(
        &self,
        model: &M,
        examples: &[Example],
        pad_id: u32,
        device: &Device,
        pass: &Pass,
    ) -> Result<Tensor<1>>;
}
