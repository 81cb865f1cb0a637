//! What the agreement tests share.
#![allow(dead_code)]

use burn::tensor::{Device, Tensor};

/// Largest difference between a fast path and its reference, relative to the largest value.
pub(crate) const TOLERANCE: f32 = 1e-5;

/// A result and the gradients of its arguments.
pub(crate) type Gradients = (Vec<f32>, Vec<Option<Vec<f32>>>);

/// Uniform numbers in `[-size, size]`.
pub(crate) fn numbers(count: usize, seed: u64, size: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * size
        })
        .collect()
}

/// Evaluates `f` on the tensors, and the gradients of [`loss`] by the tracked ones.
pub(crate) fn run<const N: usize>(
    parts: &[Option<Vec<f32>>; N],
    shapes: &[[usize; 2]; N],
    tracked: [bool; N],
    f: impl FnOnce([Option<Tensor<2>>; N]) -> Tensor<2>,
) -> Gradients {
    let device = Device::flex().autodiff();
    let tensors: [Option<Tensor<2>>; N] = std::array::from_fn(|i| {
        let tensor =
            Tensor::<1>::from_floats(parts[i].as_ref()?.as_slice(), &device).reshape(shapes[i]);
        Some(if tracked[i] { tensor.require_grad() } else { tensor })
    });
    let y = f(tensors.clone());
    let values: Vec<f32> = y.clone().into_data().try_into_vec().unwrap();
    if !tracked.contains(&true) {
        return (values, vec![None; N]);
    }
    let weights =
        Tensor::<1>::from_floats(weights(values.len()).as_slice(), &device).reshape(y.dims());
    let grads = (y * weights).sum().backward();
    let gradients = tensors
        .iter()
        .map(|tensor| {
            let gradient = tensor.as_ref()?.grad(&grads)?;
            assert_eq!(gradient.dims(), tensor.as_ref()?.dims());
            Some(gradient.into_data().try_into_vec().unwrap())
        })
        .collect();
    (values, gradients)
}

fn weights(count: usize) -> Vec<f32> {
    numbers(count, 99, 1.0)
}

/// A fixed linear function of the result, whose gradient has no symmetry.
pub(crate) fn loss(values: &[f32]) -> f64 {
    values.iter().zip(weights(values.len())).map(|(&y, w)| f64::from(y) * f64::from(w)).sum()
}

/// Largest difference, relative to the largest value.
pub(crate) fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
    let distance =
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |m, d| if d <= m { m } else { d });
    distance / largest
}

/// Values and gradients agree within [`TOLERANCE`].
pub(crate) fn assert_close(fast: &Gradients, slow: &Gradients, what: &str) {
    assert!(
        difference(&fast.0, &slow.0) < TOLERANCE,
        "{what}: values by {}",
        difference(&fast.0, &slow.0)
    );
    for (i, (fast, slow)) in fast.1.iter().zip(&slow.1).enumerate() {
        match (fast, slow) {
            (Some(fast), Some(slow)) => {
                assert!(
                    difference(fast, slow) < TOLERANCE,
                    "{what}: gradient {i} by {}",
                    difference(fast, slow)
                );
            }
            (None, None) => {}
            _ => panic!("{what}: gradient {i} is there for one only"),
        }
    }
}

/// Runs on a pool of `threads` threads.
pub(crate) fn on_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}
