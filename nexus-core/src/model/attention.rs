//! Self-attention with grouped queries, rotary positions and a key/value cache, and cross-attention.

use super::cache::{LayerCache, Seen};
use super::pass::Pass;
use super::projection::Projection;
use super::rotary::rotate;
use super::source::{Init, ParameterSource};
use super::wanted::only;
use crate::Result;
use burn::module::Module;
use burn::tensor::Tensor;
use nexus_kernels::{AttentionConfig, AttentionContext, attention, attention_fused};
use std::sync::Arc;

/// Multi-head attention (Vaswani et al. 2017, arXiv:1706.03762, section 3.2), with K <= H key/value heads
/// (grouped queries; Ainslie et al. 2023, arXiv:2305.13245).
#[derive(Module, Debug)]
pub(crate) struct Attention {
    pub(crate) inputs: Inputs,
    pub(crate) output: Projection,
    #[module(skip)]
    config: AttentionConfig,
}

/// The projections of the input: either `fused`, or `query`, `key` and `value`.
#[derive(Module, Debug)]
pub(crate) struct Inputs {
    pub(crate) fused: Option<Projection>,
    pub(crate) query: Option<Projection>,
    pub(crate) key: Option<Projection>,
    pub(crate) value: Option<Projection>,
}

/// What an attention is built from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionShape {
    /// D.
    pub(crate) width: usize,
    /// Heads, their width, the factor on the scores, and whether a query sees later keys.
    pub(crate) config: AttentionConfig,
    /// One projection for queries, keys and values, or three.
    pub(crate) fused: bool,
    /// Whether queries, keys and values have a bias.
    pub(crate) input_bias: bool,
    /// Whether the output has one.
    pub(crate) output_bias: bool,
    /// Start of the queries' weights.
    pub(crate) query_init: Init,
    /// Start of the keys' and values' weights.
    pub(crate) key_init: Init,
    /// Start of the output's weight.
    pub(crate) output_init: Init,
}

impl Attention {
    /// Builds the attention `path`.
    ///
    /// # Errors
    /// As [`ParameterSource::values`].
    pub(crate) fn build(
        source: &mut impl ParameterSource,
        path: &str,
        shape: &AttentionShape,
    ) -> Result<Self> {
        let AttentionShape { width: d, config, fused, .. } = *shape;
        let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let mut part = |name: &str, outputs: usize, init: Init, wanted: bool| {
            wanted
                .then(|| {
                    let path = format!("{path}.inputs.{name}");
                    Projection::build(source, &path, [d, outputs], shape.input_bias, init)
                })
                .transpose()
        };
        let inputs = Inputs {
            fused: part("fused", q + 2 * kv, shape.query_init, fused)?,
            query: part("query", q, shape.query_init, !fused)?,
            key: part("key", kv, shape.key_init, !fused)?,
            value: part("value", kv, shape.key_init, !fused)?,
        };
        let path = format!("{path}.output");
        let output =
            Projection::build(source, &path, [q, d], shape.output_bias, shape.output_init)?;
        Ok(Self { inputs, output, config })
    }

    /// Every projection with its name, in the order of the forward pass.
    pub(crate) fn projections_mut(&mut self) -> Vec<(&'static str, &mut Projection)> {
        let Inputs { fused, query, key, value } = &mut self.inputs;
        let inputs = [
            ("inputs.fused", fused.as_mut()),
            ("inputs.query", query.as_mut()),
            ("inputs.key", key.as_mut()),
            ("inputs.value", value.as_mut()),
            ("output", Some(&mut self.output)),
        ];
        inputs.into_iter().filter_map(|(name, part)| part.map(|part| (name, part))).collect()
    }

    /// Attends from the T new positions to themselves and to the S cached ones; the output of those in `rows` alone, if
    /// they are given.
    ///
    /// # Shapes
    /// `x`: `[B, T, D]`; `context`: as in [`attention`], with ranges of keys that count from the first position, whatever
    /// the cache has dropped since; `rows`: N numbers of `[B*T]`; result `[B, T, D]`, or `[1, N, D]`.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        context: &AttentionContext,
        window: Option<usize>,
        cache: Option<&mut LayerCache>,
        rows: Option<&[i32]>,
        pass: &Pass,
    ) -> Tensor<3> {
        let config = self.config.with_window(window).with_precision(pass.precision());
        let mixed = match cache {
            None => match &self.inputs.fused {
                Some(fused) => attention_fused(fused.forward(x, pass), context, config),
                None => {
                    let [query, key, value] = self.project(x, pass);
                    attention(query, key, value, context, config)
                }
            },
            Some(cache) => {
                let [query, key, value] = self.project(x, pass);
                // Keys are cached rotated, so each is rotated once.
                let (query, key) = match &context.rotary {
                    Some(rotary) => {
                        (rotate(query, config.heads, rotary), rotate(key, config.kv_heads, rotary))
                    }
                    None => (query, key),
                };
                let Seen { key, value, first } = cache.extend(key, value);
                let offset = key.dims()[1] - query.dims()[1];
                let keys = context.keys.as_ref().map(|ranges| match first {
                    0 => ranges.clone(),
                    _ => Arc::new(
                        ranges
                            .iter()
                            .map(|r| (r.0.max(first) - first, r.1.max(first) - first))
                            .collect(),
                    ),
                });
                let context =
                    AttentionContext { rotary: None, keys, packed: None, ..context.clone() };
                attention(query, key, value, &context, config.with_offset(offset))
            }
        };
        self.output.forward(only(mixed, rows), pass)
    }

    /// Keys and values `[B, S, K*dim]` of the sequence that a cross-attention looks at.
    pub(crate) fn memory(&self, x: Tensor<3>, pass: &Pass) -> (Tensor<3>, Tensor<3>) {
        let [_, key, value] = self.separate();
        (key.forward(x.clone(), pass), value.forward(x, pass))
    }

    /// Attends from T positions to the S of another sequence, whose keys and values are `memory`.
    ///
    /// # Shapes
    /// `x`: `[B, T, D]`; result `[B, T, D]`.
    pub(crate) fn cross(
        &self,
        x: Tensor<3>,
        (key, value): (Tensor<3>, Tensor<3>),
        context: &AttentionContext,
        pass: &Pass,
    ) -> Tensor<3> {
        let [query, ..] = self.separate();
        let config = self.config.with_precision(pass.precision());
        let mixed = attention(query.forward(x, pass), key, value, context, config);
        self.output.forward(mixed, pass)
    }

    /// Queries `[B, T, H*dim]`, keys and values `[B, T, K*dim]`.
    fn project(&self, x: Tensor<3>, pass: &Pass) -> [Tensor<3>; 3] {
        match &self.inputs.fused {
            Some(fused) => {
                let all = fused.forward(x, pass);
                let AttentionConfig { heads, kv_heads, head_dim, .. } = self.config;
                let (q, kv) = (heads * head_dim, kv_heads * head_dim);
                [
                    all.clone().narrow(2, 0, q),
                    all.clone().narrow(2, q, kv),
                    all.narrow(2, q + kv, kv),
                ]
            }
            None => self.separate().map(|part| part.forward(x.clone(), pass)),
        }
    }

    fn separate(&self) -> [&Projection; 3] {
        let Inputs { query, key, value, .. } = &self.inputs;
        match (query, key, value) {
            (Some(query), Some(key), Some(value)) => [query, key, value],
            // `build` makes either the fused projection or all three.
            _ => unreachable!("attention has neither fused nor separate projections"),
        }
    }
}
