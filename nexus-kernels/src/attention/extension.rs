//! The fast path as an operation of the flex backend, with its place in the autodiff graph.

use super::AttentionConfig;
use super::tile::{Heads, Turn};
use super::{backward, forward};
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
}

/// Rotary positions to be applied inside, or none.
#[derive(ExtensionType)]
pub(super) enum Rotary<B: Backend> {
    /// Queries and keys are used as they are.
    Absent,
    /// Cosine and sine `[T, head_dim/2]`.
    Table(FloatTensor<B>, FloatTensor<B>),
}

/// Whether the fast path can compute this.
pub(super) fn applies(
    query: &Tensor<3>,
    key: &Tensor<3>,
    value: &Tensor<3>,
    rotary: Option<&(Tensor<2>, Tensor<2>)>,
) -> bool {
    // Comparing devices ignores autodiff.
    query.device() == Device::flex()
        && [query, key, value].iter().all(|x| x.dtype() == DType::F32)
        && rotary.is_none_or(|(cos, sin)| cos.dtype() == DType::F32 && sin.dtype() == DType::F32)
}

/// [`attention`](super::attention) by the fast path.
pub(super) fn fast(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    rotary: Option<(Tensor<2>, Tensor<2>)>,
    config: AttentionConfig,
) -> Tensor<3> {
    let rotary = match rotary {
        Some((cos, sin)) => Rotary::Table(cos.into_dispatch(), sin.into_dispatch()),
        None => Rotary::Absent,
    };
    Tensor::from_dispatch(<Dispatch as AttentionOps>::attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        rotary,
        config,
    ))
}

impl AttentionOps for Flex {
    fn attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        rotary: Rotary<Self>,
        config: AttentionConfig,
    ) -> FlexTensor {
        let turn = match rotary {
            Rotary::Table(cos, sin) => Some(Turn::new(cos, sin)),
            Rotary::Absent => None,
        };
        let inputs = [query, key, value].map(Heads::new);
        forward::forward(&inputs, turn.as_ref(), &config).0
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
        let turn = match rotary {
            Rotary::Table(cos, sin) => Some(Turn::new(cos.into_primitive(), sin.into_primitive())),
            Rotary::Absent => None,
        };
        let nodes = [query.node(), key.node(), value.node()];
        let inputs = [query, key, value].map(|x| Heads::new(x.into_primitive()));
        let (out, lse) = forward::forward(&inputs, turn.as_ref(), &config);
        match AttentionBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let out_heads = Heads::new(out.clone());
                let saved = Saved { inputs, turn, out: out_heads, lse: Arc::new(lse), config };
                prepared.finish(saved, out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}

/// What the backward pass needs: inputs and output (shared, not copied) and a number per row.
#[derive(Clone, Debug)]
struct Saved {
    inputs: [Heads; 3],
    turn: Option<Turn>,
    out: Heads,
    lse: Arc<Vec<f32>>,
    config: AttentionConfig,
}

#[derive(Debug)]
struct AttentionBackward;

impl Backward<Flex, 3> for AttentionBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = Heads::new(grads.consume::<Flex>(&ops.node));
        let Saved { inputs, turn, out, lse, config } = ops.state;
        let found = backward::backward(&inputs, turn.as_ref(), &out, &lse, &grad, &config);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}
