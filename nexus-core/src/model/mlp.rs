//! The feed-forward half of a block.

use super::config::{Activation, MlpKind};
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

/// What an MLP is built from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MlpShape {
    /// D.
    pub(crate) width: usize,
    /// F.
    pub(crate) inner: usize,
    /// Plain or gated.
    pub(crate) kind: MlpKind,
    /// The non-linearity.
    pub(crate) activation: Activation,
    /// Whether the projections have a bias.
    pub(crate) bias: bool,
    /// Start of the inner weights.
    pub(crate) up_init: Init,
    /// Start of the weight onto the residual stream.
    pub(crate) down_init: Init,
}

impl Mlp {
    /// Builds the MLP `path`.
    ///
    /// # Errors
    /// As [`ParameterSource::values`].
    pub(crate) fn build(
        source: &mut impl ParameterSource,
        path: &str,
        shape: &MlpShape,
    ) -> Result<Self> {
        let MlpShape { width: d, inner: f, bias, up_init, down_init, .. } = *shape;
        let gate = match shape.kind {
            MlpKind::Gated => {
                Some(Projection::build(source, &format!("{path}.gate"), [d, f], bias, up_init)?)
            }
            MlpKind::Plain => None,
        };
        let up = Projection::build(source, &format!("{path}.up"), [d, f], bias, up_init)?;
        let down = Projection::build(source, &format!("{path}.down"), [f, d], bias, down_init)?;
        Ok(Self { gate, up, down, activation: shape.activation })
    }

    /// Every projection with its name, in the order of the forward pass.
    pub(crate) fn projections_mut(&mut self) -> Vec<(&'static str, &mut Projection)> {
        let gate = self.gate.as_mut().map(|gate| ("gate", gate));
        gate.into_iter().chain([("up", &mut self.up), ("down", &mut self.down)]).collect()
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
        activate(self.activation, x)
    }
}

/// The non-linearity of every element.
pub(super) fn activate(kind: Activation, x: Tensor<3>) -> Tensor<3> {
    match kind {
        Activation::Silu => activation::silu(x),
        Activation::Gelu => nexus_kernels::gelu_erf(x),
        Activation::GeluTanh => nexus_kernels::gelu_tanh(x),
        Activation::Relu => activation::relu(x),
    }
}
