//! Causal self-attention with grouped queries, rotary positions and a key/value cache.

use super::cache::LayerCache;
use super::config::DecoderConfig;
use super::pass::Pass;
use super::projection::Projection;
use super::rotary::rotate;
use super::source::{Init, ParameterSource};
use crate::Result;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData, activation};

/// Multi-head attention (Vaswani et al. 2017, arXiv:1706.03762, section 3.2), with K <= H key/value heads
/// (grouped queries; Ainslie et al. 2023, arXiv:2305.13245).
#[derive(Module, Debug)]
pub(crate) struct Attention {
    pub(crate) inputs: Inputs,
    pub(crate) output: Projection,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    kv_heads: usize,
    #[module(skip)]
    head_dim: usize,
}

/// The projections of the input: either `fused`, or `query`, `key` and `value`.
#[derive(Module, Debug)]
pub(crate) struct Inputs {
    pub(crate) fused: Option<Projection>,
    pub(crate) query: Option<Projection>,
    pub(crate) key: Option<Projection>,
    pub(crate) value: Option<Projection>,
}

/// What all layers of one forward pass share.
#[derive(Debug)]
pub(crate) struct AttentionInputs {
    /// Cosine and sine `[T, head_dim/2]` of the new positions.
    pub(crate) rotary: Option<(Tensor<2>, Tensor<2>)>,
}

impl Attention {
    /// Builds the attention `path`.
    ///
    /// # Errors
    /// As [`ParameterSource::values`].
    pub(crate) fn build(
        source: &mut impl ParameterSource,
        path: &str,
        config: &DecoderConfig,
    ) -> Result<Self> {
        let (d, q, kv) = (config.hidden_size, config.query_width(), config.kv_width());
        let init = Init::Normal(config.initializer_range);
        let onto = Init::Normal(config.initializer_range / (2.0 * config.layers as f64).sqrt());
        let bias = config.attention_bias;
        let mut part = |name: &str, outputs: usize, wanted: bool| {
            wanted
                .then(|| {
                    let path = format!("{path}.inputs.{name}");
                    Projection::build(source, &path, [d, outputs], bias.qkv, init)
                })
                .transpose()
        };
        let inputs = Inputs {
            fused: part("fused", q + 2 * kv, config.fused_qkv)?,
            query: part("query", q, !config.fused_qkv)?,
            key: part("key", kv, !config.fused_qkv)?,
            value: part("value", kv, !config.fused_qkv)?,
        };
        let output =
            Projection::build(source, &format!("{path}.output"), [q, d], bias.output, onto)?;
        Ok(Self {
            inputs,
            output,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
        })
    }

    /// Attends from the T new positions to themselves and to the S cached ones.
    ///
    /// # Shapes
    /// `x`: `[B, T, D]`; `mask`: `[groups * T, S + T]`, added to the scores; result `[B, T, D]`.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        shared: &AttentionInputs,
        mask: Option<&Tensor<2>>,
        cache: Option<&mut LayerCache>,
        pass: &Pass,
    ) -> Tensor<3> {
        let [batch, time, _] = x.dims();
        let (heads, kv_heads, dim) = (self.heads, self.kv_heads, self.head_dim);
        let groups = heads / kv_heads;
        let [query, key, value] = self.project(x, pass);
        let query = query.reshape([batch, time, heads, dim]);
        let key = key.reshape([batch, time, kv_heads, dim]);
        let value = value.reshape([batch, time, kv_heads, dim]).swap_dims(1, 2);
        let (query, key) = match &shared.rotary {
            Some((cos, sin)) => (rotate(query, cos, sin), rotate(key, cos, sin)),
            None => (query, key),
        };
        let (key, value) = match cache {
            Some(cache) => cache.extend(key.swap_dims(1, 2), value),
            None => (key.swap_dims(1, 2), value),
        };
        // The queries of one group become rows of one product, so keys and values are never repeated.
        let query = query.swap_dims(1, 2).reshape([batch, kv_heads, groups * time, dim]);
        let mut scores = (query * (dim as f64).powf(-0.5)).matmul(key.swap_dims(2, 3));
        if let Some(mask) = mask {
            scores = scores + mask.clone().unsqueeze();
        }
        let mixed = activation::softmax(scores, 3).matmul(value);
        let mixed = mixed.reshape([batch, heads, time, dim]).swap_dims(1, 2).reshape([
            batch,
            time,
            heads * dim,
        ]);
        self.output.forward(mixed, pass)
    }

    /// Queries `[B, T, H*dim]`, keys and values `[B, T, K*dim]`.
    fn project(&self, x: Tensor<3>, pass: &Pass) -> [Tensor<3>; 3] {
        let Inputs { fused, query, key, value } = &self.inputs;
        match (fused, query, key, value) {
            (None, Some(query), Some(key), Some(value)) => [
                query.forward(x.clone(), pass),
                key.forward(x.clone(), pass),
                value.forward(x, pass),
            ],
            (Some(fused), ..) => {
                let all = fused.forward(x, pass);
                let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
                [
                    all.clone().narrow(2, 0, q),
                    all.clone().narrow(2, q, kv),
                    all.narrow(2, q + kv, kv),
                ]
            }
            // `build` makes either the fused projection or all three.
            _ => unreachable!("attention has neither fused nor separate projections"),
        }
    }
}

/// What is added to the scores: 0 where a token may look, a large negative number elsewhere.
///
/// Row `i` is position `start + i`, column `j` is position `first + j`; a token sees itself and earlier
/// positions, at most `window` in all. `None` when nothing is masked (one new token without a window).
///
/// # Shapes
/// Result `[groups * time, columns]`, the same rows for each group.
pub(crate) fn causal_mask(
    time: usize,
    columns: usize,
    start: usize,
    window: Option<usize>,
    groups: usize,
    device: &Device,
) -> Option<Tensor<2>> {
    let first = start + time - columns;
    let sees = |row: usize, column: usize| {
        let (row, column) = (start + row, first + column);
        column <= row && window.is_none_or(|window| row - column < window)
    };
    if time == 1 && (0..columns).all(|column| sees(0, column)) {
        return None;
    }
    let mut values = Vec::with_capacity(groups * time * columns);
    for row in 0..time {
        // Far below any score, and still finite after adding one.
        values.extend((0..columns).map(|column| if sees(row, column) { 0.0 } else { -1e30f32 }));
    }
    let values = values.repeat(groups);
    Some(Tensor::from_data(TensorData::new(values, [groups * time, columns]), device))
}
