//! The language-model loss, without ever holding the logits of a whole batch.

use super::decoder::{Decoder, HeadWeight};
use super::pass::Pass;
use crate::Result;
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData, activation};

/// Labels with this value are not predicted.
const IGNORED: i32 = -100;
/// Logits held at a time: 2^23 f32 are 32 MiB.
const CHUNK: usize = 1 << 23;

/// A summed loss that still has its graph, and how many tokens it sums over.
#[derive(Debug)]
pub struct LossSum {
    /// The sum of `-log p(label)` over the trained tokens, `[1]`.
    pub sum: Tensor<1>,
    /// Number of trained tokens.
    pub tokens: usize,
}

impl Decoder {
    /// Summed cross-entropy of a batch. The token at `t + 1` is predicted from position `t`; labels of -100 are left out,
    /// before the head is applied.
    ///
    /// With a plain head, loss and gradient are computed together chunk by chunk (Liger, arXiv:2410.10989, section 3.2),
    /// so that memory is independent of B x T x V, and a frozen head costs no weight gradient.
    ///
    /// # Shapes
    /// `ids`, `labels`: `[B, T]` row major, right-padded.
    ///
    /// # Errors
    /// As [`hidden`](Self::hidden).
    pub fn loss_sum(&self, ids: Tensor<2, Int>, labels: &[i32], pass: &Pass) -> Result<LossSum> {
        let [batch, time] = ids.dims();
        let device = ids.device();
        let (rows, targets) = predicted_rows(labels, time);
        let hidden = self.hidden(ids, pass)?;
        let width = hidden.dims()[2];
        if rows.is_empty() {
            // Still a function of the parameters, so that a backward pass finds zero gradients.
            return Ok(LossSum { sum: hidden.sum() * 0.0, tokens: 0 });
        }
        let hidden = hidden.reshape([batch * time, width]).select(0, indices(&rows, &device));
        let sum = match self.head_weight() {
            Some(weight) => fused(hidden, weight, &targets),
            None => {
                let count = targets.len();
                let targets = indices(&targets, &device).reshape([count, 1]);
                let log_probabilities = activation::log_softmax(self.logits(hidden, pass), 1);
                -log_probabilities.gather(1, targets).sum()
            }
        };
        Ok(LossSum { sum, tokens: targets.len() })
    }

    /// `log p(label)` of every predicted token of a batch, row by row; labels of -100 are left out.
    ///
    /// The last column predicts nothing and is not computed, so that T may be one more than the longest context.
    ///
    /// # Shapes
    /// `ids`, `labels`: `[B, T]` row major, right-padded; one list per row.
    ///
    /// # Errors
    /// As [`hidden`](Self::hidden).
    pub fn log_probabilities(&self, ids: Tensor<2, Int>, labels: &[i32]) -> Result<Vec<Vec<f32>>> {
        let pass = Pass::inference();
        let [batch, time] = ids.dims();
        let device = ids.device();
        let (rows, targets) = predicted_rows(labels, time);
        let mut result = vec![Vec::new(); batch];
        if rows.is_empty() {
            return Ok(result);
        }
        let contexts = time - 1;
        let rows: Vec<i32> = rows.into_iter().map(|row| row - row / time as i32).collect();
        let hidden = self.hidden(ids.narrow(1, 0, contexts), &pass)?;
        let width = hidden.dims()[2];
        let hidden = hidden.reshape([batch * contexts, width]);
        let chunk = (CHUNK / self.config().vocab_size).max(1);
        for (rows, targets) in rows.chunks(chunk).zip(targets.chunks(chunk)) {
            let logits = self.logits(hidden.clone().select(0, indices(rows, &device)), &pass);
            let (values, _) = negative_log_likelihood(logits, targets);
            for (row, value) in rows.iter().zip(values.into_data().iter::<f32>()) {
                result[*row as usize / contexts].push(-value);
            }
        }
        Ok(result)
    }
}

/// The flat positions that predict something, and what they predict.
fn predicted_rows(labels: &[i32], time: usize) -> (Vec<i32>, Vec<i32>) {
    (0..labels.len())
        .filter(|i| (i + 1) % time != 0 && labels[i + 1] != IGNORED)
        .map(|i| (i as i32, labels[i + 1]))
        .unzip()
}

fn indices(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// `-log p(target)` per row and the probabilities, of logits `[N, V]`.
///
/// log-sum-exp is `max(logit) - log(max(p))`: the largest probability is at least 1/V, so nothing underflows, and the
/// one exponential is that of the softmax, which backends have a fast kernel for.
fn negative_log_likelihood(logits: Tensor<2>, targets: &[i32]) -> (Tensor<2>, Tensor<2>) {
    let device = logits.device();
    let target = indices(targets, &device).reshape([targets.len(), 1]);
    let at_target = logits.clone().gather(1, target);
    let largest = logits.clone().max_dim(1);
    let probabilities = activation::softmax(logits, 1);
    let log_sum_exp = largest - probabilities.clone().max_dim(1).log();
    (log_sum_exp - at_target, probabilities)
}

/// The loss over `hidden: [N, D]` with its gradient computed on the way.
///
/// The gradient reaches the graph through `sum(x * g)`, whose derivative by `x` is the constant `g`.
fn fused(hidden: Tensor<2>, weight: HeadWeight, targets: &[i32]) -> Tensor<1> {
    let device = hidden.device();
    let matrix = match &weight {
        HeadWeight::Projection(w) => w.clone(),
        HeadWeight::Embedding(w) => w.clone(),
    };
    let tracked_weight = matrix.is_tracked();
    let tracked = hidden.is_tracked() || tracked_weight;
    let plain = matrix.clone().without_autodiff();
    // [D, V] in either storage.
    let head = match weight {
        HeadWeight::Projection(_) => plain.clone(),
        HeadWeight::Embedding(_) => plain.clone().transpose(),
    };
    let inputs = hidden.clone().without_autodiff();
    let [_, width] = inputs.dims();
    let chunk = (CHUNK / head.dims()[1]).max(1);
    let mut total = 0.0f64;
    let mut input_gradients = Vec::new();
    let mut weight_gradient: Option<Tensor<2>> = None;
    for (i, targets) in targets.chunks(chunk).enumerate() {
        let count = targets.len();
        let x = inputs.clone().slice([i * chunk..i * chunk + count, 0..width]);
        let (losses, probabilities) =
            negative_log_likelihood(x.clone().matmul(head.clone()), targets);
        total += f64::from(losses.sum().into_scalar::<f32>());
        if !tracked {
            continue;
        }
        // d loss / d logits = p - one_hot(target)
        let target = indices(targets, &inputs.device()).reshape([count, 1]);
        let minus_one = Tensor::<2>::full([count, 1], -1.0, &inputs.device());
        let gradient = probabilities.scatter(1, target, minus_one, IndexingUpdateOp::Add);
        if tracked_weight {
            let part = match plain.dims()[0] == width && head.dims() == plain.dims() {
                true => x.transpose().matmul(gradient.clone()),
                false => gradient.clone().transpose().matmul(x),
            };
            weight_gradient = Some(match weight_gradient {
                Some(sum) => sum + part,
                None => part,
            });
        }
        if hidden.is_tracked() {
            input_gradients.push(gradient.matmul(head.clone().transpose()));
        }
    }
    let value = Tensor::<1>::from_data(TensorData::new(vec![total as f32], [1]), &device);
    let mut carriers = Vec::new();
    if !input_gradients.is_empty() {
        let gradient = Tensor::cat(input_gradients, 0);
        carriers.push((hidden * Tensor::from_inner(gradient)).sum());
    }
    if let Some(gradient) = weight_gradient {
        carriers.push((matrix * Tensor::from_inner(gradient)).sum());
    }
    carriers.into_iter().fold(value, |value, carrier| value + carrier.clone() - carrier.detach())
}
