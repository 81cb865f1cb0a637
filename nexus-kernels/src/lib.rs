//! Fused operations with their gradients: a reference from plain burn ops that works on every backend, and a fast path
//! for the CPU.

mod adamw;
mod gelu;
mod layer_norm;
mod rms_norm;
mod swiglu;

#[cfg(feature = "flex")]
mod storage;
#[cfg(all(test, feature = "flex"))]
mod testing;
#[cfg(feature = "flex")]
mod vector;

pub use adamw::{AdamWStep, adamw_step, adamw_step_reference, sum_squares, sum_squares_reference};
pub use gelu::{gelu_erf, gelu_erf_reference, gelu_tanh, gelu_tanh_reference};
pub use layer_norm::{layer_norm, layer_norm_reference};
pub use rms_norm::{add_rms_norm, rms_norm, rms_norm_reference};
pub use swiglu::{swiglu, swiglu_reference};
