//! Attention, fast path in f32 and bf16 against the reference: forward, and forward with backward.

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use nexus_kernels::reference::attention as attention_reference;
use nexus_kernels::{AttentionConfig, AttentionContext, Precision, attention};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// Causal with rotary positions, as decoders.
fn causal(criterion: &mut Criterion) {
    let config = AttentionConfig::new(8, 8, 64);
    for [batch, time] in [[8, 256], [1, 2048]] {
        let context = |device: &Device| AttentionContext {
            rotary: Some((random([time, 32], device), random([time, 32], device))),
            ..Default::default()
        };
        bench(criterion, &format!("attention B {batch} T {time}"), [batch, time], config, context);
    }
}

/// Bidirectional with padding behind sequences of 128, 124, ... 68 tokens, as encoders.
fn bidirectional(criterion: &mut Criterion) {
    let config = AttentionConfig::new(12, 12, 64).bidirectional();
    let keys = Arc::new((0..16).map(|entry| (0, 128 - 4 * entry)).collect());
    let context =
        |_: &Device| AttentionContext { keys: Some(Arc::clone(&keys)), ..Default::default() };
    bench(criterion, "bidirectional attention B 16 T 128", [16, 128], config, context);
}

fn bench(
    criterion: &mut Criterion,
    name: &str,
    [batch, time]: [usize; 2],
    config: AttentionConfig,
    context: impl Fn(&Device) -> AttentionContext,
) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(1500));
    for (name, op, precision) in [
        ("fast", attention as Op, Precision::F32),
        ("fast bf16", attention, Precision::Bf16),
        ("reference", attention_reference, Precision::F32),
    ] {
        let config = config.with_precision(precision);
        for tracked in [false, true] {
            let device = if tracked { Device::flex().autodiff() } else { Device::flex() };
            let input = || {
                let x = random([batch, time, config.heads * config.head_dim], &device);
                if tracked { x.require_grad() } else { x }
            };
            let (q, k, v) = (input(), input(), input());
            let context = context(&device);
            let pass = if tracked { "forward+backward" } else { "forward" };
            group.bench_function(format!("{name} {pass}"), |bencher| {
                bencher.iter(|| {
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

fn random<const D: usize>(dims: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(dims, Distribution::Uniform(-1.0, 1.0), device)
}

type Op = fn(Tensor<3>, Tensor<3>, Tensor<3>, &AttentionContext, AttentionConfig) -> Tensor<3>;

criterion_group!(benches, causal, bidirectional);
criterion_main!(benches);
