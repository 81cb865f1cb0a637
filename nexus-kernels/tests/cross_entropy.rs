//! `linear_cross_entropy` against its chunked reference and against `log_softmax` under burn's own autodiff.

mod agreement;

use agreement::{Gradients, assert_close, difference, numbers, on_threads, run};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use nexus_kernels::{
    Precision, WeightLayout, linear_cross_entropy, reference, token_log_probabilities,
};

const LAYOUTS: [WeightLayout; 2] = [WeightLayout::InOut, WeightLayout::OutIn];

#[derive(Clone, Copy, Debug)]
enum By {
    Fast,
    Reference,
    LogSoftmax,
}

struct Case {
    parts: [Option<Vec<f32>>; 2],
    shapes: [[usize; 2]; 2],
    layout: WeightLayout,
    targets: Vec<i32>,
}

fn case(n: usize, width: usize, vocabulary: usize, layout: WeightLayout, size: f32) -> Case {
    let weight = match layout {
        WeightLayout::InOut => [width, vocabulary],
        WeightLayout::OutIn => [vocabulary, width],
    };
    Case {
        parts: [Some(numbers(n * width, 1, size)), Some(numbers(width * vocabulary, 2, 1.0))],
        shapes: [[n, width], weight],
        layout,
        targets: (0..n).map(|i| (i * 7919 % vocabulary) as i32).collect(),
    }
}

fn log_softmax(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    layout: WeightLayout,
    targets: &[i32],
    _precision: Precision,
) -> Tensor<1> {
    let weight = if layout == WeightLayout::OutIn { weight.transpose() } else { weight };
    let data = TensorData::new(targets.to_vec(), [targets.len(), 1]);
    let targets = Tensor::<2, Int>::from_data(data, &hidden.device());
    -activation::log_softmax(hidden.matmul(weight), 1).gather(1, targets).sum()
}

impl Case {
    fn run(&self, tracked: [bool; 2], by: By) -> Gradients {
        run(&self.parts, &self.shapes, tracked, |[hidden, weight]| {
            let op = match by {
                By::Fast => linear_cross_entropy,
                By::Reference => reference::linear_cross_entropy,
                By::LogSoftmax => log_softmax,
            };
            op(hidden.unwrap(), weight.unwrap(), self.layout, &self.targets, Precision::F32)
                .unsqueeze()
        })
    }

    fn tensors(&self) -> [Tensor<2>; 2] {
        let device = Device::flex();
        std::array::from_fn(|i| {
            Tensor::<1>::from_floats(self.parts[i].as_ref().unwrap().as_slice(), &device)
                .reshape(self.shapes[i])
        })
    }
}

#[test]
fn agrees_for_odd_sizes_layouts_and_tracked_parents() {
    for (n, width, vocabulary) in [(1, 1, 1), (1, 3, 2), (5, 7, 31), (33, 17, 1000), (70, 65, 2053)]
    {
        for layout in LAYOUTS {
            let case = case(n, width, vocabulary, layout, 1.0);
            for tracked in [[false; 2], [true, false], [false, true], [true; 2]] {
                let fast = case.run(tracked, By::Fast);
                for by in [By::Reference, By::LogSoftmax] {
                    assert_close(
                        &fast,
                        &case.run(tracked, by),
                        &format!("{n} {width} {vocabulary} {layout:?} {by:?}"),
                    );
                }
            }
        }
    }
}

#[test]
fn agrees_over_several_chunks() {
    // 2^22 logits a chunk: 139 rows, so the last chunk is short.
    for layout in LAYOUTS {
        let case = case(300, 9, 30_011, layout, 1.0);
        assert_close(
            &case.run([true; 2], By::Fast),
            &case.run([true; 2], By::LogSoftmax),
            "chunks",
        );
    }
}

#[test]
fn gradients_are_finite_differences() {
    let mut case = case(3, 4, 5, WeightLayout::InOut, 1.0);
    let (_, gradients) = case.run([true; 2], By::Fast);
    for (which, gradient) in gradients.into_iter().enumerate() {
        for (i, gradient) in gradient.unwrap().into_iter().enumerate() {
            let mut loss = |step: f32| {
                case.parts[which].as_mut().unwrap()[i] += step;
                let value = agreement::loss(&case.run([false; 2], By::Fast).0);
                case.parts[which].as_mut().unwrap()[i] -= step;
                value
            };
            let numeric = (loss(1e-2) - loss(-1e-2)) / 2e-2;
            // A loss of order 5 in f32 over a step of 1e-2.
            assert!(
                (numeric - f64::from(gradient)).abs() < 1e-3,
                "{which} {i}: {numeric} {gradient}"
            );
        }
    }
}

#[test]
fn large_logits_stay_finite() {
    let case = case(40, 1, 700, WeightLayout::InOut, 100.0);
    let fast = case.run([true; 2], By::Fast);
    assert!(fast.0.iter().chain(fast.1.iter().flatten().flatten()).all(|x| x.is_finite()));
    assert_close(&fast, &case.run([true; 2], By::LogSoftmax), "large logits");
}

#[test]
fn results_have_the_same_bits_for_any_number_of_threads() {
    let case = case(300, 65, 20_000, WeightLayout::OutIn, 1.0);
    let one = on_threads(1, || case.run([true; 2], By::Fast));
    for threads in [2, 3] {
        assert!(on_threads(threads, || case.run([true; 2], By::Fast)) == one, "{threads} threads");
    }
}

#[test]
fn log_probabilities_sum_to_the_loss() {
    for layout in LAYOUTS {
        let case = case(50, 33, 999, layout, 1.0);
        let [hidden, weight] = case.tensors();
        let fast = token_log_probabilities(
            hidden.clone(),
            weight.clone(),
            layout,
            &case.targets,
            Precision::F32,
        );
        let slow = reference::token_log_probabilities(
            hidden.clone(),
            weight.clone(),
            layout,
            &case.targets,
            Precision::F32,
        );
        assert!(difference(&fast, &slow) < agreement::TOLERANCE);
        let tracked =
            [hidden.clone(), weight.clone()].map(|t| Tensor::from_inner(t).require_grad());
        let [h, w] = tracked;
        assert_eq!(token_log_probabilities(h, w, layout, &case.targets, Precision::F32), fast);
        let loss: f32 = linear_cross_entropy(hidden, weight, layout, &case.targets, Precision::F32)
            .into_scalar();
        assert!((loss + fast.iter().sum::<f32>()).abs() < 1e-5 * loss);
    }
}

#[test]
fn no_rows_are_no_loss() {
    let case = case(0, 4, 6, WeightLayout::InOut, 1.0);
    let (loss, gradients) = case.run([true; 2], By::Fast);
    assert_eq!(loss, [0.0]);
    assert_eq!(gradients, [Some(vec![]), Some(vec![0.0; 24])]);
}

#[test]
#[should_panic(expected = "target 6 is not in a vocabulary of 6")]
fn a_target_beyond_the_vocabulary_is_refused() {
    let mut case = case(2, 4, 6, WeightLayout::InOut, 1.0);
    case.targets[1] = 6;
    case.run([true; 2], By::Fast);
}
