//! The element-wise ops, the norms and the optimizer step: fast path against reference, in one run.
//!
//! `cargo bench -p nexus-kernels --bench elementwise`

use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use nexus_kernels::reference::{
    adamw_step as adamw_step_reference, embedding as embedding_reference,
    gelu_erf as gelu_erf_reference, gelu_tanh as gelu_tanh_reference,
    layer_norm as layer_norm_reference, rms_norm as rms_norm_reference,
    sum_squares as sum_squares_reference, swiglu as swiglu_reference,
};
use nexus_kernels::{
    AdamWStep, adamw_step, embedding, gelu_erf, gelu_tanh, layer_norm, rms_norm, sum_squares,
    swiglu,
};
use std::hint::black_box;
use std::time::Duration;

/// Batch 8 of 256 tokens.
const ROWS: [usize; 2] = [8, 256];

/// An op of `N` tensors, and its name.
type Named<'a, const N: usize> = (&'a str, &'a dyn Fn([Tensor<3>; N]) -> Tensor<3>);

fn device() -> Device {
    Device::flex().autodiff()
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device())
}

/// Times `op` forward, without a graph, and forward with backward. The inputs in a graph are no leaves, as in a model.
fn differentiable<const N: usize>(c: &mut Criterion, name: &str, size: usize, ops: &[Named<N>]) {
    let mut group = c.benchmark_group(name);
    let inputs: [Tensor<3>; N] = std::array::from_fn(|_| random([ROWS[0], ROWS[1], size]));
    for (kind, op) in ops {
        group.bench_function(format!("forward/{kind}"), |b| {
            let inputs = inputs.clone().map(Tensor::inner);
            b.iter(|| black_box(op(inputs.clone())));
        });
    }
    let grad = random([ROWS[0], ROWS[1], size]);
    for (kind, op) in ops {
        group.bench_function(format!("forward_backward/{kind}"), |b| {
            let prepare = || {
                let inputs = inputs.clone().map(|x| x.require_grad() * 1.0);
                (inputs, grad.clone())
            };
            let run = |(inputs, grad): ([Tensor<3>; N], Tensor<3>)| {
                black_box((op(inputs) * grad).sum().backward())
            };
            b.iter_batched(prepare, run, BatchSize::LargeInput);
        });
    }
    // What the loop above does besides the op.
    group.bench_function("forward_backward/loop", |b| {
        let prepare = || {
            let inputs = inputs.clone().map(|x| x.require_grad() * 1.0);
            (inputs, grad.clone())
        };
        let run = |(inputs, grad): ([Tensor<3>; N], Tensor<3>)| {
            let [first, ..] = inputs.as_slice() else { unreachable!("N > 0") };
            black_box((first.clone() * grad).sum().backward())
        };
        b.iter_batched(prepare, run, BatchSize::LargeInput);
    });
    group.finish();
}

fn activations(c: &mut Criterion) {
    differentiable::<2>(
        c,
        "swiglu",
        1376,
        &[
            ("fast", &|[gate, up]| swiglu(gate, up)),
            ("reference", &|[gate, up]| swiglu_reference(gate, up)),
        ],
    );
    let erf: [Named<1>; 2] =
        [("fast", &|[x]| gelu_erf(x)), ("reference", &|[x]| gelu_erf_reference(x))];
    differentiable::<1>(c, "gelu_erf", 1376, &erf);
    let tanh: [Named<1>; 2] =
        [("fast", &|[x]| gelu_tanh(x)), ("reference", &|[x]| gelu_tanh_reference(x))];
    differentiable::<1>(c, "gelu_tanh", 1376, &tanh);
}

fn norms(c: &mut Criterion) {
    const SIZE: usize = 512;
    const EPS: f64 = 1e-6;
    for (name, trained) in [("frozen", false), ("trained", true)] {
        let parameter = || {
            let parameter: Tensor<1> = random([SIZE]);
            if trained { parameter.require_grad() } else { parameter.inner() }
        };
        let (weight, bias) = (&parameter(), &parameter());
        differentiable::<1>(
            c,
            &format!("rms_norm_{name}"),
            SIZE,
            &[
                ("fast", &|[x]| rms_norm(x, weight.clone(), EPS)),
                ("reference", &|[x]| rms_norm_reference(x, weight.clone(), EPS)),
            ],
        );
        differentiable::<1>(
            c,
            &format!("layer_norm_{name}"),
            SIZE,
            &[
                ("fast", &|[x]| layer_norm(x, weight.clone(), bias.clone(), EPS)),
                ("reference", &|[x]| layer_norm_reference(x, weight.clone(), bias.clone(), EPS)),
            ],
        );
    }
}

/// 2,048 tokens of BERT's vocabulary.
fn tables(c: &mut Criterion) {
    let mut group = c.benchmark_group("embedding_30522x768");
    let table: Tensor<2> = random([30_522, 768]);
    let ids: Vec<i32> = (0..2048).map(|i| i * 7919 % 30_522).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [8, 256]), &device());
    let grad: Tensor<3> = random([8, 256, 768]);
    type Op = fn(Tensor<2>, Tensor<2, Int>) -> Tensor<3>;
    for (kind, op) in [("fast", embedding as Op), ("reference", embedding_reference)] {
        group.bench_function(format!("forward/{kind}"), |b| {
            let table = table.clone().inner();
            b.iter(|| black_box(op(table.clone(), ids.clone())));
        });
        group.bench_function(format!("forward_backward/{kind}"), |b| {
            let table = table.clone().require_grad();
            b.iter(|| black_box((op(table.clone(), ids.clone()) * grad.clone()).sum().backward()));
        });
    }
    group.finish();
}

fn optimizer(c: &mut Criterion) {
    let mut group = c.benchmark_group("adamw_33M");
    let step = AdamWStep {
        lr: 3e-4,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.1,
        bias_correction1: 0.1,
        bias_correction2_sqrt: 0.03,
        grad_scale: 0.5,
    };
    let shape = [33_000, 1000];
    let random = || random(shape).inner();
    let (grad, second) = (random(), random().abs());
    type Matrix = Tensor<2>;
    type Op = fn(Matrix, Matrix, Matrix, Matrix, AdamWStep) -> (Matrix, Matrix, Matrix);
    let ops: [(&str, Op); 2] = [("fast", adamw_step), ("reference", adamw_step_reference)];
    for (kind, op) in ops {
        let mut state = Some((random(), random(), second.clone() * 1.0));
        group.bench_function(kind, |b| {
            b.iter(|| {
                let (param, first, second) = state.take().expect("put back below");
                state = Some(op(param, grad.clone(), first, second, step));
            });
        });
    }
    group.bench_function("sum_squares/fast", |b| b.iter(|| black_box(sum_squares(grad.clone()))));
    group.bench_function("sum_squares/reference", |b| {
        b.iter(|| black_box(sum_squares_reference(grad.clone())));
    });
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! {
    name = benches;
    config = short();
    targets = activations, norms, tables, optimizer
}
criterion_main!(benches);
