//! The projection of a LLaMA-shaped MLP: fast against the reference, and in bf16; with few rows; and the products of an
//! adapter: `cargo bench -p nexus-kernels --bench projection`.

use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use nexus_kernels::{Precision, WeightLayout, linear, low_rank_linear, reference};
use std::hint::black_box;
use std::time::Duration;

const N: usize = 2048;
const INPUTS: usize = 512;
const OUTPUTS: usize = 1376;
const RANK: usize = 8;

type LowRank = fn(
    Tensor<2>,
    Tensor<2>,
    Option<Tensor<1>>,
    Tensor<2>,
    Tensor<2>,
    f64,
    Option<Tensor<2>>,
    Precision,
) -> Tensor<2>;

struct Parts {
    x: Tensor<2>,
    weight: Tensor<2>,
    a: Tensor<2>,
    b: Tensor<2>,
    dy: Tensor<2>,
}

fn parts(device: &Device) -> Parts {
    let random =
        |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Uniform(-0.1, 0.1), device);
    let random_tracked = |shape| match device.is_autodiff() {
        true => random(shape).require_grad(),
        false => random(shape),
    };
    Parts {
        x: random_tracked([N, INPUTS]),
        weight: random([INPUTS, OUTPUTS]),
        a: random_tracked([INPUTS, RANK]),
        b: random_tracked([RANK, OUTPUTS]),
        dy: random([N, OUTPUTS]),
    }
}

fn projection(c: &mut Criterion) {
    let mut group = c.benchmark_group("projection");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    let plain = parts(&Device::flex());
    let tracked = parts(&Device::flex().autodiff());
    let half = plain.weight.clone().cast(FloatDType::BF16);
    let ops = [
        ("reference", reference::low_rank_linear as LowRank, false),
        ("f32", low_rank_linear, false),
        ("bf16 weight", low_rank_linear, true),
    ];
    let run = |op: LowRank, p: &Parts, weight: &Tensor<2>| {
        let [x, a, b] = [&p.x, &p.a, &p.b].map(Tensor::clone);
        op(x, weight.clone(), None, a, b, 2.0, None, Precision::F32)
    };
    for (name, op, is_half) in ops {
        let weight = if is_half { &half } else { &plain.weight };
        group.bench_function(format!("low rank forward/{name}"), |b| {
            b.iter(|| black_box(run(op, &plain, weight)))
        });
    }
    let half = Tensor::from_inner(half);
    for (name, op, is_half) in ops {
        let weight = if is_half { &half } else { &tracked.weight };
        group.bench_function(format!("low rank forward and backward/{name}"), |b| {
            b.iter(|| {
                // The gradient of y is handed on as it is: y has a single use.
                let y = run(op, &tracked, weight);
                black_box((y * tracked.dy.clone()).sum().backward())
            });
        });
    }
    let ops = [
        ("reference", reference::linear as fn(_, _, _, _, _) -> _, Precision::F32),
        ("f32", linear, Precision::F32),
        ("bf16", linear, Precision::Bf16),
    ];
    let bias = Tensor::<1>::ones([OUTPUTS], &tracked.x.device()).require_grad();
    for (name, op, precision) in ops {
        group.bench_function(format!("linear, all tracked, forward and backward/{name}"), |b| {
            let weight = tracked.weight.clone().require_grad();
            b.iter(|| {
                let (x, bias) = (tracked.x.clone(), Some(bias.clone()));
                let y: Tensor<2> = op(x, weight.clone(), WeightLayout::InOut, bias, precision);
                black_box((y * tracked.dy.clone()).sum().backward())
            });
        });
    }
    // What the benchmark itself adds: the product with dy, its sum, and the gradient of both.
    group.bench_function("overhead of the loss", |b| {
        let y = Tensor::<2>::ones([N, OUTPUTS], &tracked.x.device()).require_grad();
        b.iter(|| black_box((y.clone() * tracked.dy.clone()).sum().backward()));
    });
    group.finish();
}

/// Few rows, as in decoding: the time is that of reading the weight.
fn decoding(c: &mut Criterion) {
    const INPUTS: usize = 2048;
    const OUTPUTS: usize = 8192;
    let mut group = c.benchmark_group("decoding 2048 x 8192");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    let device = Device::flex();
    let random =
        |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Uniform(-0.1, 0.1), &device);
    for (layout, shape) in
        [(WeightLayout::InOut, [INPUTS, OUTPUTS]), (WeightLayout::OutIn, [OUTPUTS, INPUTS])]
    {
        let weight = random(shape);
        let half = weight.clone().cast(FloatDType::BF16);
        for rows in [1, 4, 16] {
            let x = random([rows, INPUTS]);
            for (name, weight) in [("f32", &weight), ("bf16 weight", &half)] {
                group.bench_function(format!("{layout:?} {rows} rows/{name}"), |b| {
                    b.iter(|| {
                        black_box(linear(x.clone(), weight.clone(), layout, None, Precision::F32))
                    });
                });
            }
        }
    }
    group.finish();
}

/// The products of an adapter by itself: `x A` and, with gradients, `dy A^T` and `x^T dy`, each with one side of [`RANK`].
fn small(c: &mut Criterion) {
    let mut group = c.benchmark_group("2048 x 512 x 8");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    let ops = [("reference", reference::linear as fn(_, _, _, _, _) -> _), ("f32", linear)];
    let (plain, tracked) = (parts(&Device::flex()), parts(&Device::flex().autodiff()));
    for (name, op) in ops {
        let run = |p: &Parts| -> Tensor<2> {
            op(p.x.clone(), p.a.clone(), WeightLayout::InOut, None, Precision::F32)
        };
        group.bench_function(format!("forward/{name}"), |b| b.iter(|| black_box(run(&plain))));
        group.bench_function(format!("forward and backward/{name}"), |b| {
            b.iter(|| black_box(run(&tracked).sum().backward()));
        });
    }
    group.finish();
}

criterion_group!(benches, projection, decoding, small);
criterion_main!(benches);
