//! Every op of nexus-kernels on the device that `NEXUS_TEST_DEVICE` names (`flex` without it) against its reference on the
//! CPU: results and gradients.

use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use nexus_kernels::{
    AdamWStep, AttentionConfig, AttentionContext, Precision, WeightLayout, adamw_step, attention,
    embedding, gelu_erf, gelu_tanh, layer_norm, linear, linear_cross_entropy, low_rank_linear,
    reference, rms_norm, select_rows, sum_squares, swiglu, token_log_probabilities,
};
use std::sync::Arc;

/// Sums of f32 in another order, and functions of the device's own: of the largest element, or of 0.1.
const TOLERANCE: f32 = 1e-5;

const EPS: f64 = 1e-6;
const ROWS: [usize; 2] = [2, 19];
const WIDTH: usize = 48;

fn device() -> Device {
    let name = std::env::var("NEXUS_TEST_DEVICE").unwrap_or_else(|_| "flex".into());
    nexus_core::device(&name).unwrap().autodiff()
}

/// Numbers in -scale..scale that look random.
fn tensor<const D: usize>(
    shape: [usize; D],
    scale: f64,
    seed: usize,
    device: &Device,
) -> Tensor<D> {
    let number = |i: usize| (i * 7 + seed * 13) as f64 * 0.618_033_988_75 % 1.0 * 2.0 - 1.0;
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (number(i + 1) * scale) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn gradient<const D: usize>(of: &Tensor<D>, grads: &Gradients) -> Vec<f32> {
    values(of.grad(grads).unwrap())
}

fn backward<const D: usize>(y: &Tensor<D>) -> Gradients {
    (y.clone() * tensor(y.dims(), 1.0, 99, &y.device())).sum().backward()
}

/// `run` gives on the device what `reference` gives on the CPU.
#[track_caller]
fn agree(run: impl Fn(&Device) -> Vec<Vec<f32>>, reference: impl Fn(&Device) -> Vec<Vec<f32>>) {
    let (found, expected) = (run(&device()), reference(&Device::flex().autodiff()));
    assert_eq!(found.len(), expected.len());
    for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().fold(0.1f32, |most, value| most.max(value.abs()));
        let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs() / largest);
        // A NaN is the largest of all.
        let off = off.max_by(f32::total_cmp).unwrap();
        assert!(off <= TOLERANCE, "result {which} is off by {off:e} of its largest element");
    }
}

/// The result and the gradients of an op of `N` tensors `[B, T, D]`.
fn of_rows<const N: usize>(
    op: impl Fn([Tensor<3>; N]) -> Tensor<3>,
    scale: f64,
) -> impl Fn(&Device) -> Vec<Vec<f32>> {
    move |device| {
        let shape = [ROWS[0], ROWS[1], WIDTH];
        let inputs: [Tensor<3>; N] =
            std::array::from_fn(|i| tensor(shape, scale, i, device).require_grad());
        let y = op(inputs.clone());
        let grads = backward(&y);
        [vec![values(y)], inputs.iter().map(|x| gradient(x, &grads)).collect()].concat()
    }
}

#[test]
fn activations() {
    for scale in [1e-3, 1.0, 12.0] {
        agree(of_rows(|[x]| gelu_erf(x), scale), of_rows(|[x]| reference::gelu_erf(x), scale));
        agree(of_rows(|[x]| gelu_tanh(x), scale), of_rows(|[x]| reference::gelu_tanh(x), scale));
        let of_reference = of_rows(|[gate, up]| reference::swiglu(gate, up), scale);
        agree(of_rows(|[gate, up]| swiglu(gate, up), scale), of_reference);
    }
}

#[test]
fn norms() {
    type RmsNorm = fn(Tensor<3>, Tensor<1>, f64) -> Tensor<3>;
    type LayerNorm = fn(Tensor<3>, Tensor<1>, Tensor<1>, f64) -> Tensor<3>;
    let rms = |op: RmsNorm| {
        move |device: &Device| {
            let x = tensor([ROWS[0], ROWS[1], WIDTH], 2.0, 1, device).require_grad();
            let weight = tensor([WIDTH], 1.0, 2, device).require_grad();
            let y = op(x.clone(), weight.clone(), EPS);
            let grads = backward(&y);
            vec![values(y), gradient(&x, &grads), gradient(&weight, &grads)]
        }
    };
    agree(rms(rms_norm), rms(reference::rms_norm));
    let layer = |op: LayerNorm| {
        move |device: &Device| {
            let x = tensor([ROWS[0], ROWS[1], WIDTH], 2.0, 1, device).require_grad();
            let weight = tensor([WIDTH], 1.0, 2, device).require_grad();
            let bias = tensor([WIDTH], 1.0, 3, device).require_grad();
            let y = op(x.clone(), weight.clone(), bias.clone(), EPS);
            let grads = backward(&y);
            let gradients = [gradient(&weight, &grads), gradient(&bias, &grads)];
            [vec![values(y), gradient(&x, &grads)], gradients.into()].concat()
        }
    };
    agree(layer(layer_norm), layer(reference::layer_norm));
}

#[test]
fn projections() {
    type Linear = fn(Tensor<2>, Tensor<2>, WeightLayout, Option<Tensor<1>>, Precision) -> Tensor<2>;
    const OUTPUTS: usize = 40;
    let plain = |op: Linear, layout, shape| {
        move |device: &Device| {
            let x = tensor([37, WIDTH], 1.0, 1, device).require_grad();
            let weight = tensor(shape, 1.0, 2, device).require_grad();
            let bias = tensor([OUTPUTS], 1.0, 3, device).require_grad();
            let y = op(x.clone(), weight.clone(), layout, Some(bias.clone()), Precision::F32);
            let grads = backward(&y);
            let gradients = [gradient(&x, &grads), gradient(&weight, &grads)];
            [vec![values(y), gradient(&bias, &grads)], gradients.into()].concat()
        }
    };
    for (layout, shape) in
        [(WeightLayout::InOut, [WIDTH, OUTPUTS]), (WeightLayout::OutIn, [OUTPUTS, WIDTH])]
    {
        agree(plain(linear, layout, shape), plain(reference::linear, layout, shape));
    }
    let low_rank = |fast: bool| {
        move |device: &Device| {
            let x = tensor([37, WIDTH], 1.0, 1, device).require_grad();
            let weight = tensor([WIDTH, OUTPUTS], 1.0, 2, device);
            let a = tensor([WIDTH, 4], 1.0, 3, device).require_grad();
            let b = tensor([4, OUTPUTS], 1.0, 4, device).require_grad();
            let op = if fast { low_rank_linear } else { reference::low_rank_linear };
            let y = op(x.clone(), weight, None, a.clone(), b.clone(), 2.0, None, Precision::F32);
            let grads = backward(&y);
            let gradients = [&x, &a, &b].map(|of| gradient(of, &grads));
            [vec![values(y)], gradients.into()].concat()
        }
    };
    agree(low_rank(true), low_rank(false));
}

#[test]
fn cross_entropy() {
    const VOCABULARY: usize = 61;
    let targets: Vec<i32> = (0..37).map(|i| i * 11 % VOCABULARY as i32).collect();
    for (layout, shape) in
        [(WeightLayout::InOut, [WIDTH, VOCABULARY]), (WeightLayout::OutIn, [VOCABULARY, WIDTH])]
    {
        let targets = &targets;
        let run = |fast: bool| {
            move |device: &Device| {
                let hidden = tensor([37, WIDTH], 1.0, 1, device).require_grad();
                let weight = tensor(shape, 1.0, 2, device).require_grad();
                let (loss, each) = match fast {
                    true => (
                        linear_cross_entropy as fn(_, _, _, &[i32], _) -> Tensor<1>,
                        token_log_probabilities as fn(_, _, _, &[i32], _) -> Vec<f32>,
                    ),
                    false => (
                        reference::linear_cross_entropy as _,
                        reference::token_log_probabilities as _,
                    ),
                };
                let precision = Precision::F32;
                let y = loss(hidden.clone(), weight.clone(), layout, targets, precision);
                let grads = y.clone().sum().backward();
                let each = each(hidden.clone(), weight.clone(), layout, targets, precision);
                vec![values(y), gradient(&hidden, &grads), gradient(&weight, &grads), each]
            }
        };
        agree(run(true), run(false));
    }
}

#[test]
fn attentions() {
    const TIME: usize = 19;
    let causal = AttentionConfig::new(4, 2, 12);
    let both = AttentionConfig::new(2, 2, 12).bidirectional();
    // Rotary positions, padding, a bias.
    let cases = [
        (causal, true, false, false),
        (causal.with_window(Some(5)), true, true, false),
        (both, false, true, false),
        (both, false, false, true),
    ];
    for (config, rotary, padded, biased) in cases {
        let run = |fast: bool| {
            move |device: &Device| {
                let input = |heads: usize, seed| {
                    tensor([2, TIME, heads * config.head_dim], 1.0, seed, device).require_grad()
                };
                let inputs =
                    [input(config.heads, 1), input(config.kv_heads, 2), input(config.kv_heads, 3)];
                let half = [TIME, config.head_dim / 2];
                let context = AttentionContext {
                    rotary: rotary.then(|| {
                        let angle = tensor(half, 3.0, 4, device);
                        (angle.clone().cos(), angle.sin())
                    }),
                    keys: padded.then(|| Arc::new(vec![(0, TIME), (0, 11)])),
                    bias: biased.then(|| tensor([config.heads, TIME, TIME], 1.0, 5, device)),
                    packed: None,
                };
                let op = if fast { attention } else { reference::attention };
                let [query, key, value] = inputs.clone();
                let y = op(query, key, value, &context, config);
                let grads = backward(&y);
                [vec![values(y)], inputs.iter().map(|x| gradient(x, &grads)).collect()].concat()
            }
        };
        agree(run(true), run(false));
    }
}

#[test]
fn rows_of_tables() {
    let ids: Vec<i32> = (0..38).map(|i| i * i % 23).collect();
    let run = |fast: bool| {
        let ids = &ids;
        move |device: &Device| {
            let table = tensor([23, WIDTH], 1.0, 1, device).require_grad();
            let select = if fast { select_rows } else { reference::select_rows };
            let y = select(table.clone(), ids);
            let selected = gradient(&table, &backward(&y));
            let look_up = if fast { embedding } else { reference::embedding };
            let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.clone(), [2, 19]), device);
            let z = look_up(table.clone(), ids);
            let looked_up = gradient(&table, &backward(&z));
            vec![values(y), selected, values(z), looked_up]
        }
    };
    agree(run(true), run(false));
}

#[test]
fn optimizer_step() {
    let step = AdamWStep {
        lr: 1e-2,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.1,
        bias_correction1: 0.1,
        bias_correction2_sqrt: 0.03,
        grad_scale: 0.5,
    };
    let run = |fast: bool| {
        move |device: &Device| {
            let device = &device.clone().inner();
            let of = |seed| tensor([17, WIDTH], 1.0, seed, device);
            let op = if fast { adamw_step } else { reference::adamw_step };
            let (param, first, second) = op(of(1), of(2), of(3), of(4).abs(), step);
            let squares = if fast { sum_squares(of(5)) } else { reference::sum_squares(of(5)) };
            vec![values(param), values(first), values(second), vec![squares as f32]]
        }
    };
    agree(run(true), run(false));
}
