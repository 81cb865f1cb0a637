//! The one linear layer, and the low-rank adapter that attaches to it.

use super::pass::Pass;
use super::source::{Init, ParameterSource};
use crate::Result;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use nexus_kernels::{WeightLayout, linear, low_rank_linear};

/// Every weight matrix of every family: `y = x W + bias + s (dropout(x) A) B`.
///
/// The adapter is factored: its product is never materialised and the backward pass computes no gradient of a frozen
/// `W`, which is what makes LoRA cheaper than full fine-tuning (4N instead of 6N FLOPs per token).
#[derive(Module, Debug)]
pub struct Projection {
    weight: Param<Tensor<2>>,
    bias: Option<Param<Tensor<1>>>,
    adapter: Option<LowRank>,
}

/// A low-rank update `s A B` of a projection (LoRA; Hu et al. 2021, arXiv:2106.09685, section 4.1).
#[derive(Module, Debug)]
pub struct LowRank {
    a: Param<Tensor<2>>,
    b: Param<Tensor<2>>,
    #[module(skip)]
    settings: LowRankSettings,
    #[module(skip)]
    state: AdapterState,
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

/// What a [`LowRank`] adapter knows besides its two matrices.
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

impl Projection {
    /// Builds the projection `path` with a weight of `[inputs, outputs]`.
    ///
    /// # Errors
    /// As [`ParameterSource::values`].
    pub fn build(
        source: &mut impl ParameterSource,
        path: &str,
        [inputs, outputs]: [usize; 2],
        bias: bool,
        init: Init,
    ) -> Result<Self> {
        let weight = source.parameter(&format!("{path}.weight"), [inputs, outputs], init)?;
        let bias = bias
            .then(|| source.parameter(&format!("{path}.bias"), [outputs], Init::Zeros))
            .transpose()?;
        Ok(Self { weight, bias, adapter: None })
    }

    /// Applies the projection.
    ///
    /// # Shapes
    /// `x`: `[B, T, inputs]`; result `[B, T, outputs]`.
    pub fn forward(&self, x: Tensor<3>, pass: &Pass) -> Tensor<3> {
        let [batch, time, inputs] = x.dims();
        let outputs = self.weight.dims()[1];
        // Rows are folded so that both products are plain 2-D matrix products.
        let rows = x.reshape([batch * time, inputs]);
        self.rows(rows, pass).reshape([batch, time, outputs])
    }

    /// Applies the projection to rows: `[N, inputs]` to `[N, outputs]`.
    pub fn rows(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let bias = self.bias.as_ref().map(Param::val);
        match &self.adapter {
            Some(adapter) if adapter.state == AdapterState::Active => {
                let dropped = adapter.dropped(&x, pass);
                let (a, b, scale) = (adapter.a(), adapter.b(), adapter.settings.scale);
                low_rank_linear(x, self.weight.val(), bias, a, b, scale, dropped)
            }
            _ => linear(x, self.weight.val(), WeightLayout::InOut, bias),
        }
    }

    /// The weight, `[inputs, outputs]`.
    pub fn weight(&self) -> Tensor<2> {
        self.weight.val()
    }

    /// `[inputs, outputs]`.
    pub fn dims(&self) -> [usize; 2] {
        self.weight.dims()
    }

    /// Whether a bias is added.
    pub fn has_bias(&self) -> bool {
        self.bias.is_some()
    }

    /// The adapter, when one is attached.
    pub fn adapter(&self) -> Option<&LowRank> {
        self.adapter.as_ref()
    }

    /// Attaches an adapter in place of any earlier one.
    pub fn attach(&mut self, adapter: LowRank) {
        self.adapter = Some(adapter);
    }

    /// Takes the adapter off; a merged product stays in the weight.
    pub fn detach(&mut self) -> Option<LowRank> {
        self.adapter.take()
    }

    /// Brings the adapter, if there is one, into `state`, folding its product into the weight or out of it.
    pub fn set_adapter_state(&mut self, state: AdapterState) {
        let Some(adapter) = &mut self.adapter else { return };
        let merged = |state| i32::from(state == AdapterState::Merged);
        let sign = merged(state) - merged(adapter.state);
        adapter.state = state;
        if sign != 0 {
            let delta = adapter.product() * f64::from(sign);
            let trainable = self.weight.val().is_require_grad();
            self.weight = self
                .weight
                .clone()
                .map(|weight| (weight.detach() + delta).set_require_grad(trainable));
        }
    }
}

impl LowRank {
    /// An adapter from its matrices `a: [inputs, r]` and `b: [r, outputs]`.
    pub fn new(a: Param<Tensor<2>>, b: Param<Tensor<2>>, settings: LowRankSettings) -> Self {
        Self { a, b, settings, state: AdapterState::Active }
    }

    /// A, `[inputs, r]`.
    pub fn a(&self) -> Tensor<2> {
        self.a.val()
    }

    /// B, `[r, outputs]`.
    pub fn b(&self) -> Tensor<2> {
        self.b.val()
    }

    /// Rank, scale and dropout.
    pub fn settings(&self) -> &LowRankSettings {
        &self.settings
    }

    /// `s A B`, `[inputs, outputs]`, outside any gradient.
    pub fn product(&self) -> Tensor<2> {
        self.a.val().detach().matmul(self.b.val().detach()) * self.settings.scale
    }

    /// The adapter's own input where dropout changes it.
    fn dropped(&self, x: &Tensor<2>, pass: &Pass) -> Option<Tensor<2>> {
        let LowRankSettings { dropout, salt, .. } = self.settings;
        let mask = pass.dropout_mask(dropout, salt, x.dims())?;
        let mask = Tensor::from_data(TensorData::new(mask, x.dims()), &x.device());
        Some(x.clone() * mask)
    }
}
