//! T5 (Raffel et al. 2019, arXiv:1910.10683), version 1.0 (ReLU, tied head) and 1.1 / Flan (gated GELU, own head).
//! Reference: `T5ForConditionalGeneration` of transformers.
//!
//! Deviations: the dropout of attention weights is not applied while training. Activations overflow f16 in the published
//! checkpoints; Nexus computes in f32, so nothing is clamped.

use super::super::config::MlpKind;
use super::super::seq2seq_config::EncoderDecoderConfig;
use super::ConfigReader;
use super::names::{Names, Pair, Stack};
use crate::Result;

const SELF_ATTENTION: &[Pair] = &[
    ("attention_norm", "layer.0.layer_norm"),
    ("attention.inputs.query", "layer.0.SelfAttention.q"),
    ("attention.inputs.key", "layer.0.SelfAttention.k"),
    ("attention.inputs.value", "layer.0.SelfAttention.v"),
    ("attention.output", "layer.0.SelfAttention.o"),
];

const CROSS_ATTENTION: &[Pair] = &[
    ("cross_norm", "layer.1.layer_norm"),
    ("cross.inputs.query", "layer.1.EncDecAttention.q"),
    ("cross.inputs.key", "layer.1.EncDecAttention.k"),
    ("cross.inputs.value", "layer.1.EncDecAttention.v"),
    ("cross.output", "layer.1.EncDecAttention.o"),
];

/// Version 1.1.
pub(super) const GATED: Names = Names {
    prefix: "",
    stacks: &[
        Stack {
            path: ("encoder.blocks", "encoder.block"),
            modules: &[
                SELF_ATTENTION,
                &[
                    ("mlp_norm", "layer.1.layer_norm"),
                    ("mlp.gate", "layer.1.DenseReluDense.wi_0"),
                    ("mlp.up", "layer.1.DenseReluDense.wi_1"),
                    ("mlp.down", "layer.1.DenseReluDense.wo"),
                ],
            ],
        },
        Stack {
            path: ("decoder.blocks", "decoder.block"),
            modules: &[
                SELF_ATTENTION,
                CROSS_ATTENTION,
                &[
                    ("mlp_norm", "layer.2.layer_norm"),
                    ("mlp.gate", "layer.2.DenseReluDense.wi_0"),
                    ("mlp.up", "layer.2.DenseReluDense.wi_1"),
                    ("mlp.down", "layer.2.DenseReluDense.wo"),
                ],
            ],
        },
    ],
    base: &[
        ("embedding", "shared"),
        ("encoder.norm", "encoder.final_layer_norm"),
        ("decoder.norm", "decoder.final_layer_norm"),
        ("encoder.relative_bias", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"),
        ("decoder.relative_bias", "decoder.block.0.layer.0.SelfAttention.relative_attention_bias"),
    ],
    heads: &[("head", "lm_head")],
    conv1d: false,
    // An early release of the original checkpoints has a bias in the cross-attention that nothing reads.
    buffers: &["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"],
    copies: &[
        ("encoder.embed_tokens.weight", "embedding.weight"),
        ("decoder.embed_tokens.weight", "embedding.weight"),
        ("lm_head.weight", "embedding.weight"),
    ],
    head_keys: &["lm_head."],
};

/// Version 1.0.
pub(super) const PLAIN: Names = Names {
    stacks: &[
        Stack {
            path: ("encoder.blocks", "encoder.block"),
            modules: &[
                SELF_ATTENTION,
                &[
                    ("mlp_norm", "layer.1.layer_norm"),
                    ("mlp.up", "layer.1.DenseReluDense.wi"),
                    ("mlp.down", "layer.1.DenseReluDense.wo"),
                ],
            ],
        },
        Stack {
            path: ("decoder.blocks", "decoder.block"),
            modules: &[
                SELF_ATTENTION,
                CROSS_ATTENTION,
                &[
                    ("mlp_norm", "layer.2.layer_norm"),
                    ("mlp.up", "layer.2.DenseReluDense.wi"),
                    ("mlp.down", "layer.2.DenseReluDense.wo"),
                ],
            ],
        },
    ],
    ..GATED
};

pub(super) fn config(json: &ConfigReader) -> Result<EncoderDecoderConfig> {
    let layers = json.layers("num_layers")?;
    // "relu", "gated-gelu", "gated-silu": the original names its tanh approximation plain gelu.
    let kind = json.optional_text("feed_forward_proj")?.unwrap_or("relu");
    let (mlp, activation) = match kind.split_once('-') {
        Some(("gated", "gelu")) => (MlpKind::Gated, "gelu_new"),
        Some(("gated", activation)) => (MlpKind::Gated, activation),
        None => (MlpKind::Plain, kind),
        Some(_) => return Err(json.wrong("feed_forward_proj", "relu, gated-gelu or gated-silu")),
    };
    let activation = super::reader::activation(activation)
        .ok_or_else(|| json.wrong("feed_forward_proj", "relu, gated-gelu or gated-silu"))?;
    let tied_head = json.flag("tie_word_embeddings", true)?;
    let padding = json.optional_size("pad_token_id")?.unwrap_or(0);
    let start = json.optional_size("decoder_start_token_id")?.unwrap_or(padding);
    Ok(EncoderDecoderConfig {
        vocab_size: json.size("vocab_size")?,
        hidden_size: json.size("d_model")?,
        feed_forward: json.size("d_ff")?,
        layers,
        decoder_layers: json.optional_size("num_decoder_layers")?.unwrap_or(layers),
        heads: json.size("num_heads")?,
        head_dim: json.size("d_kv")?,
        buckets: json.optional_size("relative_attention_num_buckets")?.unwrap_or(32),
        max_distance: json.optional_size("relative_attention_max_distance")?.unwrap_or(128),
        norm_eps: json.number("layer_norm_epsilon", 1e-6)?,
        mlp,
        activation,
        tied_head,
        // transformers 5 says so in a field of its own; before, untied meant unscaled.
        scaled_head: json.flag("scale_decoder_outputs", tied_head)?,
        dropout: json.number("dropout_rate", 0.1)?,
        start_token: start.min(u32::MAX as usize) as u32,
        initializer_factor: json.number("initializer_factor", 1.0)?,
    })
}
