//! GPT-2 (Radford et al. 2019). Reference: `GPT2LMHeadModel` of transformers.
//!
//! Deviations: the dropouts of the config (`embd_pdrop`, `resid_pdrop`, `attn_pdrop`) are not applied while training;
//! cross-attention, and the two options that change the attention's scale, are refused.

use super::super::config::{AttentionBias, DecoderConfig, MlpKind, NormKind, Position};
use super::ConfigReader;
use super::names::{Names, Stack};
use crate::Result;

pub(super) const NAMES: Names = Names {
    prefix: "transformer.",
    stacks: &[Stack {
        path: ("blocks", "h"),
        modules: &[&[
            ("attention_norm", "ln_1"),
            ("attention.inputs.fused", "attn.c_attn"),
            ("attention.output", "attn.c_proj"),
            ("mlp_norm", "ln_2"),
            ("mlp.up", "mlp.c_fc"),
            ("mlp.down", "mlp.c_proj"),
        ]],
    }],
    base: &[("embedding", "wte"), ("positions", "wpe"), ("norm", "ln_f")],
    heads: &[("head", "lm_head"), ("classes", "score")],
    conv1d: true,
    buffers: &[".attn.bias", ".attn.masked_bias"],
    copies: &[("lm_head.weight", "embedding.weight")],
    head_keys: &["lm_head.", "score."],
};

pub(super) fn config(json: &ConfigReader) -> Result<DecoderConfig> {
    for field in ["add_cross_attention", "scale_attn_by_inverse_layer_idx"] {
        json.refuse(field)?;
    }
    if !json.flag("scale_attn_weights", true)? {
        return Err(json.wrong("scale_attn_weights", "true"));
    }
    let hidden = json.size("n_embd")?;
    let heads = json.size("n_head")?;
    if heads == 0 || !hidden.is_multiple_of(heads) {
        return Err(json.wrong("n_head", &format!("a divisor of n_embd = {hidden}")));
    }
    let layers = json.layers("n_layer")?;
    let activation = json.activation("activation_function", "gelu_new")?;
    Ok(DecoderConfig {
        vocab_size: json.size("vocab_size")?,
        hidden_size: hidden,
        feed_forward: json.optional_size("n_inner")?.unwrap_or(4 * hidden),
        layers,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        max_positions: json.size("n_positions")?,
        norm: NormKind::LayerNorm,
        norm_eps: json.number("layer_norm_epsilon", 1e-5)?,
        position: Position::Learned,
        mlp: MlpKind::Plain,
        activation,
        attention_bias: AttentionBias { qkv: true, output: true },
        mlp_bias: true,
        fused_qkv: true,
        tied_head: json.flag("tie_word_embeddings", true)?,
        windows: vec![None; layers],
        initializer_range: json.number("initializer_range", 0.02)?,
    })
}
