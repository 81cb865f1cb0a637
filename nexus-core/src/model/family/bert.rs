//! BERT (Devlin et al. 2018, arXiv:1810.04805), RoBERTa (Liu et al. 2019, arXiv:1907.11692) and DistilBERT (Sanh et al.
//! 2019, arXiv:1910.01108). Reference: the classes of these names in transformers.
//!
//! Deviations: the dropout of attention weights is not applied while training; relative positions of BERT
//! (`position_embedding_type`), decoders and cross-attention are refused; the next-sentence head of `BertForPreTraining`
//! is not kept.

use super::super::config::Activation;
use super::super::encoder_config::{EncoderConfig, Pooler};
use super::super::head::Head;
use super::ConfigReader;
use super::names::{Names, Pair, Stack};
use crate::Result;

const BLOCK: &[Pair] = &[
    ("attention.inputs.query", "attention.self.query"),
    ("attention.inputs.key", "attention.self.key"),
    ("attention.inputs.value", "attention.self.value"),
    ("attention.output", "attention.output.dense"),
    ("attention_norm", "attention.output.LayerNorm"),
    ("mlp.up", "intermediate.dense"),
    ("mlp.down", "output.dense"),
    ("mlp_norm", "output.LayerNorm"),
];

const EMBEDDINGS: &[Pair] = &[
    ("embedding", "embeddings.word_embeddings"),
    ("positions", "embeddings.position_embeddings"),
    ("types", "embeddings.token_type_embeddings"),
    ("embedding_norm", "embeddings.LayerNorm"),
];

pub(super) const BERT: Names = Names {
    prefix: "bert.",
    stacks: &[Stack { path: ("blocks", "encoder.layer"), modules: &[BLOCK] }],
    base: &[EMBEDDINGS[0], EMBEDDINGS[1], EMBEDDINGS[2], EMBEDDINGS[3], ("pooler", "pooler.dense")],
    heads: &[
        ("classes", "classifier"),
        ("masked", "cls.predictions"),
        ("masked.transform", "cls.predictions.transform.dense"),
        ("masked.norm", "cls.predictions.transform.LayerNorm"),
    ],
    conv1d: false,
    buffers: &["embeddings.position_ids"],
    copies: &[
        ("cls.predictions.decoder.weight", "embedding.weight"),
        ("cls.predictions.decoder.bias", "masked.bias"),
    ],
    head_keys: &["cls.", "classifier.", "bert.pooler.", "pooler."],
};

const ROBERTA: Names = Names {
    prefix: "roberta.",
    heads: &[
        ("classes", "classifier"),
        ("masked", "lm_head"),
        ("masked.transform", "lm_head.dense"),
        ("masked.norm", "lm_head.layer_norm"),
    ],
    copies: &[
        ("lm_head.decoder.weight", "embedding.weight"),
        ("lm_head.decoder.bias", "masked.bias"),
    ],
    head_keys: &["lm_head.", "classifier.", "roberta.pooler.", "pooler."],
    ..BERT
};

/// The classification head's first layer does what the pooler does.
const ROBERTA_SEQUENCE: Names = Names {
    base: EMBEDDINGS,
    heads: &[("pooler", "classifier.dense"), ("classes", "classifier.out_proj")],
    ..ROBERTA
};

pub(super) const DISTILBERT: Names = Names {
    prefix: "distilbert.",
    stacks: &[Stack {
        path: ("blocks", "transformer.layer"),
        modules: &[&[
            ("attention.inputs.query", "attention.q_lin"),
            ("attention.inputs.key", "attention.k_lin"),
            ("attention.inputs.value", "attention.v_lin"),
            ("attention.output", "attention.out_lin"),
            ("attention_norm", "sa_layer_norm"),
            ("mlp.up", "ffn.lin1"),
            ("mlp.down", "ffn.lin2"),
            ("mlp_norm", "output_layer_norm"),
        ]],
    }],
    base: EMBEDDINGS,
    heads: &[
        ("pooler", "pre_classifier"),
        ("classes", "classifier"),
        ("masked", "vocab_projector"),
        ("masked.transform", "vocab_transform"),
        ("masked.norm", "vocab_layer_norm"),
    ],
    copies: &[("vocab_projector.weight", "embedding.weight")],
    head_keys: &["vocab_", "classifier.", "pre_classifier."],
    ..BERT
};

pub(super) fn roberta_names(head: &Head) -> &'static Names {
    match head {
        Head::Sequence(_) => &ROBERTA_SEQUENCE,
        _ => &ROBERTA,
    }
}

pub(super) fn bert(json: &ConfigReader) -> Result<EncoderConfig> {
    for field in ["is_decoder", "add_cross_attention"] {
        json.refuse(field)?;
    }
    if json.optional_text("position_embedding_type")?.is_some_and(|kind| kind != "absolute") {
        return Err(json.wrong("position_embedding_type", "absolute"));
    }
    let activation = json.activation("hidden_act", "gelu")?;
    let dropout = json.number("hidden_dropout_prob", 0.1)?;
    Ok(EncoderConfig {
        vocab_size: json.size("vocab_size")?,
        hidden_size: json.size("hidden_size")?,
        feed_forward: json.size("intermediate_size")?,
        layers: json.layers("num_hidden_layers")?,
        heads: json.size("num_attention_heads")?,
        max_positions: json.size("max_position_embeddings")?,
        first_position: 0,
        token_types: json.optional_size("type_vocab_size")?.unwrap_or(2),
        norm_eps: json.number("layer_norm_eps", 1e-12)?,
        activation,
        pooler: Pooler::Tanh,
        masked_activation: activation,
        dropout,
        classifier_dropout: json.number("classifier_dropout", dropout)?,
        initializer_range: json.number("initializer_range", 0.02)?,
    })
}

pub(super) fn roberta(json: &ConfigReader) -> Result<EncoderConfig> {
    let padding = json.optional_size("pad_token_id")?.unwrap_or(1);
    Ok(EncoderConfig {
        first_position: padding + 1,
        masked_activation: Activation::Gelu,
        ..bert(json)?
    })
}

pub(super) fn distilbert(json: &ConfigReader) -> Result<EncoderConfig> {
    // The sinusoidal table is stored like a learned one, so the flag changes nothing here.
    let activation = json.activation("activation", "gelu")?;
    Ok(EncoderConfig {
        vocab_size: json.size("vocab_size")?,
        hidden_size: json.size("dim")?,
        feed_forward: json.size("hidden_dim")?,
        layers: json.layers("n_layers")?,
        heads: json.size("n_heads")?,
        max_positions: json.size("max_position_embeddings")?,
        first_position: 0,
        token_types: 0,
        norm_eps: 1e-12,
        activation,
        pooler: Pooler::ReluOfClasses,
        masked_activation: activation,
        dropout: json.number("dropout", 0.1)?,
        classifier_dropout: json.number("seq_classif_dropout", 0.2)?,
        initializer_range: json.number("initializer_range", 0.02)?,
    })
}
