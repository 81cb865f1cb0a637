//! Attention, fast path against reference: forward, and forward with backward.

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use nexus_kernels::reference::attention as attention_reference;
use nexus_kernels::{AttentionConfig, AttentionContext, attention};
use std::hint::black_box;
use std::time::Duration;

fn bench(criterion: &mut Criterion) {
    let config = AttentionConfig::new(8, 8, 64);
    for (batch, time) in [(8, 256), (1, 2048)] {
        let mut group = criterion.benchmark_group(format!("attention B {batch} T {time}"));
        group.sample_size(10).warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_millis(1500));
        for (name, op) in [("fast", attention as Op), ("reference", attention_reference)] {
            for tracked in [false, true] {
                let device = if tracked { Device::flex().autodiff() } else { Device::flex() };
                let input = || {
                    let x = Tensor::<3>::random(
                        [batch, time, 512],
                        Distribution::Uniform(-1.0, 1.0),
                        &device,
                    );
                    if tracked { x.require_grad() } else { x }
                };
                let (q, k, v) = (input(), input(), input());
                let table =
                    || Tensor::<2>::random([time, 32], Distribution::Uniform(-1.0, 1.0), &device);
                let (cos, sin) = (table(), table());
                let pass = if tracked { "forward+backward" } else { "forward" };
                group.bench_function(format!("{name} {pass}"), |bencher| {
                    bencher.iter(|| {
                        let rotary = Some((cos.clone(), sin.clone()));
                        let context = AttentionContext { rotary, ..Default::default() };
                        let out = op(q.clone(), k.clone(), v.clone(), &context, config);
                        if tracked {
                            black_box(out.sum().backward());
                        } else {
                            black_box(out);
                        }
                    });
                });
            }
        }
    }
}

type Op = fn(Tensor<3>, Tensor<3>, Tensor<3>, &AttentionContext, AttentionConfig) -> Tensor<3>;

criterion_group!(benches, bench);
criterion_main!(benches);
