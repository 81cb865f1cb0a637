//! Attention that is bidirectional, has padding or a bias: the fast path against the reference, the reference against
//! loops in f64.

mod agreement;

use agreement::{numbers, on_threads};
use burn::tensor::{DType, Device, Tensor, TensorData};
use nexus_kernels::reference::attention as attention_reference;
use nexus_kernels::{AttentionConfig, AttentionContext, attention, attention_fused};
use std::sync::Arc;

/// Largest difference allowed, relative to the largest element (or to [`FLOOR`], for gradients that are rounding only:
/// a query that sees one key has none).
const TOLERANCE: f64 = 1e-5;
const FLOOR: f64 = 0.1;

const PARTS: [&str; 5] = ["out", "dq", "dk", "dv", "dbias"];

#[derive(Clone)]
struct Case {
    /// `[B, T, S]`.
    dims: [usize; 3],
    config: AttentionConfig,
    ranges: Option<Vec<(usize, usize)>>,
    rotary: bool,
    bias: bool,
}

impl Case {
    fn new(dims: [usize; 3], config: AttentionConfig) -> Self {
        Self { dims, config, ranges: None, rotary: false, bias: false }
    }

    fn bidirectional(dims: [usize; 3], heads: usize, kv_heads: usize, dim: usize) -> Self {
        Self::new(dims, AttentionConfig::new(heads, kv_heads, dim).bidirectional())
    }

    fn ranges(self, ranges: &[(usize, usize)]) -> Self {
        Self { ranges: Some(ranges.to_vec()), ..self }
    }

    fn bias(self) -> Self {
        Self { bias: true, ..self }
    }

    fn rotary(self) -> Self {
        Self { rotary: true, ..self }
    }

    fn name(&self) -> String {
        let Self { dims, config, ranges, rotary, bias } = self;
        format!("{dims:?} {config:?} {ranges:?} rotary {rotary} bias {bias}")
    }

    /// Shapes of query, key, value and bias.
    fn shapes(&self) -> [[usize; 3]; 4] {
        let [batch, time, keys] = self.dims;
        let AttentionConfig { heads, kv_heads, head_dim, .. } = self.config;
        let kv = [batch, keys, kv_heads * head_dim];
        [[batch, time, heads * head_dim], kv, kv, [heads, time, keys]]
    }

    /// Query, key, value and bias.
    fn data(&self) -> [Vec<f32>; 4] {
        let shapes = self.shapes();
        // Queries and keys large enough for peaked distributions, scores of a few at most whatever the scale.
        let spread = 2.0 * (self.config.scale.powi(-2) / self.config.head_dim as f64).powf(0.25);
        let sizes = [spread as f32, spread as f32, 1.0, 2.0];
        std::array::from_fn(|i| numbers(shapes[i].iter().product(), 1 + i as u64, sizes[i]))
    }

    /// Weights of the output in the loss.
    fn weights(&self) -> Vec<f32> {
        numbers(self.shapes()[0].iter().product(), 9, 1.0)
    }

    fn tensors(&self, device: &Device) -> [Tensor<3>; 4] {
        let (mut data, shapes) = (self.data(), self.shapes());
        std::array::from_fn(|i| tensor(std::mem::take(&mut data[i]), shapes[i], device))
    }

    fn context(&self, bias: Tensor<3>, device: &Device) -> AttentionContext {
        let [_, time, _] = self.dims;
        let half = self.config.head_dim / 2;
        let table = |seed| {
            let data = TensorData::new(numbers(time * half, seed, 1.0), [time, half]);
            Tensor::from_data(data, device)
        };
        AttentionContext {
            rotary: self.rotary.then(|| (table(5), table(6))),
            keys: self.ranges.clone().map(Arc::new),
            bias: self.bias.then_some(bias),
            packed: None,
        }
    }

    /// The keys that a query sees.
    fn seen(&self, entry: usize, query: usize) -> Vec<usize> {
        let AttentionConfig { window, offset, causal, .. } = self.config;
        let range = self.ranges.as_ref().map_or((0, self.dims[2]), |ranges| ranges[entry]);
        (range.0..range.1)
            .filter(|&key| {
                let at = query + offset;
                !causal || key <= at && window.is_none_or(|window| at < key + window)
            })
            .collect()
    }
}

fn tensor<const D: usize>(values: Vec<f32>, dims: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, dims), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn agree(what: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    for (i, (&a, b)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(a) - b).abs();
        assert!(
            difference <= TOLERANCE * largest.max(FLOOR),
            "{what}[{i}]: {a} instead of {b}, largest {largest}"
        );
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

type Op = fn(Tensor<3>, Tensor<3>, Tensor<3>, &AttentionContext, AttentionConfig) -> Tensor<3>;

/// Output and the gradients of query, key, value and bias that are tracked.
fn run(op: Op, case: &Case, tracked: [bool; 4]) -> Vec<Vec<f32>> {
    let device = Device::flex().autodiff();
    let mut tensors = case.tensors(&device);
    for (tensor, tracked) in tensors.iter_mut().zip(tracked) {
        if tracked {
            *tensor = tensor.clone().require_grad();
        }
    }
    let [q, k, v, bias] = tensors.clone();
    let out = op(q, k, v, &case.context(bias, &device), case.config);
    let grads = (out.clone() * tensor(case.weights(), out.dims(), &device)).sum().backward();
    let mut results = vec![values(out)];
    for tensor in &tensors {
        if let Some(gradient) = tensor.grad(&grads) {
            assert_eq!(gradient.dims(), tensor.dims());
            results.push(values(gradient));
        }
    }
    results
}

fn fused(case: &Case) -> Vec<Vec<f32>> {
    let device = Device::flex().autodiff();
    let [q, k, v, bias] = case.tensors(&device);
    let inputs = Tensor::cat(vec![q, k, v], 2).require_grad();
    let bias = bias.require_grad();
    let out = attention_fused(inputs.clone(), &case.context(bias.clone(), &device), case.config);
    let grads = (out.clone() * tensor(case.weights(), out.dims(), &device)).sum().backward();
    let gradient = inputs.grad(&grads).unwrap();
    let AttentionConfig { heads, kv_heads, head_dim, .. } = case.config;
    let (q, kv) = (heads * head_dim, kv_heads * head_dim);
    let mut results = vec![values(out)];
    for (from, width) in [(0, q), (q, kv), (q + kv, kv)] {
        results.push(values(gradient.clone().narrow(2, from, width)));
    }
    results.extend(bias.grad(&grads).map(values));
    results
}

/// Output and gradients by loops, without rotary positions.
fn loops(case: &Case) -> [Vec<f64>; 5] {
    let [batch, time, keys] = case.dims;
    let AttentionConfig { heads, kv_heads, head_dim: dim, scale, .. } = case.config;
    let [q, k, v, bias] = case.data().map(|x| wide(&x));
    let weights = wide(&case.weights());
    let mut results: [Vec<f64>; 5] =
        [0, 0, 1, 2, 3].map(|i| vec![0.0; case.shapes()[i].iter().product()]);
    let [out, dq, dk, dv, db] = &mut results;
    for (entry, head, query) in
        (0..batch * heads * time).map(|i| (i / (heads * time), i / time % heads, i % time))
    {
        let row = ((entry * time + query) * heads + head) * dim;
        let column =
            |key: usize| ((entry * keys + key) * kv_heads + head / (heads / kv_heads)) * dim;
        let at = |key: usize| (head * time + query) * keys + key;
        let seen = case.seen(entry, query);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let part = |x: &[f64], from: usize| x[from..from + dim].to_vec();
        let exps: Vec<f64> = seen
            .iter()
            .map(|&key| {
                let bias = if case.bias { bias[at(key)] } else { 0.0 };
                (scale * dot(&part(&q, row), &part(&k, column(key))) + bias).exp()
            })
            .collect();
        let total: f64 = exps.iter().sum();
        let changes: Vec<f64> =
            seen.iter().map(|&key| dot(&part(&weights, row), &part(&v, column(key)))).collect();
        let mean = dot(&exps, &changes) / total;
        for ((&key, exp), change) in seen.iter().zip(&exps).zip(&changes) {
            let p = exp / total;
            let ds = p * (change - mean);
            db[at(key)] += ds;
            for i in 0..dim {
                out[row + i] += p * v[column(key) + i];
                dv[column(key) + i] += p * weights[row + i];
                dq[row + i] += scale * ds * k[column(key) + i];
                dk[column(key) + i] += scale * ds * q[row + i];
            }
        }
    }
    results
}

/// The fast path against the reference, also fused where that is possible.
fn check(case: &Case) {
    let expected = run(attention_reference, case, [true; 4]);
    assert_eq!(expected.len(), if case.bias { 5 } else { 4 });
    let mut all = vec![("separate", run(attention, case, [true; 4]))];
    if case.dims[1] == case.dims[2] && case.config.offset == 0 {
        all.push(("fused", fused(case)));
    }
    for (path, found) in all {
        assert_eq!(found.len(), expected.len());
        for ((part, found), expected) in PARTS.iter().zip(&found).zip(&expected) {
            agree(&format!("{path} {part} of {}", case.name()), found, &wide(expected));
        }
    }
}

#[test]
fn loops_agree() {
    let causal = AttentionConfig::new(4, 2, 6);
    let padded = [(0, 7), (3, 20), (5, 5), (4, 9)];
    let cases = [
        Case::new([2, 5, 5], causal),
        Case::bidirectional([2, 5, 9], 4, 2, 6).bias(),
        Case::bidirectional([4, 20, 20], 4, 4, 5).ranges(&padded).bias(),
        Case::new([4, 20, 20], causal.with_scale(1.0)).ranges(&padded).bias(),
        Case::new([4, 20, 20], causal.with_window(Some(3))).ranges(&padded).bias(),
        Case::new([4, 6, 20], causal.with_offset(14)).ranges(&padded).bias(),
    ];
    for case in cases {
        let expected = loops(&case);
        assert!(expected[..4].iter().all(|x| x.iter().any(|x| x.abs() > 1e-2)), "tiny");
        for (path, op) in [("fast", attention as Op), ("reference", attention_reference)] {
            let found = run(op, &case, [true; 4]);
            for ((part, found), expected) in PARTS.iter().zip(&found).zip(&expected) {
                agree(&format!("{path} {part} of {}", case.name()), found, expected);
            }
        }
    }
}

#[test]
fn bidirectional() {
    for (heads, kv_heads, dim) in [(2, 2, 4), (4, 2, 20), (2, 1, 64), (1, 1, 80)] {
        for [time, keys] in [[1, 1], [1, 37], [5, 5], [16, 16], [65, 64], [70, 17], [49, 600]] {
            let case = Case::bidirectional([2, time, keys], heads, kv_heads, dim);
            check(&case);
            check(&case.clone().bias());
            if time == keys {
                check(&case.rotary());
            }
        }
    }
}

#[test]
fn padding() {
    // Right, left, in the middle, nothing but padding, one key, all.
    let ranges = [(0, 20), (37, 70), (15, 33), (9, 9), (69, 70), (0, 70)];
    for (heads, kv_heads, dim) in [(2, 2, 12), (4, 2, 32)] {
        let config = AttentionConfig::new(heads, kv_heads, dim);
        let offset = config.with_offset(63);
        for case in [
            Case::new([6, 70, 70], config.bidirectional()),
            Case::new([6, 70, 70], config.bidirectional()).rotary(),
            Case::new([6, 1, 70], config.bidirectional()),
            Case::new([6, 50, 70], config.bidirectional()),
            Case::new([6, 70, 70], config),
            Case::new([6, 70, 70], config).rotary(),
            Case::new([6, 70, 70], config.with_window(Some(5))),
            Case::new([6, 70, 70], config.with_window(Some(40))).rotary(),
            Case::new([6, 7, 70], offset),
            Case::new([6, 7, 70], offset.with_window(Some(5))),
            Case::new([6, 1, 70], config.with_offset(69)),
        ] {
            let case = case.ranges(&ranges);
            check(&case);
            check(&case.bias());
        }
    }
}

#[test]
fn bias_and_scale() {
    for scale in [1.0, 0.3] {
        let config = AttentionConfig::new(8, 2, 16).with_scale(scale);
        check(&Case::new([3, 70, 70], config).bias());
        check(&Case::new([3, 1, 40], config.with_offset(39)).bias());
        check(&Case::new([3, 65, 65], config.bidirectional()).bias());
    }
}

#[test]
fn long_sequences_use_several_blocks() {
    check(&Case::bidirectional([2, 60, 1300], 2, 1, 16).bias());
    check(&Case::bidirectional([2, 60, 1300], 2, 1, 16).ranges(&[(700, 1250), (3, 530)]).bias());
    let config = AttentionConfig::new(2, 1, 16).with_window(Some(600));
    check(&Case::new([2, 1100, 1100], config).ranges(&[(500, 1100), (0, 570)]).bias());
}

#[test]
fn queries_that_see_nothing_give_zeros() {
    let config = AttentionConfig::new(2, 1, 8);
    let case = Case::new([3, 60, 60], config).ranges(&[(50, 60), (0, 60), (7, 7)]).bias();
    for results in [run(attention, &case, [true; 4]), run(attention_reference, &case, [true; 4])] {
        assert!(results.iter().flatten().all(|x| x.is_finite()));
        let [out, dq, dk, dv, db] = results.try_into().unwrap();
        for entry in [0, 2] {
            let blind = if entry == 0 { 50 } else { 60 };
            let zeros = |x: &[f32], rows: usize, width: usize| {
                x[entry * 60 * width..][..rows * width].iter().all(|&x| x == 0.0)
            };
            assert!(zeros(&out, blind, 16) && zeros(&dq, blind, 16));
            assert!(zeros(&dk, blind, 8) && zeros(&dv, blind, 8));
        }
        assert!(db.iter().any(|&x| x != 0.0));
    }
}

#[test]
fn contents_of_padding_do_not_matter() {
    let device = Device::flex();
    let case = Case::bidirectional([2, 30, 40], 2, 2, 8).ranges(&[(0, 17), (21, 40)]);
    let [q, k, v, bias] = case.tensors(&device);
    let context = case.context(bias, &device);
    let other = |x: Tensor<3>, seed| {
        let mut data = values(x);
        for (i, noise) in numbers(data.len(), seed, 100.0).into_iter().enumerate() {
            let (entry, key) = (i / (40 * 16), i / 16 % 40);
            let padding = if entry == 0 { key >= 17 } else { key < 21 };
            if padding {
                data[i] = noise;
            }
        }
        tensor(data, [2, 40, 16], &device)
    };
    let expected = values(attention(q.clone(), k.clone(), v.clone(), &context, case.config));
    let found = values(attention(q, other(k, 21), other(v, 22), &context, case.config));
    assert_eq!(found, expected);
}

#[test]
fn bias_with_strides_and_without_hope() {
    let device = Device::flex();
    let case = Case::bidirectional([2, 9, 1100], 2, 2, 8).bias();
    let [q, k, v, bias] = case.tensors(&device);
    // Keys that the bias hides fill a whole block.
    let hidden = tensor::<3>(vec![f32::NEG_INFINITY; 2 * 9 * 600], [2, 9, 600], &device);
    let bias = Tensor::cat(vec![hidden, bias.narrow(2, 600, 500)], 2);
    let strided = values(bias.clone().permute([1, 2, 0]));
    let strided = tensor::<3>(strided, [9, 1100, 2], &device).permute([2, 0, 1]);
    let run = |op: Op, bias: Tensor<3>| {
        let context = AttentionContext { bias: Some(bias), ..Default::default() };
        values(op(q.clone(), k.clone(), v.clone(), &context, case.config))
    };
    let found = run(attention, bias.clone());
    agree("out", &found, &wide(&run(attention_reference, bias)));
    assert_eq!(run(attention, strided), found);
}

#[test]
fn gradients_of_some() {
    let case = Case::new([3, 40, 40], AttentionConfig::new(4, 2, 16)).rotary().bias();
    let case = case.ranges(&[(0, 40), (0, 11), (30, 40)]);
    let all = run(attention, &case, [true; 4]);
    for which in 0..4 {
        let some = run(attention, &case, std::array::from_fn(|i| i == which));
        assert_eq!(some.len(), 2);
        assert_eq!(some[0], all[0]);
        assert_eq!(some[1], all[1 + which]);
    }
    // A bias that is not trained changes no other gradient.
    assert_eq!(run(attention, &case, [true, true, true, false])[..], all[..4]);
    let device = Device::flex();
    let [q, k, v, bias] = case.tensors(&device);
    assert_eq!(values(attention(q, k, v, &case.context(bias, &device), case.config)), all[0]);
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let config = AttentionConfig::new(8, 4, 32);
    let ranges = [(0, 130), (0, 77), (100, 130), (4, 4)];
    let case = Case::new([4, 130, 130], config).ranges(&ranges);
    for case in [case.clone(), case.bias(), Case::bidirectional([4, 60, 130], 8, 4, 32).bias()] {
        let with = |threads| on_threads(threads, || run(attention, &case, [true; 4]));
        let one = with(1);
        assert!(one.iter().flatten().all(|x| x.is_finite()));
        assert!(one == with(2) && one == with(4));
    }
}

#[test]
fn other_float_types_take_the_reference() {
    let device = Device::flex();
    let case = Case::bidirectional([2, 9, 12], 2, 2, 8).ranges(&[(0, 5), (6, 6)]).bias();
    let [q, k, v, bias] = case.tensors(&device).map(|x| x.cast(DType::F64));
    let out = attention(q, k, v, &case.context(bias, &device), case.config);
    agree("out", &values(out.cast(DType::F32)), &loops(&case)[0]);
}

fn refused(config: AttentionConfig, context: AttentionContext) {
    let device = Device::flex();
    let x = || tensor::<3>(vec![0.0; 16], [1, 2, 8], &device);
    attention(x(), x(), x(), &context, config);
}

#[test]
#[should_panic = "neither cached positions nor a window"]
fn bidirectional_has_no_window() {
    let config = AttentionConfig::new(1, 1, 8).bidirectional().with_window(Some(1));
    refused(config, AttentionContext::default());
}

#[test]
#[should_panic = "ranges within the 2 keys"]
fn ranges_lie_within_the_keys() {
    let keys = Some(Arc::new(vec![(1, 3)]));
    refused(AttentionConfig::new(1, 1, 8), AttentionContext { keys, ..Default::default() });
}

#[test]
#[should_panic = "shape of the bias"]
fn bias_fits() {
    let bias = Some(tensor(vec![0.0; 2], [1, 1, 2], &Device::flex()));
    refused(AttentionConfig::new(1, 1, 8), AttentionContext { bias, ..Default::default() });
}
