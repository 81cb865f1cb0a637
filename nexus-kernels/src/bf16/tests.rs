//! Every version against sums in f64 over the same rounded operands.

use super::element::Element;
use super::product::{self, Beside};
use super::version::Version;
use crate::matrix::Matrix;
use burn::tensor::bf16;

const VERSIONS: [Version; 3] = [Version::Avx512, Version::Avx2, Version::Portable];

/// Sizes around the tile (12 x 32), the pair, the blocks (96 rows, 512 deep; packed at once: 1024 columns, 2048 deep),
/// and what is computed without packing (16 rows, in stripes of 512 columns, 8 rows of the right operand at once).
const SHAPES: [[usize; 3]; 17] = [
    [1, 1, 1],
    [0, 5, 7],
    [5, 0, 7],
    [5, 7, 0],
    [1, 40, 1100],
    [2, 31, 33],
    [3, 130, 64],
    [7, 9, 520],
    [11, 2, 31],
    [16, 515, 30],
    [17, 32, 32],
    [19, 33, 65],
    [28, 515, 30],
    [97, 100, 40],
    [211, 1029, 131],
    [25, 63, 2083],
    [5, 2115, 70],
];

/// Numbers in -1..1 from a linear congruential generator (Knuth's MMIX).
fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..8).for_each(|_| {
        next();
    });
    (0..n).map(|_| next()).collect()
}

/// Storage of a matrix in one of four layouts: row-major, column-major, rows apart, no two elements neighbours.
fn stored(layout: usize, rows: usize, cols: usize, seed: u64) -> (Vec<f32>, [usize; 2]) {
    let strides = [[cols, 1], [1, rows], [cols + 3, 1], [2 * cols + 1, 2]][layout];
    (random(rows * strides[0] + cols * strides[1] + 1, seed), strides)
}

fn rounded(x: f32) -> f64 {
    f64::from(bf16::from_f32(x).to_f32())
}

/// Compares with the exact sums. In f32, a sum of K products, taken in any order and to within one unit in the last
/// place (2^-23) an addition, errs by at most (K + 1) 2^-23 sum |a b|; times alpha and plus the old value are two
/// roundings more, and again for every block of the inner dimension. Flushed subnormal numbers add at most K 2^-126.
fn check(out: &[f32], old: &[f32], alpha: f32, a: Matrix, b: Matrix) {
    let (n, k) = (b.cols, b.rows);
    for (i, (&out, &old)) in out.iter().zip(old).enumerate() {
        let product = |j: usize| rounded(a.get(i / n, j)) * rounded(b.get(j, i % n));
        let (sum, size) = (0..k).map(product).fold((0.0, 0.0), |(s, z), p| (s + p, z + p.abs()));
        let exact = f64::from(old) + f64::from(alpha) * sum;
        let size = f64::from(alpha.abs()) * size + f64::from(old.abs());
        let tolerance = (k + 2 * k.div_ceil(512) + 2) as f64 * 2f64.powi(-23) * size + 1e-35;
        let error = (f64::from(out) - exact).abs();
        assert!(error <= tolerance, "element {i}: {out}, exactly {exact}, off by {error:e}");
    }
}

/// `alpha a b + old`, or without `old`, in memory that held NaN.
fn multiply<T: Element>(
    version: Version,
    old: Option<&[f32]>,
    alpha: f32,
    a: Matrix,
    b: Matrix<T>,
) -> Vec<f32> {
    let nan = vec![f32::NAN; a.rows * b.cols];
    let mut out = old.map_or(nan, <[f32]>::to_vec);
    assert_eq!(out.len(), a.rows * b.cols);
    // SAFETY: the output has the size of the product and is initialised.
    unsafe { product::multiply(version, out.as_mut_ptr(), old.is_some(), alpha, a, b, None) };
    out
}

/// Right operands in f32 and bf16, written and added, in every version and layout.
#[test]
fn agrees_with_exact_sums() {
    for [m, k, n] in SHAPES {
        for layout in 0..4 {
            for right_layout in [layout, (layout + 1) % 4] {
                let (a, a_strides) = stored(layout, m, k, 1);
                let (b, b_strides) = stored(right_layout, k, n, 2);
                let halves: Vec<bf16> = b.iter().copied().map(bf16::from_f32).collect();
                let a = Matrix::strided(&a, [m, k], a_strides);
                let b = Matrix::strided(&b, [k, n], b_strides);
                let half = Matrix::strided(&halves, [k, n], b_strides);
                let old = random(m * n, 3);
                for version in VERSIONS.into_iter().filter(|v| v.is_available()) {
                    let outs = [
                        multiply(version, None, 1.0, a, b),
                        multiply(version, Some(&old), -0.3, a, b),
                    ];
                    check(&outs[0], &vec![0.0; m * n], 1.0, a, b);
                    check(&outs[1], &old, -0.3, a, b);
                    assert!(multiply(version, None, 1.0, a, half) == outs[0], "bf16 {m} {k} {n}");
                    assert!(multiply(version, Some(&old), -0.3, a, half) == outs[1]);
                }
            }
        }
    }
}

/// A second product with an inner dimension of 1, 8, 31, 32 and 33, written and added: what the rounded operands side by
/// side give.
#[test]
fn a_product_beside_another_continues_its_sums() {
    for [m, k, n] in SHAPES.into_iter().chain([[40, 512, 70], [100, 1024, 33], [5, 64, 40]]) {
        for rank in [1, 8, 31, 32, 33] {
            let (a, b) = (random(m * (k + rank), 1), random((k + rank) * n, 2));
            let a = Matrix::dense(&a, m, k + rank);
            let b = Matrix::dense(&b, k + rank, n);
            let beside = Beside::new(a.part([0, k], [m, rank]), b.part([k, 0], [rank, n]));
            let (a_first, b_first) = (a.part([0, 0], [m, k]), b.part([0, 0], [k, n]));
            let old = random(m * n, 3);
            for version in VERSIONS.into_iter().filter(|v| v.is_available()) {
                for (add, alpha) in [(false, 1.0), (true, -0.3)] {
                    let mut out = if add { old.clone() } else { vec![f32::NAN; m * n] };
                    let to = out.as_mut_ptr();
                    // SAFETY: the output has the size of the product and is initialised.
                    unsafe {
                        product::multiply(version, to, add, alpha, a_first, b_first, Some(beside));
                    }
                    let zeros = vec![0.0; m * n];
                    check(&out, if add { &old } else { &zeros }, alpha, a, b);
                }
            }
        }
    }
}

fn bits(out: Vec<f32>) -> Vec<u32> {
    out.into_iter().map(f32::to_bits).collect()
}

#[test]
fn threads_do_not_change_a_bit() {
    for [m, k, n] in SHAPES.into_iter().chain([[1, 700, 900], [3, 512, 2100], [17, 2100, 40]]) {
        let (a, b) = (random(m * k, 4), random(k * n, 5));
        let a = Matrix::dense(&a, m, k);
        let both = [Matrix::dense(&b, k, n), Matrix::dense(&b, n, k).t()];
        let old = vec![0.5; m * n];
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| both.map(|b| bits(multiply(Version::best(), Some(&old), 1.5, a, b))))
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3), "{m} x {k} x {n}");
    }
}

/// An infinity or NaN in one row of `a`, or column of `b`, reaches all of that row or column and nothing else: the
/// zeros of the padding meet only zeros.
#[test]
fn infinity_and_nan_propagate() {
    for [m, k, n] in [[14, 35, 37], [21, 35, 37]] {
        for version in VERSIONS.into_iter().filter(|v| v.is_available()) {
            for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let (mut a, mut b) = (vec![1.0; m * k], vec![1.0; k * n]);
                a[13 * k + 34] = special;
                let a = Matrix::dense(&a, m, k);
                b[34 * n + 36] = special;
                let mut columns = vec![1.0; k * n];
                columns[36 * k + 34] = special;
                for b in [Matrix::dense(&b, k, n), Matrix::dense(&columns, n, k).t()] {
                    for (i, out) in multiply(version, None, 1.0, a, b).into_iter().enumerate() {
                        let expected = match (i / n == 13, i % n == 36) {
                            (false, false) => k as f32,
                            (true, true) => special * special,
                            _ => special,
                        };
                        let equal = out == expected || out.is_nan() && expected.is_nan();
                        assert!(equal, "{i}: {out}");
                    }
                }
            }
        }
    }
}

/// Ties, finite f32 numbers that round to an infinity, and NaNs whose payload lies in the lost bits, with few rows on
/// the left and with many.
#[test]
fn versions_round_alike() {
    let bits = [
        0x3f80_8000,
        0x3f81_8000,
        0x3f80_8001,
        0x7f7f_ffff,
        0xff7f_8000,
        0x7f80_0001,
        0xffff_ffff,
        0x8000_0000,
    ];
    for special in bits.map(f32::from_bits).into_iter().chain(random(100, 6)) {
        let expected = bf16::from_f32(special);
        assert_eq!(special.rounded().to_bits(), expected.to_bits());
        let expected = expected.to_f32();
        for version in VERSIONS.into_iter().filter(|v| v.is_available()) {
            for rows in [1, 20] {
                let (a, ones) = (vec![special; rows], vec![1.0; rows]);
                let [a, ones] = [&a, &ones].map(|a| Matrix::dense(a, rows, 1));
                let outs = [
                    multiply(version, None, 1.0, a, Matrix::dense(&[1.0], 1, 1)),
                    multiply(version, None, 1.0, ones, Matrix::dense(&[special], 1, 1)),
                ];
                for out in outs.concat() {
                    let equal = out == expected || out.is_nan() && special.is_nan();
                    assert!(equal, "{special}: {out}");
                }
            }
        }
    }
}
