//! Fused operations with their gradients: a reference from plain burn ops that works on every backend, and a fast path
//! for the CPU.

mod adamw;
mod attention;
#[cfg(feature = "flex")]
mod bf16;
mod cross_entropy;
#[cfg(feature = "flex")]
mod flex;
mod gelu;
mod layer_norm;
mod linear;
mod low_rank;
#[cfg(feature = "flex")]
mod matrix;
mod precision;
mod rms_norm;
mod select;
mod swiglu;

#[cfg(feature = "flex")]
mod parallel;
#[cfg(feature = "flex")]
mod pool;
#[cfg(feature = "flex")]
mod skinny;
#[cfg(feature = "flex")]
mod storage;
#[cfg(all(test, feature = "flex"))]
mod testing;
#[cfg(feature = "flex")]
mod tile_product;
#[cfg(feature = "flex")]
mod vector;

pub use adamw::{AdamWStep, adamw_step, sum_squares};
pub use attention::{
    AttentionConfig, AttentionContext, attention, attention_fused, attention_packs,
};
pub use cross_entropy::{linear_cross_entropy, token_log_probabilities};
pub use gelu::{gelu_erf, gelu_tanh};
pub use layer_norm::layer_norm;
pub use linear::{WeightLayout, linear};
pub use low_rank::low_rank_linear;
pub use precision::Precision;
pub use rms_norm::rms_norm;
pub use select::{embedding, select_rows};
pub use swiglu::swiglu;

#[cfg(feature = "flex")]
pub use pool::release_memory;

/// Gives the memory that is kept for later tensors back to the system; without the CPU backend there is none.
#[cfg(not(feature = "flex"))]
pub fn release_memory() {}

/// The same operations from plain burn ops: what every backend but the CPU one runs, and what the fast paths agree with.
pub mod reference {
    pub use crate::adamw::{
        adamw_step_reference as adamw_step, sum_squares_reference as sum_squares,
    };
    pub use crate::attention::attention_reference as attention;
    pub use crate::cross_entropy::reference::{linear_cross_entropy, token_log_probabilities};
    pub use crate::gelu::{gelu_erf_reference as gelu_erf, gelu_tanh_reference as gelu_tanh};
    pub use crate::layer_norm::layer_norm_reference as layer_norm;
    pub use crate::linear::reference as linear;
    pub use crate::low_rank::reference as low_rank_linear;
    pub use crate::rms_norm::rms_norm_reference as rms_norm;
    pub use crate::select::{
        embedding_reference as embedding, select_rows_reference as select_rows,
    };
    pub use crate::swiglu::swiglu_reference as swiglu;
}
