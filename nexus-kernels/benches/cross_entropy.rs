//! Fused linear + cross-entropy, fast against the reference, and in bf16: `cargo bench -p nexus-kernels --bench cross_entropy`.

use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use nexus_kernels::{Precision, WeightLayout, linear_cross_entropy, reference};
use std::hint::black_box;
use std::time::Duration;

const N: usize = 2048;
const WIDTH: usize = 512;
const VOCABULARY: usize = 8192;

fn cross_entropy(c: &mut Criterion) {
    let mut group = c.benchmark_group("cross_entropy");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    let device = Device::flex().autodiff();
    let random =
        |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Uniform(-1.0, 1.0), &device);
    let hidden = random([N, WIDTH]).require_grad();
    let targets: Vec<i32> = (0..N).map(|i| (i * 7919 % VOCABULARY) as i32).collect();
    for (layout, shape) in
        [(WeightLayout::InOut, [WIDTH, VOCABULARY]), (WeightLayout::OutIn, [VOCABULARY, WIDTH])]
    {
        let frozen = random(shape) * 0.1;
        let tracked = frozen.clone().detach().require_grad();
        let half = frozen.clone().cast(FloatDType::BF16);
        type Op = fn(Tensor<2>, Tensor<2>, WeightLayout, &[i32], Precision) -> Tensor<1>;
        for (name, op, weight, precision) in [
            ("frozen/reference", reference::linear_cross_entropy as Op, &frozen, Precision::F32),
            ("frozen/f32", linear_cross_entropy, &frozen, Precision::F32),
            ("frozen/bf16 weight", linear_cross_entropy, &half, Precision::Bf16),
            ("tracked/reference", reference::linear_cross_entropy, &tracked, Precision::F32),
            ("tracked/f32", linear_cross_entropy, &tracked, Precision::F32),
            ("tracked/bf16", linear_cross_entropy, &tracked, Precision::Bf16),
        ] {
            group.bench_function(format!("{layout:?} {name}"), |b| {
                b.iter(|| {
                    let loss = op(hidden.clone(), weight.clone(), layout, &targets, precision);
                    black_box((loss / N as f64).backward())
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, cross_entropy);
criterion_main!(benches);
