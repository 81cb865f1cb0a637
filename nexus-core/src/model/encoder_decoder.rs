//! The encoder-decoder transformer: one stack reads the source, the other writes the answer looking at it.

use super::attention::{Attention, AttentionShape};
use super::cache::select_entries;
use super::config::NormKind;
use super::embedding::Embedding;
use super::family::{ModelConfig, Spec};
use super::low_rank::Adaptable;
use super::mlp::{Mlp, MlpShape};
use super::network::{Model, TokenBatch, wrong_kind};
use super::norm::Norm;
use super::packing::Packing;
use super::pass::Pass;
use super::projection::Projection;
use super::relative_bias;
use super::seq2seq_cache::Seq2SeqCache;
use super::seq2seq_config::EncoderDecoderConfig;
use super::source::{Init, ParameterSource};
use crate::Result;
use crate::adapter::AdapterConfig;
use burn::module::Module;
use burn::tensor::{Int, Tensor};
use nexus_kernels::{AttentionConfig, AttentionContext, WeightLayout, linear};
use std::sync::Arc;

/// T5.
///
/// ```text
/// source -> embedding -> [x + attention(norm(x)), x + mlp(norm(x))] * layers -> norm -> memory
/// answer -> embedding -> [x + attention(norm(x)), x + cross(norm(x), memory), x + mlp(norm(x))] * layers -> norm -> head
/// ```
///
/// Attention is unscaled and has relative positions instead of absolute ones.
#[derive(Module, Debug)]
pub struct EncoderDecoder {
    pub(crate) embedding: Embedding,
    pub(crate) encoder: Stack,
    pub(crate) decoder: Stack,
    /// `None` when the head is the embedding itself.
    pub(crate) head: Option<Projection>,
    #[module(skip)]
    config: Arc<EncoderDecoderConfig>,
    #[module(skip)]
    pub(crate) spec: Arc<Spec>,
    #[module(skip)]
    pub(crate) adapter: Option<Arc<AdapterConfig>>,
}

/// One of the two stacks.
#[derive(Module, Debug)]
pub(crate) struct Stack {
    relative_bias: Embedding,
    blocks: Vec<StackBlock>,
    norm: Norm,
}

/// One block (pre-norm); only the decoder's look at the source.
#[derive(Module, Debug)]
struct StackBlock {
    attention_norm: Norm,
    attention: Attention,
    cross_norm: Option<Norm>,
    cross: Option<Attention>,
    mlp_norm: Norm,
    mlp: Mlp,
}

/// What the encoder found, for the decoder to look at.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Final hidden states of the source, `[B, S, D]`.
    pub hidden: Tensor<3>,
    /// The range of tokens that exist in each source; `None` when none is padded.
    pub(crate) keys: Option<Arc<Vec<(usize, usize)>>>,
    /// The adapter of each source.
    pub(crate) adapters: Option<Arc<[Option<usize>]>>,
}

impl Memory {
    /// These rows of the batch, in this order; a row may occur several times, and may be left out.
    ///
    /// # Panics
    /// When a row is not below B.
    pub fn select(&self, rows: &[usize]) -> Self {
        let keys = self.keys.as_ref();
        Self {
            hidden: select_entries(self.hidden.clone(), rows),
            keys: keys.map(|keys| Arc::new(rows.iter().map(|&row| keys[row]).collect())),
            adapters: self.adapters.as_ref().map(|all| rows.iter().map(|&row| all[row]).collect()),
        }
    }
}

impl Model for EncoderDecoder {
    fn build(source: &mut impl ParameterSource, spec: Arc<Spec>) -> Result<Self> {
        let ModelConfig::EncoderDecoder(config) = &spec.config else {
            return Err(wrong_kind(&spec, "encoder-decoder"));
        };
        config.check()?;
        let (v, d) = (config.vocab_size, config.hidden_size);
        let init = Init::Normal(config.initializer_factor);
        let embedding = Embedding::build(source, "embedding", [v, d], init)?;
        let encoder = Stack::build(source, "encoder", config, false)?;
        let decoder = Stack::build(source, "decoder", config, true)?;
        // transformers 5 writes every T5 as tied; one without scaling is version 1.1, whose head is stored when it
        // differs.
        let stored = !config.scaled_head && source.has("head.weight") == Some(true);
        let head = (!config.tied_head || stored)
            .then(|| Projection::build(source, "head", [d, v], false, init))
            .transpose()?;
        let config = Arc::new(config.clone());
        Ok(Self { embedding, encoder, decoder, head, config, spec, adapter: None })
    }

    fn spec(&self) -> &Arc<Spec> {
        &self.spec
    }

    fn projections_mut(&mut self) -> Vec<(String, &mut Projection)> {
        let mut all = Vec::new();
        for (name, stack) in [("encoder", &mut self.encoder), ("decoder", &mut self.decoder)] {
            for (i, block) in stack.blocks.iter_mut().enumerate() {
                let path = format!("{name}.blocks.{i}");
                for (name, part) in block.attention.projections_mut() {
                    all.push((format!("{path}.attention.{name}"), part));
                }
                for (name, part) in block.cross.iter_mut().flat_map(Attention::projections_mut) {
                    all.push((format!("{path}.cross.{name}"), part));
                }
                for (name, part) in block.mlp.projections_mut() {
                    all.push((format!("{path}.mlp.{name}"), part));
                }
            }
        }
        all.extend(self.head.as_mut().map(|head| ("head".to_string(), head)));
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
        if let ModelConfig::EncoderDecoder(config) = &spec.config {
            self.config = Arc::new(config.clone());
        }
        self.spec = spec;
    }
}

impl EncoderDecoder {
    /// The shape of the model.
    pub fn config(&self) -> &EncoderDecoderConfig {
        &self.config
    }

    /// Reads the sources. The answers to them are written with the adapters of this pass.
    ///
    /// # Shapes
    /// `tokens`: B sequences of up to S tokens; the memory's hidden states are `[B, S, D]`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when the pass has adapters for another number of sequences.
    pub fn encode(&self, tokens: &TokenBatch, pass: &Pass) -> Result<Memory> {
        pass.check_batch(tokens.ids.dims()[0])?;
        let [_, time] = tokens.ids.dims();
        let packing = Packing::of(&tokens.lengths, time, &tokens.ids.device(), pass);
        let ids = match &packing {
            Some(packing) => packing.pack(tokens.ids.clone()),
            None => tokens.ids.clone(),
        };
        let bias = self.encoder.scores([0, time, time], true, &self.config);
        let context = AttentionContext {
            rotary: None,
            keys: tokens.keys().filter(|_| packing.is_none()),
            bias: Some(bias),
            packed: packing.as_ref().map(Packing::lengths),
        };
        let mut x = self.embed(ids, pass, 0);
        for (i, block) in self.encoder.blocks.iter().enumerate() {
            let site = self.site(i);
            x = block.attend(x, &context, None, self.config.dropout, site, pass);
            x = block.feed(x, self.config.dropout, site + 2, pass);
        }
        let hidden = self.finish(&self.encoder, x, pass, 1);
        let hidden = match packing {
            Some(packing) => packing.unpack(hidden),
            None => hidden,
        };
        let keys = tokens.keys();
        Ok(Memory { hidden, keys, adapters: pass.adapters().cloned() })
    }

    /// Final hidden states of whole answers, in front of the head.
    ///
    /// # Shapes
    /// `ids`: `[B, U]`, right-padded, beginning with the start token; result `[B, U, D]`.
    pub fn decode(&self, ids: Tensor<2, Int>, memory: &Memory, pass: &Pass) -> Tensor<3> {
        self.run(ids, memory, None, pass)
    }

    /// Final hidden states of the new tokens of answers of equal length, remembered in `cache`.
    ///
    /// # Shapes
    /// `ids`: `[B, U]`; result `[B, U, D]`.
    pub fn decode_cached(
        &self,
        ids: Tensor<2, Int>,
        memory: &Memory,
        cache: &mut Seq2SeqCache,
    ) -> Tensor<3> {
        self.run(ids, memory, Some(cache), &Pass::inference())
    }

    /// An empty cache for [`decode_cached`](Self::decode_cached).
    pub fn cache(&self) -> Seq2SeqCache {
        Seq2SeqCache::new(self.config.decoder_layers)
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

    /// The head as a bare matrix, for losses that never hold all logits; `None` when it carries an adapter.
    pub fn head_weight(&self) -> Option<(Tensor<2>, WeightLayout)> {
        match &self.head {
            Some(head) if head.adapter().is_some() => None,
            Some(head) => Some((head.weight(), WeightLayout::InOut)),
            None => Some((self.embedding.weight(), WeightLayout::OutIn)),
        }
    }

    fn run(
        &self,
        ids: Tensor<2, Int>,
        memory: &Memory,
        mut cache: Option<&mut Seq2SeqCache>,
        pass: &Pass,
    ) -> Tensor<3> {
        let pass = &match &memory.adapters {
            Some(adapters) => pass.clone().with_adapters(adapters.clone()),
            None => pass.clone(),
        };
        let start = cache.as_ref().map_or(0, |cache| cache.length);
        let x = self.embed(ids, pass, 2);
        let [_, time, _] = x.dims();
        let bias = self.decoder.scores([start, time, start + time], false, &self.config);
        let context = AttentionContext { bias: Some(bias), ..AttentionContext::default() };
        let looking = AttentionContext { keys: memory.keys.clone(), ..AttentionContext::default() };
        let dropout = self.config.dropout;
        let mut x = x;
        for (i, block) in self.decoder.blocks.iter().enumerate() {
            let site = self.site(self.config.layers + i);
            let layer = cache.as_mut().map(|cache| &mut cache.layers[i]);
            let known = layer.as_ref().and_then(|layer| layer.memory.clone());
            let seen = match (known, &block.cross) {
                (Some(seen), _) => Some(seen),
                (None, Some(cross)) => Some(cross.memory(memory.hidden.clone(), pass)),
                (None, None) => None,
            };
            let answer = layer.map(|layer| {
                layer.memory = seen.clone();
                &mut layer.answer
            });
            x = block.attend(x, &context, answer, dropout, site, pass);
            if let Some(seen) = seen {
                x = block.look(x, seen, &looking, dropout, site + 1, pass);
            }
            x = block.feed(x, dropout, site + 2, pass);
        }
        if let Some(cache) = cache {
            cache.length = start + time;
        }
        let hidden = self.finish(&self.decoder, x, pass, 3);
        // Mesh TensorFlow's convention for a head that has the embedding's scale.
        match self.config.scaled_head {
            true => hidden * (self.config.hidden_size as f64).powf(-0.5),
            false => hidden,
        }
    }

    fn embed(&self, ids: Tensor<2, Int>, pass: &Pass, site: u64) -> Tensor<3> {
        pass.dropout(self.embedding.lookup(ids), self.config.dropout, site)
    }

    fn finish(&self, stack: &Stack, x: Tensor<3>, pass: &Pass, site: u64) -> Tensor<3> {
        pass.dropout(stack.norm.forward(x), self.config.dropout, site)
    }

    /// The first dropout site of a block, counted over both stacks.
    fn site(&self, block: usize) -> u64 {
        4 + 3 * block as u64
    }
}

impl Stack {
    fn build(
        source: &mut impl ParameterSource,
        path: &str,
        config: &EncoderDecoderConfig,
        decodes: bool,
    ) -> Result<Self> {
        let d = config.hidden_size;
        let layers = if decodes { config.decoder_layers } else { config.layers };
        // Starts as in Mesh TensorFlow, so that unscaled scores have unit variance.
        let init = Init::Normal(config.initializer_factor * (d as f64).powf(-0.5));
        let shape = [config.buckets, config.heads];
        let relative_bias =
            Embedding::build(source, &format!("{path}.relative_bias"), shape, init)?;
        let blocks = (0..layers)
            .map(|i| StackBlock::build(source, &format!("{path}.blocks.{i}"), config, decodes))
            .collect::<Result<_>>()?;
        let path = format!("{path}.norm");
        let norm = Norm::build(source, &path, d, NormKind::RmsNorm, config.norm_eps)?;
        Ok(Self { relative_bias, blocks, norm })
    }

    /// Relative positions as scores `[H, T, S]`.
    fn scores(
        &self,
        shape: [usize; 3],
        bidirectional: bool,
        config: &EncoderDecoderConfig,
    ) -> Tensor<3> {
        relative_bias::scores(&self.relative_bias, shape, bidirectional, config.max_distance)
    }
}

impl StackBlock {
    fn build(
        source: &mut impl ParameterSource,
        path: &str,
        config: &EncoderDecoderConfig,
        decodes: bool,
    ) -> Result<Self> {
        let (d, f) = (config.hidden_size as f64, config.feed_forward as f64);
        let inner = (config.heads * config.head_dim) as f64;
        let scaled = |size: f64| Init::Normal(config.initializer_factor * size.powf(-0.5));
        let heads =
            AttentionConfig::new(config.heads, config.heads, config.head_dim).with_scale(1.0);
        let attention = AttentionShape {
            width: config.hidden_size,
            config: if decodes { heads } else { heads.bidirectional() },
            fused: false,
            input_bias: false,
            output_bias: false,
            query_init: scaled(d * config.head_dim as f64),
            key_init: scaled(d),
            output_init: scaled(inner),
        };
        let cross = AttentionShape { config: heads.bidirectional(), ..attention };
        let mlp = MlpShape {
            width: config.hidden_size,
            inner: config.feed_forward,
            kind: config.mlp,
            activation: config.activation,
            bias: false,
            up_init: scaled(d),
            down_init: scaled(f),
        };
        let norm = |source: &mut _, name: &str| {
            let path = format!("{path}.{name}");
            Norm::build(source, &path, config.hidden_size, NormKind::RmsNorm, config.norm_eps)
        };
        Ok(Self {
            attention_norm: norm(source, "attention_norm")?,
            attention: Attention::build(source, &format!("{path}.attention"), &attention)?,
            cross_norm: decodes.then(|| norm(source, "cross_norm")).transpose()?,
            cross: decodes
                .then(|| Attention::build(source, &format!("{path}.cross"), &cross))
                .transpose()?,
            mlp_norm: norm(source, "mlp_norm")?,
            mlp: Mlp::build(source, &format!("{path}.mlp"), &mlp)?,
        })
    }

    fn attend(
        &self,
        x: Tensor<3>,
        context: &AttentionContext,
        cache: Option<&mut super::cache::LayerCache>,
        dropout: f64,
        site: u64,
        pass: &Pass,
    ) -> Tensor<3> {
        let normed = self.attention_norm.forward(x.clone());
        let attended = self.attention.forward(normed, context, None, cache, None, pass);
        x + pass.dropout(attended, dropout, site)
    }

    fn look(
        &self,
        x: Tensor<3>,
        memory: (Tensor<3>, Tensor<3>),
        context: &AttentionContext,
        dropout: f64,
        site: u64,
        pass: &Pass,
    ) -> Tensor<3> {
        let (Some(norm), Some(cross)) = (&self.cross_norm, &self.cross) else { return x };
        let seen = cross.cross(norm.forward(x.clone()), memory, context, pass);
        x + pass.dropout(seen, dropout, site)
    }

    fn feed(&self, x: Tensor<3>, dropout: f64, site: u64, pass: &Pass) -> Tensor<3> {
        let inner = self.mlp.forward(self.mlp_norm.forward(x.clone()), pass);
        x + pass.dropout(inner, dropout, site)
    }
}
