//! What varies between encoder families.

use super::config::{Activation, MAX_LAYERS, check_sizes};
use crate::{Error, Result};

/// The shape and the variation points of an [`Encoder`](super::Encoder).
///
/// | field | range |
/// |---|---|
/// | `vocab_size`, `hidden_size`, `feed_forward`, `layers`, `heads`, `max_positions` | >= 1 |
/// | `heads` | a divisor of `hidden_size` |
/// | `first_position` | below `max_positions` |
/// | `norm_eps` | > 0 |
/// | `dropout`, `classifier_dropout` | 0 <= p < 1 |
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// V: number of rows of the embedding.
    pub vocab_size: usize,
    /// D: width of the residual stream.
    pub hidden_size: usize,
    /// F: inner width of the MLP.
    pub feed_forward: usize,
    /// Number of blocks.
    pub layers: usize,
    /// H: number of heads.
    pub heads: usize,
    /// Number of rows of the position table.
    pub max_positions: usize,
    /// The position of the first token (RoBERTa counts from the id of its padding token + 1).
    pub first_position: usize,
    /// Number of token types; 0 when the family has none.
    pub token_types: usize,
    /// Added to the variance in LayerNorm.
    pub norm_eps: f64,
    /// Non-linearity of the MLP.
    pub activation: Activation,
    /// What the pooler is.
    pub pooler: Pooler,
    /// Non-linearity of the masked-LM head.
    pub masked_activation: Activation,
    /// Probability of dropping an element of the embeddings and of each half of a block while training.
    pub dropout: f64,
    /// The same before the classes.
    pub classifier_dropout: f64,
    /// Standard deviation of freshly initialised weights.
    pub initializer_range: f64,
}

/// The projection of the first token's hidden state, `[D, D]` with bias, and where it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooler {
    /// With tanh; part of the bare model and of sequence classification.
    Tanh,
    /// With ReLU; part of sequence classification only.
    ReluOfClasses,
}

impl EncoderConfig {
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
            ("max_position_embeddings", self.max_positions),
        ])?;
        if self.layers > MAX_LAYERS {
            let allowed = format!("at most {MAX_LAYERS}");
            return Err(Error::config("num_hidden_layers", self.layers, allowed));
        }
        if !self.hidden_size.is_multiple_of(self.heads) {
            let allowed = format!("a divisor of hidden_size = {}", self.hidden_size);
            return Err(Error::config("num_attention_heads", self.heads, allowed));
        }
        if self.first_position >= self.max_positions {
            let allowed = format!("below max_position_embeddings = {}", self.max_positions);
            return Err(Error::config("pad_token_id", self.first_position, allowed));
        }
        if self.token_types > 256 {
            return Err(Error::config("type_vocab_size", self.token_types, "at most 256"));
        }
        if self.norm_eps.is_nan() || self.norm_eps <= 0.0 {
            return Err(Error::config("layer_norm_eps", self.norm_eps, "a number above 0"));
        }
        let dropouts = [("dropout", self.dropout), ("classifier_dropout", self.classifier_dropout)];
        for (field, value) in dropouts {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::config(field, value, "from 0 up to below 1"));
            }
        }
        Ok(())
    }

    /// The longest sequence, in tokens.
    pub fn max_length(&self) -> usize {
        self.max_positions - self.first_position
    }
}
