//! The operations in bf16 against their references: values, and the gradient of every parent.

mod agreement;

use agreement::{Gradients, TOLERANCE, difference, numbers, on_threads, run};
use burn::tensor::{DType, Device, FloatDType, Tensor};
use nexus_kernels::{
    Precision, WeightLayout, linear, linear_cross_entropy, low_rank_linear, reference,
    token_log_probabilities,
};

const LAYOUTS: [WeightLayout; 2] = [WeightLayout::InOut, WeightLayout::OutIn];

/// Rows: up to 16 nothing is packed.
const ROWS: [usize; 5] = [1, 3, 8, 17, 200];

/// Of gradients through the gradient of the logits, which fast path and reference compute to some 1e-6 and then round: a
/// few of its elements lie so near a tie that they become neighbours, 2^-8 of themselves apart. Many more do not, so a
/// sum moves by less. (Elsewhere both round the same numbers, and the difference is that of f32 sums.)
const ROUNDED_GRADIENT: f32 = 1.0 / 256.0;

/// Of what an adapter adds: `x A` and `t` are f32 sums before they are rounded, so some are neighbours, 2^-8 apart; and the
/// reference, whose gradients are those of the products, does not round `t A^T`, each factor of which is 2^-9 off.
const ROUNDED_INNER: f32 = 1.0 / 256.0;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Weight {
    /// f32, tracked, rounded on the fly.
    Tracked,
    /// f32, frozen.
    Frozen,
    /// Stored as bf16, frozen; the precision that is asked for does not matter.
    Half(Precision),
}

const WEIGHTS: [Weight; 4] =
    [Weight::Tracked, Weight::Frozen, Weight::Half(Precision::F32), Weight::Half(Precision::Bf16)];

impl Weight {
    fn precision(self) -> Precision {
        match self {
            Self::Half(precision) => precision,
            _ => Precision::Bf16,
        }
    }

    fn stored(self, weight: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Half(_) => weight.cast(FloatDType::BF16),
            _ => weight,
        }
    }
}

/// As [`assert_near`], with values that agree to [`TOLERANCE`].
#[track_caller]
fn assert_close(fast: &Gradients, slow: &Gradients, tolerance: f32, what: &str) {
    assert!(difference(&fast.0, &slow.0) < TOLERANCE, "{what}: {}", difference(&fast.0, &slow.0));
    assert_near(fast, slow, tolerance, what);
}

#[track_caller]
fn assert_near(fast: &Gradients, slow: &Gradients, tolerance: f32, what: &str) {
    assert!(difference(&fast.0, &slow.0) < tolerance, "{what}: {}", difference(&fast.0, &slow.0));
    for (i, pair) in fast.1.iter().zip(&slow.1).enumerate() {
        match pair {
            (Some(fast), Some(slow)) => {
                let difference = difference(fast, slow);
                assert!(difference < tolerance, "{what}: gradient {i} by {difference}");
            }
            (fast, slow) => assert!(fast.is_none() && slow.is_none(), "{what}: gradient {i}"),
        }
    }
}

/// x, weight, bias.
fn plain(
    [n, inputs, outputs]: [usize; 3],
    layout: WeightLayout,
    weight: Weight,
    fast: bool,
) -> Gradients {
    let stored = match layout {
        WeightLayout::InOut => [inputs, outputs],
        WeightLayout::OutIn => [outputs, inputs],
    };
    let shapes = [[n, inputs], stored, [1, outputs]];
    let parts = [1, 2, 3].map(|i| Some(numbers(shapes[i - 1].iter().product(), i as u64, 1.0)));
    run(&parts, &shapes, [true, weight == Weight::Tracked, true], |[x, w, bias]| {
        let op = if fast { linear } else { reference::linear };
        let bias = bias.map(|bias| bias.squeeze_dim::<1>(0));
        op(x.unwrap(), weight.stored(w.unwrap()), layout, bias, weight.precision())
    })
}

#[test]
fn linear_agrees() {
    for n in ROWS {
        for [inputs, outputs] in [[1, 1], [33, 17], [129, 65], [64, 600], [301, 257]] {
            for layout in LAYOUTS {
                for weight in WEIGHTS {
                    let run = |fast| plain([n, inputs, outputs], layout, weight, fast);
                    let what = format!("{n} {inputs} {outputs} {layout:?} {weight:?}");
                    assert_close(&run(true), &run(false), TOLERANCE, &what);
                }
            }
        }
    }
}

/// x, weight, bias, a, b, dropped.
fn low_rank(
    [n, inputs, outputs]: [usize; 3],
    dropout: bool,
    weight: Weight,
    fast: bool,
) -> Gradients {
    let shapes =
        [[n, inputs], [inputs, outputs], [1, outputs], [inputs, 8], [8, outputs], [n, inputs]];
    let parts: [_; 6] = std::array::from_fn(|i| {
        let values = numbers(shapes[i].iter().product(), i as u64 + 1, 1.0);
        (i < 5 || dropout).then_some(values)
    });
    let tracked = [true, weight == Weight::Tracked, true, true, true, dropout];
    run(&parts, &shapes, tracked, |[x, w, bias, a, b, dropped]| {
        let op = if fast { low_rank_linear } else { reference::low_rank_linear };
        let bias = bias.map(|bias| bias.squeeze_dim::<1>(0));
        let w = weight.stored(w.unwrap());
        op(x.unwrap(), w, bias, a.unwrap(), b.unwrap(), 1.7, dropped, weight.precision())
    })
}

#[test]
fn low_rank_agrees() {
    for n in ROWS {
        for [inputs, outputs] in [[1, 1], [33, 17], [129, 65], [301, 257], [64, 96], [544, 160]] {
            for dropout in [false, true] {
                for weight in WEIGHTS {
                    let run = |fast| low_rank([n, inputs, outputs], dropout, weight, fast);
                    let what = format!("{n} {inputs} {outputs} {dropout} {weight:?}");
                    assert_near(&run(true), &run(false), ROUNDED_INNER, &what);
                }
            }
        }
    }
}

/// hidden, weight.
fn loss(
    [n, width, vocabulary]: [usize; 3],
    layout: WeightLayout,
    weight: Weight,
    fast: bool,
) -> Gradients {
    let stored = match layout {
        WeightLayout::InOut => [width, vocabulary],
        WeightLayout::OutIn => [vocabulary, width],
    };
    let parts = [Some(numbers(n * width, 1, 1.0)), Some(numbers(width * vocabulary, 2, 1.0))];
    run(&parts, &[[n, width], stored], [true, weight == Weight::Tracked], |[hidden, w]| {
        let op = if fast { linear_cross_entropy } else { reference::linear_cross_entropy };
        let w = weight.stored(w.unwrap());
        op(hidden.unwrap(), w, layout, &targets(n, vocabulary), weight.precision()).unsqueeze()
    })
}

fn targets(n: usize, vocabulary: usize) -> Vec<i32> {
    (0..n).map(|i| (i * 7919 % vocabulary) as i32).collect()
}

#[test]
fn cross_entropy_agrees() {
    for n in ROWS {
        for [width, vocabulary] in [[3, 2], [17, 1000], [65, 2053]] {
            for layout in LAYOUTS {
                for weight in WEIGHTS {
                    let run = |fast| loss([n, width, vocabulary], layout, weight, fast);
                    let what = format!("{n} {width} {vocabulary} {layout:?} {weight:?}");
                    assert_close(&run(true), &run(false), ROUNDED_GRADIENT, &what);
                }
            }
        }
    }
}

#[test]
fn log_probabilities_agree() {
    for n in ROWS {
        for layout in LAYOUTS {
            for weight in WEIGHTS {
                let (hidden, w) = (tensor(n, 33, 1), tensor(999, 33, 2));
                let w = if layout == WeightLayout::InOut { w.transpose() } else { w };
                let run = |op: fn(_, _, _, &[i32], _) -> Vec<f32>| {
                    let w = weight.stored(w.clone());
                    op(hidden.clone(), w, layout, &targets(n, 999), weight.precision())
                };
                let fast = run(token_log_probabilities);
                assert!(difference(&fast, &run(reference::token_log_probabilities)) < TOLERANCE);
            }
        }
    }
}

#[test]
fn results_have_the_same_bits_for_any_number_of_threads() {
    let all = || {
        let mut results = Vec::new();
        for n in [3, 517] {
            for weight in WEIGHTS {
                results.push(low_rank([n, 300, 411], true, weight, true));
                for layout in LAYOUTS {
                    results.push(plain([n, 300, 1411], layout, weight, true));
                    results.push(loss([n, 65, 20_000], layout, weight, true));
                }
            }
        }
        results
    };
    let one = on_threads(1, all);
    for threads in [2, 3] {
        assert!(on_threads(threads, all) == one, "{threads} threads");
    }
}

fn tensor(rows: usize, cols: usize, seed: u64) -> Tensor<2> {
    let values = numbers(rows * cols, seed, 1.0);
    Tensor::<1>::from_floats(values.as_slice(), &Device::flex()).reshape([rows, cols])
}

fn values(y: Tensor<2>) -> Vec<f32> {
    y.into_data().try_into_vec().unwrap()
}

#[test]
fn strided_inputs_are_read_in_place() {
    let all = |x: Tensor<2>| {
        let weights = [
            tensor(18, 20, 2).transpose(),
            tensor(40, 18, 3).slice([7..27, 0..18]),
            tensor(20, 40, 4).slice([0..20, 3..21]),
            tensor(36, 20, 5)
                .reshape([18, 2, 20])
                .slice([0..18, 1..2, 0..20])
                .reshape([18, 20])
                .transpose(),
            tensor(20, 18, 6).flip([0, 1]),
        ];
        for weight in weights {
            let stored = weight.clone().cast(FloatDType::BF16);
            // A view of bf16 numbers, not a copy of one.
            let view = tensor(18, 30, 7).cast(FloatDType::BF16).transpose().slice([5..25, 0..18]);
            for weight in [weight, stored, view] {
                let run = |op: fn(_, _, _, _, _) -> Tensor<2>| {
                    values(op(
                        x.clone(),
                        weight.clone(),
                        WeightLayout::InOut,
                        None,
                        Precision::Bf16,
                    ))
                };
                assert!(difference(&run(linear), &run(reference::linear)) < TOLERANCE);
            }
        }
    };
    for rows in [5, 30] {
        all(tensor(24, 40, 1).transpose().slice([3..3 + rows, 2..22]));
        all(tensor(40, 24, 1).slice([3..3 + rows, 2..22]).flip([1]));
    }
}

/// Each operand is off by at most 2^-9 of itself, so each product by 2^-8 (and a little) of itself.
#[test]
fn bf16_is_near_f32() {
    for n in ROWS {
        for weight in [Weight::Frozen, Weight::Half(Precision::F32)] {
            let (x, w) = (tensor(n, 301, 1), tensor(301, 257, 2));
            let stored = weight.stored(w.clone());
            let exact = values(x.clone().matmul(w.clone()));
            let size = values(x.clone().abs().matmul(w.abs()));
            let y = linear(x, stored, WeightLayout::InOut, None, weight.precision());
            let mut largest = 0.0f32;
            for ((y, exact), size) in values(y).into_iter().zip(exact).zip(size) {
                largest = largest.max((y - exact).abs() / size);
            }
            assert!(largest < 1.01 / 256.0, "{largest}");
            // And it has been rounded.
            assert!(largest > 1e-5, "{largest}");
        }
    }
}

/// The gradient of a bf16 weight has to be bf16: the plain ops compute it.
#[test]
fn a_tracked_bf16_weight_takes_the_reference() {
    let device = Device::flex().autodiff();
    let [x, dy] = [tensor(7, 9, 1), tensor(7, 5, 2)].map(Tensor::from_inner);
    let weight = tensor(9, 5, 3).cast(FloatDType::BF16);
    let weight = Tensor::from_inner(weight).require_grad();
    assert_eq!(weight.device(), device);
    let y = linear(x, weight.clone(), WeightLayout::InOut, None, Precision::F32);
    assert_eq!(y.dtype(), DType::F32);
    let gradient = weight.grad(&(y * dy).sum().backward()).unwrap();
    assert_eq!(gradient.dtype(), DType::BF16);

    let hidden = Tensor::from_inner(tensor(7, 9, 4)).require_grad();
    let loss = linear_cross_entropy(
        hidden.clone(),
        weight.clone(),
        WeightLayout::InOut,
        &targets(7, 5),
        Precision::Bf16,
    );
    let grads = loss.backward();
    assert_eq!(weight.grad(&grads).unwrap().dtype(), DType::BF16);
    assert_eq!(hidden.grad(&grads).unwrap().dtype(), DType::F32);
}
