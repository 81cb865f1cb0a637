//! The one linear layer.

use super::low_rank::{Adaptable, AdapterState, LowRank};
use super::pass::Pass;
use super::source::{Init, ParameterSource};
use crate::Result;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use nexus_kernels::{WeightLayout, linear};

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
            Some(adapter) if adapter.state() == AdapterState::Active => {
                adapter.project(x, self.weight.val(), bias, pass)
            }
            _ => linear(x, self.weight.val(), WeightLayout::InOut, bias, pass.precision()),
        }
    }

    /// Whether a bias is added.
    pub fn has_bias(&self) -> bool {
        self.bias.is_some()
    }
}

impl Adaptable for Projection {
    fn parts(&self) -> (&Param<Tensor<2>>, Option<&LowRank>) {
        (&self.weight, self.adapter.as_ref())
    }

    fn parts_mut(&mut self) -> (&mut Param<Tensor<2>>, &mut Option<LowRank>) {
        (&mut self.weight, &mut self.adapter)
    }
}
