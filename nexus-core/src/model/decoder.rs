//! The decoder-only transformer: embedding, blocks, norm, head.

use super::attention::{Attention, AttentionShape};
use super::cache::{Cache, LayerCache};
use super::config::{DecoderConfig, Position};
use super::embedding::Embedding;
use super::family::{ModelConfig, Spec};
use super::head::Head;
use super::low_rank::Adaptable;
use super::mlp::{Mlp, MlpShape};
use super::network::{Classify, Model, TokenBatch, ids_tensor, wrong_kind};
use super::norm::Norm;
use super::packing::Packing;
use super::pass::Pass;
use super::projection::Projection;
use super::source::{Init, ParameterSource};
use super::wanted::{Wanted, only};
use crate::adapter::AdapterConfig;
use crate::{Error, Result};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use nexus_kernels::{AttentionConfig, AttentionContext, WeightLayout, linear};
use std::sync::Arc;

/// A causal language model: GPT-2, LLaMA and everything with the same data flow.
///
/// ```text
/// ids -> embedding (+ learned positions) -> [block] * layers -> norm -> head
/// block: x + attention(norm(x)), then x + mlp(norm(x))
/// ```
#[derive(Module, Debug)]
pub struct Decoder {
    pub(crate) embedding: Embedding,
    pub(crate) positions: Option<Embedding>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm: Norm,
    /// `None` when the head is the embedding itself; a parameter stored twice would be optimised twice.
    pub(crate) head: Option<Projection>,
    /// The classification head.
    pub(crate) classes: Option<Projection>,
    #[module(skip)]
    config: Arc<DecoderConfig>,
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

impl Model for Decoder {
    fn build(source: &mut impl ParameterSource, spec: Arc<Spec>) -> Result<Self> {
        let ModelConfig::Decoder(config) = &spec.config else {
            return Err(wrong_kind(&spec, "decoder"));
        };
        config.check()?;
        let (v, d) = (config.vocab_size, config.hidden_size);
        let init = Init::Normal(config.initializer_range);
        let embedding = Embedding::build(source, "embedding", [v, d], init)?;
        let positions = match config.position {
            Position::Learned => {
                let shape = [config.max_positions, d];
                Some(Embedding::build(source, "positions", shape, init)?)
            }
            Position::Rotary(_) => None,
        };
        let blocks = (0..config.layers)
            .map(|i| Block::build(source, &format!("blocks.{i}"), config))
            .collect::<Result<_>>()?;
        let norm = Norm::build(source, "norm", d, config.norm, config.norm_eps)?;
        let head = (spec.head == Head::Language && !config.tied_head)
            .then(|| Projection::build(source, "head", [d, v], false, init))
            .transpose()?;
        let classes = spec.classes().map(|classes| classes.len());
        let classes = classes
            .map(|count| Projection::build(source, "classes", [d, count], false, init))
            .transpose()?;
        let config = Arc::new(config.clone());
        Ok(Self { embedding, positions, blocks, norm, head, classes, config, spec, adapter: None })
    }

    fn spec(&self) -> &Arc<Spec> {
        &self.spec
    }

    fn projections_mut(&mut self) -> Vec<(String, &mut Projection)> {
        let mut all = Vec::new();
        for (i, block) in self.blocks.iter_mut().enumerate() {
            for (name, part) in block.attention.projections_mut() {
                all.push((format!("blocks.{i}.attention.{name}"), part));
            }
            for (name, part) in block.mlp.projections_mut() {
                all.push((format!("blocks.{i}.mlp.{name}"), part));
            }
        }
        let heads = [("head", self.head.as_mut()), ("classes", self.classes.as_mut())];
        all.extend(heads.into_iter().filter_map(|(name, part)| Some((name.to_string(), part?))));
        all
    }

    fn embedding_mut(&mut self) -> &mut Embedding {
        &mut self.embedding
    }

    fn adapter(&self) -> Option<&AdapterConfig> {
        self.adapter.as_deref()
    }

    fn set_adapter(&mut self, config: Option<Arc<AdapterConfig>>) {
        self.adapter = config;
    }

    fn set_spec(&mut self, spec: Arc<Spec>) {
        if let ModelConfig::Decoder(config) = &spec.config {
            self.config = Arc::new(config.clone());
        }
        self.spec = spec;
    }
}

impl Classify for Decoder {
    /// The logits at the last token of each sequence.
    fn class_logits(&self, tokens: &TokenBatch, pass: &Pass) -> Result<Tensor<2>> {
        let Some(classes) = &self.classes else {
            return Err(Error::Refused("the model has no sequence-classification head".into()));
        };
        let time = tokens.ids.dims()[1];
        let last = |(row, &length): (usize, &usize)| (row * time + length.max(1) - 1) as i32;
        let rows: Vec<i32> = tokens.lengths.iter().enumerate().map(last).collect();
        Ok(classes.rows(self.hidden_of(tokens.ids.clone(), &tokens.lengths, &rows, pass)?, pass))
    }
}

impl Decoder {
    /// The shape of the model.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Final hidden states of whole sequences.
    ///
    /// # Shapes
    /// `ids`: `[B, T]`, right-padded; result `[B, T, D]`.
    ///
    /// # Errors
    /// [`Error::Config`] when T exceeds a learned position table, or when the pass has adapters for another number of
    /// sequences.
    pub fn hidden(&self, ids: Tensor<2, Int>, pass: &Pass) -> Result<Tensor<3>> {
        self.run(ids, None, None, None, pass)
    }

    /// [`hidden`](Self::hidden) of tokens `rows` of `[B*T]`, each within the first `lengths[b]` of its sequence:
    /// `[N, D]`.
    pub(super) fn hidden_of(
        &self,
        ids: Tensor<2, Int>,
        lengths: &[usize],
        rows: &[i32],
        pass: &Pass,
    ) -> Result<Tensor<2>> {
        let [_, time] = ids.dims();
        let packing = Packing::of(lengths, time, &ids.device(), pass);
        Ok(self.run(ids, packing, None, Some(rows), pass)?.squeeze_dim(0))
    }

    /// Final hidden states of the new tokens of one or more sequences of equal length, remembered in `cache`.
    ///
    /// Padding that the cache knows of is never attended to, and learned positions count from the first token behind it.
    /// Rotary positions count from the padding on: only their differences matter. What comes out at the padding itself
    /// means nothing.
    ///
    /// # Shapes
    /// `ids`: `[B, T]`; result `[B, T, D]`.
    ///
    /// # Errors
    /// As [`hidden`](Self::hidden).
    pub fn hidden_cached(&self, ids: Tensor<2, Int>, cache: &mut Cache) -> Result<Tensor<3>> {
        let pass = cache.pass.clone();
        self.run(ids, None, Some(cache), None, &pass)
    }

    /// [`hidden_cached`](Self::hidden_cached) of the last token of each sequence: `[B, D]`.
    pub(crate) fn last_cached(&self, ids: Tensor<2, Int>, cache: &mut Cache) -> Result<Tensor<2>> {
        let pass = cache.pass.clone();
        let [batch, time] = ids.dims();
        let rows: Vec<i32> = (1..=batch).map(|end| (end * time) as i32 - 1).collect();
        Ok(self.run(ids, None, Some(cache), Some(&rows), &pass)?.squeeze_dim(0))
    }

    /// An empty cache for [`hidden_cached`](Self::hidden_cached).
    pub fn cache(&self) -> Cache {
        Cache::new(&self.config().windows, None)
    }

    /// An empty cache for sequences that are padded at the left to equal length: `padding[b]` tokens in front of row b.
    ///
    /// With dynamic rotary scaling it is the length with padding that stretches the positions.
    pub fn cache_with_padding(&self, padding: Vec<usize>) -> Cache {
        let padded = padding.iter().any(|&count| count > 0);
        Cache::new(&self.config().windows, padded.then_some(padding))
    }

    /// Logits of selected rows of hidden states: `[N, D]` to `[N, V]`.
    pub fn logits(&self, rows: Tensor<2>, pass: &Pass) -> Tensor<2> {
        match &self.head {
            Some(head) => head.rows(rows, pass),
            None => {
                linear(rows, self.embedding.weight(), WeightLayout::OutIn, None, pass.precision())
            }
        }
    }

    /// The head as a bare matrix, for losses that never hold all logits; `None` when it carries a bias or an
    /// adapter, so that [`logits`](Self::logits) is the only way.
    pub fn head_weight(&self) -> Option<(Tensor<2>, WeightLayout)> {
        match &self.head {
            Some(head) if head.has_bias() || head.adapter().is_some() => None,
            Some(head) => Some((head.weight(), WeightLayout::InOut)),
            None => Some((self.embedding.weight(), WeightLayout::OutIn)),
        }
    }

    /// All final states, or with `rows` those of these N tokens of `[B*T]`, `[1, N, D]`.
    fn run(
        &self,
        ids: Tensor<2, Int>,
        packing: Option<Packing>,
        mut cache: Option<&mut Cache>,
        rows: Option<&[i32]>,
        pass: &Pass,
    ) -> Result<Tensor<3>> {
        let config = self.config();
        let [batch, time] = ids.dims();
        pass.check_batch(batch)?;
        let device = ids.device();
        let start = cache.as_ref().map_or(0, |cache| cache.length);
        let padding = cache.as_ref().and_then(|cache| cache.padding.as_deref());
        let keys = cache.as_ref().and_then(|cache| cache.keys(start + time));
        let mut x = self.embedding.lookup(match &packing {
            Some(packing) => packing.pack(ids),
            None => ids,
        });
        if let Some(table) = &self.positions {
            let least = padding.and_then(|padding| padding.iter().min()).copied().unwrap_or(0);
            let longest = (start + time).saturating_sub(least);
            if longest > config.max_positions {
                return Err(Error::config(
                    "sequence length",
                    longest,
                    format!("at most n_positions = {}", config.max_positions),
                ));
            }
            x = x + match (padding, &packing) {
                (Some(padding), _) => {
                    table.lookup(positions_behind(padding, [start, time], &device))
                }
                (None, Some(packing)) => table.lookup(packing.positions(0)),
                (None, None) => table.rows(start, time),
            };
        }
        let rotary = match &config.position {
            Position::Rotary(rotary) => {
                Some(rotary.table(config.head_dim, start, time, &device)?)
            }
            Position::Learned => None,
        };
        let packed = packing.as_ref().map(Packing::lengths);
        let context = AttentionContext { rotary, keys, bias: None, packed };
        let (wanted, count) = (Wanted::new(rows, packing.as_ref(), pass), self.blocks.len());
        for (i, (block, &window)) in self.blocks.iter().zip(&config.windows).enumerate() {
            let layer = cache.as_mut().map(|cache| &mut cache.layers[i]);
            x = block.forward(x, &context, window, layer, wanted.in_block(i, count), pass);
        }
        if let Some(cache) = cache {
            cache.length = start + time;
        }
        Ok(wanted.of(self.norm.forward(x), count, packing))
    }
}

/// Positions `[B, T]` counted from the first token behind the padding of each row; 0 in the padding.
fn positions_behind(
    padding: &[usize],
    [start, time]: [usize; 2],
    device: &Device,
) -> Tensor<2, Int> {
    let row = |&padding: &usize| {
        (start..start + time).map(move |position| position.saturating_sub(padding) as i32)
    };
    let positions: Vec<i32> = padding.iter().flat_map(row).collect();
    ids_tensor(&positions, [padding.len(), time], device)
}

impl Block {
    fn build(
        source: &mut impl ParameterSource,
        path: &str,
        config: &DecoderConfig,
    ) -> Result<Self> {
        let init = Init::Normal(config.initializer_range);
        // As GPT-2 (section 2.3): projections onto the residual stream start smaller in deep models.
        let onto = Init::Normal(config.initializer_range / (2.0 * config.layers as f64).sqrt());
        let attention = AttentionShape {
            width: config.hidden_size,
            config: AttentionConfig::new(config.heads, config.kv_heads, config.head_dim),
            fused: config.fused_qkv,
            input_bias: config.attention_bias.qkv,
            output_bias: config.attention_bias.output,
            query_init: init,
            key_init: init,
            output_init: onto,
        };
        let mlp = MlpShape {
            width: config.hidden_size,
            inner: config.feed_forward,
            kind: config.mlp,
            activation: config.activation,
            bias: config.mlp_bias,
            up_init: init,
            down_init: onto,
        };
        let norm = |source: &mut _, name: &str| {
            let path = format!("{path}.{name}");
            Norm::build(source, &path, config.hidden_size, config.norm, config.norm_eps)
        };
        Ok(Self {
            attention_norm: norm(source, "attention_norm")?,
            attention: Attention::build(source, &format!("{path}.attention"), &attention)?,
            mlp_norm: norm(source, "mlp_norm")?,
            mlp: Mlp::build(source, &format!("{path}.mlp"), &mlp)?,
        })
    }

    fn forward(
        &self,
        x: Tensor<3>,
        context: &AttentionContext,
        window: Option<usize>,
        cache: Option<&mut LayerCache>,
        rows: Option<&[i32]>,
        pass: &Pass,
    ) -> Tensor<3> {
        let normed = self.attention_norm.forward(x.clone());
        let attended = self.attention.forward(normed, context, window, cache, rows, pass);
        let x = only(x, rows) + attended;
        let normed = self.mlp_norm.forward(x.clone());
        x + self.mlp.forward(normed, pass)
    }
}
