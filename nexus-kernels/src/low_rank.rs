//! `y = x W + bias + s (x' A) B` as one node of the graph: the forward and backward pass of a LoRA projection
//! (Hu et al. 2021, arXiv:2106.09685, section 4.1), where `x'` is `x` or its dropout.
//!
//! The adapter's product accumulates onto `x W` in its buffer. Gradients, small products first (the order of Unsloth's
//! `fast_lora` kernels): `t = s dy B^T`, `dB = s (x' A)^T dy`, `dA = x'^T t`, `dx = dy W^T + t A^T`; the first three in one
//! pass over `dy` and `x'`. Nothing is computed for a frozen weight or bias.
//!
//! The [precision](Precision) is that of the sums `x W + s (x' A) B` and `dy W^T + t A^T`, and of `x^T dy`: in bf16 the
//! small inner dimension continues the large one, in the same tiles. `x' A`, `t`, `dA` and `dB` are always f32.
//!
//! Floor at N 2048, 512 x 1376, r 8: 2.9 GFLOP forward, 5.8 with the backward pass of a frozen weight; on two virtual
//! cores of an EPYC (Zen 4) 13 and 25 ms at their 227 GFLOP/s of f32, 6 and 12 ms at their 470 of bf16. Measured there,
//! with 2 ms for the loss of the benchmark in the latter of each: 15 and 38 ms, 1.2 and 1.5 times the floor (the plain
//! ops: 40 and 60), and in bf16 8.0 and 22 ms, 1.3 and 1.8 times.

#![expect(clippy::too_many_arguments, reason = "six operands, scale and precision")]

use crate::Precision;
use crate::precision::widened;
use burn::tensor::Tensor;

/// `y = x W + bias + s (x' A) B` with `x' = dropped`, or `x` without it.
///
/// # Shapes
/// `x`, `dropped`: `[N, in]`; `weight`: `[in, out]`, f32 or bf16; `bias`: `[out]`; `a`: `[in, r]`; `b`: `[r, out]`; result
/// `[N, out]`.
pub fn low_rank_linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    a: Tensor<2>,
    b: Tensor<2>,
    scale: f64,
    dropped: Option<Tensor<2>>,
    precision: Precision,
) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if fast::applies(&x, &weight, &bias, &a, &b, &dropped) {
        return fast::low_rank_linear(x, weight, bias, a, b, scale, dropped, precision);
    }
    reference(x, weight, bias, a, b, scale, dropped, precision)
}

/// [`low_rank_linear`] from plain ops.
pub fn reference(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    a: Tensor<2>,
    b: Tensor<2>,
    scale: f64,
    dropped: Option<Tensor<2>>,
    precision: Precision,
) -> Tensor<2> {
    let dropped = dropped.unwrap_or_else(|| x.clone());
    let precision = precision.with(&weight);
    let mut y = precision.matmul(x, widened(weight));
    if let Some(bias) = bias {
        y = y + bias.unsqueeze();
    }
    // The scale goes onto the small product.
    let inner = dropped.matmul(a) * scale;
    let product = inner.clone().matmul(b.clone());
    if precision == Precision::F32 {
        return y + product;
    }
    // The value is that of rounded operands, the gradients those of the product.
    let rounded = precision.round(inner.detach()).matmul(precision.round(b.detach()));
    y + (product.clone() + (rounded - product.detach()))
}

#[cfg(feature = "flex")]
mod fast {
    use crate::Precision;
    use crate::flex::{self, Optional, Right, Tracked};
    use crate::linear::{WeightLayout, weight_gradient};
    use crate::skinny::adapter_gradients;
    use burn::backend::autodiff::NodeId;
    use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
    use burn::tensor::Tensor;
    use burn_flex::{Flex, FlexTensor};

    pub(super) fn applies(
        x: &Tensor<2>,
        weight: &Tensor<2>,
        bias: &Option<Tensor<1>>,
        a: &Tensor<2>,
        b: &Tensor<2>,
        dropped: &Option<Tensor<2>>,
    ) -> bool {
        let bias = bias.as_ref().map_or(x.dtype(), Tensor::dtype);
        let dropped = dropped.as_ref().map_or(x.dtype(), Tensor::dtype);
        flex::applies(&x.device(), &[x.dtype(), bias, a.dtype(), b.dtype(), dropped])
            && flex::takes(weight)
    }

    pub(super) fn low_rank_linear(
        x: Tensor<2>,
        weight: Tensor<2>,
        bias: Option<Tensor<1>>,
        a: Tensor<2>,
        b: Tensor<2>,
        scale: f64,
        dropped: Option<Tensor<2>>,
        precision: Precision,
    ) -> Tensor<2> {
        let [x, weight, a, b] = [x, weight, a, b].map(Tensor::into_dispatch);
        let (bias, dropped) = (Optional::of(bias), Optional::of(dropped));
        Tensor::from_dispatch(Dispatch::fused_low_rank(
            x, weight, bias, a, b, dropped, scale, precision,
        ))
    }

    #[backend_extension(Flex, Autodiff)]
    pub(crate) trait LowRankOps: Backend {
        fn fused_low_rank(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            #[extension_type] bias: Optional<Self>,
            a: FloatTensor<Self>,
            b: FloatTensor<Self>,
            #[extension_type] dropped: Optional<Self>,
            scale: f64,
            precision: Precision,
        ) -> FloatTensor<Self>;
    }

    impl LowRankOps for Flex {
        fn fused_low_rank(
            x: FlexTensor,
            weight: FlexTensor,
            bias: Optional<Self>,
            a: FlexTensor,
            b: FlexTensor,
            dropped: Optional<Self>,
            scale: f64,
            precision: Precision,
        ) -> FlexTensor {
            forward(x, weight, bias.into_option(), a, b, dropped.into_option(), scale, precision).0
        }
    }

    /// `y`, and the `x' A` that its gradient needs.
    fn forward(
        x: FlexTensor,
        weight: FlexTensor,
        bias: Option<FlexTensor>,
        a: FlexTensor,
        b: FlexTensor,
        dropped: Option<FlexTensor>,
        scale: f64,
        precision: Precision,
    ) -> (FlexTensor, FlexTensor) {
        let [x, weight, a, b] = [x, weight, a, b].map(flex::readable);
        let dropped = dropped.map(flex::readable);
        let weight = Right::of(&weight, precision);
        let [x, a, b, dropped] = [&x, &a, &b, dropped.as_ref().unwrap_or(&x)].map(flex::matrix);
        let inner = flex::product(1.0, dropped, a);
        let scaled: Vec<f32> = inner.iter().map(|x| x * scale as f32).collect();
        let scaled = flex::Matrix::dense(&scaled, x.rows, a.cols);
        let y = flex::product_and(x, weight, bias, Some(flex::Beside::new(scaled, b)));
        (flex::tensor(y, [x.rows, b.cols]), flex::tensor(inner, [x.rows, a.cols]))
    }

    impl<C: CheckpointStrategy> LowRankOps for Autodiff<Flex, C> {
        fn fused_low_rank(
            x: Tracked,
            weight: Tracked,
            bias: Optional<Self>,
            a: Tracked,
            b: Tracked,
            dropped: Optional<Self>,
            scale: f64,
            precision: Precision,
        ) -> Tracked {
            let (bias, dropped) = (bias.into_option(), dropped.into_option());
            let value = |tensor: &Tracked| tensor.primitive().clone();
            let (y, inner) = forward(
                value(&x),
                value(&weight),
                bias.as_ref().map(value),
                value(&a),
                value(&b),
                dropped.as_ref().map(value),
                scale,
                precision,
            );
            let separate = dropped.is_some();
            let bias = bias.unwrap_or_else(|| flex::absent(&x));
            let dropped = dropped.unwrap_or_else(|| flex::absent(&x));
            let adapter_input = if separate { &dropped } else { &x };
            let input_tracked = adapter_input.is_tracked();
            match LowRankBackward
                .prepare::<C>([
                    x.node(),
                    weight.node(),
                    bias.node(),
                    a.node(),
                    b.node(),
                    dropped.node(),
                ])
                .compute_bound()
                .stateful()
            {
                OpsKind::UnTracked(prep) => prep.finish(y),
                OpsKind::Tracked(mut prep) => {
                    let state = State {
                        x: weight.is_tracked().then(|| prep.checkpoint(&x)),
                        weight: x.is_tracked().then(|| prep.checkpoint(&weight)),
                        a: input_tracked.then(|| prep.checkpoint(&a)),
                        b: (input_tracked || a.is_tracked()).then(|| prep.checkpoint(&b)),
                        adapter_input: a.is_tracked().then(|| prep.checkpoint(adapter_input)),
                        inner: b.is_tracked().then_some(inner),
                        separate,
                        scale: scale as f32,
                        precision,
                    };
                    prep.finish(state, y)
                }
            }
        }
    }

    #[derive(Debug)]
    struct LowRankBackward;

    /// What the gradients of the tracked parents need.
    #[derive(Debug, Clone)]
    struct State {
        x: Option<NodeId>,
        weight: Option<NodeId>,
        a: Option<NodeId>,
        b: Option<NodeId>,
        /// `x'`.
        adapter_input: Option<NodeId>,
        /// `x' A`.
        inner: Option<FlexTensor>,
        /// `x'` is not `x`.
        separate: bool,
        scale: f32,
        precision: Precision,
    }

    impl Backward<Flex, 6> for LowRankBackward {
        type State = State;

        fn backward(
            self,
            ops: Ops<State, 6>,
            grads: &mut Gradients,
            checkpointer: &mut Checkpointer,
        ) {
            let [x_node, weight_node, bias_node, a_node, b_node, dropped_node] = ops.parents;
            let dy = flex::readable(grads.consume::<Flex>(&ops.node));
            let dy = flex::matrix(&dy);
            let State { x, weight, a, b, adapter_input, inner, separate, scale, precision } =
                ops.state;
            let mut kept =
                |id: NodeId| flex::readable(checkpointer.retrieve_node_output::<FlexTensor>(id));
            let [x, weight, a, b, adapter_input] =
                [x, weight, a, b, adapter_input].map(|id| id.map(&mut kept));
            let weight = weight.as_ref().map(|weight| Right::of(weight, precision));
            let [x, a, b, adapter_input, inner] = [&x, &a, &b, &adapter_input, &inner]
                .map(|tensor| tensor.as_ref().map(flex::matrix));

            // t = s dY B^T, [N, r]: all that reaches A and x' passes through it.
            let [t, da, db] = small_gradients(scale, dy, adapter_input, inner, b);
            for (node, gradient) in [(a_node, da), (b_node, db)] {
                if let (Some(node), Some((values, shape))) = (node, gradient) {
                    grads.register::<Flex>(node.id, flex::tensor(values, shape));
                }
            }
            let t = t.as_ref().map(|(t, [rows, rank])| flex::Matrix::dense(t, *rows, *rank));
            if let (Some(node), Some(weight)) = (x_node, weight) {
                let a = a.map(|a| (flex::transposed(a), a.rows, a.cols));
                let a = a.as_ref().map(|(a, inputs, rank)| flex::Matrix::dense(a, *rank, *inputs));
                let adapter = t.zip(a).filter(|_| !separate);
                let adapter = adapter.map(|(t, a)| flex::Beside::new(t, a));
                let dx = flex::product_and(dy, weight.t(), None, adapter);
                grads.register::<Flex>(node.id, flex::tensor(dx, [dy.rows, weight.dims()[0]]));
            }
            if let (Some(node), Some(t), Some(a)) = (dropped_node, t, a) {
                let dropped = flex::product(1.0, t, a.t());
                grads.register::<Flex>(node.id, flex::tensor(dropped, [dy.rows, a.rows]));
            }
            if let (Some(node), Some(x)) = (weight_node, x) {
                let dw = weight_gradient(x, dy, WeightLayout::InOut, precision);
                grads.register::<Flex>(node.id, dw);
            }
            if let Some(node) = bias_node {
                grads.register::<Flex>(node.id, flex::tensor(flex::column_sums(dy), [dy.cols]));
            }
        }
    }

    /// `t`, `dA` and `dB` with their shapes, as far as their operands are there.
    fn small_gradients(
        scale: f32,
        dy: flex::Matrix,
        input: Option<flex::Matrix>,
        inner: Option<flex::Matrix>,
        b: Option<flex::Matrix>,
    ) -> [Option<(Vec<f32>, [usize; 2])>; 3] {
        if let (Some(input), Some(inner), Some(b)) = (input, inner, b)
            && let Some(all) = adapter_gradients(scale, dy, input, inner, b)
        {
            return [
                Some((all.small, [dy.rows, b.rows])),
                Some((all.a, [input.cols, b.rows])),
                Some((all.b, [b.rows, dy.cols])),
            ];
        }
        let db = inner.map(|x| (flex::product(scale, x.t(), dy), [x.cols, dy.cols]));
        let t = b.map(|b| (flex::product(scale, dy, b.t()), [dy.rows, b.rows]));
        let da = t.as_ref().zip(input).map(|((t, [rows, rank]), input)| {
            let t = flex::Matrix::dense(t, *rows, *rank);
            (flex::product(1.0, input.t(), t), [input.cols, *rank])
        });
        [t, da, db]
    }
}
