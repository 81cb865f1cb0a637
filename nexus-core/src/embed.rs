//! Embeddings of texts: one vector for a whole sequence.

use crate::data::{Example, Tokenizer, collate};
use crate::model::{Encoder, Pass, TokenBatch};
use crate::{Error, Result};
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

/// The least norm that a vector is divided by, as in PyTorch's `normalize`.
const MIN_NORM: f32 = 1e-12;

/// How the states of T tokens become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of the tokens, special tokens included, padding not (Reimers and Gurevych 2019, arXiv:1908.10084).
    #[default]
    Mean,
    /// The state of the first token.
    First,
    /// The model's pooler, a trained layer on the first token.
    Pooler,
}

/// How texts are embedded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedOptions {
    /// How tokens become one vector. Default [`Pooling::Mean`].
    pub pooling: Pooling,
    /// Whether vectors get the length 1 (L2), so that their product is the cosine. Default true.
    pub normalize: bool,
    /// The most tokens of a text, special tokens included; the end of a longer one is cut off. By default (`None`), and
    /// at most, what the model's positions allow. A sentence encoder's own limit is often lower.
    pub max_length: Option<usize>,
    /// Texts in a batch, at least 1. Default 32.
    pub batch_size: usize,
}

impl Default for EmbedOptions {
    fn default() -> Self {
        Self { pooling: Pooling::Mean, normalize: true, max_length: None, batch_size: 32 }
    }
}

/// The embeddings of B sequences; with `normalize`, each divided by its length (L2).
///
/// # Shapes
/// `tokens`: B sequences of up to T tokens; result `[B, D]`.
///
/// # Errors
/// As [`Encoder::hidden`] and [`Encoder::pooled`]; [`Error::Refused`] for a sequence without tokens.
pub fn embed(
    model: &Encoder,
    tokens: &TokenBatch,
    pooling: Pooling,
    normalize: bool,
) -> Result<Tensor<2>> {
    if tokens.lengths.contains(&0) {
        return Err(Error::Refused("a sequence without tokens has no embedding".into()));
    }
    let pass = Pass::inference();
    let pooled = match pooling {
        Pooling::Mean => mean(model.hidden(tokens, &pass)?, &tokens.lengths),
        Pooling::First => model.first(tokens, &pass)?,
        Pooling::Pooler => model.pool(model.first(tokens, &pass)?, &pass)?,
    };
    if !normalize {
        return Ok(pooled);
    }
    let norm = (pooled.clone() * pooled.clone()).sum_dim(1).sqrt();
    Ok(pooled / norm.clamp_min(MIN_NORM))
}

/// The embeddings `[D]` of texts, in their order.
///
/// Texts of like length share a batch; what shares a batch does not change a vector beyond rounding.
///
/// # Errors
/// [`Error::Tokenizer`] when the tokenizer fails or does not fit the model; [`Error::Config`] for an option out of
/// range; otherwise as [`embed`].
pub fn embed_texts<T: AsRef<str>>(
    model: &Encoder,
    tokenizer: &Tokenizer,
    texts: &[T],
    options: &EmbedOptions,
) -> Result<Vec<Vec<f32>>> {
    tokenizer.check_vocabulary(model.config().vocab_size)?;
    if options.batch_size == 0 {
        return Err(Error::config("batch_size", 0, "at least 1"));
    }
    let most = model.config().max_length();
    let max_length = options.max_length.unwrap_or(most).min(most);
    let rows = texts.iter().map(|text| encode_truncated(tokenizer, text.as_ref(), max_length));
    let rows: Vec<Vec<u32>> = rows.collect::<Result<_>>()?;

    let Some(device) = model.devices().first().cloned() else {
        return Err(Error::Refused("the model has no parameters".into()));
    };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    // The longest first, so that a lack of memory shows at once.
    order.sort_by_key(|&i| std::cmp::Reverse(rows[i].len()));
    let mut embeddings = vec![Vec::new(); rows.len()];
    for part in order.chunks(options.batch_size) {
        let examples: Vec<Example> =
            part.iter().map(|&i| Example::new(rows[i].clone(), Vec::new())).collect();
        let tokens = TokenBatch::new(&collate(&examples, tokenizer.pad()), &device);
        let vectors = embed(model, &tokens, options.pooling, options.normalize)?;
        let [_, width] = vectors.dims();
        let values: Vec<f32> = vectors.into_data().iter::<f32>().collect();
        for (&i, vector) in part.iter().zip(values.chunks(width)) {
            embeddings[i] = vector.to_vec();
        }
    }
    Ok(embeddings)
}

/// The token ids of a text with its special tokens, at most `max_length` in all; the end of the text is cut off.
///
/// # Errors
/// [`Error::Config`] when `max_length` leaves no room for a token of the text; otherwise as [`Tokenizer::encode`].
pub fn encode_truncated(tokenizer: &Tokenizer, text: &str, max_length: usize) -> Result<Vec<u32>> {
    let special = tokenizer.special_count(false);
    if max_length <= special {
        return Err(Error::config("max_length", max_length, format!("at least {}", special + 1)));
    }
    let mut ids = tokenizer.encode(text, false)?;
    ids.truncate(max_length - special);
    Ok(tokenizer.wrap_pair(&ids, None)?.0)
}

/// The mean of the first `lengths[b]` of T states of each sequence b: `[B, T, D]` to `[B, D]`.
fn mean(hidden: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
    let [batch, time, _] = hidden.dims();
    let mut weights = vec![0.0; batch * time];
    for (row, &length) in weights.chunks_mut(time).zip(lengths) {
        row[..length].fill(1.0 / length as f32);
    }
    let weights = TensorData::new(weights, [batch, time, 1]);
    let weights = Tensor::<3>::from_data(weights, &hidden.device());
    (hidden * weights).sum_dim(1).squeeze_dim::<2>(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, RandomSource, Spec, ids_tensor};
    use serde_json::json;
    use std::path::Path;
    use std::sync::Arc;

    fn encoder() -> Encoder {
        let json = json!({
            "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 20,
            "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 6, "hidden_dropout_prob": 0.0,
            "initializer_range": 0.5,
        });
        let serde_json::Value::Object(json) = json else { unreachable!() };
        let spec = Spec::from_json(json, Path::new("config.json")).unwrap();
        let device = crate::device("flex").unwrap();
        Encoder::build(&mut RandomSource::new(1, &device), Arc::new(spec)).unwrap()
    }

    fn tokens(rows: &[&[u32]]) -> TokenBatch {
        let rows: Vec<Example> =
            rows.iter().map(|row| Example::new(row.to_vec(), vec![])).collect();
        TokenBatch::new(&collate(&rows, 0), &crate::device("flex").unwrap())
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    /// Values are of the order 1 and sums have at most 6 terms, so rounding stays below this.
    const ROUNDING: f32 = 1e-5;

    fn assert_close(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < ROUNDING), "{a:?} {b:?}");
    }

    #[test]
    fn padding_changes_no_embedding() {
        let model = encoder();
        for pooling in [Pooling::Mean, Pooling::First, Pooling::Pooler] {
            let both = tokens(&[&[3, 7], &[1, 2, 3, 4, 5]]);
            let both = values(embed(&model, &both, pooling, true).unwrap());
            let first = values(embed(&model, &tokens(&[&[3, 7]]), pooling, true).unwrap());
            assert_close(&both[..8], &first);
        }
    }

    #[test]
    fn the_mean_is_over_the_tokens_and_the_length_is_one() {
        let model = encoder();
        let tokens = tokens(&[&[3, 7, 9]]);
        let hidden = model.hidden(&tokens, &Pass::inference()).unwrap();
        let hidden: Vec<f32> = hidden.into_data().iter::<f32>().collect();
        let by_hand: Vec<f32> =
            (0..8).map(|d| (hidden[d] + hidden[8 + d] + hidden[16 + d]) / 3.0).collect();
        let mean = values(embed(&model, &tokens, Pooling::Mean, false).unwrap());
        assert_close(&mean, &by_hand);
        let first = values(embed(&model, &tokens, Pooling::First, false).unwrap());
        assert_close(&first, &hidden[..8]);
        let unit = values(embed(&model, &tokens, Pooling::Mean, true).unwrap());
        assert!((unit.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < ROUNDING);
    }

    #[test]
    fn sequences_that_are_empty_or_too_long_are_errors() {
        let model = encoder();
        let error = embed(&model, &tokens(&[&[3], &[]]), Pooling::Mean, true).unwrap_err();
        assert!(error.to_string().contains("without tokens"), "{error}");
        let long = ids_tensor(&[1; 7], [1, 7], &crate::device("flex").unwrap());
        let long = TokenBatch { ids: long, types: None, lengths: vec![7] };
        let error = embed(&model, &long, Pooling::Mean, true).unwrap_err();
        assert!(error.to_string().contains("at most 6"), "{error}");
    }
}
