//! Causal attention with grouped queries, a sliding window and rotary positions, as one operation.
//!
//! Per batch entry, query head `h` and key head `g = h / (H/K)`, with `q`, `k` rotated to their positions:
//!
//! ```text
//! S = scale q k^T                     over the visible keys: offset + t - window < j <= offset + t
//! lse_t = log sum_j exp(S_tj)         P = exp(S - lse)         out = P v
//! D_t = dout_t . out_t                dP = dout v^T            dS = P * (dP - D) * scale
//! dv = P^T dout                       dq = dS k                dk = dS^T q     (sums over the heads of a group)
//! ```
//!
//! The fast path for the CPU follows FlashAttention-2 (Dao 2023, arXiv:2307.08691, sections 3.1 and 3.2): scores exist
//! one tile at a time, the forward pass keeps `out` and `lse`, the backward pass computes the tiles again. Deviations:
//! a task is one (batch entry, key head) and goes through its tiles in order, so results do not depend on the number of
//! threads; a block of keys is long (512), so a short sequence needs no rescaling of partial sums.
//!
//! The floor: 2 products of T(T+1)/2 x dim forward and 5 backward, each multiply-add 2 FLOPs, at 180 GFLOP/s a core; bytes
//! (inputs and outputs once) matter less. Criterion's mean of 10 samples, H = 8, dim = 64, rotary, on two shared cores with
//! other jobs running (load 3.5), so upper bounds; (x) is over the floor of one core:
//!
//! ```text
//!                           forward: fast, reference    with backward: fast, reference
//! B 8, T 256   1 thread     10.1 ms (3.4 x)     68 ms    47 ms (4.5 x)      148 ms
//!              2 threads     7.7 ms             75 ms    40 ms              231 ms
//! B 1, T 2048  1 thread     39.5 ms (1.7 x)       -     159 ms (1.9 x)        -
//!              2 threads    40.5 ms            415 ms   158 ms             1157 ms
//! ```
//!
//! What is lost: the tile on the diagonal is computed whole (18 % at T = 256), fresh memory for the gradients, copies.

mod reference;

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

pub use reference::attention_reference;

use burn::tensor::Tensor;

/// The shape of an attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionConfig {
    /// Query heads, H; a multiple of `kv_heads`.
    pub heads: usize,
    /// Key and value heads, K.
    pub kv_heads: usize,
    /// The size of one head.
    pub head_dim: usize,
    /// How many positions a query sees, itself included; `None` for all that are not later.
    pub window: Option<usize>,
    /// Multiplies the scores.
    pub scale: f64,
    /// The number of (cached) keys before the key of the first query, S - T.
    pub offset: usize,
}

impl AttentionConfig {
    /// Whole sequences without a window, scores scaled by `head_dim^-0.5`.
    pub fn new(heads: usize, kv_heads: usize, head_dim: usize) -> Self {
        let scale = (head_dim as f64).powf(-0.5);
        Self { heads, kv_heads, head_dim, window: None, scale, offset: 0 }
    }

    /// With a sliding window of `window` positions.
    pub fn with_window(self, window: Option<usize>) -> Self {
        Self { window, ..self }
    }

    /// With another factor on the scores.
    pub fn with_scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    /// With `offset` cached positions before the first query.
    pub fn with_offset(self, offset: usize) -> Self {
        Self { offset, ..self }
    }

    /// Key positions that the query at `row` of T sees, a non-empty range.
    fn visible(&self, row: usize) -> (usize, usize) {
        let end = self.offset + row + 1;
        (self.window.map_or(0, |window| end.saturating_sub(window)), end)
    }

    /// First column and width of query, key and value in a fused projection.
    fn parts(&self) -> [(usize, usize); 3] {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        [(0, q), (q, kv), (q + kv, kv)]
    }

    /// Panics unless the tables fit.
    fn check_rotary(&self, time: usize, rotary: Option<&(Tensor<2>, Tensor<2>)>) {
        if let Some((cos, sin)) = rotary {
            assert_eq!(self.offset, 0, "cached keys are rotated before they are cached");
            assert_eq!(self.head_dim % 2, 0, "rotary positions pair the dimensions of a head");
            assert_eq!(cos.dims(), [time, self.head_dim / 2], "shape of the cosines");
            assert_eq!(sin.dims(), [time, self.head_dim / 2], "shape of the sines");
        }
    }

    /// Panics unless the arguments fit together; returns `[B, T, S]`.
    fn check(&self, query: [usize; 3], key: [usize; 3], value: [usize; 3]) -> [usize; 3] {
        let Self { heads, kv_heads, head_dim, .. } = *self;
        assert!(kv_heads > 0 && heads % kv_heads == 0, "{heads} heads in {kv_heads} groups");
        assert!(self.window != Some(0), "a window of zero positions sees nothing");
        let [batch, time, _] = query;
        let keys = self.offset + time;
        assert_eq!(query, [batch, time, heads * head_dim], "shape of the queries");
        assert_eq!(key, [batch, keys, kv_heads * head_dim], "shape of the keys");
        assert_eq!(value, [batch, keys, kv_heads * head_dim], "shape of the values");
        [batch, time, keys]
    }
}

/// Causal attention of T queries over S = offset + T keys.
///
/// With `rotary`, queries and keys are rotated inside (half-split layout: dimension `i` is paired with
/// `i + head_dim/2`), which needs whole sequences, `offset == 0`. With cached keys rotate before caching and pass
/// `None`. Cosine and sine are constants: no gradient flows to them.
///
/// f32 on flex takes the fast path (differentiable in any of query, key and value); everything else
/// [`attention_reference`]. The fast path computes the same bits for any number of threads, and reads views whose last
/// dimension is contiguous (parts of a fused projection) in place.
///
/// # Shapes
/// `query`: `[B, T, H*head_dim]`; `key`, `value`: `[B, S, K*head_dim]`; `rotary`: cosine and sine
/// `[T, head_dim/2]`; result `[B, T, H*head_dim]`.
///
/// # Panics
/// When the shapes do not fit the configuration or each other.
pub fn attention(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    rotary: Option<(Tensor<2>, Tensor<2>)>,
    config: AttentionConfig,
) -> Tensor<3> {
    let [_, time, _] = config.check(query.dims(), key.dims(), value.dims());
    config.check_rotary(time, rotary.as_ref());
    #[cfg(feature = "flex")]
    if extension::applies([&query, &key, &value], rotary.as_ref()) {
        return extension::separate(query, key, value, rotary, config);
    }
    attention_reference(query, key, value, rotary, config)
}

/// [`attention`] of whole sequences (`offset == 0`) whose queries, keys and values are side by side in one tensor, the
/// output of a fused projection.
///
/// On the fast path the gradient is written into one tensor too.
///
/// # Shapes
/// `inputs`: `[B, T, (H + 2K)*head_dim]`; `rotary`: as [`attention`]; result `[B, T, H*head_dim]`.
///
/// # Panics
/// As [`attention`].
pub fn attention_fused(
    inputs: Tensor<3>,
    rotary: Option<(Tensor<2>, Tensor<2>)>,
    config: AttentionConfig,
) -> Tensor<3> {
    let [batch, time, width] = inputs.dims();
    assert_eq!(config.offset, 0, "a fused projection has a key for every query");
    let parts = config.parts();
    assert_eq!(width, parts[2].0 + parts[2].1, "width of the fused projection");
    let [query, key, value] = parts.map(|(_, width)| [batch, time, width]);
    config.check(query, key, value);
    config.check_rotary(time, rotary.as_ref());
    #[cfg(feature = "flex")]
    if extension::applies([&inputs], rotary.as_ref()) {
        return extension::fused(inputs, rotary, config);
    }
    let [query, key, value] = parts.map(|(from, width)| inputs.clone().narrow(2, from, width));
    attention_reference(query, key, value, rotary, config)
}
