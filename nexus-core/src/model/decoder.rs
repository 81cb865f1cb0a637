//! The decoder-only transformer: embedding, blocks, norm, head.

use super::attention::{Attention, Inputs};
use super::cache::{Cache, LayerCache};
use super::config::{DecoderConfig, Position};
use super::family::Spec;
use super::mlp::Mlp;
use super::norm::Norm;
use super::pass::Pass;
use super::projection::Projection;
use super::source::{Init, ParameterSource};
use crate::adapter::AdapterConfig;
use crate::{Error, Result};
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};
use nexus_kernels::{WeightLayout, linear};
use std::sync::Arc;

/// A causal language model: GPT-2, LLaMA and everything with the same data flow.
///
/// ```text
/// ids -> embedding (+ learned positions) -> [block] * layers -> norm -> head
/// block: x + attention(norm(x)), then x + mlp(norm(x))
/// ```
#[derive(Module, Debug)]
pub struct Decoder {
    pub(crate) embedding: Param<Tensor<2>>,
    pub(crate) positions: Option<Param<Tensor<2>>>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm: Norm,
    /// `None` when the head is the embedding itself; a parameter stored twice would be optimised twice.
    pub(crate) head: Option<Projection>,
    #[module(skip)]
    pub(crate) spec: Arc<Spec>,
    /// The configuration of the attached adapter.
    #[module(skip)]
    pub(crate) adapter: Option<Arc<AdapterConfig>>,
}

/// One transformer block (pre-norm).
#[derive(Module, Debug)]
pub(crate) struct Block {
    pub(crate) attention_norm: Norm,
    pub(crate) attention: Attention,
    pub(crate) mlp_norm: Norm,
    pub(crate) mlp: Mlp,
}

impl Decoder {
    /// Builds the model that `spec` describes with parameters from `source`.
    ///
    /// # Errors
    /// [`Error::Config`] for sizes out of range; otherwise as [`ParameterSource::values`].
    pub fn build(source: &mut impl ParameterSource, spec: Arc<Spec>) -> Result<Self> {
        let config = &spec.config;
        config.check()?;
        let (v, d) = (config.vocab_size, config.hidden_size);
        let init = Init::Normal(config.initializer_range);
        let embedding = source.parameter("embedding.weight", [v, d], init)?;
        let positions = match config.position {
            Position::Learned => {
                Some(source.parameter("positions.weight", [config.max_positions, d], init)?)
            }
            Position::Rotary(_) => None,
        };
        let blocks = (0..config.layers)
            .map(|i| Block::build(source, &format!("blocks.{i}"), config))
            .collect::<Result<_>>()?;
        let norm = Norm::build(source, "norm", d, config.norm, config.norm_eps)?;
        let head = (!config.tied_head)
            .then(|| Projection::build(source, "head", [d, v], false, init))
            .transpose()?;
        Ok(Self { embedding, positions, blocks, norm, head, spec, adapter: None })
    }

    /// The shape of the model.
    pub fn config(&self) -> &DecoderConfig {
        &self.spec.config
    }

    /// The family, its key names and the `config.json` that the model came with.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The configuration of the attached adapter, if there is one.
    pub fn adapter(&self) -> Option<&AdapterConfig> {
        self.adapter.as_deref()
    }

    /// Every projection with its path, in the order of the forward pass; the head last.
    pub fn projections_mut(&mut self) -> Vec<(String, &mut Projection)> {
        let mut all = Vec::new();
        for (i, block) in self.blocks.iter_mut().enumerate() {
            let Inputs { fused, query, key, value } = &mut block.attention.inputs;
            let parts = [
                ("attention.inputs.fused", fused.as_mut()),
                ("attention.inputs.query", query.as_mut()),
                ("attention.inputs.key", key.as_mut()),
                ("attention.inputs.value", value.as_mut()),
                ("attention.output", Some(&mut block.attention.output)),
                ("mlp.gate", block.mlp.gate.as_mut()),
                ("mlp.up", Some(&mut block.mlp.up)),
                ("mlp.down", Some(&mut block.mlp.down)),
            ];
            for (name, projection) in parts {
                all.extend(projection.map(|projection| (format!("blocks.{i}.{name}"), projection)));
            }
        }
        all.extend(self.head.as_mut().map(|head| ("head".to_string(), head)));
        all
    }

    /// Final hidden states of whole sequences.
    ///
    /// # Shapes
    /// `ids`: `[B, T]`, right-padded; result `[B, T, D]`.
    ///
    /// # Errors
    /// [`Error::Config`] when T exceeds a learned position table.
    pub fn hidden(&self, ids: Tensor<2, Int>, pass: &Pass) -> Result<Tensor<3>> {
        self.run(ids, None, pass)
    }

    /// Final hidden states of the new tokens of one or more sequences of equal length, remembered in `cache`.
    ///
    /// # Shapes
    /// `ids`: `[B, T]`; result `[B, T, D]`.
    ///
    /// # Errors
    /// As [`hidden`](Self::hidden).
    pub fn hidden_cached(&self, ids: Tensor<2, Int>, cache: &mut Cache) -> Result<Tensor<3>> {
        self.run(ids, Some(cache), &Pass::inference())
    }

    /// An empty cache for [`hidden_cached`](Self::hidden_cached).
    pub fn cache(&self) -> Cache {
        Cache::new(&self.config().windows)
    }

    /// Logits of selected rows of hidden states: `[N, D]` to `[N, V]`.
    pub fn logits(&self, rows: Tensor<2>, pass: &Pass) -> Tensor<2> {
        match &self.head {
            Some(head) => head.rows(rows, pass),
            None => linear(rows, self.embedding.val(), WeightLayout::OutIn, None),
        }
    }

    /// The head as a bare matrix, for losses that never hold all logits; `None` when it carries a bias or an
    /// adapter, so that [`logits`](Self::logits) is the only way.
    pub fn head_weight(&self) -> Option<(Tensor<2>, WeightLayout)> {
        match &self.head {
            Some(head) if head.has_bias() || head.adapter().is_some() => None,
            Some(head) => Some((head.weight(), WeightLayout::InOut)),
            None => Some((self.embedding.val(), WeightLayout::OutIn)),
        }
    }

    fn run(
        &self,
        ids: Tensor<2, Int>,
        mut cache: Option<&mut Cache>,
        pass: &Pass,
    ) -> Result<Tensor<3>> {
        let config = self.config();
        let [_, time] = ids.dims();
        let device = ids.device();
        let start = cache.as_ref().map_or(0, |cache| cache.length);
        let mut x = burn::tensor::module::embedding(self.embedding.val(), ids);
        if let Some(table) = &self.positions {
            if start + time > config.max_positions {
                return Err(Error::config(
                    "sequence length",
                    start + time,
                    format!("at most n_positions = {}", config.max_positions),
                ));
            }
            x = x + table.val().narrow(0, start, time).unsqueeze();
        }
        let rotary = match &config.position {
            Position::Rotary(rotary) => {
                Some(rotary.table(config.head_dim, start, time, &device)?)
            }
            Position::Learned => None,
        };
        for (i, (block, &window)) in self.blocks.iter().zip(&config.windows).enumerate() {
            let layer = cache.as_mut().map(|cache| &mut cache.layers[i]);
            x = block.forward(x, rotary.as_ref(), window, layer, pass);
        }
        if let Some(cache) = cache {
            cache.length = start + time;
        }
        Ok(self.norm.forward(x))
    }
}

impl Block {
    fn build(
        source: &mut impl ParameterSource,
        path: &str,
        config: &DecoderConfig,
    ) -> Result<Self> {
        let norm = |source: &mut _, name: &str| {
            let path = format!("{path}.{name}");
            Norm::build(source, &path, config.hidden_size, config.norm, config.norm_eps)
        };
        Ok(Self {
            attention_norm: norm(source, "attention_norm")?,
            attention: Attention::build(source, &format!("{path}.attention"), config)?,
            mlp_norm: norm(source, "mlp_norm")?,
            mlp: Mlp::build(source, &format!("{path}.mlp"), config)?,
        })
    }

    fn forward(
        &self,
        x: Tensor<3>,
        rotary: Option<&(Tensor<2>, Tensor<2>)>,
        window: Option<usize>,
        cache: Option<&mut LayerCache>,
        pass: &Pass,
    ) -> Tensor<3> {
        let normed = self.attention_norm.forward(x.clone());
        let x = x + self.attention.forward(normed, rotary, window, cache, pass);
        let normed = self.mlp_norm.forward(x.clone());
        x + self.mlp.forward(normed, pass)
    }
}

/// Token ids as a tensor `[B, T]`.
pub fn ids_tensor(
    ids: &[i32],
    [rows, columns]: [usize; 2],
    device: &burn::tensor::Device,
) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(ids.to_vec(), [rows, columns]), device)
}
