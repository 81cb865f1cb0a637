//! Normalisation of the residual stream.

use super::config::NormKind;
use super::source::{Init, ParameterSource};
use crate::Result;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// LayerNorm or RMSNorm over the last dimension.
#[derive(Module, Debug)]
pub(crate) struct Norm {
    weight: Param<Tensor<1>>,
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    eps: f64,
}

impl Norm {
    /// Builds the norm `path` of width `size`; a LayerNorm has a bias, an RMSNorm none.
    ///
    /// # Errors
    /// As [`ParameterSource::values`].
    pub(crate) fn build(
        source: &mut impl ParameterSource,
        path: &str,
        size: usize,
        kind: NormKind,
        eps: f64,
    ) -> Result<Self> {
        let weight = source.parameter(&format!("{path}.weight"), [size], Init::Ones)?;
        let bias = match kind {
            NormKind::LayerNorm => {
                Some(source.parameter(&format!("{path}.bias"), [size], Init::Zeros)?)
            }
            NormKind::RmsNorm => None,
        };
        Ok(Self { weight, bias, eps })
    }

    /// Normalises `x: [B, T, D]`.
    pub(crate) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        match &self.bias {
            Some(bias) => nexus_kernels::layer_norm(x, self.weight.val(), bias.val(), self.eps),
            None => nexus_kernels::rms_norm(x, self.weight.val(), self.eps),
        }
    }
}
