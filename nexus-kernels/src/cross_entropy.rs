//! Cross-entropy straight from hidden states and the head's weight (Liger, arXiv:2410.10989, section 3.2): the logits of
//! a few rows exist at a time, and loss and gradients are computed together while they do.
//!
//! For a row `h` with logits `z = h W` and target `t`:
//! `loss = log sum exp z - z_t`, `dz = softmax(z) - one_hot(t)`, `dh = dz W^T`, `dW = h^T dz`.
//!
//! In [`Precision::Bf16`] the operands of the three products are rounded to bf16, `dz` among them; `z`, the softmax and the
//! gradients stay f32.
//!
//! Floor at N 2048, D 512, V 8192: 4 N D V = 34 GFLOP with a frozen weight, 51 with a tracked one; on two virtual cores
//! of an EPYC (Zen 4) 151 and 227 ms at their 227 GFLOP/s of f32, 73 and 110 ms at their 470 of bf16. Measured there: 219
//! to 251 and 306 to 367 ms by the weight's layout, 1.3 to 1.7 times the floor (the plain ops: 323 and 490), and in bf16
//! 116 to 126 and 182 to 190 ms, 1.6 to 1.7 times. The pass over the rows is 3 % of it.

use crate::Precision;
use crate::linear::WeightLayout;
use burn::tensor::Tensor;

pub(crate) mod reference;
#[cfg(feature = "flex")]
mod rows;

/// The sum of `-log p(target)` over the rows, `[1]`, without ever holding the logits of all of them.
///
/// # Shapes
/// `hidden`: `[N, D]`; `weight`: `[D, V]` or `[V, D]` as `layout` says, f32 or bf16; `targets`: N indices below V.
///
/// # Panics
/// When the number of targets is not N, or one is not below V.
pub fn linear_cross_entropy(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    layout: WeightLayout,
    targets: &[i32],
    precision: Precision,
) -> Tensor<1> {
    check(&hidden, &weight, layout, targets);
    #[cfg(feature = "flex")]
    if crate::flex::applies(&hidden.device(), &[hidden.dtype()]) && crate::flex::takes(&weight) {
        return fast::linear_cross_entropy(hidden, weight, layout, targets, precision);
    }
    reference::linear_cross_entropy(hidden, weight, layout, targets, precision)
}

/// `log p(target)` of every row, outside any gradient.
///
/// # Shapes
/// As [`linear_cross_entropy`].
///
/// # Panics
/// As [`linear_cross_entropy`].
pub fn token_log_probabilities(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    layout: WeightLayout,
    targets: &[i32],
    precision: Precision,
) -> Vec<f32> {
    check(&hidden, &weight, layout, targets);
    #[cfg(feature = "flex")]
    if crate::flex::applies(&hidden.device(), &[hidden.dtype()]) && crate::flex::takes(&weight) {
        return fast::token_log_probabilities(hidden, weight, layout, targets, precision);
    }
    reference::token_log_probabilities(hidden, weight, layout, targets, precision)
}

fn check(hidden: &Tensor<2>, weight: &Tensor<2>, layout: WeightLayout, targets: &[i32]) {
    let [width, vocabulary] = layout.dims(weight.dims());
    assert_eq!(
        hidden.dims(),
        [targets.len(), width],
        "one hidden state of the weight's width per target"
    );
    if let Some(target) =
        targets.iter().find(|&&target| target < 0 || target as usize >= vocabulary)
    {
        panic!("target {target} is not in a vocabulary of {vocabulary}");
    }
}

#[cfg(feature = "flex")]
mod fast {
    use super::rows;
    use crate::Precision;
    use crate::flex::{self, Matrix, Right, Tracked};
    use crate::linear::{WeightLayout, in_out};
    use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
    use burn::tensor::Tensor;
    use burn_flex::{Flex, FlexTensor};
    use rayon::prelude::*;
    use std::cell::Cell;
    use std::mem::MaybeUninit;
    use std::sync::Arc;

    /// Logits held at a time: 2^22 f32 are 16 MiB.
    const CHUNK: usize = 1 << 22;
    /// Each chunk rounds or packs the whole weight, twice, which has to be little beside its products: a LoRA step of
    /// GPT-2 124 M (vocabulary 50,257) takes 8 % less time with 512 rows than with 128, and no less with 2,048.
    const MIN_ROWS: usize = 512;

    thread_local! {
        /// The logits of a chunk; kept, because fresh memory costs page faults.
        static SCRATCH: Cell<Vec<MaybeUninit<f32>>> = const { Cell::new(Vec::new()) };
    }

    pub(super) fn linear_cross_entropy(
        hidden: Tensor<2>,
        weight: Tensor<2>,
        layout: WeightLayout,
        targets: &[i32],
        precision: Precision,
    ) -> Tensor<1> {
        let [hidden, weight] = [hidden, weight].map(Tensor::into_dispatch);
        let targets = targets.into();
        Tensor::from_dispatch(Dispatch::fused_cross_entropy(
            hidden, weight, layout, targets, precision,
        ))
    }

    pub(super) fn token_log_probabilities(
        hidden: Tensor<2>,
        weight: Tensor<2>,
        layout: WeightLayout,
        targets: &[i32],
        precision: Precision,
    ) -> Vec<f32> {
        let [hidden, weight] =
            [hidden, weight].map(|tensor| tensor.without_autodiff().into_dispatch());
        let result: Tensor<1> = Tensor::from_dispatch(Dispatch::fused_log_probabilities(
            hidden,
            weight,
            layout,
            targets.into(),
            precision,
        ));
        result.into_data().try_into_vec().expect("f32 on the CPU backend")
    }

    #[backend_extension(Flex, Autodiff)]
    pub(crate) trait CrossEntropyOps: Backend {
        fn fused_cross_entropy(
            hidden: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            layout: WeightLayout,
            targets: Arc<[i32]>,
            precision: Precision,
        ) -> FloatTensor<Self>;

        fn fused_log_probabilities(
            hidden: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            layout: WeightLayout,
            targets: Arc<[i32]>,
            precision: Precision,
        ) -> FloatTensor<Self>;
    }

    impl CrossEntropyOps for Flex {
        fn fused_cross_entropy(
            hidden: FlexTensor,
            weight: FlexTensor,
            layout: WeightLayout,
            targets: Arc<[i32]>,
            precision: Precision,
        ) -> FlexTensor {
            let result = forward(hidden, weight, layout, &targets, precision, [false, false]);
            loss(&result.log_probabilities)
        }

        fn fused_log_probabilities(
            hidden: FlexTensor,
            weight: FlexTensor,
            layout: WeightLayout,
            targets: Arc<[i32]>,
            precision: Precision,
        ) -> FlexTensor {
            let values = forward(hidden, weight, layout, &targets, precision, [false, false])
                .log_probabilities;
            flex::tensor(values.iter().map(|&value| value as f32).collect(), [values.len()])
        }
    }

    impl<C: CheckpointStrategy> CrossEntropyOps for Autodiff<Flex, C> {
        fn fused_cross_entropy(
            hidden: Tracked,
            weight: Tracked,
            layout: WeightLayout,
            targets: Arc<[i32]>,
            precision: Precision,
        ) -> Tracked {
            let tracked = [hidden.is_tracked(), weight.is_tracked()];
            let prep = CrossEntropyBackward
                .prepare::<C>([hidden.node(), weight.node()])
                .compute_bound()
                .stateful();
            let result = forward(
                hidden.into_primitive(),
                weight.into_primitive(),
                layout,
                &targets,
                precision,
                tracked,
            );
            let loss = loss(&result.log_probabilities);
            match prep {
                OpsKind::UnTracked(prep) => prep.finish(loss),
                OpsKind::Tracked(prep) => prep.finish([result.hidden, result.weight], loss),
            }
        }

        fn fused_log_probabilities(
            hidden: Tracked,
            weight: Tracked,
            layout: WeightLayout,
            targets: Arc<[i32]>,
            precision: Precision,
        ) -> Tracked {
            let [hidden, weight] = [hidden, weight].map(Tracked::into_primitive);
            Tracked::new(Flex::fused_log_probabilities(hidden, weight, layout, targets, precision))
        }
    }

    #[derive(Debug)]
    struct CrossEntropyBackward;

    impl Backward<Flex, 2> for CrossEntropyBackward {
        /// The finished gradients of hidden states and weight.
        type State = [Option<FlexTensor>; 2];

        fn backward(
            self,
            ops: Ops<Self::State, 2>,
            grads: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let upstream = flex::elements(&grads.consume::<Flex>(&ops.node))[0];
            for (node, gradient) in ops.parents.into_iter().zip(ops.state) {
                if let (Some(node), Some(gradient)) = (node, gradient) {
                    grads.register::<Flex>(node.id, flex::scaled(gradient, upstream));
                }
            }
        }
    }

    struct Forward {
        log_probabilities: Vec<f64>,
        hidden: Option<FlexTensor>,
        weight: Option<FlexTensor>,
    }

    fn loss(log_probabilities: &[f64]) -> FlexTensor {
        flex::tensor(vec![-log_probabilities.iter().sum::<f64>() as f32], [1])
    }

    /// `log p(target)` of every row, and the gradients of the loss by the tracked ones of hidden states and weight.
    fn forward(
        hidden: FlexTensor,
        weight: FlexTensor,
        layout: WeightLayout,
        targets: &[i32],
        precision: Precision,
        [hidden_tracked, weight_tracked]: [bool; 2],
    ) -> Forward {
        let [hidden, weight] = [hidden, weight].map(flex::readable);
        let stored = flex::dims(&weight);
        let (hidden, weight) = (flex::matrix(&hidden), in_out(&weight, layout, precision));
        let (count, width, vocabulary) = (hidden.rows, hidden.cols, weight.dims()[1]);
        let chunk = (CHUNK / vocabulary).max(MIN_ROWS);
        let gradient_wanted = hidden_tracked || weight_tracked;

        // Taken, not borrowed: while it waits, this thread may run another task that comes here.
        let mut scratch = SCRATCH.take();
        scratch.resize(scratch.len().max(chunk.min(count) * vocabulary), MaybeUninit::uninit());
        let mut log_probabilities = Vec::with_capacity(count);
        let mut hidden_gradient =
            Vec::with_capacity(if hidden_tracked { count * width } else { 0 });
        let mut weight_gradient: Option<Vec<f32>> = None;
        for (i, targets) in targets.chunks(chunk).enumerate() {
            let rows = targets.len();
            let x = hidden.slice_rows(i * chunk, rows);
            let logits = &mut scratch[..rows * vocabulary];
            flex::write(logits, 1.0, x, weight);
            // SAFETY: `write` has initialised all of them.
            let logits = unsafe { logits.assume_init_mut() };
            log_probabilities.par_extend(logits.par_chunks_mut(vocabulary).zip(targets).map(
                |(row, &target)| rows::log_probability(row, target as usize, gradient_wanted),
            ));
            // The logits are now their own gradient.
            let dz = Matrix::dense(logits, rows, vocabulary);
            if hidden_tracked {
                let start = hidden_gradient.len();
                flex::write(
                    &mut hidden_gradient.spare_capacity_mut()[..rows * width],
                    1.0,
                    dz,
                    weight.t(),
                );
                // SAFETY: `write` has initialised the elements after `start`.
                unsafe { hidden_gradient.set_len(start + rows * width) };
            }
            if weight_tracked {
                let (a, b) = match layout {
                    WeightLayout::InOut => (x.t(), dz),
                    WeightLayout::OutIn => (dz.t(), x),
                };
                let b = Right::new(b, precision);
                match &mut weight_gradient {
                    Some(sum) => flex::accumulate(sum, 1.0, a, b),
                    None => weight_gradient = Some(flex::product(1.0, a, b)),
                }
            }
        }
        SCRATCH.set(scratch);
        Forward {
            log_probabilities,
            hidden: hidden_tracked.then(|| flex::tensor(hidden_gradient, [count, width])),
            weight: weight_tracked
                .then(|| weight_gradient.unwrap_or_else(|| vec![0.0; width * vocabulary]))
                .map(|gradient| flex::tensor(gradient, stored)),
        }
    }
}
