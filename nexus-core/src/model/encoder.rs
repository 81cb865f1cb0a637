//! The encoder-only transformer: embeddings, blocks that see the whole sequence, heads.

use super::attention::{Attention, AttentionShape};
use super::config::{MlpKind, NormKind};
use super::embedding::Embedding;
use super::encoder_config::{EncoderConfig, Pooler};
use super::family::{ModelConfig, Spec};
use super::head::Head;
use super::low_rank::Adaptable;
use super::mlp::{Mlp, MlpShape, activate};
use super::network::{Classify, Model, TokenBatch, wrong_kind};
use super::norm::Norm;
use super::packing::Packing;
use super::pass::Pass;
use super::projection::Projection;
use super::source::{Init, ParameterSource};
use super::wanted::{Wanted, only};
use crate::adapter::AdapterConfig;
use crate::{Error, Result};
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, activation};
use nexus_kernels::{AttentionConfig, AttentionContext, WeightLayout, linear};
use std::sync::Arc;

/// BERT and everything with the same data flow.
///
/// ```text
/// ids -> norm(embedding + positions + types) -> [block] * layers -> pooler, classes or masked-token head
/// block: x = norm(x + attention(x)), then norm(x + mlp(x))
/// ```
#[derive(Module, Debug)]
pub struct Encoder {
    pub(crate) embedding: Embedding,
    pub(crate) positions: Embedding,
    pub(crate) types: Option<Embedding>,
    pub(crate) embedding_norm: Norm,
    pub(crate) blocks: Vec<EncoderBlock>,
    pub(crate) pooler: Option<Projection>,
    pub(crate) classes: Option<Projection>,
    pub(crate) masked: Option<MaskedHead>,
    #[module(skip)]
    config: Arc<EncoderConfig>,
    #[module(skip)]
    pub(crate) spec: Arc<Spec>,
    #[module(skip)]
    pub(crate) adapter: Option<Arc<AdapterConfig>>,
}

/// One transformer block (post-norm).
#[derive(Module, Debug)]
pub(crate) struct EncoderBlock {
    attention: Attention,
    attention_norm: Norm,
    mlp: Mlp,
    mlp_norm: Norm,
}

/// Logits of masked tokens: `norm(act(transform(x))) E^T + bias`, with the embedding E.
#[derive(Module, Debug)]
pub(crate) struct MaskedHead {
    transform: Projection,
    norm: Norm,
    bias: Param<Tensor<1>>,
}

impl Model for Encoder {
    fn build(source: &mut impl ParameterSource, spec: Arc<Spec>) -> Result<Self> {
        let ModelConfig::Encoder(config) = &spec.config else {
            return Err(wrong_kind(&spec, "encoder"));
        };
        config.check()?;
        let (v, d) = (config.vocab_size, config.hidden_size);
        let init = Init::Normal(config.initializer_range);
        let norm = |source: &mut _, path: &str| {
            Norm::build(source, path, d, NormKind::LayerNorm, config.norm_eps)
        };
        let embedding = Embedding::build(source, "embedding", [v, d], init)?;
        let positions = Embedding::build(source, "positions", [config.max_positions, d], init)?;
        let types = (config.token_types > 0)
            .then(|| Embedding::build(source, "types", [config.token_types, d], init))
            .transpose()?;
        let embedding_norm = norm(source, "embedding_norm")?;
        let blocks = (0..config.layers)
            .map(|i| EncoderBlock::build(source, &format!("blocks.{i}"), config))
            .collect::<Result<_>>()?;
        let pooled = match (&spec.head, config.pooler) {
            (Head::Sequence(_), _) => true,
            // Sentence encoders are often stored without the pooler that they never use.
            (Head::Features, Pooler::Tanh) => source.has("pooler.weight") != Some(false),
            (Head::Features | Head::Language | Head::Tokens(_), _) => false,
        };
        let pooler =
            pooled.then(|| Projection::build(source, "pooler", [d, d], true, init)).transpose()?;
        let classes = spec.classes().map(|classes| classes.len());
        let classes = classes
            .map(|count| Projection::build(source, "classes", [d, count], true, init))
            .transpose()?;
        let masked = (spec.head == Head::Language)
            .then(|| {
                let transform = Projection::build(source, "masked.transform", [d, d], true, init)?;
                let norm = norm(source, "masked.norm")?;
                let bias = source.parameter("masked.bias", [v], Init::Zeros)?;
                Ok::<_, Error>(MaskedHead { transform, norm, bias })
            })
            .transpose()?;
        let config = Arc::new(config.clone());
        Ok(Self {
            embedding,
            positions,
            types,
            embedding_norm,
            blocks,
            pooler,
            classes,
            masked,
            config,
            spec,
            adapter: None,
        })
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
        let heads = [
            ("pooler", self.pooler.as_mut()),
            ("masked.transform", self.masked.as_mut().map(|masked| &mut masked.transform)),
            ("classes", self.classes.as_mut()),
        ];
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
        if let ModelConfig::Encoder(config) = &spec.config {
            self.config = Arc::new(config.clone());
        }
        self.spec = spec;
    }
}

impl Encoder {
    /// The shape of the model.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Final hidden states; those of padding are meaningless.
    ///
    /// # Shapes
    /// `tokens`: B sequences of up to T tokens; result `[B, T, D]`.
    ///
    /// # Errors
    /// [`Error::Config`] when T exceeds the position table, or when the pass has adapters for another number of sequences.
    pub fn hidden(&self, tokens: &TokenBatch, pass: &Pass) -> Result<Tensor<3>> {
        self.run(tokens, None, pass)
    }

    /// [`hidden`](Self::hidden) of tokens `rows` of `[B*T]`: `[N, D]`.
    pub(crate) fn hidden_of(
        &self,
        tokens: &TokenBatch,
        rows: &[i32],
        pass: &Pass,
    ) -> Result<Tensor<2>> {
        Ok(self.run(tokens, Some(rows), pass)?.squeeze_dim(0))
    }

    /// [`hidden`](Self::hidden) of the first token of each sequence: `[B, D]`.
    pub(crate) fn first(&self, tokens: &TokenBatch, pass: &Pass) -> Result<Tensor<2>> {
        let [batch, time] = tokens.ids.dims();
        let rows: Vec<i32> = (0..batch).map(|row| (row * time) as i32).collect();
        self.hidden_of(tokens, &rows, pass)
    }

    /// [`hidden`](Self::hidden), or with `rows` the states of these N tokens of `[B*T]`, `[1, N, D]`.
    fn run(&self, tokens: &TokenBatch, rows: Option<&[i32]>, pass: &Pass) -> Result<Tensor<3>> {
        let config = self.config();
        let [batch, time] = tokens.ids.dims();
        pass.check_batch(batch)?;
        if time > config.max_length() {
            let allowed = format!("at most {} tokens, the model's positions", config.max_length());
            return Err(Error::config("sequence length", time, allowed));
        }
        let packing = Packing::of(&tokens.lengths, time, &tokens.ids.device(), pass);
        let packed = |ids: &Tensor<2, Int>| match &packing {
            Some(packing) => packing.pack(ids.clone()),
            None => ids.clone(),
        };
        let mut x = self.embedding.lookup(packed(&tokens.ids))
            + match &packing {
                Some(packing) => self.positions.lookup(packing.positions(config.first_position)),
                None => self.positions.rows(config.first_position, time),
            };
        if let Some(table) = &self.types {
            x = x + match &tokens.types {
                Some(types) => table.lookup(packed(types)),
                None => table.rows(0, 1),
            };
        }
        let mut x = pass.dropout(self.embedding_norm.forward(x), config.dropout, 0);
        let context = match &packing {
            Some(packing) => {
                AttentionContext { packed: Some(packing.lengths()), ..AttentionContext::default() }
            }
            None => AttentionContext { keys: tokens.keys(), ..AttentionContext::default() },
        };
        let (wanted, count) = (Wanted::new(rows, packing.as_ref(), pass), self.blocks.len());
        for (i, block) in self.blocks.iter().enumerate() {
            let dropout = (config.dropout, 2 * i as u64 + 1);
            x = block.forward(x, &context, wanted.in_block(i, count), dropout, pass);
        }
        Ok(wanted.of(x, count, packing))
    }

    /// The pooled state of the first token, `[B, D]`: `tanh` (BERT) or `relu` (DistilBERT) of a projection of it.
    ///
    /// # Shapes
    /// `hidden`: `[B, T, D]`.
    ///
    /// # Errors
    /// [`Error::Refused`] when the model has no pooler.
    pub fn pooled(&self, hidden: Tensor<3>, pass: &Pass) -> Result<Tensor<2>> {
        let [batch, _, width] = hidden.dims();
        self.pool(hidden.narrow(1, 0, 1).reshape([batch, width]), pass)
    }

    /// [`pooled`](Self::pooled), from the first tokens `[B, D]`.
    pub(crate) fn pool(&self, first: Tensor<2>, pass: &Pass) -> Result<Tensor<2>> {
        let Some(pooler) = &self.pooler else {
            return Err(Error::Refused("the model has no pooler; average its tokens".into()));
        };
        let projected = pooler.rows(first, pass);
        Ok(match self.config.pooler {
            Pooler::Tanh => projected.tanh(),
            Pooler::ReluOfClasses => activation::relu(projected),
        })
    }

    /// Logits of the classes of selected tokens.
    ///
    /// # Shapes
    /// `rows`: numbers of tokens in `[B*T]`, N of them; result `[N, C]`.
    ///
    /// # Errors
    /// As [`hidden`](Self::hidden); [`Error::Refused`] when the model has no head for tokens.
    pub fn token_logits(
        &self,
        tokens: &TokenBatch,
        rows: &[i32],
        pass: &Pass,
    ) -> Result<Tensor<2>> {
        let (Head::Tokens(_), Some(classes)) = (&self.spec.head, &self.classes) else {
            return Err(Error::Refused("the model has no token-classification head".into()));
        };
        let hidden = self.run(tokens, Some(rows), pass)?;
        let hidden = pass.dropout(hidden, self.config.classifier_dropout, self.last_site());
        Ok(classes.rows(hidden.squeeze_dim(0), pass))
    }

    /// Logits over the vocabulary of selected tokens, as a masked language model predicts them.
    ///
    /// # Shapes
    /// `rows`: numbers of tokens in `[B*T]`, N of them; result `[N, V]`.
    ///
    /// # Errors
    /// As [`hidden`](Self::hidden); [`Error::Refused`] when the model has no such head.
    pub fn masked_logits(
        &self,
        tokens: &TokenBatch,
        rows: &[i32],
        pass: &Pass,
    ) -> Result<Tensor<2>> {
        let Some(masked) = &self.masked else {
            return Err(Error::Refused("the model has no masked-language-model head".into()));
        };
        let inner = masked.transform.forward(self.run(tokens, Some(rows), pass)?, pass);
        let inner = masked.norm.forward(activate(self.config.masked_activation, inner));
        let inner = inner.squeeze_dim::<2>(0);
        Ok(linear(
            inner,
            self.embedding.weight(),
            WeightLayout::OutIn,
            Some(masked.bias.val()),
            pass.precision(),
        ))
    }

    /// The dropout site behind those of the blocks.
    fn last_site(&self) -> u64 {
        2 * self.config.layers as u64 + 1
    }
}

impl Classify for Encoder {
    fn class_logits(&self, tokens: &TokenBatch, pass: &Pass) -> Result<Tensor<2>> {
        let (Head::Sequence(_), Some(classes)) = (&self.spec.head, &self.classes) else {
            return Err(Error::Refused("the model has no sequence-classification head".into()));
        };
        let pooled = self.pool(self.first(tokens, pass)?, pass)?.unsqueeze::<3>();
        let pooled = pass.dropout(pooled, self.config.classifier_dropout, self.last_site());
        Ok(classes.rows(pooled.squeeze_dim::<2>(0), pass))
    }
}

impl EncoderBlock {
    fn build(
        source: &mut impl ParameterSource,
        path: &str,
        config: &EncoderConfig,
    ) -> Result<Self> {
        let d = config.hidden_size;
        let init = Init::Normal(config.initializer_range);
        let head_dim = d / config.heads;
        let attention = AttentionShape {
            width: d,
            config: AttentionConfig::new(config.heads, config.heads, head_dim).bidirectional(),
            fused: false,
            input_bias: true,
            output_bias: true,
            query_init: init,
            key_init: init,
            output_init: init,
        };
        let mlp = MlpShape {
            width: d,
            inner: config.feed_forward,
            kind: MlpKind::Plain,
            activation: config.activation,
            bias: true,
            up_init: init,
            down_init: init,
        };
        let norm = |source: &mut _, name: &str| {
            let path = format!("{path}.{name}");
            Norm::build(source, &path, d, NormKind::LayerNorm, config.norm_eps)
        };
        Ok(Self {
            attention: Attention::build(source, &format!("{path}.attention"), &attention)?,
            attention_norm: norm(source, "attention_norm")?,
            mlp: Mlp::build(source, &format!("{path}.mlp"), &mlp)?,
            mlp_norm: norm(source, "mlp_norm")?,
        })
    }

    fn forward(
        &self,
        x: Tensor<3>,
        context: &AttentionContext,
        rows: Option<&[i32]>,
        (dropout, site): (f64, u64),
        pass: &Pass,
    ) -> Tensor<3> {
        let attended = self.attention.forward(x.clone(), context, None, None, rows, pass);
        let x = self.attention_norm.forward(only(x, rows) + pass.dropout(attended, dropout, site));
        let inner = self.mlp.forward(x.clone(), pass);
        self.mlp_norm.forward(x + pass.dropout(inner, dropout, site + 1))
    }
}
