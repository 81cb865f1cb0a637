//! The fast path of attention against the reference: values, gradients, reproducibility.

use burn::tensor::{Device, Tensor, TensorData};
use nexus_kernels::reference::attention as attention_reference;
use nexus_kernels::{AttentionConfig, AttentionContext, attention, attention_fused};

/// Largest difference allowed, relative to the largest element (or to [`FLOOR`], for gradients that are rounding only:
/// a query that sees one key has none).
const TOLERANCE: f64 = 1e-5;
const FLOOR: f64 = 0.1;

struct Case {
    batch: usize,
    time: usize,
    config: AttentionConfig,
    rotary: bool,
}

impl Case {
    fn new(heads: usize, kv_heads: usize, dim: usize, time: usize, rotary: bool) -> Self {
        Self { batch: 2, time, config: AttentionConfig::new(heads, kv_heads, dim), rotary }
    }

    fn dims(&self) -> [[usize; 3]; 3] {
        let AttentionConfig { heads, kv_heads, head_dim, offset, .. } = self.config;
        let kv = [self.batch, offset + self.time, kv_heads * head_dim];
        [[self.batch, self.time, heads * head_dim], kv, kv]
    }

    fn inputs(&self, device: &Device) -> [Tensor<3>; 3] {
        let [q, k, v] = self.dims();
        // Queries and keys large enough for peaked distributions.
        [random(q, 1, 2.0, device), random(k, 2, 2.0, device), random(v, 3, 1.0, device)]
    }

    fn context(&self, device: &Device) -> AttentionContext {
        let half = self.config.head_dim / 2;
        let angles: Vec<f64> = (0..self.time)
            .flat_map(|t| (0..half).map(move |i| t as f64 * 1e4f64.powf(-(i as f64) / half as f64)))
            .collect();
        let tensor = |f: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|&a| f(a) as f32).collect();
            Tensor::from_data(TensorData::new(values, [self.time, half]), device)
        };
        let rotary = self.rotary.then(|| (tensor(f64::cos), tensor(f64::sin)));
        AttentionContext { rotary, ..Default::default() }
    }
}

/// Reproducible numbers in `-size .. size`.
fn random<const D: usize>(dims: [usize; D], seed: u64, size: f32, device: &Device) -> Tensor<D> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f32> = (0..dims.iter().product())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * size
        })
        .collect();
    Tensor::from_data(TensorData::new(values, dims), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn agree(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0, |m: f64, x| m.max(f64::from(x.abs())));
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let difference = f64::from((a - b).abs());
        assert!(
            difference <= TOLERANCE * largest.max(FLOOR),
            "{what}[{i}]: {a} instead of {b}, largest {largest}"
        );
    }
}

type Op = fn(Tensor<3>, Tensor<3>, Tensor<3>, &AttentionContext, AttentionConfig) -> Tensor<3>;

/// Output and the gradients of those inputs that are `tracked`, of the output's product with random numbers.
fn run(op: Op, case: &Case, tracked: [bool; 3]) -> Vec<Vec<f32>> {
    let device = Device::flex().autodiff();
    let inputs = case.inputs(&device);
    let mut tracked = tracked.iter();
    let inputs = inputs.map(|x| if *tracked.next().unwrap() { x.require_grad() } else { x });
    let [q, k, v] = inputs.clone();
    let out = op(q, k, v, &case.context(&device), case.config);
    let loss = (out.clone() * random(out.dims(), 4, 1.0, &device)).sum();
    let grads = loss.backward();
    let mut results = vec![values(out)];
    results.extend(inputs.iter().filter_map(|x| x.grad(&grads).map(values)));
    results
}

fn check(case: &Case, name: &str) {
    let found = run(attention, case, [true; 3]);
    let expected = run(attention_reference, case, [true; 3]);
    assert_eq!(found.len(), 4);
    for (part, (found, expected)) in
        ["out", "dq", "dk", "dv"].iter().zip(found.iter().zip(&expected))
    {
        assert!(case.time == 1 || expected.iter().any(|x| x.abs() > 1e-2), "{name} {part}: tiny");
        agree(&format!("{name} {part}"), found, expected);
    }
}

#[test]
fn agrees_with_the_reference() {
    for (heads, kv_heads) in [(2, 2), (8, 2)] {
        for dim in [4, 32, 64, 80] {
            for time in [1, 5, 64, 65, 257] {
                for rotary in [false, true] {
                    let case = Case::new(heads, kv_heads, dim, time, rotary);
                    check(&case, &format!("{heads}/{kv_heads} x {dim}, T {time}, {rotary}"));
                }
            }
        }
    }
}

#[test]
fn windows_and_offsets() {
    for (time, window, offset) in
        [(5, 5, 0), (65, 5, 0), (257, 5, 0), (257, 100, 0), (3, 5, 70), (1, 5, 9), (70, 64, 600)]
    {
        let mut case = Case::new(4, 2, 32, time, offset == 0);
        case.config = case.config.with_window(Some(window)).with_offset(offset);
        check(&case, &format!("T {time}, window {window}, offset {offset}"));
    }
    for (time, offset) in [(1, 30), (1, 700), (7, 513), (130, 64)] {
        let mut case = Case::new(4, 2, 32, time, false);
        case.config = case.config.with_offset(offset).with_scale(0.3);
        check(&case, &format!("T {time}, offset {offset}"));
    }
}

#[test]
fn long_sequences_use_several_blocks() {
    let mut case = Case::new(1, 1, 16, 1500, true);
    case.batch = 1;
    check(&case, "T 1500");
    case.config = case.config.with_window(Some(600));
    check(&case, "T 1500, window 600");
}

#[test]
fn parts_of_a_fused_projection() {
    let case = Case::new(4, 2, 32, 70, true);
    let (width, kv) = (128, 64);
    let fused = |op: Op| {
        let device = Device::flex().autodiff();
        let all = random([2, 70, width + 2 * kv], 5, 1.5, &device).require_grad();
        let part = |from, length| all.clone().narrow(2, from, length);
        let parts = [part(0, width), part(width, kv), part(width + kv, kv)];
        let [q, k, v] = parts;
        let out = op(q, k, v, &case.context(&device), case.config);
        // The gradient of a transpose arrives with strides of its own.
        let weights = random([70, 2, width], 6, 1.0, &device);
        let grads = (out.clone().swap_dims(0, 1) * weights).sum().backward();
        [values(out), values(all.grad(&grads).unwrap())]
    };
    let (found, expected) = (fused(attention), fused(attention_reference));
    agree("out", &found[0], &expected[0]);
    agree("gradient", &found[1], &expected[1]);
    // The same from one operation.
    let device = Device::flex().autodiff();
    let all = random([2, 70, width + 2 * kv], 5, 1.5, &device).require_grad();
    let out = attention_fused(all.clone(), &case.context(&device), case.config);
    let weights = random([70, 2, width], 6, 1.0, &device);
    let grads = (out.clone().swap_dims(0, 1) * weights).sum().backward();
    assert_eq!(values(out), found[0]);
    assert_eq!(values(all.grad(&grads).unwrap()), found[1]);
}

#[test]
fn inputs_with_strided_last_dimension() {
    let device = Device::flex();
    let case = Case::new(2, 2, 8, 9, false);
    let inputs = case.inputs(&device);
    let expected = values(attention_reference(
        inputs[0].clone(),
        inputs[1].clone(),
        inputs[2].clone(),
        &AttentionContext::default(),
        case.config,
    ));
    let [q, k, v] = inputs.map(|x| {
        let dims = x.dims();
        let flat = values(x.clone().swap_dims(1, 2));
        let data = TensorData::new(flat, [dims[0], dims[2], dims[1]]);
        Tensor::<3>::from_data(data, &device).swap_dims(1, 2)
    });
    agree("out", &values(attention(q, k, v, &AttentionContext::default(), case.config)), &expected);
}

#[test]
fn gradients_of_some_inputs() {
    let case = Case::new(4, 2, 32, 65, true);
    let all = run(attention, &case, [true; 3]);
    for tracked in [[true, false, false], [false, true, false], [false, false, true]] {
        let some = run(attention, &case, tracked);
        let which = tracked.iter().position(|t| *t).unwrap();
        assert_eq!(some.len(), 2);
        assert_eq!(some[0], all[0]);
        assert_eq!(some[1], all[1 + which]);
    }
    // Without autodiff the same values.
    let device = Device::flex();
    let [q, k, v] = case.inputs(&device);
    assert_eq!(values(attention(q, k, v, &case.context(&device), case.config)), all[0]);
}

#[test]
fn finite_differences() {
    let mut case = Case::new(2, 1, 4, 3, true);
    case.batch = 1;
    let device = Device::flex();
    let inputs = case.inputs(&device).map(|x| x * 0.5);
    let weights = random([1, 3, 8], 7, 1.0, &device);
    let loss = |inputs: &[Tensor<3>; 3]| {
        let [q, k, v] = inputs.clone();
        let out = attention(q, k, v, &case.context(&device), case.config);
        values(out * weights.clone()).iter().map(|x| f64::from(*x)).sum::<f64>()
    };
    let tracked = inputs
        .clone()
        .map(|x| Tensor::<3>::from_data(x.into_data(), &device.clone().autodiff()).require_grad());
    let [q, k, v] = tracked.clone();
    let autodiff = device.clone().autodiff();
    let out = attention(q, k, v, &case.context(&autodiff), case.config);
    let weight_data = Tensor::<3>::from_data(weights.clone().into_data(), &autodiff);
    let grads = (out * weight_data).sum().backward();
    for (which, tensor) in tracked.iter().enumerate() {
        let gradient = values(tensor.grad(&grads).unwrap());
        for (i, gradient) in gradient.into_iter().enumerate() {
            let shifted = |step: f32| {
                let mut inputs = inputs.clone();
                let dims = inputs[which].dims();
                let mut data = values(inputs[which].clone());
                data[i] += step;
                inputs[which] = Tensor::from_data(TensorData::new(data, dims), &device);
                loss(&inputs)
            };
            let slope = (shifted(1e-2) - shifted(-1e-2)) / 2e-2;
            let difference = (slope - f64::from(gradient)).abs();
            assert!(difference < 2e-4, "input {which}[{i}]: {gradient}, slope {slope}");
        }
    }
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let case = Case::new(8, 2, 64, 130, true);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(attention, &case, [true; 3]))
    };
    let one = with(1);
    assert!(one.iter().flatten().all(|x| x.is_finite()));
    assert!(one == with(2) && one == with(3));
}

#[test]
fn nan_is_not_hidden() {
    let case = Case::new(2, 2, 32, 20, false);
    let device = Device::flex();
    let [q, k, v] = case.inputs(&device);
    let mut data = values(q);
    data[3 * 64] = f32::NAN;
    let q = Tensor::from_data(TensorData::new(data, [2, 20, 64]), &device);
    let out = values(attention(q, k, v, &AttentionContext::default(), case.config));
    assert!(out[3 * 64..3 * 64 + 32].iter().all(|x| x.is_nan()));
    assert!(out[4 * 64..].iter().all(|x| x.is_finite()));
}

#[test]
fn other_float_types_take_the_reference() {
    let case = Case::new(2, 2, 8, 9, false);
    let device = Device::flex();
    let wide = case.inputs(&device).map(|x| x.cast(burn::tensor::DType::F64));
    let [q, k, v] = wide;
    let out = attention(q, k, v, &AttentionContext::default(), case.config);
    let [q, k, v] = case.inputs(&device);
    let expected = values(attention_reference(q, k, v, &AttentionContext::default(), case.config));
    agree("out", &values(out.cast(burn::tensor::DType::F32)), &expected);
}
