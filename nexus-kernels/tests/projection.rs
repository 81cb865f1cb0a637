//! `linear` and `low_rank_linear` against their references: values, and the gradient of every parent.

mod agreement;

use agreement::{Gradients, assert_close, difference, numbers, on_threads, run};
use burn::tensor::{Device, Tensor};
use nexus_kernels::{Precision, WeightLayout, linear, low_rank_linear, reference};

/// The arguments of `low_rank_linear` in order: x, weight, bias, a, b, dropped.
type Parts = [Option<Vec<f32>>; 6];

fn parts(
    n: usize,
    inputs: usize,
    outputs: usize,
    rank: usize,
    bias: bool,
    dropped: bool,
) -> (Parts, [[usize; 2]; 6]) {
    let shapes = [
        [n, inputs],
        [inputs, outputs],
        [1, outputs],
        [inputs, rank],
        [rank, outputs],
        [n, inputs],
    ];
    let present = [true, true, bias, true, true, dropped];
    let mut i = 0;
    let parts = shapes.map(|[rows, cols]| {
        i += 1;
        present[i - 1].then(|| numbers(rows * cols, i as u64, 1.0 / (inputs as f32).sqrt()))
    });
    (parts, shapes)
}

fn low_rank(parts: &Parts, shapes: &[[usize; 2]; 6], tracked: [bool; 6], fast: bool) -> Gradients {
    run(parts, shapes, tracked, |t| {
        let [x, weight, bias, a, b, dropped] = t;
        let op = if fast { low_rank_linear } else { reference::low_rank_linear };
        let bias = bias.map(|bias| bias.squeeze_dim::<1>(0));
        op(x.unwrap(), weight.unwrap(), bias, a.unwrap(), b.unwrap(), 1.7, dropped, Precision::F32)
    })
}

#[test]
fn low_rank_agrees_for_odd_sizes_and_ranks() {
    for (n, inputs, outputs) in
        [(1, 1, 1), (1, 33, 17), (7, 5, 3), (37, 65, 129), (130, 96, 80), (300, 257, 301)]
    {
        for rank in [1, 8, 64] {
            for (bias, dropped) in [(false, false), (true, true)] {
                let (parts, shapes) = parts(n, inputs, outputs, rank, bias, dropped);
                let [fast, slow] =
                    [true, false].map(|fast| low_rank(&parts, &shapes, [true; 6], fast));
                assert_close(
                    &fast,
                    &slow,
                    &format!("{n} {inputs} {outputs} {rank} {bias} {dropped}"),
                );
            }
        }
    }
}

#[test]
fn low_rank_agrees_for_every_set_of_tracked_parents() {
    for (bias, dropped) in [(false, false), (true, false), (false, true), (true, true)] {
        let (parts, shapes) = parts(19, 23, 31, 4, bias, dropped);
        for set in 0..64u32 {
            let tracked = std::array::from_fn(|i| set >> i & 1 == 1 && parts[i].is_some());
            let [fast, slow] = [true, false].map(|fast| low_rank(&parts, &shapes, tracked, fast));
            assert_close(&fast, &slow, &format!("{tracked:?}"));
            for (gradient, tracked) in fast.1.iter().zip(tracked) {
                assert_eq!(gradient.is_some(), tracked);
            }
        }
    }
}

#[test]
fn low_rank_gradients_are_finite_differences() {
    let (parts, shapes) = parts(3, 4, 5, 2, true, true);
    let (_, gradients) = low_rank(&parts, &shapes, [true; 6], true);
    for (which, gradient) in gradients.iter().enumerate() {
        let gradient = gradient.as_ref().unwrap();
        for (i, &gradient) in gradient.iter().enumerate() {
            let loss = |step: f32| {
                let mut parts = parts.clone();
                parts[which].as_mut().unwrap()[i] += step;
                let (y, _) = low_rank(&parts, &shapes, [false; 6], true);
                agreement::loss(&y)
            };
            let numeric = (loss(1e-2) - loss(-1e-2)) / 2e-2;
            // f32 values of order 1 over a step of 1e-2.
            assert!(
                (numeric - f64::from(gradient)).abs() < 1e-3,
                "{which} {i}: {numeric} {gradient}"
            );
        }
    }
}

fn plain(
    parts: &Parts,
    shapes: &[[usize; 2]; 6],
    tracked: [bool; 6],
    layout: WeightLayout,
    fast: bool,
) -> Gradients {
    run(parts, shapes, tracked, |t| {
        let [x, weight, bias, ..] = t;
        let op = if fast { linear } else { reference::linear };
        op(
            x.unwrap(),
            weight.unwrap(),
            layout,
            bias.map(|bias| bias.squeeze_dim::<1>(0)),
            Precision::F32,
        )
    })
}

#[test]
fn linear_agrees_in_both_layouts() {
    for (n, inputs, outputs) in [(1, 1, 1), (1, 33, 17), (7, 5, 3), (37, 65, 129), (300, 257, 301)]
    {
        for layout in [WeightLayout::InOut, WeightLayout::OutIn] {
            for set in 0..16u32 {
                let bias = set >> 3 == 1;
                let (mut parts, mut shapes) = parts(n, inputs, outputs, 1, bias, false);
                if layout == WeightLayout::OutIn {
                    shapes[1].reverse();
                }
                parts[3..].fill(None);
                let tracked =
                    std::array::from_fn(|i| i < 3 && set >> i & 1 == 1 && parts[i].is_some());
                let [fast, slow] =
                    [true, false].map(|fast| plain(&parts, &shapes, tracked, layout, fast));
                assert_close(
                    &fast,
                    &slow,
                    &format!("{n} {inputs} {outputs} {layout:?} {tracked:?}"),
                );
            }
        }
    }
}

#[test]
fn results_have_the_same_bits_for_any_number_of_threads() {
    let (parts, shapes) = parts(517, 300, 411, 8, true, true);
    let both = || {
        let low_rank = low_rank(&parts, &shapes, [true; 6], true);
        let mut parts = parts.clone();
        parts[3..].fill(None);
        (
            low_rank,
            plain(
                &parts,
                &shapes,
                [true, true, true, false, false, false],
                WeightLayout::InOut,
                true,
            ),
        )
    };
    let one = on_threads(1, both);
    for threads in [2, 3] {
        assert!(on_threads(threads, both) == one, "{threads} threads");
    }
}

#[test]
fn strided_inputs_are_read_in_place() {
    let device = Device::flex();
    let tensor = |rows: usize, cols: usize, seed: u64| {
        Tensor::<1>::from_floats(numbers(rows * cols, seed, 1.0).as_slice(), &device)
            .reshape([rows, cols])
    };
    let x = || tensor(24, 40, 1).transpose().slice([3..33, 2..22]); // [30, 20]
    let weight = || tensor(18, 20, 2).transpose();
    let a = || tensor(20, 4, 3).flip([0, 1]);
    let b = || tensor(1, 18, 4).expand([4, 18]);
    let bias = || tensor(36, 1, 5).reshape([18, 2]).slice([0..18, 0..1]).reshape([18]);
    let fast = low_rank_linear(
        x(),
        weight(),
        Some(bias()),
        a(),
        b(),
        0.5,
        Some(x().flip([1])),
        Precision::F32,
    );
    let slow = reference::low_rank_linear(
        x(),
        weight(),
        Some(bias()),
        a(),
        b(),
        0.5,
        Some(x().flip([1])),
        Precision::F32,
    );
    let values = |y: Tensor<2>| y.into_data().try_into_vec::<f32>().unwrap();
    assert!(difference(&values(fast), &values(slow)) < agreement::TOLERANCE);
}

#[test]
fn double_precision_takes_the_reference() {
    let device = Device::flex();
    let x = Tensor::<2>::ones([2, 3], (&device, burn::tensor::DType::F64));
    let weight = Tensor::<2>::ones([3, 4], (&device, burn::tensor::DType::F64));
    let y = linear(x, weight, WeightLayout::InOut, None, Precision::F32);
    assert_eq!(y.into_data().try_into_vec::<f64>().unwrap(), vec![3.0; 8]);
}
