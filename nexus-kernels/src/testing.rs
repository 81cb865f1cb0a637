//! What the tests of the ops share.

use burn::tensor::{Device, Gradients, Tensor, TensorData};

pub(crate) fn device() -> Device {
    Device::flex().autodiff()
}

/// Pseudo-random numbers in `-scale..scale`; a linear congruential generator (Knuth's MMIX constants).
pub(crate) fn random(n: usize, scale: f32, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
    };
    (0..n).map(|_| next()).collect()
}

pub(crate) fn tensor<const D: usize>(shape: [usize; D], scale: f32, seed: u64) -> Tensor<D> {
    let data = TensorData::new(random(shape.iter().product(), scale, seed), shape);
    Tensor::from_data(data, &device())
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32")
}

pub(crate) fn gradient<const D: usize>(of: &Tensor<D>, grads: &Gradients) -> Vec<f32> {
    values(of.grad(grads).expect("tracked"))
}

/// A scalar that weighs every element of `y` differently.
pub(crate) fn weighted_sum(y: Tensor<3>) -> Tensor<1> {
    (y.clone() * tensor(y.dims(), 1.0, 99)).sum()
}

/// `|a - b| <= tolerance * max(|b|, rms of b)` for every element, and nothing is NaN.
#[track_caller]
pub(crate) fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    let rms = (b.iter().map(|b| b * b).sum::<f32>() / b.len() as f32).sqrt();
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs().max(rms), "element {i}: {a} against {b}");
    }
}

/// `run` gives the same bits with one thread and with two.
#[track_caller]
pub(crate) fn assert_same_bits<T: PartialEq + Send>(run: impl Fn() -> T + Sync) {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(&run)
    };
    assert!(with(1) == with(2));
}

/// The gradient of `weighted_sum(op(x))` is the central difference quotient.
#[track_caller]
pub(crate) fn finite_difference(shape: [usize; 3], op: impl Fn(Tensor<3>) -> Tensor<3>) {
    const STEP: f32 = 1e-2;
    let x = tensor(shape, 1.0, 7).require_grad();
    let exact = gradient(&x, &weighted_sum(op(x.clone())).backward());
    let x = values(x);
    let loss = |i: usize, step: f32| {
        let mut x = x.clone();
        x[i] += step;
        values(weighted_sum(op(Tensor::from_data(TensorData::new(x, shape), &device()))))[0]
    };
    let quotient = |i| (loss(i, STEP) - loss(i, -STEP)) / (2.0 * STEP);
    let quotients: Vec<f32> = (0..x.len()).map(quotient).collect();
    assert_close(&exact, &quotients, 1e-3);
}
