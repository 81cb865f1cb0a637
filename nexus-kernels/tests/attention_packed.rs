//! Attention over several sequences in one row: the same as over each of them by itself.

mod agreement;

use agreement::{numbers, on_threads};
use burn::tensor::{Device, Tensor, TensorData};
use nexus_kernels::reference::attention as attention_reference;
use nexus_kernels::{
    AttentionConfig, AttentionContext, Precision, attention, attention_fused, attention_packs,
};
use std::sync::Arc;

/// Largest difference allowed to the reference, relative to the largest element (or to 0.1).
const TOLERANCE: f64 = 1e-5;

/// One without rows, one below and one above a vector, one of several tiles.
const LENGTHS: [usize; 5] = [7, 0, 130, 1, 33];
const LONGEST: usize = 130;

struct Case {
    config: AttentionConfig,
    rotary: bool,
    bias: bool,
}

fn cases() -> Vec<Case> {
    let causal = AttentionConfig::new(4, 2, 16);
    let both = AttentionConfig::new(2, 2, 8).bidirectional();
    let case = |config, rotary, bias| Case { config, rotary, bias };
    vec![
        case(causal, true, false),
        case(causal.with_window(Some(9)), true, false),
        case(both, false, false),
        case(both, false, true),
        case(causal, true, true),
    ]
}

fn tensor<const D: usize>(values: Vec<f32>, dims: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, dims), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

type Op = fn(Tensor<3>, Tensor<3>, Tensor<3>, &AttentionContext, AttentionConfig) -> Tensor<3>;

impl Case {
    /// Query, key, value and bias, tracked.
    fn tensors(&self, device: &Device) -> [Tensor<3>; 4] {
        let AttentionConfig { heads, kv_heads, head_dim, .. } = self.config;
        let rows: usize = LENGTHS.iter().sum();
        // A longer bias than needed: positions count from its beginning.
        let bias = [heads, LONGEST + 3, LONGEST + 5];
        let kv = [1, rows, kv_heads * head_dim];
        let mut seed = 0;
        [[1, rows, heads * head_dim], kv, kv, bias].map(|dims| {
            seed += 1;
            tensor(numbers(dims.iter().product(), seed, 1.5), dims, device).require_grad()
        })
    }

    fn rotary(&self, positions: usize, device: &Device) -> Option<(Tensor<2>, Tensor<2>)> {
        let half = self.config.head_dim / 2;
        let table = |seed| {
            tensor::<2>(numbers(200 * half, seed, 1.0), [200, half], device).narrow(0, 0, positions)
        };
        self.rotary.then(|| (table(5), table(6)))
    }

    fn loss(&self, out: Tensor<3>) -> Tensor<1> {
        let dims = out.dims();
        let weights = tensor(numbers(dims.iter().product(), 9, 1.0), dims, &out.device());
        (out * weights).sum()
    }

    /// Output and the gradients of query, key, value and bias.
    fn packed(&self, op: Op) -> Vec<Vec<f32>> {
        let device = Device::flex().autodiff();
        let tensors = self.tensors(&device);
        let [q, k, v, bias] = tensors.clone();
        let context = AttentionContext {
            rotary: self.rotary(LONGEST, &device),
            keys: None,
            bias: self.bias.then_some(bias),
            packed: Some(Arc::new(LENGTHS.to_vec())),
        };
        self.results(op(q, k, v, &context, self.config), &tensors)
    }

    /// The same, each sequence in an operation of its own.
    fn one_by_one(&self) -> Vec<Vec<f32>> {
        let device = Device::flex().autodiff();
        let tensors = self.tensors(&device);
        let mut start = 0;
        let mut outs = Vec::new();
        for length in LENGTHS.into_iter().filter(|&length| length > 0) {
            let [q, k, v] = [0, 1, 2].map(|i| tensors[i].clone().narrow(1, start, length));
            let bias = tensors[3].clone().narrow(1, 0, length).narrow(2, 0, length);
            let context = AttentionContext {
                rotary: self.rotary(length, &device),
                keys: None,
                bias: self.bias.then_some(bias),
                packed: None,
            };
            outs.push(attention(q, k, v, &context, self.config));
            start += length;
        }
        self.results(Tensor::cat(outs, 1), &tensors)
    }

    fn results(&self, out: Tensor<3>, tensors: &[Tensor<3>; 4]) -> Vec<Vec<f32>> {
        let grads = self.loss(out.clone()).backward();
        let gradients = tensors.iter().filter_map(|tensor| tensor.grad(&grads)).map(values);
        std::iter::once(values(out)).chain(gradients).collect()
    }
}

fn agree(found: &[Vec<f32>], expected: &[Vec<f32>], what: &str) {
    within(TOLERANCE, found, expected, what);
}

fn within(tolerance: f64, found: &[Vec<f32>], expected: &[Vec<f32>], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (part, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{what}, part {part}");
        let largest = expected.iter().fold(0.1f64, |m, x| m.max(f64::from(x.abs())));
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            let difference = f64::from((a - b).abs());
            assert!(difference <= tolerance * largest, "{what}, part {part}[{i}]: {a}, not {b}");
        }
    }
}

#[test]
fn packed_sequences_are_those_by_themselves() {
    assert!(attention_packs(&Device::flex()) && attention_packs(&Device::flex().autodiff()));
    for (i, case) in cases().iter().enumerate() {
        let expected = case.one_by_one();
        assert_eq!(expected.len(), if case.bias { 5 } else { 4 });
        agree(&case.packed(attention), &expected, &format!("case {i}, fast"));
        agree(&case.packed(attention_reference), &expected, &format!("case {i}, reference"));
    }
}

/// Operands lose 2^-9 each; the scores are sums of products, and probabilities follow them exponentially.
const BF16_TOLERANCE: f64 = 2e-2;

#[test]
fn products_in_bf16_stay_near() {
    for (i, case) in cases().into_iter().enumerate() {
        let exact = case.packed(attention);
        let case = Case { config: case.config.with_precision(Precision::Bf16), ..case };
        let with = |threads| on_threads(threads, || case.packed(attention));
        let found = with(1);
        assert!(found == with(2), "case {i}");
        within(BF16_TOLERANCE, &found, &exact, &format!("case {i}"));
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512bf16") {
            assert!(found != exact, "case {i} was not rounded");
        }
    }
}

#[test]
fn a_fused_projection_is_packed_too() {
    let case = &cases()[4];
    let device = Device::flex().autodiff();
    let [q, k, v, bias] = case.tensors(&device);
    let context = AttentionContext {
        rotary: case.rotary(LONGEST, &device),
        keys: None,
        bias: Some(bias),
        packed: Some(Arc::new(LENGTHS.to_vec())),
    };
    let fused = Tensor::cat(vec![q, k, v], 2);
    assert_eq!(values(attention_fused(fused, &context, case.config)), case.packed(attention)[0]);
}

#[test]
fn same_bits_for_any_number_of_threads() {
    for case in cases() {
        let with = |threads| on_threads(threads, || case.packed(attention));
        assert!(with(1) == with(2) && with(1) == with(3));
    }
}

fn refused(context: AttentionContext) {
    let x = || tensor::<3>(vec![0.0; 32], [1, 4, 8], &Device::flex());
    attention(x(), x(), x(), &context, AttentionConfig::new(1, 1, 8));
}

#[test]
#[should_panic = "sum of the lengths"]
fn lengths_cover_all_rows() {
    refused(AttentionContext { packed: Some(Arc::new(vec![1, 2])), ..Default::default() });
}

#[test]
#[should_panic = "no padding"]
fn packed_sequences_have_no_padding() {
    let (keys, packed) = (Some(Arc::new(vec![(0, 3)])), Some(Arc::new(vec![4])));
    refused(AttentionContext { keys, packed, ..Default::default() });
}
