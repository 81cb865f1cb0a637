//! The language-model loss, without ever holding the logits of a whole batch.

use super::decoder::Decoder;
use super::pass::Pass;
use crate::Result;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use nexus_kernels::{linear_cross_entropy, token_log_probabilities};

/// Labels with this value are not predicted.
const IGNORED: i32 = -100;

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
        if rows.is_empty() {
            // Still a function of the parameters, so that a backward pass finds zero gradients.
            let hidden = self.hidden(ids, pass)?;
            return Ok(LossSum { sum: hidden.sum() * 0.0, tokens: 0 });
        }
        let hidden = self.hidden_of(ids, &used(&rows, [batch, time]), &rows, pass)?;
        let sum = match self.head_weight() {
            Some((weight, layout)) => {
                linear_cross_entropy(hidden, weight, layout, &targets, pass.precision())
            }
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
        let used = used(&rows, [batch, contexts]);
        let selected = self.hidden_of(ids.narrow(1, 0, contexts), &used, &rows, &pass)?;
        let values = match self.head_weight() {
            Some((weight, layout)) => {
                token_log_probabilities(selected, weight, layout, &targets, pass.precision())
            }
            None => {
                let count = targets.len();
                let targets = indices(&targets, &device).reshape([count, 1]);
                let all = activation::log_softmax(self.logits(selected, &pass), 1);
                all.gather(1, targets).into_data().iter::<f32>().collect()
            }
        };
        for (row, value) in rows.iter().zip(values) {
            result[*row as usize / contexts].push(value);
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

/// How many positions of each row are needed for `rows` of `[B*T]`, in ascending order: up to the last of them, as no
/// position sees a later one.
fn used(rows: &[i32], [batch, time]: [usize; 2]) -> Vec<usize> {
    let mut used = vec![0; batch];
    for &row in rows {
        used[row as usize / time] = row as usize % time + 1;
    }
    used
}

fn indices(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}
