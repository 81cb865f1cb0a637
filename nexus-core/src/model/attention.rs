//! Causal self-attention with grouped queries, rotary positions and a key/value cache.

use super::cache::LayerCache;
use super::config::DecoderConfig;
use super::pass::Pass;
use super::projection::Projection;
use super::rotary::rotate;
use super::source::{Init, ParameterSource};
use crate::Result;
use burn::module::Module;
use burn::tensor::Tensor;
use nexus_kernels::{AttentionConfig, AttentionContext, attention, attention_fused};

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
    /// `x`: `[B, T, D]`; `rotary`: cosine and sine `[T, head_dim/2]` of the new positions; result `[B, T, D]`.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        rotary: Option<&(Tensor<2>, Tensor<2>)>,
        window: Option<usize>,
        cache: Option<&mut LayerCache>,
        pass: &Pass,
    ) -> Tensor<3> {
        let (heads, kv_heads, dim) = (self.heads, self.kv_heads, self.head_dim);
        let config = AttentionConfig::new(heads, kv_heads, dim).with_window(window);
        let mixed = match cache {
            None => {
                let context = AttentionContext { rotary: rotary.cloned(), ..Default::default() };
                match &self.inputs.fused {
                    Some(fused) => attention_fused(fused.forward(x, pass), &context, config),
                    None => {
                        let [query, key, value] = self.project(x, pass);
                        attention(query, key, value, &context, config)
                    }
                }
            }
            Some(cache) => {
                let [query, key, value] = self.project(x, pass);
                // Keys are cached rotated, so each is rotated once.
                let (query, key) = match rotary {
                    Some(rotary) => (rotate(query, heads, rotary), rotate(key, kv_heads, rotary)),
                    None => (query, key),
                };
                let (key, value) = cache.extend(key, value);
                let offset = key.dims()[1] - query.dims()[1];
                let context = AttentionContext::default();
                attention(query, key, value, &context, config.with_offset(offset))
            }
        };
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
