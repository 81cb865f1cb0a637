//! Fused linear + cross-entropy, fast against the reference: `cargo bench -p nexus-kernels --bench cross_entropy`.

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use nexus_kernels::{WeightLayout, linear_cross_entropy, reference};
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
        for (what, weight) in [("frozen", frozen), ("tracked", tracked)] {
            for (name, op) in [
                ("reference", reference::linear_cross_entropy as fn(_, _, _, _) -> _),
                ("fast", linear_cross_entropy),
            ] {
                group.bench_function(format!("{layout:?} {what}/{name}"), |b| {
                    b.iter(|| {
                        let loss: Tensor<1> = op(hidden.clone(), weight.clone(), layout, &targets);
                        black_box((loss / N as f64).backward())
                    });
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, cross_entropy);
criterion_main!(benches);
