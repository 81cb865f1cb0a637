//! The feed-forward half of a block.

use super::config::{Activation, DecoderConfig, MlpKind};
use super::pass::Pass;
use super::projection::Projection;
use super::source::{Init, ParameterSource};
use crate::Result;
use burn::module::Module;
use burn::tensor::{Tensor, activation};

/// `down(act(up(x)))`, or gated: `down(act(gate(x)) * up(x))`.
#[derive(Module, Debug)]
pub(crate) struct Mlp {
    pub(crate) gate: Option<Projection>,
    pub(crate) up: Projection,
    pub(crate) down: Projection,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    /// Builds the MLP `path`.
    ///
    /// # Errors
    /// As [`ParameterSource::values`].
    pub(crate) fn build(
        source: &mut impl ParameterSource,
        path: &str,
        config: &DecoderConfig,
    ) -> Result<Self> {
        let (d, f) = (config.hidden_size, config.feed_forward);
        let init = Init::Normal(config.initializer_range);
        // As GPT-2 (section 2.3): projections onto the residual stream start smaller in deep models.
        let onto = Init::Normal(config.initializer_range / (2.0 * config.layers as f64).sqrt());
        let bias = config.mlp_bias;
        let gate = match config.mlp {
            MlpKind::Gated => {
                Some(Projection::build(source, &format!("{path}.gate"), [d, f], bias, init)?)
            }
            MlpKind::Plain => None,
        };
        let up = Projection::build(source, &format!("{path}.up"), [d, f], bias, init)?;
        let down = Projection::build(source, &format!("{path}.down"), [f, d], bias, onto)?;
        Ok(Self { gate, up, down, activation: config.activation })
    }

    /// `[B, T, D]` to `[B, T, D]`.
    pub(crate) fn forward(&self, x: Tensor<3>, pass: &Pass) -> Tensor<3> {
        let inner = match &self.gate {
            Some(gate) => {
                let gate = gate.forward(x.clone(), pass);
                let up = self.up.forward(x, pass);
                match self.activation {
                    Activation::Silu => nexus_kernels::swiglu(gate, up),
                    _ => self.activate(gate) * up,
                }
            }
            None => self.activate(self.up.forward(x, pass)),
        };
        self.down.forward(inner, pass)
    }

    fn activate(&self, x: Tensor<3>) -> Tensor<3> {
        match self.activation {
            Activation::Silu => activation::silu(x),
            Activation::Gelu => nexus_kernels::gelu_erf(x),
            Activation::GeluTanh => nexus_kernels::gelu_tanh(x),
            Activation::Relu => activation::relu(x),
        }
    }
}
