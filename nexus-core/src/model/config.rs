//! What varies between decoder families: a closed set of enums and sizes, matched once when the model is built.

use super::rotary::RotaryConfig;
use crate::{Error, Result};

/// The shape and the variation points of a [`Decoder`](super::Decoder).
///
/// | field | range |
/// |---|---|
/// | `vocab_size`, `hidden_size`, `feed_forward`, `layers`, `heads`, `head_dim` | >= 1 |
/// | `kv_heads` | a divisor of `heads` |
/// | `head_dim` | even with rotary positions |
/// | `norm_eps` | > 0 |
/// | `windows` | one entry per layer |
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// V: number of rows of the embedding.
    pub vocab_size: usize,
    /// D: width of the residual stream.
    pub hidden_size: usize,
    /// F: inner width of the MLP.
    pub feed_forward: usize,
    /// Number of blocks.
    pub layers: usize,
    /// H: number of query heads.
    pub heads: usize,
    /// K: number of key/value heads (grouped-query attention when K < H).
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Longest sequence that the model was made for, in tokens.
    pub max_positions: usize,
    /// Kind of normalisation.
    pub norm: NormKind,
    /// Added to the variance (LayerNorm) or mean square (RMSNorm).
    pub norm_eps: f64,
    /// How positions enter the model.
    pub position: Position,
    /// Shape of the MLP.
    pub mlp: MlpKind,
    /// Non-linearity of the MLP.
    pub activation: Activation,
    /// Which attention projections carry a bias.
    pub attention_bias: AttentionBias,
    /// Whether the MLP projections carry a bias.
    pub mlp_bias: bool,
    /// One projection for queries, keys and values (GPT-2), or three.
    pub fused_qkv: bool,
    /// Whether the output head is the embedding itself.
    pub tied_head: bool,
    /// Per layer: how many tokens, itself included, a token sees; `None` = all earlier ones.
    pub windows: Vec<Option<usize>>,
    /// Standard deviation of freshly initialised weights.
    pub initializer_range: f64,
}

/// Kind of normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// LayerNorm with scale and shift (Ba et al. 2016, arXiv:1607.06450).
    LayerNorm,
    /// RMSNorm with scale (Zhang and Sennrich 2019, arXiv:1910.07467).
    RmsNorm,
}

/// How positions enter the model.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    /// A learned vector per position, added to the embedding.
    Learned,
    /// Rotary embedding of queries and keys.
    Rotary(RotaryConfig),
}

/// Shape of the MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlpKind {
    /// `down(act(up(x)))`.
    Plain,
    /// `down(act(gate(x)) * up(x))` (Shazeer 2020, arXiv:2002.05202).
    Gated,
}

/// Non-linearity of the MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// GELU by the error function.
    Gelu,
    /// GELU by the tanh approximation.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

/// Which attention projections carry a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionBias {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The output projection.
    pub output: bool,
}

impl DecoderConfig {
    /// Checks every range of the table above.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is out of range.
    pub fn check(&self) -> Result<()> {
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.feed_forward),
            ("num_hidden_layers", self.layers),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_positions),
        ])?;
        if self.layers > MAX_LAYERS {
            let allowed = format!("at most {MAX_LAYERS}");
            return Err(Error::config("num_hidden_layers", self.layers, allowed));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(Error::config(
                "num_key_value_heads",
                self.kv_heads,
                format!("a divisor of num_attention_heads = {}", self.heads),
            ));
        }
        if matches!(self.position, Position::Rotary(_)) && !self.head_dim.is_multiple_of(2) {
            return Err(Error::config("head_dim", self.head_dim, "an even number"));
        }
        if self.norm_eps.is_nan() || self.norm_eps <= 0.0 {
            return Err(Error::config("norm eps", self.norm_eps, "a number above 0"));
        }
        if let Some(0) = self.windows.iter().flatten().min() {
            return Err(Error::config("sliding_window", 0, "at least 1, or null"));
        }
        if self.windows.len() != self.layers {
            return Err(Error::config("layer_types", self.windows.len(), "one entry per layer"));
        }
        Ok(())
    }

    /// Width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key (or value) heads together.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

/// The most blocks of a stack; the deepest published models have some hundred.
pub(super) const MAX_LAYERS: usize = 4096;

/// Checks that every size is from 1 to 2^28, so that no product of two of them comes near an overflow.
pub(super) fn check_sizes(sizes: &[(&str, usize)]) -> Result<()> {
    match sizes.iter().find(|(_, value)| *value == 0 || *value > 1 << 28) {
        Some((field, value)) => Err(Error::config(*field, value, "a number from 1 to 268435456")),
        None => Ok(()),
    }
}
