//! AdamW with PyTorch's semantics.

use burn::tensor::Tensor;
use std::collections::BTreeMap;

/// AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), computed as `torch.optim.AdamW` does:
///
/// ```text
/// p <- p (1 - lr * decay)
/// m <- beta1 m + (1 - beta1) g;   v <- beta2 v + (1 - beta2) g^2
/// p <- p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
/// ```
///
/// Decay is for matrices and embeddings; parameters of one dimension (norms, biases) have none.
#[derive(Debug)]
pub(crate) struct AdamW {
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) epsilon: f64,
    pub(crate) weight_decay: f64,
    /// Moments by parameter name.
    pub(crate) moments: BTreeMap<String, Moments>,
    /// t: steps done.
    pub(crate) steps: usize,
}

/// First and second moment of one parameter, `[1, n]` for a vector.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) first: Tensor<2>,
    pub(crate) second: Tensor<2>,
}

/// What one step applies to every parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepScale {
    /// The learning rate.
    pub(crate) rate: f64,
    /// The factor of the gradient that clipping asks for.
    pub(crate) clip: f64,
}

impl AdamW {
    /// Begins a step; every parameter is then [`update`](Self::update)d once.
    pub(crate) fn begin_step(&mut self) {
        self.steps += 1;
    }

    /// The parameter's value after this step. `value` and `gradient` are outside any graph, `[1, n]` or `[n, m]`;
    /// `decays` says whether weight decay applies.
    pub(crate) fn update(
        &mut self,
        name: &str,
        value: Tensor<2>,
        gradient: Tensor<2>,
        decays: bool,
        scale: StepScale,
    ) -> Tensor<2> {
        let gradient = match scale.clip {
            1.0 => gradient,
            clip => gradient * clip,
        };
        let moments = match self.moments.remove(name) {
            Some(Moments { first, second }) => Moments {
                first: first * self.beta1 + gradient.clone() * (1.0 - self.beta1),
                second: second * self.beta2 + gradient.square() * (1.0 - self.beta2),
            },
            None => Moments {
                first: gradient.clone() * (1.0 - self.beta1),
                second: gradient.square() * (1.0 - self.beta2),
            },
        };
        let t = self.steps as i32;
        let correction1 = 1.0 - self.beta1.powi(t);
        let correction2 = (1.0 - self.beta2.powi(t)).sqrt();
        let denominator = moments.second.clone().sqrt() / correction2 + self.epsilon;
        let change = moments.first.clone() / denominator * (scale.rate / correction1);
        self.moments.insert(name.to_string(), moments);
        let decay = if decays { self.weight_decay } else { 0.0 };
        let value = if decay > 0.0 { value * (1.0 - scale.rate * decay) } else { value };
        value - change
    }
}
