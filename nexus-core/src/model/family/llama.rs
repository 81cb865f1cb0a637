//! LLaMA (Touvron et al. 2023, arXiv:2302.13971) and its descendants with the same data flow.
//! Reference: `LlamaForCausalLM`, `MistralForCausalLM` and `Qwen2ForCausalLM` of transformers.
//!
//! Deviations: `attention_dropout` is not applied while training; `pretraining_tp` is ignored (it only reorders sums).

use super::super::config::{AttentionBias, DecoderConfig, MlpKind, NormKind, Position};
use super::names::{Names, Stack};
use super::{ConfigReader, rope};
use crate::Result;
use serde_json::Value;

pub(super) const NAMES: Names = Names {
    prefix: "model.",
    stacks: &[Stack {
        path: ("blocks", "layers"),
        modules: &[&[
            ("attention_norm", "input_layernorm"),
            ("attention.inputs.query", "self_attn.q_proj"),
            ("attention.inputs.key", "self_attn.k_proj"),
            ("attention.inputs.value", "self_attn.v_proj"),
            ("attention.output", "self_attn.o_proj"),
            ("mlp_norm", "post_attention_layernorm"),
            ("mlp.gate", "mlp.gate_proj"),
            ("mlp.up", "mlp.up_proj"),
            ("mlp.down", "mlp.down_proj"),
        ]],
    }],
    base: &[("embedding", "embed_tokens"), ("norm", "norm")],
    heads: &[("head", "lm_head"), ("classes", "score")],
    conv1d: false,
    buffers: &[".rotary_emb.inv_freq"],
    copies: &[("lm_head.weight", "embedding.weight")],
    head_keys: &["lm_head.", "score."],
};

pub(super) fn config(json: &ConfigReader, model_type: &str) -> Result<DecoderConfig> {
    let hidden = json.size("hidden_size")?;
    let heads = json.size("num_attention_heads")?;
    let layers = json.layers("num_hidden_layers")?;
    let head_dim = match json.optional_size("head_dim")? {
        Some(dim) => dim,
        None if heads > 0 && hidden.is_multiple_of(heads) => hidden / heads,
        None => {
            let expected = format!("a divisor of hidden_size = {hidden}, or head_dim");
            return Err(json.wrong("num_attention_heads", &expected));
        }
    };
    let bias = json.flag("attention_bias", false)?;
    let attention_bias = match model_type {
        "qwen2" => AttentionBias { qkv: true, output: false },
        "mistral" => AttentionBias { qkv: false, output: false },
        _ => AttentionBias { qkv: bias, output: bias },
    };
    let activation = json.activation("hidden_act", "silu")?;
    let max_positions = json.size("max_position_embeddings")?;
    Ok(DecoderConfig {
        vocab_size: json.size("vocab_size")?,
        hidden_size: hidden,
        feed_forward: json.size("intermediate_size")?,
        layers,
        heads,
        kv_heads: json.optional_size("num_key_value_heads")?.unwrap_or(heads),
        head_dim,
        max_positions,
        norm: NormKind::RmsNorm,
        norm_eps: json.number("rms_norm_eps", 1e-6)?,
        position: Position::Rotary(rope::config(json, max_positions)?),
        mlp: MlpKind::Gated,
        activation,
        attention_bias,
        mlp_bias: model_type == "llama" && json.flag("mlp_bias", false)?,
        fused_qkv: false,
        tied_head: json.flag("tie_word_embeddings", false)?,
        windows: windows(json, model_type, layers)?,
        initializer_range: json.number("initializer_range", 0.02)?,
    })
}

/// The window of each layer: `layer_types` where the file has it, else the older flags.
fn windows(json: &ConfigReader, model_type: &str, layers: usize) -> Result<Vec<Option<usize>>> {
    let window = json.optional_size("sliding_window")?;
    // Qwen2 names a window that it uses only when told to, and only in the layers from max_window_layers on.
    let used = json.flag("use_sliding_window", model_type != "qwen2")?;
    let window = if used { window } else { None };
    if let Some(value) = json.value("layer_types") {
        let expected = "a list of full_attention and sliding_attention, one per layer";
        let Value::Array(types) = value else { return Err(json.wrong("layer_types", expected)) };
        return types
            .iter()
            .map(|kind| match kind.as_str() {
                Some("full_attention") => Ok(None),
                Some("sliding_attention") => Ok(window),
                _ => Err(json.wrong("layer_types", expected)),
            })
            .collect();
    }
    let first = match model_type {
        "qwen2" => json.optional_size("max_window_layers")?.unwrap_or(0),
        "mistral" => 0,
        // A LLaMA config may carry the field without meaning.
        _ => layers,
    };
    Ok((0..layers).map(|i| window.filter(|_| i >= first)).collect())
}
