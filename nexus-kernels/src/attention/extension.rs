//! The fast path as an operation of the flex backend, with its place in the autodiff graph.

use super::backward::{self, Saved};
use super::forward::forward;
use super::tile::{Heads, Turn};
use super::{AttentionConfig, AttentionContext};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
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
        #[extension_type] rotary: Rotary<Self>,
        config: AttentionConfig,
    ) -> FloatTensor<Self>;

    /// See [`attention_fused`](super::attention_fused).
    fn attention_fused(
        inputs: FloatTensor<Self>,
        #[extension_type] rotary: Rotary<Self>,
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
    context: &AttentionContext,
    config: &AttentionConfig,
) -> bool {
    // Comparing devices ignores autodiff.
    inputs.into_iter().all(|x| x.dtype() == DType::F32 && x.device() == Device::flex())
        && (context.rotary.as_ref())
            .is_none_or(|(cos, sin)| cos.dtype() == DType::F32 && sin.dtype() == DType::F32)
        && config.causal
        && context.keys.is_none()
        && context.bias.is_none()
}

/// [`attention`](super::attention) by the fast path.
pub(super) fn separate(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    context: &AttentionContext,
    config: AttentionConfig,
) -> Tensor<3> {
    let inputs = [query, key, value].map(Tensor::into_dispatch);
    let [query, key, value] = inputs;
    let rotary = Rotary::dispatch(context.rotary.clone());
    Tensor::from_dispatch(<Dispatch as AttentionOps>::attention(query, key, value, rotary, config))
}

/// [`attention_fused`](super::attention_fused) by the fast path.
pub(super) fn fused(
    inputs: Tensor<3>,
    context: &AttentionContext,
    config: AttentionConfig,
) -> Tensor<3> {
    let (inputs, rotary) = (inputs.into_dispatch(), Rotary::dispatch(context.rotary.clone()));
    Tensor::from_dispatch(<Dispatch as AttentionOps>::attention_fused(inputs, rotary, config))
}

impl Rotary<Dispatch> {
    fn dispatch(rotary: Option<(Tensor<2>, Tensor<2>)>) -> Self {
        match rotary {
            Some((cos, sin)) => Self::Table(cos.into_dispatch(), sin.into_dispatch()),
            None => Self::Absent,
        }
    }
}

impl AttentionOps for Flex {
    fn attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        rotary: Rotary<Self>,
        config: AttentionConfig,
    ) -> FlexTensor {
        let inputs = [query, key, value].map(Heads::new);
        forward(&inputs, turn(rotary, |x| x).as_ref(), &config).0
    }

    fn attention_fused(
        inputs: FlexTensor,
        rotary: Rotary<Self>,
        config: AttentionConfig,
    ) -> FlexTensor {
        forward(&parts(&inputs, &config), turn(rotary, |x| x).as_ref(), &config).0
    }
}

impl<C: CheckpointStrategy> AttentionOps for Autodiff<Flex, C> {
    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        rotary: Rotary<Self>,
        config: AttentionConfig,
    ) -> FloatTensor<Self> {
        let nodes = [query.node(), key.node(), value.node()];
        let inputs = [query, key, value].map(|x| Heads::new(x.into_primitive()));
        let turn = turn(rotary, |x| x.into_primitive());
        let (out, lse) = forward(&inputs, turn.as_ref(), &config);
        match Separate.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                prepared.finish(saved(inputs, turn, &out, lse, config), out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }

    fn attention_fused(
        inputs: FloatTensor<Self>,
        rotary: Rotary<Self>,
        config: AttentionConfig,
    ) -> FloatTensor<Self> {
        let nodes = [inputs.node()];
        let inputs = parts(&inputs.into_primitive(), &config);
        let turn = turn(rotary, |x| x.into_primitive());
        let (out, lse) = forward(&inputs, turn.as_ref(), &config);
        match Fused.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                prepared.finish(saved(inputs, turn, &out, lse, config), out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
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

fn saved(
    inputs: [Heads; 3],
    turn: Option<Turn>,
    out: &FlexTensor,
    lse: Vec<f32>,
    config: AttentionConfig,
) -> Saved {
    Saved { inputs, turn, out: Heads::new(out.clone()), lse: Arc::new(lse), config }
}

/// The backward step with parents query, key and value.
#[derive(Debug)]
struct Separate;

impl Backward<Flex, 3> for Separate {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = Heads::new(grads.consume::<Flex>(&ops.node));
        let gradients = backward::separate(&ops.state, &grad);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// The backward step with all three in one parent.
#[derive(Debug)]
struct Fused;

impl Backward<Flex, 1> for Fused {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = Heads::new(grads.consume::<Flex>(&ops.node));
        if let [Some(parent)] = ops.parents {
            grads.register::<Flex>(parent.id, backward::fused(&ops.state, &grad));
        }
    }
}
