//! Fused operations with their gradients: a reference from plain burn ops that works on every backend, and a fast path
//! for the CPU.

mod attention;

pub use attention::{AttentionConfig, attention, attention_fused, attention_reference};
