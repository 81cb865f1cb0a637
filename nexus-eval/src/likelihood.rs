//! Log-likelihoods of many rows of tokens, batched.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use nexus_core::data::{Example, IGNORED, collate};
use nexus_core::model::{Decoder, DecoderConfig, Pass, Position, ids_tensor};
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
pub(crate) fn log_likelihoods(
    model: &Decoder,
    rows: &[Example],
    batch_size: usize,
    progress: &mut Progress<'_>,
) -> Result<Vec<Vec<f32>>> {
    let mut result = vec![Vec::new(); rows.len()];
    let mut done = 0;
    progress(done, rows.len());
    let score = |ids, labels: &[i32]| model.log_probabilities(ids, labels);
    score_rows(model, rows, batch_size, score, |i, values| {
        check_finite(values.iter().copied())?;
        result[i] = values;
        done += 1;
        progress(done, rows.len());
        Ok(())
    })?;
    Ok(result)
}

/// Scores each row; `done` takes its place and what `score` gives for it.
///
/// Rows of similar length share a batch, the longest first, so that a lack of memory shows at once; padding stands at
/// the right, where a causal model does not see it.
pub(crate) fn score_rows<T>(
    model: &Decoder,
    rows: &[Example],
    batch_size: usize,
    score: impl Fn(Tensor<2, Int>, &[i32]) -> Result<Vec<Vec<T>>>,
    mut done: impl FnMut(usize, Vec<T>) -> Result<()>,
) -> Result<()> {
    let vocabulary = model.config().vocab_size;
    if let Some(id) = rows.iter().flat_map(|row| &row.ids).find(|&&id| id as usize >= vocabulary) {
        return Err(Error::Refused(format!(
            "token id {id} is outside the model's vocabulary of {vocabulary}; use the tokenizer of this model"
        )));
    }
    let device = device_of(model)?;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(rows[i].ids.len()));
    for indices in order.chunks(batch_size.max(1)) {
        let examples: Vec<Example> = indices.iter().map(|&i| rows[i].clone()).collect();
        let batch = collate(&examples, 0);
        let ids = ids_tensor(&batch.ids, [batch.rows, batch.columns], &device);
        for (&i, values) in indices.iter().zip(score(ids, &batch.labels)?) {
            done(i, values)?;
        }
    }
    Ok(())
}

/// Rows of logits that are held at a time.
const LOGIT_ROWS: usize = 256;

/// `log p(token)` of each labelled token of a batch `[B, T]`, and whether it is the most probable one; row by row. The
/// last column predicts nothing and is not computed.
pub(crate) fn greedy_log_probabilities(
    model: &Decoder,
    ids: Tensor<2, Int>,
    labels: &[i32],
) -> Result<Vec<Vec<(f32, bool)>>> {
    let pass = Pass::inference();
    let [batch, time] = ids.dims();
    let device = ids.device();
    let mut result = vec![Vec::new(); batch];
    let contexts = time.saturating_sub(1);
    let predicted: Vec<(usize, i32)> = (0..batch * contexts)
        .map(|place| (place, labels[place / contexts * time + place % contexts + 1]))
        .filter(|(_, label)| *label != IGNORED)
        .collect();
    if predicted.is_empty() {
        return Ok(result);
    }
    let hidden = model.hidden(ids.narrow(1, 0, contexts), &pass)?;
    let width = hidden.dims()[2];
    let hidden = hidden.reshape([batch * contexts, width]);
    for chunk in predicted.chunks(LOGIT_ROWS) {
        let integers = |of: fn(&(usize, i32)) -> i32| {
            let values: Vec<i32> = chunk.iter().map(of).collect();
            Tensor::<1, Int>::from_data(TensorData::new(values, [chunk.len()]), &device)
        };
        let rows = hidden.clone().select(0, integers(|(place, _)| *place as i32));
        let logits = model.logits(rows, &pass);
        let best = logits.clone().argmax(1).into_data();
        let labels = integers(|(_, label)| *label).reshape([chunk.len(), 1]);
        let values = activation::log_softmax(logits, 1).gather(1, labels).into_data();
        let scored = values.iter::<f32>().zip(best.iter::<i64>());
        for ((place, label), (value, best)) in chunk.iter().zip(scored) {
            result[place / contexts].push((value, best == i64::from(*label)));
        }
    }
    Ok(result)
}

/// Refuses log-probabilities that are not finite.
pub(crate) fn check_finite(values: impl IntoIterator<Item = f32>) -> Result<()> {
    match values.into_iter().all(f32::is_finite) {
        true => Ok(()),
        false => Err(Error::Refused(
            "a log-probability is not finite; the model's weights may be damaged".into(),
        )),
    }
}

/// A sum in f64, which keeps the rounding of many small terms out of the result.
pub(crate) fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}
