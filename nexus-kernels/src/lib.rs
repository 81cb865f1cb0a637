//! Fused operations with their gradients: a reference from plain burn ops that works on every backend, and a fast path
//! for the CPU.

mod cross_entropy;
#[cfg(feature = "flex")]
mod flex;
mod linear;
mod low_rank;

pub use cross_entropy::{linear_cross_entropy, token_log_probabilities};
pub use linear::{WeightLayout, linear};
pub use low_rank::low_rank_linear;

/// The same operations from plain burn ops: what every backend but the CPU one runs, and what the fast paths agree with.
pub mod reference {
    pub use crate::cross_entropy::reference::{linear_cross_entropy, token_log_probabilities};
    pub use crate::linear::reference as linear;
    pub use crate::low_rank::reference as low_rank_linear;
}
