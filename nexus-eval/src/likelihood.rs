//! Log-likelihoods of many rows of tokens, batched.

use burn::module::Module;
use burn::tensor::Device;
use nexus_core::data::{Example, IGNORED, collate};
use nexus_core::model::{Decoder, DecoderConfig, Position, ids_tensor};
use nexus_core::{Error, Result};

/// Sees how much is done: the number of rows so far and in all.
pub type Progress<'a> = dyn FnMut(usize, usize) + 'a;

/// The longest context that is used unless the caller asks for more; attention is quadratic in it.
const DEFAULT_MAX_LENGTH: usize = 2048;

/// How texts are scored.
///
/// | field | default | range |
/// |---|---|---|
/// | `max_length` | the model's `max_position_embeddings`, at most 2048 | >= 1; at most the learned positions, where a model has them |
/// | `batch_size` | 8 | >= 1 |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoreOptions {
    /// The most tokens that the model reads at a time.
    pub max_length: Option<usize>,
    /// Rows per forward pass. It changes time and memory; results differ by rounding only.
    pub batch_size: usize,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        Self { max_length: None, batch_size: 8 }
    }
}

impl ScoreOptions {
    pub(crate) fn check(&self) -> Result<()> {
        if self.batch_size == 0 {
            return Err(Error::config("batch_size", 0, "at least 1"));
        }
        if self.max_length == Some(0) {
            return Err(Error::config("max_length", 0, "at least 1 token"));
        }
        Ok(())
    }

    pub(crate) fn max_length(&self, config: &DecoderConfig) -> Result<usize> {
        let positions = config.max_positions;
        match (self.max_length, &config.position) {
            (Some(length), Position::Learned) if length > positions => {
                let allowed = format!("at most {positions}, the positions of this model");
                Err(Error::config("max_length", length, allowed))
            }
            (Some(length), _) => Ok(length),
            (None, _) => Ok(positions.min(DEFAULT_MAX_LENGTH)),
        }
    }
}

/// The device that holds the model.
pub(crate) fn device_of(model: &Decoder) -> Result<Device> {
    let device = model.devices().into_iter().next();
    device.ok_or_else(|| Error::Refused("the model has no parameters".into()))
}

/// A row of which only `targets` are predicted.
pub(crate) fn row(context: &[u32], targets: &[u32]) -> Example {
    let labels = std::iter::repeat_n(IGNORED, context.len());
    let labels = labels.chain(targets.iter().map(|&id| id as i32)).collect();
    Example::new([context, targets].concat(), labels)
}

/// `log p(token)` of each labelled token of each row, in the order of the rows.
///
/// Rows of similar length share a batch, the longest first, so that a lack of memory shows at once; padding stands at
/// the right, where a causal model does not see it.
pub(crate) fn log_likelihoods(
    model: &Decoder,
    rows: &[Example],
    batch_size: usize,
    progress: &mut Progress<'_>,
) -> Result<Vec<Vec<f32>>> {
    let vocabulary = model.config().vocab_size;
    if let Some(id) = rows.iter().flat_map(|row| &row.ids).find(|&&id| id as usize >= vocabulary) {
        return Err(Error::Refused(format!(
            "token id {id} is outside the model's vocabulary of {vocabulary}; use the tokenizer of this model"
        )));
    }
    let device = device_of(model)?;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(rows[i].ids.len()));
    let mut result = vec![Vec::new(); rows.len()];
    let mut done = 0;
    progress(done, rows.len());
    for indices in order.chunks(batch_size.max(1)) {
        let examples: Vec<Example> = indices.iter().map(|&i| rows[i].clone()).collect();
        let batch = collate(&examples, 0);
        let ids = ids_tensor(&batch.ids, [batch.rows, batch.columns], &device);
        let values = model.log_probabilities(ids, &batch.labels)?;
        for (&i, values) in indices.iter().zip(values) {
            if values.iter().any(|value| !value.is_finite()) {
                return Err(Error::Refused(
                    "a log-probability is not finite; the model's weights may be damaged".into(),
                ));
            }
            result[i] = values;
        }
        done += indices.len();
        progress(done, rows.len());
    }
    Ok(result)
}

/// A sum in f64, which keeps the rounding of many small terms out of the result.
pub(crate) fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}
