//! `y = x W + bias` as one node of the graph.
//!
//! Gradients: `dx = dy W^T`, `dW = x^T dy`, `dbias = sum of the rows of dy`; one that nobody asks for is not computed.
//! In [`Precision::Bf16`] the operands of the three products are rounded to bf16, `dy` among them, and summed in f32; `y`,
//! the gradients and the bias stay f32. A weight that is stored as bf16 is read where it lies, two bytes a value; it is to
//! be frozen, else the plain ops run.
//!
//! Compared with the plain ops there is no separate pass that adds the bias (the rows of the output begin as the bias
//! and the product accumulates onto them) and no buffer is zeroed before it is overwritten.
//!
//! Floor at N 2048, 512 x 1376 with everything tracked: 8.7 GFLOP, on two virtual cores of an EPYC (Zen 4) 38 ms at their
//! 227 GFLOP/s of f32 and 18 ms at their 470 of bf16. Measured there, with 2 ms for the loss of the benchmark: 50 ms, 1.3
//! times the floor (the plain ops: 53), and in bf16 30 ms, 1.6 times.

use crate::Precision;
use crate::precision::widened;
use burn::tensor::Tensor;

/// How a weight that maps `in` to `out` values is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightLayout {
    /// `[in, out]`: a projection.
    InOut,
    /// `[out, in]`: an embedding table that is used as the head.
    OutIn,
}

impl WeightLayout {
    /// `[in, out]` of a stored shape.
    pub(crate) fn dims(self, [first, second]: [usize; 2]) -> [usize; 2] {
        match self {
            Self::InOut => [first, second],
            Self::OutIn => [second, first],
        }
    }
}

/// `y = x W + bias`.
///
/// # Shapes
/// `x`: `[N, in]`; `weight`: as `layout` says, f32 or bf16; `bias`: `[out]`; result `[N, out]`.
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    layout: WeightLayout,
    bias: Option<Tensor<1>>,
    precision: Precision,
) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if fast::applies(&x, &weight, &bias) {
        return fast::linear(x, weight, layout, bias, precision);
    }
    reference(x, weight, layout, bias, precision)
}

/// [`linear`] from plain ops.
pub fn reference(
    x: Tensor<2>,
    weight: Tensor<2>,
    layout: WeightLayout,
    bias: Option<Tensor<1>>,
    precision: Precision,
) -> Tensor<2> {
    let precision = precision.with(&weight);
    let weight = match layout {
        WeightLayout::InOut => weight,
        WeightLayout::OutIn => weight.transpose(),
    };
    let y = precision.matmul(x, widened(weight));
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

#[cfg(feature = "flex")]
mod fast {
    use super::WeightLayout;
    use crate::Precision;
    use crate::flex::{self, Matrix, Optional, Right, Tracked};
    use burn::backend::autodiff::NodeId;
    use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
    use burn::tensor::Tensor;
    use burn_flex::{Flex, FlexTensor};

    pub(super) fn applies(x: &Tensor<2>, weight: &Tensor<2>, bias: &Option<Tensor<1>>) -> bool {
        let bias = bias.as_ref().map_or(x.dtype(), Tensor::dtype);
        flex::applies(&x.device(), &[x.dtype(), bias]) && flex::takes(weight)
    }

    pub(super) fn linear(
        x: Tensor<2>,
        weight: Tensor<2>,
        layout: WeightLayout,
        bias: Option<Tensor<1>>,
        precision: Precision,
    ) -> Tensor<2> {
        let [x, weight] = [x, weight].map(Tensor::into_dispatch);
        let bias = Optional::of(bias);
        Tensor::from_dispatch(Dispatch::fused_linear(x, weight, bias, layout, precision))
    }

    #[backend_extension(Flex, Autodiff)]
    pub(crate) trait LinearOps: Backend {
        fn fused_linear(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            #[extension_type] bias: Optional<Self>,
            layout: WeightLayout,
            precision: Precision,
        ) -> FloatTensor<Self>;
    }

    impl LinearOps for Flex {
        fn fused_linear(
            x: FlexTensor,
            weight: FlexTensor,
            bias: Optional<Self>,
            layout: WeightLayout,
            precision: Precision,
        ) -> FlexTensor {
            let [x, weight] = [x, weight].map(flex::readable);
            let (x, weight) = (flex::matrix(&x), in_out(&weight, layout, precision));
            let shape = [x.rows, weight.dims()[1]];
            let y = flex::product_and(x, weight, bias.into_option(), None);
            flex::tensor(y, shape)
        }
    }

    /// A stored weight as the `[in, out]` operand that it stands for.
    pub(crate) fn in_out(
        weight: &FlexTensor,
        layout: WeightLayout,
        precision: Precision,
    ) -> Right<'_> {
        let weight = Right::of(weight, precision);
        match layout {
            WeightLayout::InOut => weight,
            WeightLayout::OutIn => weight.t(),
        }
    }

    impl<C: CheckpointStrategy> LinearOps for Autodiff<Flex, C> {
        fn fused_linear(
            x: Tracked,
            weight: Tracked,
            bias: Optional<Self>,
            layout: WeightLayout,
            precision: Precision,
        ) -> Tracked {
            let bias = bias.into_option();
            let value = bias
                .as_ref()
                .map_or(Optional::Absent, |b| Optional::Present(b.primitive().clone()));
            let y = Flex::fused_linear(
                x.primitive().clone(),
                weight.primitive().clone(),
                value,
                layout,
                precision,
            );
            let bias = bias.unwrap_or_else(|| flex::absent(&x));
            let [x_tracked, weight_tracked] = [&x, &weight].map(Tracked::is_tracked);
            match LinearBackward
                .prepare::<C>([x.node(), weight.node(), bias.node()])
                .compute_bound()
                .stateful()
            {
                OpsKind::UnTracked(prep) => prep.finish(y),
                OpsKind::Tracked(mut prep) => {
                    let state = State {
                        x: weight_tracked.then(|| prep.checkpoint(&x)),
                        weight: x_tracked.then(|| prep.checkpoint(&weight)),
                        layout,
                        precision,
                    };
                    prep.finish(state, y)
                }
            }
        }
    }

    #[derive(Debug)]
    struct LinearBackward;

    #[derive(Debug, Clone)]
    struct State {
        /// Kept for the gradient of the weight.
        x: Option<NodeId>,
        /// Kept for the gradient of `x`.
        weight: Option<NodeId>,
        layout: WeightLayout,
        precision: Precision,
    }

    impl Backward<Flex, 3> for LinearBackward {
        type State = State;

        fn backward(
            self,
            ops: Ops<State, 3>,
            grads: &mut Gradients,
            checkpointer: &mut Checkpointer,
        ) {
            let [x_node, weight_node, bias_node] = ops.parents;
            let dy = flex::readable(grads.consume::<Flex>(&ops.node));
            let dy = flex::matrix(&dy);
            let State { x, weight, layout, precision } = ops.state;
            let mut kept = |id: Option<NodeId>| {
                let id = id.expect("kept for a tracked parent");
                flex::readable(checkpointer.retrieve_node_output::<FlexTensor>(id))
            };
            if let Some(node) = x_node {
                let weight = kept(weight);
                let weight = in_out(&weight, layout, precision);
                let dx = flex::product(1.0, dy, weight.t());
                grads.register::<Flex>(node.id, flex::tensor(dx, [dy.rows, weight.dims()[0]]));
            }
            if let Some(node) = weight_node {
                let x = kept(x);
                let dw = weight_gradient(flex::matrix(&x), dy, layout, precision);
                grads.register::<Flex>(node.id, dw);
            }
            if let Some(node) = bias_node {
                grads.register::<Flex>(node.id, flex::tensor(flex::column_sums(dy), [dy.cols]));
            }
        }
    }

    /// `x^T dy`, stored as the weight is.
    pub(crate) fn weight_gradient(
        x: Matrix,
        dy: Matrix,
        layout: WeightLayout,
        precision: Precision,
    ) -> FlexTensor {
        let (a, b) = match layout {
            WeightLayout::InOut => (x.t(), dy),
            WeightLayout::OutIn => (dy.t(), x),
        };
        flex::tensor(flex::product(1.0, a, Right::new(b, precision)), [a.rows, b.cols])
    }
}

#[cfg(feature = "flex")]
pub(crate) use fast::{in_out, weight_gradient};
