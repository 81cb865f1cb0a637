//! AdamW with PyTorch's semantics.

use burn::tensor::Tensor;
use nexus_kernels::{AdamWStep, adamw_step};
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
        let moments = self
            .moments
            .remove(name)
            .unwrap_or_else(|| Moments { first: value.zeros_like(), second: value.zeros_like() });
        let t = self.steps as i32;
        let step = AdamWStep {
            lr: scale.rate,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.epsilon,
            weight_decay: if decays { self.weight_decay } else { 0.0 },
            bias_correction1: 1.0 - self.beta1.powi(t),
            bias_correction2_sqrt: (1.0 - self.beta2.powi(t)).sqrt(),
            grad_scale: scale.clip,
        };
        let (value, first, second) =
            adamw_step(value, gradient, moments.first, moments.second, step);
        self.moments.insert(name.to_string(), Moments { first, second });
        value
    }
}
