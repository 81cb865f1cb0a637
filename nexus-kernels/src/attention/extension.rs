//! The fast path as an operation of the flex backend, with its place in the autodiff graph.

#![expect(clippy::too_many_arguments, reason = "inputs, and what they see")]

use super::backward::{self, Saved};
use super::config::{Lengths, Ranges};
use super::forward::{Arguments, forward};
use super::tile::{Heads, Turn};
use super::{AttentionConfig, AttentionContext};
use crate::flex::{Optional, absent};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, ExtensionType, Flex, backend_extension};
use burn::tensor::{DType, Device, Tensor};
use burn_flex::FlexTensor;
use std::sync::Arc;

/// Attention as a backend operation; the arguments are those of [`attention`](super::attention), already checked.
#[backend_extension(Flex, Autodiff)]
pub(super) trait AttentionOps: Backend {
    /// See [`attention`](super::attention).
    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        #[extension_type] rotary: Rotary<Self>,
        keys: Option<Ranges>,
        packed: Option<Lengths>,
        config: AttentionConfig,
    ) -> FloatTensor<Self>;

    /// See [`attention_fused`](super::attention_fused).
    fn attention_fused(
        inputs: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        #[extension_type] rotary: Rotary<Self>,
        keys: Option<Ranges>,
        packed: Option<Lengths>,
        config: AttentionConfig,
    ) -> FloatTensor<Self>;
}

/// Rotary positions to be applied inside, or none.
#[derive(ExtensionType)]
pub(super) enum Rotary<B: Backend> {
    /// Queries and keys are used as they are.
    Absent,
    /// Cosine and sine `[T, head_dim/2]`.
    Table(FloatTensor<B>, FloatTensor<B>),
}

/// Whether the fast path can compute with these.
pub(super) fn applies<'a>(
    inputs: impl IntoIterator<Item = &'a Tensor<3>>,
    context: &'a AttentionContext,
) -> bool {
    // Comparing devices ignores autodiff.
    inputs
        .into_iter()
        .chain(&context.bias)
        .all(|x| x.dtype() == DType::F32 && x.device() == Device::flex())
        && (context.rotary.as_ref())
            .is_none_or(|(cos, sin)| cos.dtype() == DType::F32 && sin.dtype() == DType::F32)
}

/// [`attention`](super::attention) by the fast path.
pub(super) fn separate(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    context: &AttentionContext,
    config: AttentionConfig,
) -> Tensor<3> {
    let [query, key, value] = [query, key, value].map(Tensor::into_dispatch);
    let (bias, rotary, keys, packed) = dispatch(context);
    Tensor::from_dispatch(<Dispatch as AttentionOps>::attention(
        query, key, value, bias, rotary, keys, packed, config,
    ))
}

/// [`attention_fused`](super::attention_fused) by the fast path.
pub(super) fn fused(
    inputs: Tensor<3>,
    context: &AttentionContext,
    config: AttentionConfig,
) -> Tensor<3> {
    let (bias, rotary, keys, packed) = dispatch(context);
    Tensor::from_dispatch(<Dispatch as AttentionOps>::attention_fused(
        inputs.into_dispatch(),
        bias,
        rotary,
        keys,
        packed,
        config,
    ))
}

type DispatchedContext = (Optional<Dispatch>, Rotary<Dispatch>, Option<Ranges>, Option<Lengths>);

fn dispatch(context: &AttentionContext) -> DispatchedContext {
    let AttentionContext { rotary, keys, bias, packed } = context.clone();
    let rotary = match rotary {
        Some((cos, sin)) => Rotary::Table(cos.into_dispatch(), sin.into_dispatch()),
        None => Rotary::Absent,
    };
    (Optional::of(bias), rotary, keys, packed)
}

impl AttentionOps for Flex {
    fn attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        bias: Optional<Self>,
        rotary: Rotary<Self>,
        keys: Option<Ranges>,
        packed: Option<Lengths>,
        config: AttentionConfig,
    ) -> FlexTensor {
        let inputs = [query, key, value].map(Heads::new);
        let (turn, bias) = (turn(rotary, |x| x), bias.into_option().map(Heads::new));
        forward(&Arguments { inputs, turn, bias, keys, packed, config }).0
    }

    fn attention_fused(
        inputs: FlexTensor,
        bias: Optional<Self>,
        rotary: Rotary<Self>,
        keys: Option<Ranges>,
        packed: Option<Lengths>,
        config: AttentionConfig,
    ) -> FlexTensor {
        let inputs = parts(&inputs, &config);
        let (turn, bias) = (turn(rotary, |x| x), bias.into_option().map(Heads::new));
        forward(&Arguments { inputs, turn, bias, keys, packed, config }).0
    }
}

impl<C: CheckpointStrategy> AttentionOps for Autodiff<Flex, C> {
    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: Optional<Self>,
        rotary: Rotary<Self>,
        keys: Option<Ranges>,
        packed: Option<Lengths>,
        config: AttentionConfig,
    ) -> FloatTensor<Self> {
        let bias = bias.into_option();
        let bias_node = bias.clone().unwrap_or_else(|| absent(&query)).node();
        let parents = [query.node(), key.node(), value.node(), bias_node];
        let arguments = Arguments {
            inputs: [query, key, value].map(|x| Heads::new(x.into_primitive())),
            turn: turn(rotary, |x| x.into_primitive()),
            bias: bias.map(|x| Heads::new(x.into_primitive())),
            keys,
            packed,
            config,
        };
        step::<C, _, 4>(Separate, parents, arguments)
    }

    fn attention_fused(
        inputs: FloatTensor<Self>,
        bias: Optional<Self>,
        rotary: Rotary<Self>,
        keys: Option<Ranges>,
        packed: Option<Lengths>,
        config: AttentionConfig,
    ) -> FloatTensor<Self> {
        let bias = bias.into_option();
        let bias_node = bias.clone().unwrap_or_else(|| absent(&inputs)).node();
        let parents = [inputs.node(), bias_node];
        let arguments = Arguments {
            inputs: parts(&inputs.into_primitive(), &config),
            turn: turn(rotary, |x| x.into_primitive()),
            bias: bias.map(|x| Heads::new(x.into_primitive())),
            keys,
            packed,
            config,
        };
        step::<C, _, 2>(Fused, parents, arguments)
    }
}

/// The forward pass, and `backward` in the graph when a parent is tracked.
fn step<C: CheckpointStrategy, S: Backward<Flex, N, State = Saved>, const N: usize>(
    backward: S,
    parents: [NodeGuard; N],
    arguments: Arguments,
) -> FloatTensor<Autodiff<Flex, C>> {
    let (out, lse) = forward(&arguments);
    match backward.prepare::<C>(parents).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let saved = Saved { arguments, out: Heads::new(out.clone()), lse: Arc::new(lse) };
            prepared.finish(saved, out)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(out),
    }
}

fn turn<B: Backend>(
    rotary: Rotary<B>,
    primitive: impl Fn(FloatTensor<B>) -> FlexTensor,
) -> Option<Turn> {
    match rotary {
        Rotary::Table(cos, sin) => Some(Turn::new(primitive(cos), primitive(sin))),
        Rotary::Absent => None,
    }
}

/// Query, key and value as views of one tensor.
fn parts(inputs: &FlexTensor, config: &AttentionConfig) -> [Heads; 3] {
    config.parts().map(|(from, width)| Heads::new(inputs.narrow(2, from, width)))
}

/// The backward step with parents query, key, value and bias.
#[derive(Debug)]
struct Separate;

impl Backward<Flex, 4> for Separate {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = Heads::new(grads.consume::<Flex>(&ops.node));
        let (inputs, bias) = backward::separate(&ops.state, &grad, ops.parents[3].is_some());
        for (parent, gradient) in ops.parents.into_iter().zip(inputs.into_iter().chain(bias)) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// The backward step with query, key and value in one parent, and the bias.
#[derive(Debug)]
struct Fused;

impl Backward<Flex, 2> for Fused {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = Heads::new(grads.consume::<Flex>(&ops.node));
        let (inputs, bias) = backward::fused(&ops.state, &grad, ops.parents[1].is_some());
        for (parent, gradient) in ops.parents.into_iter().zip([inputs].into_iter().chain(bias)) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}
