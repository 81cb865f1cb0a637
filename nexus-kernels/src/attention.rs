//! Attention with grouped queries as one operation: causal with a sliding window, or bidirectional; rotary positions,
//! padding, a bias on the scores, several sequences in one row.
//!
//! Per batch entry, query head `h` and key head `g = h / (H/K)`, with `q`, `k` rotated to their positions:
//!
//! ```text
//! S = scale q k^T + bias_h            over the visible keys: those that the entry has, begin <= j < end, and if causal
//!                                     offset + t - window < j <= offset + t
//! lse_t = log sum_j exp(S_tj)         P = exp(S - lse)         out = P v       (no visible key: P = 0, out = 0)
//! D_t = dout_t . out_t                dP = dout v^T            dS = P * (dP - D)
//! dv = P^T dout                       dq = scale dS k          dk = scale dS^T q   (sums over the heads of a group)
//! dbias_h = sum of dS over the batch entries
//! ```
//!
//! The fast path for the CPU follows FlashAttention-2 (Dao 2023, arXiv:2307.08691, sections 3.1 and 3.2): scores exist
//! one tile at a time, the forward pass keeps `out` and `lse`, the backward pass computes the tiles again. Deviations:
//! a task is one (sequence, key head) and goes through its tiles in order, so results do not depend on the number of
//! threads; a block of keys is long (512), so a short sequence needs no rescaling of partial sums. When the bias needs a
//! gradient, a backward task is one key head and goes through the sequences in order: K tasks instead of B K. Keys
//! that no query of a tile sees are left out, so padding before and behind a sequence costs no products.
//!
//! The floor: 2 products of (visible keys of all queries) x dim forward, T(T+1)/2 x dim when causal, and 5 backward, each
//! multiply-add 2 FLOPs; bytes (inputs and outputs once) matter less. Criterion's mean, H = 8 (both ways: 12), dim = 64, on
//! two virtual cores of an EPYC (Zen 4) of 227 GFLOP/s together in f32 and 470 in bf16; (x) is over the floor:
//!
//! ```text
//! ms                       forward: f32       bf16       reference    with backward: f32  bf16        reference
//! causal, B 8, T 256        5.6 (2.4 x)  4.3 (3.7 x)         62        17.7 (2.1 x)  13.6 (3.4 x)       151
//! causal, B 1, T 2048      27.5 (1.5 x) 17.7 (1.9 x)        314        91.8 (1.4 x)  57.3 (1.8 x)      1013
//! both ways, B 16, T 128    5.4 (2.0 x)  4.2 (3.2 x)         21        18.9 (2.0 x)  14.9 (3.3 x)        96
//! ```
//!
//! What is lost: the tile on the diagonal is computed whole (18 % at T = 256), fresh memory for the gradients, copies.

mod config;
mod reference;

#[cfg(feature = "flex")]
mod arithmetic;
#[cfg(feature = "flex")]
mod backward;
#[cfg(feature = "flex")]
mod extension;
#[cfg(feature = "flex")]
mod forward;
#[cfg(feature = "flex")]
mod rows;
#[cfg(feature = "flex")]
mod tile;

pub use config::{AttentionConfig, AttentionContext};
pub use reference::attention_reference;

use burn::tensor::{Device, Tensor};

/// Attention of T queries over S keys; causal over S = offset + T keys unless the configuration is bidirectional.
///
/// With [`rotary`](AttentionContext::rotary) positions queries and keys are rotated inside (half-split layout: dimension
/// `i` is paired with `i + head_dim/2`), which needs whole sequences: `offset == 0`, S = T. With cached keys rotate
/// before caching.
///
/// A query that sees no key gives zeros, and no gradient. Keys and values of padding may be any finite numbers.
///
/// f32 on flex takes the fast path (differentiable in any of query, key, value and bias); everything else
/// [`attention_reference`]. The fast path computes the same bits for any number of threads, and reads views whose last
/// dimension is contiguous (parts of a fused projection) in place.
///
/// # Shapes
/// `query`: `[B, T, H*head_dim]`; `key`, `value`: `[B, S, K*head_dim]`; `context`: at its fields; result
/// `[B, T, H*head_dim]`.
///
/// # Panics
/// When the shapes do not fit the configuration or each other.
pub fn attention(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    context: &AttentionContext,
    config: AttentionConfig,
) -> Tensor<3> {
    let shape = config.check(query.dims(), key.dims(), value.dims());
    context.check(&config, shape);
    #[cfg(feature = "flex")]
    if extension::applies([&query, &key, &value], context) {
        return extension::separate(query, key, value, context, config);
    }
    attention_reference(query, key, value, context, config)
}

/// Whether [packed](AttentionContext::packed) sequences are one operation on `device`. Elsewhere they are computed one by
/// one, so that padding costs less.
pub fn attention_packs(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    return *device == Device::flex();
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}

/// [`attention`] of whole sequences (`offset == 0`, S = T) whose queries, keys and values are side by side in one tensor,
/// the output of a fused projection.
///
/// On the fast path the gradient is written into one tensor too.
///
/// # Shapes
/// `inputs`: `[B, T, (H + 2K)*head_dim]`; `context`: as [`attention`]; result `[B, T, H*head_dim]`.
///
/// # Panics
/// As [`attention`].
pub fn attention_fused(
    inputs: Tensor<3>,
    context: &AttentionContext,
    config: AttentionConfig,
) -> Tensor<3> {
    let [batch, time, width] = inputs.dims();
    assert_eq!(config.offset, 0, "a fused projection has a key for every query");
    let parts = config.parts();
    assert_eq!(width, parts[2].0 + parts[2].1, "width of the fused projection");
    let [query, key, value] = parts.map(|(_, width)| [batch, time, width]);
    context.check(&config, config.check(query, key, value));
    #[cfg(feature = "flex")]
    if extension::applies([&inputs], context) {
        return extension::fused(inputs, context, config);
    }
    let [query, key, value] = parts.map(|(from, width)| inputs.clone().narrow(2, from, width));
    attention_reference(query, key, value, context, config)
}
