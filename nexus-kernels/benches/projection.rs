//! The low-rank projection of a LLaMA-shaped MLP, fast against the reference: `cargo bench -p nexus-kernels --bench
//! projection`.

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use nexus_kernels::{WeightLayout, linear, low_rank_linear, reference};
use std::hint::black_box;
use std::time::Duration;

const N: usize = 2048;
const INPUTS: usize = 512;
const OUTPUTS: usize = 1376;
const RANK: usize = 8;

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
    let ops = [
        ("reference", reference::low_rank_linear as fn(_, _, _, _, _, _, _) -> _),
        ("fast", low_rank_linear),
    ];
    let run = |op: fn(_, _, _, _, _, _, _) -> Tensor<2>, p: &Parts| {
        op(p.x.clone(), p.weight.clone(), None, p.a.clone(), p.b.clone(), 2.0, None)
    };
    for (name, op) in ops {
        group.bench_function(format!("low rank forward/{name}"), |b| {
            b.iter(|| black_box(run(op, &plain)))
        });
    }
    for (name, op) in ops {
        group.bench_function(format!("low rank forward and backward/{name}"), |b| {
            b.iter(|| {
                // The gradient of y is handed on as it is: y has a single use.
                let y = run(op, &tracked);
                black_box((y * tracked.dy.clone()).sum().backward())
            });
        });
    }
    let ops = [("reference", reference::linear as fn(_, _, _, _) -> _), ("fast", linear)];
    let bias = Tensor::<1>::ones([OUTPUTS], &tracked.x.device()).require_grad();
    for (name, op) in ops {
        group.bench_function(format!("linear, all tracked, forward and backward/{name}"), |b| {
            let weight = tracked.weight.clone().require_grad();
            b.iter(|| {
                let y: Tensor<2> =
                    op(tracked.x.clone(), weight.clone(), WeightLayout::InOut, Some(bias.clone()));
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

criterion_group!(benches, projection);
criterion_main!(benches);
