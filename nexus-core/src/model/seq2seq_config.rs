//! What varies between encoder-decoder families.

use super::config::{Activation, MAX_LAYERS, MlpKind, check_sizes};
use crate::{Error, Result};

/// The shape and the variation points of an [`EncoderDecoder`](super::EncoderDecoder).
///
/// | field | range |
/// |---|---|
/// | `vocab_size`, `hidden_size`, `feed_forward`, `layers`, `decoder_layers`, `heads`, `head_dim` | >= 1 |
/// | `buckets` | even, from 4 to 65536 |
/// | `max_distance` | above `buckets / 2` |
/// | `norm_eps` | > 0 |
/// | `dropout` | 0 <= p < 1 |
/// | `start_token` | below `vocab_size` |
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderDecoderConfig {
    /// V: number of rows of the embedding.
    pub vocab_size: usize,
    /// D: width of the residual stream.
    pub hidden_size: usize,
    /// F: inner width of the MLP.
    pub feed_forward: usize,
    /// Number of blocks of the encoder.
    pub layers: usize,
    /// Number of blocks of the decoder.
    pub decoder_layers: usize,
    /// H: number of heads.
    pub heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Number of buckets of relative positions.
    pub buckets: usize,
    /// The distance from which on positions share the last bucket.
    pub max_distance: usize,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f64,
    /// Shape of the MLP.
    pub mlp: MlpKind,
    /// Non-linearity of the MLP.
    pub activation: Activation,
    /// Whether the output head is the embedding itself.
    pub tied_head: bool,
    /// Whether the head's inputs are scaled by `D^-0.5`, as those of version 1.0 are.
    pub scaled_head: bool,
    /// Probability of dropping an element of the embeddings and of each part of a block while training.
    pub dropout: f64,
    /// The token with which every answer begins.
    pub start_token: u32,
    /// Factor of the standard deviations of freshly initialised weights.
    pub initializer_factor: f64,
}

impl EncoderDecoderConfig {
    /// Checks every range of the table above.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is out of range.
    pub fn check(&self) -> Result<()> {
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("d_model", self.hidden_size),
            ("d_ff", self.feed_forward),
            ("num_layers", self.layers),
            ("num_decoder_layers", self.decoder_layers),
            ("num_heads", self.heads),
            ("d_kv", self.head_dim),
        ])?;
        for (field, layers) in
            [("num_layers", self.layers), ("num_decoder_layers", self.decoder_layers)]
        {
            if layers > MAX_LAYERS {
                return Err(Error::config(field, layers, format!("at most {MAX_LAYERS}")));
            }
        }
        if self.buckets < 4 || self.buckets > 1 << 16 || !self.buckets.is_multiple_of(2) {
            let allowed = "an even number from 4 to 65536";
            return Err(Error::config("relative_attention_num_buckets", self.buckets, allowed));
        }
        if self.max_distance <= self.buckets / 2 {
            let allowed = "above half of relative_attention_num_buckets";
            return Err(Error::config(
                "relative_attention_max_distance",
                self.max_distance,
                allowed,
            ));
        }
        if self.norm_eps.is_nan() || self.norm_eps <= 0.0 {
            return Err(Error::config("layer_norm_epsilon", self.norm_eps, "a number above 0"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::config("dropout_rate", self.dropout, "from 0 up to below 1"));
        }
        if self.start_token as usize >= self.vocab_size {
            let allowed = format!("below vocab_size = {}", self.vocab_size);
            return Err(Error::config("decoder_start_token_id", self.start_token, allowed));
        }
        Ok(())
    }
}
