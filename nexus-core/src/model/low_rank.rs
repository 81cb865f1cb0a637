//! The low-rank adapter that attaches to a projection or a token embedding.

use super::pass::Pass;
use super::precision::widened;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use nexus_kernels::{WeightLayout, linear, low_rank_linear};
use std::ops::Range;
use std::sync::Arc;

/// A low-rank update of a weight W: `W + s A B` (LoRA; Hu et al. 2021, arXiv:2106.09685, section 4.1), or with a
/// magnitude m for every output `m (W + s A B) / |W + s A B|`, the norm taken over the inputs (DoRA; Liu et al. 2024,
/// arXiv:2402.09353, equation 5). The norm is a constant in the gradient, as section 4.3 proposes.
#[derive(Module, Debug)]
pub struct LowRank {
    a: Param<Tensor<2>>,
    b: Param<Tensor<2>>,
    magnitude: Option<Param<Tensor<1>>>,
    #[module(skip)]
    settings: LowRankSettings,
    #[module(skip)]
    state: AdapterState,
    /// The inner columns of each of several adapters that share a batch.
    #[module(skip)]
    shares: Option<Arc<Vec<Range<usize>>>>,
    /// `m / |W + s A B|` while it is part of the base's weight.
    #[module(skip)]
    merged: Option<Arc<Vec<f32>>>,
}

/// What an attached adapter does in the forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdapterState {
    /// Its product is computed beside the base.
    #[default]
    Active,
    /// Its product is part of the base's weight already.
    Merged,
    /// It is kept, but has no effect.
    Disabled,
}

/// What a [`LowRank`] adapter knows besides its matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRankSettings {
    /// r: the inner width.
    pub rank: usize,
    /// alpha: the numerator of the scale.
    pub alpha: f64,
    /// s: `alpha / r`, or `alpha / sqrt(r)` with rsLoRA (arXiv:2312.03732).
    pub scale: f64,
    /// Probability with which an input element of the adapter is dropped while training.
    pub dropout: f64,
    /// Separates the dropout masks of the adapters of one model.
    pub salt: u64,
}

impl LowRank {
    /// An adapter from its matrices `a: [inputs, r]` and `b: [r, outputs]`.
    pub fn new(a: Tensor<2>, b: Tensor<2>, settings: LowRankSettings) -> Self {
        let [a, b] = [a, b].map(Param::from_tensor);
        let (state, shares, merged) = (AdapterState::Active, None, None);
        Self { a, b, magnitude: None, settings, state, shares, merged }
    }

    /// Makes it a DoRA adapter with this magnitude, `[outputs]`.
    pub fn with_magnitude(mut self, magnitude: Tensor<1>) -> Self {
        self.magnitude = Some(Param::from_tensor(magnitude));
        self
    }

    /// Makes it several adapters side by side, of which each row of a batch uses one: adapter `i` has the columns
    /// `shares[i]` of A and these rows of B.
    pub(crate) fn with_shares(mut self, shares: Vec<Range<usize>>) -> Self {
        self.shares = Some(Arc::new(shares));
        self
    }

    /// Number of adapters side by side, when there are several.
    pub(crate) fn share_count(&self) -> Option<usize> {
        self.shares.as_ref().map(|shares| shares.len())
    }

    /// A, `[inputs, r]`.
    pub fn a(&self) -> Tensor<2> {
        self.a.val()
    }

    /// B, `[r, outputs]`.
    pub fn b(&self) -> Tensor<2> {
        self.b.val()
    }

    /// m of DoRA, `[outputs]`.
    pub fn magnitude(&self) -> Option<Tensor<1>> {
        self.magnitude.as_ref().map(Param::val)
    }

    /// Rank, scale and dropout.
    pub fn settings(&self) -> &LowRankSettings {
        &self.settings
    }

    /// What it does in the forward pass.
    pub fn state(&self) -> AdapterState {
        self.state
    }

    /// `[inputs, outputs]` of the weights that it fits.
    pub fn dims(&self) -> [usize; 2] {
        [self.a.dims()[0], self.b.dims()[1]]
    }

    /// `s A B`, `[inputs, outputs]`, outside any gradient.
    pub fn product(&self) -> Tensor<2> {
        self.a.val().detach().matmul(self.b.val().detach()) * self.settings.scale
    }

    /// The adapted projection of rows `x: [N, inputs]`, `[N, outputs]`.
    pub(crate) fn project(
        &self,
        x: Tensor<2>,
        weight: Tensor<2>,
        bias: Option<Tensor<1>>,
        pass: &Pass,
    ) -> Tensor<2> {
        let (a, b, scale) = (self.a(), self.b(), self.settings.scale);
        if let Some(shares) = &self.shares {
            let base = linear(x.clone(), weight, WeightLayout::InOut, bias, pass.precision());
            return match pass.shares_mask(shares, [x.dims()[0], self.settings.rank]) {
                None => base,
                Some(mask) => {
                    let shape = [x.dims()[0], self.settings.rank];
                    let mask = Tensor::from_data(TensorData::new(mask, shape), &x.device());
                    base + (x.matmul(a) * mask).matmul(b) * scale
                }
            };
        }
        let dropped = self.dropped(&x, pass);
        let Some(magnitude) = self.magnitude() else {
            return low_rank_linear(x, weight, bias, a, b, scale, dropped, pass.precision());
        };
        let factor = magnitude / self.norms(weight.clone());
        let adapted =
            |x| low_rank_linear(x, weight.clone(), None, a, b, scale, None, pass.precision());
        match dropped {
            None => {
                let y = adapted(x) * factor.unsqueeze();
                match bias {
                    Some(bias) => y + bias.unsqueeze(),
                    None => y,
                }
            }
            // x W + bias + (factor - 1) x' W + factor s x' A B, with x' the dropout of x.
            Some(dropped) => {
                let kept = linear(
                    x - dropped.clone(),
                    weight.clone(),
                    WeightLayout::InOut,
                    bias,
                    pass.precision(),
                );
                kept + adapted(dropped) * factor.unsqueeze()
            }
        }
    }

    /// What the adapter adds to looked-up rows: `s A[ids] B`, for `rows = A[ids]: [N, r]`.
    pub(crate) fn looked_up(&self, rows: Tensor<2>) -> Tensor<2> {
        rows.matmul(self.b()) * self.settings.scale
    }

    /// Brings the adapter into `state` and gives the weight that belongs to it: the product is folded into it or out of
    /// it. Adapters that share a batch have no merged state and stay as they are.
    pub(crate) fn fold(
        &mut self,
        weight: Param<Tensor<2>>,
        state: AdapterState,
    ) -> Param<Tensor<2>> {
        if self.shares.is_some() {
            return weight;
        }
        let was = std::mem::replace(&mut self.state, state);
        match (was == AdapterState::Merged, state == AdapterState::Merged) {
            (false, true) => self.map_weight(weight, Self::merge),
            (true, false) => self.map_weight(weight, Self::unmerge),
            _ => weight,
        }
    }

    fn map_weight(
        &mut self,
        weight: Param<Tensor<2>>,
        change: impl FnOnce(&mut Self, Tensor<2>) -> Tensor<2>,
    ) -> Param<Tensor<2>> {
        let trainable = weight.val().is_require_grad();
        weight.map(|weight| change(self, weight.detach()).set_require_grad(trainable))
    }

    fn merge(&mut self, weight: Tensor<2>) -> Tensor<2> {
        // A sum in bf16 would lose most of the product.
        let weight = widened(weight);
        let Some(magnitude) = self.magnitude() else { return weight + self.product() };
        let factor = magnitude.detach() / self.norms(weight.clone());
        self.merged = Some(Arc::new(factor.to_data().iter::<f32>().collect()));
        (weight + self.product()) * factor.unsqueeze()
    }

    fn unmerge(&mut self, weight: Tensor<2>) -> Tensor<2> {
        let weight = match self.merged.take() {
            None => weight,
            Some(factor) => {
                let factor = TensorData::new(factor.to_vec(), [1, factor.len()]);
                let device = weight.device();
                weight / Tensor::from_data(factor, &device)
            }
        };
        weight - self.product()
    }

    /// `|W + s A B|` of every output, `[outputs]`, outside any gradient and without the product itself:
    /// `|W|^2 + 2 s sum_k (A^T W)_k B_k + s^2 sum_k (A^T A B)_k B_k`.
    fn norms(&self, weight: Tensor<2>) -> Tensor<1> {
        let [weight, a, b] = [widened(weight), self.a(), self.b()].map(Tensor::detach);
        let scale = self.settings.scale;
        let across = a.clone().transpose();
        let inner = across.clone().matmul(weight.clone()) * (2.0 * scale)
            + across.matmul(a).matmul(b.clone()) * (scale * scale);
        let squares = weight.clone() * weight;
        (squares.sum_dim(0) + (inner * b).sum_dim(0)).clamp_min(0.0).sqrt().squeeze_dim::<1>(0)
    }

    /// The adapter's own input where dropout changes it.
    fn dropped(&self, x: &Tensor<2>, pass: &Pass) -> Option<Tensor<2>> {
        let LowRankSettings { dropout, salt, .. } = self.settings;
        let mask = pass.dropout_mask(dropout, salt, x.dims())?;
        let mask = Tensor::from_data(TensorData::new(mask, x.dims()), &x.device());
        Some(x.clone() * mask)
    }
}

/// What an adapter can attach to: a weight, and the place of its adapter.
pub trait Adaptable {
    /// The weight, `[inputs, outputs]`, and the adapter when one is attached.
    fn parts(&self) -> (&Param<Tensor<2>>, Option<&LowRank>);

    /// The same, to be changed.
    fn parts_mut(&mut self) -> (&mut Param<Tensor<2>>, &mut Option<LowRank>);

    /// `[inputs, outputs]` of the weight.
    fn dims(&self) -> [usize; 2] {
        self.parts().0.dims()
    }

    /// The weight, `[inputs, outputs]`.
    fn weight(&self) -> Tensor<2> {
        self.parts().0.val()
    }

    /// The adapter, when one is attached.
    fn adapter(&self) -> Option<&LowRank> {
        self.parts().1
    }

    /// Attaches an adapter in place of any earlier one.
    fn attach(&mut self, adapter: LowRank) {
        *self.parts_mut().1 = Some(adapter);
    }

    /// Takes the adapter off; a merged product stays in the weight.
    fn detach(&mut self) -> Option<LowRank> {
        self.parts_mut().1.take()
    }

    /// Brings the adapter, if there is one, into `state`, folding its product into the weight or out of it.
    fn set_adapter_state(&mut self, state: AdapterState) {
        if let (weight, Some(adapter)) = self.parts_mut() {
            *weight = adapter.fold(weight.clone(), state);
        }
    }
}
