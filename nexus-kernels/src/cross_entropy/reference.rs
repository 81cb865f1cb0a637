//! The operations from plain ops, chunk by chunk as well.

use crate::Precision;
use crate::linear::WeightLayout;
use crate::precision::widened;
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData, activation};

/// Logits held at a time: 2^23 f32 are 32 MiB.
const CHUNK: usize = 1 << 23;

/// [`linear_cross_entropy`](crate::linear_cross_entropy) from plain ops. The gradient, computed with the loss, reaches
/// the graph through `sum(x * g)`, whose derivative by `x` is the constant `g`.
pub fn linear_cross_entropy(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    layout: WeightLayout,
    targets: &[i32],
    precision: Precision,
) -> Tensor<1> {
    let precision = precision.with(&weight);
    let [hidden_tracked, weight_tracked] = [&hidden, &weight].map(Tensor::is_tracked);
    let weight = widened(weight);
    let [x, plain] = [&hidden, &weight].map(|tensor| tensor.clone().without_autodiff());
    let device = x.device();
    let [width, vocabulary] = layout.dims(weight.dims());
    let head = precision.round(in_out(plain, layout));
    let chunk = (CHUNK / vocabulary).max(1);
    let mut total = Tensor::<1>::zeros([1], (&device, x.dtype()));
    let mut hidden_gradients = Vec::new();
    let mut weight_gradient: Option<Tensor<2>> = None;
    for (i, targets) in targets.chunks(chunk).enumerate() {
        let count = targets.len();
        let x = precision.round(x.clone().slice([i * chunk..i * chunk + count, 0..width]));
        let (log_probabilities, probabilities) =
            log_likelihood(x.clone().matmul(head.clone()), targets);
        total = total - log_probabilities.sum();
        // d loss / d logits = p - one_hot(target)
        let minus_one = Tensor::<2>::full([count, 1], -1.0, (&device, x.dtype()));
        let gradient =
            probabilities.scatter(1, column(targets, &device), minus_one, IndexingUpdateOp::Add);
        let gradient = precision.round(gradient);
        if weight_tracked {
            let part = match layout {
                WeightLayout::InOut => x.transpose().matmul(gradient.clone()),
                WeightLayout::OutIn => gradient.clone().transpose().matmul(x),
            };
            weight_gradient = Some(match weight_gradient {
                Some(sum) => sum + part,
                None => part,
            });
        }
        if hidden_tracked {
            hidden_gradients.push(gradient.matmul(head.clone().transpose()));
        }
    }
    let mut loss = match hidden_tracked || weight_tracked {
        true => Tensor::from_inner(total),
        false => total,
    };
    let hidden_gradient = (!hidden_gradients.is_empty()).then(|| Tensor::cat(hidden_gradients, 0));
    for (tensor, gradient) in [(hidden, hidden_gradient), (weight, weight_gradient)] {
        if let Some(gradient) = gradient {
            let carrier = (tensor * Tensor::from_inner(gradient)).sum();
            loss = loss + carrier.clone() - carrier.detach();
        }
    }
    loss
}

/// [`token_log_probabilities`](crate::token_log_probabilities) from plain ops.
pub fn token_log_probabilities(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    layout: WeightLayout,
    targets: &[i32],
    precision: Precision,
) -> Vec<f32> {
    let precision = precision.with(&weight);
    let weight = widened(weight);
    let [x, plain] = [hidden, weight].map(Tensor::without_autodiff);
    let [width, vocabulary] = layout.dims(plain.dims());
    let head = precision.round(in_out(plain, layout));
    let chunk = (CHUNK / vocabulary).max(1);
    let mut result = Vec::with_capacity(targets.len());
    for (i, targets) in targets.chunks(chunk).enumerate() {
        let rows = i * chunk..i * chunk + targets.len();
        let x = precision.round(x.clone().slice([rows, 0..width]));
        let (values, _) = log_likelihood(x.matmul(head.clone()), targets);
        result.extend(values.into_data().iter::<f32>());
    }
    result
}

fn in_out(weight: Tensor<2>, layout: WeightLayout) -> Tensor<2> {
    match layout {
        WeightLayout::InOut => weight,
        WeightLayout::OutIn => weight.transpose(),
    }
}

/// `log p(target)` per row `[N, 1]` and the probabilities, of logits `[N, V]`.
///
/// log-sum-exp is `max(logit) - log(max(p))`: the largest probability is at least 1/V, so nothing underflows, and the
/// one exponential is that of the softmax, which backends have a fast kernel for.
fn log_likelihood(logits: Tensor<2>, targets: &[i32]) -> (Tensor<2>, Tensor<2>) {
    let at_target = logits.clone().gather(1, column(targets, &logits.device()));
    let largest = logits.clone().max_dim(1);
    let probabilities = activation::softmax(logits, 1);
    let log_sum_exp = largest - probabilities.clone().max_dim(1).log();
    (at_target - log_sum_exp, probabilities)
}

fn column(values: &[i32], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len(), 1]), device)
}
