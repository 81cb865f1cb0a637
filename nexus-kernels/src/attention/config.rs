//! What describes an attention: its shape, what it sees, and the checks that both fit the arguments.

use crate::Precision;
use burn::tensor::Tensor;
use std::sync::Arc;

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
    /// Multiplies the products of queries and keys.
    pub scale: f64,
    /// The number of (cached) keys before the key of the first query, S - T.
    pub offset: usize,
    /// Whether a query sees its own and earlier keys only. If not, it sees all S of them, S need not be T, and there is
    /// neither `window` nor `offset`.
    pub causal: bool,
    /// What the operands of the products are rounded to: queries, keys, values, probabilities and their gradients. Applies
    /// where the processor multiplies bf16 and `head_dim` is even; elsewhere the products are f32, which is more precise.
    pub precision: Precision,
}

impl AttentionConfig {
    /// Causal, whole sequences without a window, scores scaled by `head_dim^-0.5`.
    pub fn new(heads: usize, kv_heads: usize, head_dim: usize) -> Self {
        let scale = (head_dim as f64).powf(-0.5);
        Self {
            heads,
            kv_heads,
            head_dim,
            window: None,
            scale,
            offset: 0,
            causal: true,
            precision: Precision::F32,
        }
    }

    /// With a sliding window of `window` positions.
    pub fn with_window(self, window: Option<usize>) -> Self {
        Self { window, ..self }
    }

    /// With products in another precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// With another factor on the scores.
    pub fn with_scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    /// With `offset` cached positions before the first query.
    pub fn with_offset(self, offset: usize) -> Self {
        Self { offset, ..self }
    }

    /// Every query sees every key, as in encoders and in the attention of a decoder to an encoder.
    pub fn bidirectional(self) -> Self {
        Self { causal: false, ..self }
    }

    /// Which keys the queries of an entry see, given the range of those that exist.
    pub(super) fn sight(&self, keys: (usize, usize)) -> Sight {
        let Self { causal, offset, window, .. } = *self;
        Sight { keys, causal, offset, window }
    }

    /// First column and width of query, key and value in a fused projection.
    pub(super) fn parts(&self) -> [(usize, usize); 3] {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        [(0, q), (q, kv), (q + kv, kv)]
    }

    /// Panics unless the arguments fit together; returns `[B, T, S]`.
    pub(super) fn check(
        &self,
        query: [usize; 3],
        key: [usize; 3],
        value: [usize; 3],
    ) -> [usize; 3] {
        let Self { heads, kv_heads, head_dim, .. } = *self;
        assert!(kv_heads > 0 && heads % kv_heads == 0, "{heads} heads in {kv_heads} groups");
        assert!(self.window != Some(0), "a window of zero positions sees nothing");
        let [batch, time, _] = query;
        let keys = if self.causal { self.offset + time } else { key[1] };
        assert!(
            self.causal || (self.offset, self.window) == (0, None),
            "a bidirectional attention has neither cached positions nor a window"
        );
        assert_eq!(query, [batch, time, heads * head_dim], "shape of the queries");
        assert_eq!(key, [batch, keys, kv_heads * head_dim], "shape of the keys");
        assert_eq!(value, [batch, keys, kv_heads * head_dim], "shape of the values");
        [batch, time, keys]
    }
}

/// A half-open range of keys per batch entry.
pub(super) type Ranges = Arc<Vec<(usize, usize)>>;
/// The lengths of sequences that follow each other.
pub(super) type Lengths = Arc<Vec<usize>>;

/// What an attention sees besides queries, keys and values.
#[derive(Clone, Debug, Default)]
pub struct AttentionContext {
    /// Cosine and sine `[T, head_dim/2]` to rotate queries and keys with. Constants: no gradient flows to them.
    pub rotary: Option<(Tensor<2>, Tensor<2>)>,
    /// Per batch entry the half-open range of keys that exist; the others are padding. `None`: all exist.
    pub keys: Option<Arc<Vec<(usize, usize)>>>,
    /// Added to the scaled scores of every batch entry, `[H, T, S]`, finite; differentiable. The relative positions of
    /// T5 (Raffel et al. 2020, arXiv:1910.10683, section 2.1).
    pub bias: Option<Tensor<3>>,
    /// The lengths of several sequences that follow each other in one batch entry: B = 1, their sum is T = S, and there
    /// is neither `keys` nor `offset`. Each attends to itself only, and its positions count from its own beginning:
    /// `rotary` and `bias` are those of the longest (or longer). `None`: a batch entry is one sequence.
    pub packed: Option<Arc<Vec<usize>>>,
}

impl AttentionContext {
    /// Panics unless all fits an attention of `[B, T, S]`.
    pub(super) fn check(&self, config: &AttentionConfig, [batch, time, keys]: [usize; 3]) {
        if let Some(lengths) = &self.packed {
            self.check_packed(config, [batch, time, keys], lengths);
            return;
        }
        if let Some((cos, sin)) = &self.rotary {
            assert_eq!(config.offset, 0, "cached keys are rotated before they are cached");
            assert_eq!(time, keys, "queries and keys are rotated to the same positions");
            assert_eq!(config.head_dim % 2, 0, "rotary positions pair the dimensions of a head");
            assert_eq!(cos.dims(), [time, config.head_dim / 2], "shape of the cosines");
            assert_eq!(sin.dims(), [time, config.head_dim / 2], "shape of the sines");
        }
        if let Some(ranges) = &self.keys {
            assert_eq!(ranges.len(), batch, "a range of keys for every batch entry");
            let fits = |&(begin, end): &(usize, usize)| begin <= end && end <= keys;
            assert!(ranges.iter().all(fits), "ranges within the {keys} keys: {ranges:?}");
        }
        if let Some(bias) = &self.bias {
            assert_eq!(bias.dims(), [config.heads, time, keys], "shape of the bias");
        }
    }

    fn check_packed(
        &self,
        config: &AttentionConfig,
        [batch, time, keys]: [usize; 3],
        lengths: &[usize],
    ) {
        assert_eq!((batch, config.offset), (1, 0), "packed sequences are one whole batch entry");
        assert!(self.keys.is_none(), "packed sequences have no padding");
        let total: usize = lengths.iter().sum();
        assert_eq!((total, total), (time, keys), "sum of the lengths of packed sequences");
        let longest = lengths.iter().copied().max().unwrap_or(0);
        if let Some((cos, sin)) = &self.rotary {
            let [positions, half] = cos.dims();
            assert_eq!(half * 2, config.head_dim, "rotary positions pair the dimensions of a head");
            assert!(positions >= longest, "{positions} rotary positions of {longest}");
            assert_eq!(sin.dims(), cos.dims(), "shape of the sines");
        }
        if let Some(bias) = &self.bias {
            let [heads, queries, keys] = bias.dims();
            let fits = heads == config.heads && queries.min(keys) >= longest;
            assert!(fits, "shape of the bias: {:?} for {longest} positions", bias.dims());
        }
    }
}

/// Rows that attend to each other.
#[derive(Clone, Copy)]
pub(super) struct Sequence {
    /// The batch entry.
    pub(super) entry: usize,
    /// The first row of its queries; of its keys too, since where it is not 0 these are the same rows.
    pub(super) row: usize,
    /// T.
    pub(super) time: usize,
    /// S.
    pub(super) keys: usize,
    /// What the queries see, counted from the first.
    pub(super) sight: Sight,
}

impl AttentionConfig {
    /// The sequences of `[B, T, S]`.
    pub(super) fn sequences(
        &self,
        [batch, time, keys]: [usize; 3],
        ranges: Option<&Ranges>,
        packed: Option<&Lengths>,
    ) -> Vec<Sequence> {
        match packed {
            None => (0..batch)
                .map(|entry| {
                    let sight = self.sight(present(ranges, entry, keys));
                    Sequence { entry, row: 0, time, keys, sight }
                })
                .collect(),
            Some(lengths) => {
                let place = |row: &mut usize, &length: &usize| {
                    let sight = self.sight((0, length));
                    let sequence =
                        Sequence { entry: 0, row: *row, time: length, keys: length, sight };
                    *row += length;
                    Some(sequence)
                };
                lengths.iter().scan(0, place).collect()
            }
        }
    }
}

/// The range of the S = `keys` keys that batch entry `entry` has.
pub(super) fn present(ranges: Option<&Ranges>, entry: usize, keys: usize) -> (usize, usize) {
    ranges.map_or((0, keys), |ranges| ranges[entry])
}

/// Which keys the queries of one batch entry see.
#[derive(Clone, Copy)]
pub(super) struct Sight {
    /// The keys that exist.
    pub(super) keys: (usize, usize),
    causal: bool,
    offset: usize,
    window: Option<usize>,
}

impl Sight {
    /// Beginning and end of the keys that the query at `row` of T sees; none when the end is not behind the beginning.
    /// Neither decreases with the row.
    pub(super) fn of(&self, row: usize) -> (usize, usize) {
        let (begin, end) = self.keys;
        if !self.causal {
            return (begin, end);
        }
        let next = self.offset + row + 1;
        let first = self.window.map_or(0, |window| next.saturating_sub(window));
        (begin.max(first), end.min(next))
    }
}
