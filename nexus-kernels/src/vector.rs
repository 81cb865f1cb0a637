//! Vectorised loops over `f32` memory, and the special functions used in them.
//!
//! A kernel is scalar mathematics, generic over whether the CPU has fused multiply-add; the loops here are compiled
//! three times (AVX-512, AVX2 with FMA, the target's baseline), and the version is chosen at run time. Everything is
//! branch-free, so the compiler turns the loops into vector code, and an element's bits do not depend on where in a
//! loop it falls. The loops copy blocks through the stack, so an output may be the very memory of an input.

use crate::parallel::{Shared, each};
use std::ops::Range;

/// Elements that a loop holds on the stack at once.
const BLOCK: usize = 64;

/// Elements of one parallel task; fixed, so results do not depend on the number of threads.
pub(crate) const CHUNK: usize = 1 << 14;

/// An element-wise function of `I` inputs and `O` outputs.
pub(crate) trait Map<const I: usize, const O: usize>: Sync {
    /// One element. Implementations are `#[inline(always)]` and branch-free.
    fn map<const FUSED: bool>(&self, x: [f32; I]) -> [f32; O];
}

/// A sum over elements of `I` inputs, of `O` quantities at once.
pub(crate) trait Sum<const I: usize, const O: usize> {
    /// The sums after one more element. Implementations are `#[inline(always)]` and branch-free.
    fn add<const FUSED: bool>(&self, x: [f32; I], sums: [f32; O]) -> [f32; O];
}

/// Code to run with the widest vectors of this CPU.
pub(crate) trait Kernel {
    /// Implementations are `#[inline(always)]`.
    fn run<const FUSED: bool>(self);
}

/// The versions of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Version {
    Avx512,
    Avx2,
    Baseline,
}

impl Version {
    /// Whether this CPU (and its system) runs it.
    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Version::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            Version::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Version::Avx512 | Version::Avx2 => false,
            Version::Baseline => true,
        }
    }

    /// Runs `kernel` in this version.
    ///
    /// # Safety
    /// The version is available.
    unsafe fn run(self, kernel: impl Kernel) {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,fma")]
            fn avx512(kernel: impl Kernel) {
                kernel.run::<true>();
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2(kernel: impl Kernel) {
                kernel.run::<true>();
            }
            match self {
                // SAFETY: the caller promises that the CPU has these features.
                Version::Avx512 => return unsafe { avx512(kernel) },
                // SAFETY: as above.
                Version::Avx2 => return unsafe { avx2(kernel) },
                Version::Baseline => {}
            }
        }
        const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));
        kernel.run::<FUSED>();
    }
}

/// Runs `kernel` in the fastest version that this CPU has.
pub(crate) fn vectorised(kernel: impl Kernel) {
    let version = [Version::Avx512, Version::Avx2].into_iter().find(|v| v.is_available());
    // SAFETY: an available version, or the one that always is.
    unsafe { version.unwrap_or(Version::Baseline).run(kernel) };
}

/// Applies `op` to `n` elements, in parallel.
///
/// # Safety
/// Every input is readable and every output writable for `n` elements, by this call alone as far as writing goes. An
/// output is identical to an input or overlaps none; outputs do not overlap each other.
pub(crate) unsafe fn map<const I: usize, const O: usize>(
    op: &impl Map<I, O>,
    input: [*const f32; I],
    output: [*mut f32; O],
    n: usize,
) {
    struct Part<'a, M, const I: usize, const O: usize> {
        op: &'a M,
        input: [*const f32; I],
        output: [*mut f32; O],
        n: usize,
    }
    impl<M: Map<I, O>, const I: usize, const O: usize> Kernel for Part<'_, M, I, O> {
        #[inline(always)]
        fn run<const FUSED: bool>(self) {
            // SAFETY: as promised by the caller of `map`, for a part of the range.
            unsafe { map_serial::<_, I, O, FUSED>(self.op, self.input, self.output, self.n) };
        }
    }
    let (input, output) = (Shared(input), Shared(output));
    in_chunks(n, CHUNK, |part| {
        // SAFETY: the part is within `0..n`.
        let input = input.get().map(|p| unsafe { p.add(part.start) });
        // SAFETY: the part is within `0..n`.
        let output = output.get().map(|p| unsafe { p.add(part.start) });
        vectorised(Part { op, input, output, n: part.len() });
    });
}

/// Applies `op` to `n` elements, within a [`Kernel`].
///
/// # Safety
/// As [`map`].
#[inline(always)]
pub(crate) unsafe fn map_serial<M, const I: usize, const O: usize, const FUSED: bool>(
    op: &M,
    input: [*const f32; I],
    output: [*mut f32; O],
    n: usize,
) where
    M: Map<I, O>,
{
    let mut x = [[0.0; BLOCK]; I];
    let mut y = [[0.0; BLOCK]; O];
    let mut start = 0;
    while start < n {
        let len = BLOCK.min(n - start);
        for k in 0..I {
            // SAFETY: `start + len <= n`, and `x[k]` is this function's own.
            unsafe { copy(input[k].add(start), x[k].as_mut_ptr(), len) };
        }
        // Past `len` this computes on old values, whose results are not stored.
        for j in 0..BLOCK {
            let mut element = [0.0; I];
            for k in 0..I {
                element[k] = x[k][j];
            }
            let result = op.map::<FUSED>(element);
            for k in 0..O {
                y[k][j] = result[k];
            }
        }
        for k in 0..O {
            // SAFETY: `start + len <= n`; all reads of this block are done.
            unsafe { copy(y[k].as_ptr(), output[k].add(start), len) };
        }
        start += len;
    }
}

/// Sums over `n` elements, within a [`Kernel`]: [`BLOCK`] partial sums, then halved until one is left.
///
/// # Safety
/// Every input is readable for `n` elements.
#[inline(always)]
pub(crate) unsafe fn sum_serial<S, const I: usize, const O: usize, const FUSED: bool>(
    op: &S,
    input: [*const f32; I],
    n: usize,
) -> [f32; O]
where
    S: Sum<I, O>,
{
    let mut sums = [[0.0; BLOCK]; O];
    let mut start = 0;
    while start + BLOCK <= n {
        for j in 0..BLOCK {
            // SAFETY: `start + j < n`.
            unsafe { accumulate::<_, I, O, FUSED>(op, &input, start, j, &mut sums) };
        }
        start += BLOCK;
    }
    for j in 0..n - start {
        // SAFETY: `start + j < n`.
        unsafe { accumulate::<_, I, O, FUSED>(op, &input, start, j, &mut sums) };
    }
    let mut width = BLOCK / 2;
    while width > 0 {
        for sum in &mut sums {
            for j in 0..width {
                sum[j] += sum[j + width];
            }
        }
        width /= 2;
    }
    sums.map(|sum| sum[0])
}

/// Adds element `start + j` to the partial sums `j`.
///
/// # Safety
/// Every input is readable at `start + j`.
#[inline(always)]
unsafe fn accumulate<S, const I: usize, const O: usize, const FUSED: bool>(
    op: &S,
    input: &[*const f32; I],
    start: usize,
    j: usize,
    sums: &mut [[f32; BLOCK]; O],
) where
    S: Sum<I, O>,
{
    let mut element = [0.0; I];
    for k in 0..I {
        // SAFETY: promised by the caller.
        element[k] = unsafe { *input[k].add(start + j) };
    }
    let mut old = [0.0; O];
    for k in 0..O {
        old[k] = sums[k][j];
    }
    let new = op.add::<FUSED>(element, old);
    for k in 0..O {
        sums[k][j] = new[k];
    }
}

/// Copies `len` elements, whole blocks by a copy of known length.
///
/// # Safety
/// Readable and writable for `len` elements, not overlapping.
#[inline(always)]
unsafe fn copy(from: *const f32, to: *mut f32, len: usize) {
    // SAFETY: promised by the caller.
    unsafe {
        if len == BLOCK {
            std::ptr::copy_nonoverlapping(from, to, BLOCK);
        } else {
            std::ptr::copy_nonoverlapping(from, to, len);
        }
    }
}

/// Runs `task` on `0..n` cut into pieces of `chunk`, in parallel.
pub(crate) fn in_chunks(n: usize, chunk: usize, task: impl Fn(Range<usize>) + Sync + Send) {
    let piece = |i: usize| i * chunk..n.min((i + 1) * chunk);
    each(n.div_ceil(chunk), false, |i| task(piece(i)));
}

/// Sums of the columns of `partial: [_, size]`, in the order of the rows.
pub(crate) fn column_sums(partial: &[f32], size: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; size];
    for row in partial.chunks_exact(size) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// `a b + c`, in one rounding if `FUSED`.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// The polynomial with these coefficients, the highest power first.
#[inline(always)]
fn polynomial<const FUSED: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut y = coefficients[0];
    for &c in &coefficients[1..] {
        y = multiply_add::<FUSED>(y, x, c);
    }
    y
}

/// e^x within 2 ulp (relative 1.2e-7), also where the result is subnormal, 0 or infinite; NaN stays NaN.
///
/// x = n ln 2 + r with |r| <= ln(2) / 2; e^r by the polynomial of Cephes' `expf` (Moshier 1989); 2^n in two factors, so
/// that each is a normal number.
#[inline(always)]
pub(crate) fn exp<const FUSED: bool>(x: f32) -> f32 {
    // 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Not `clamp`, `min` or `max`, which lose NaN or do not vectorise as well.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let shifted = multiply_add::<FUSED>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = multiply_add::<FUSED>(n, -LN_2_HIGH, x);
    let r = multiply_add::<FUSED>(n, -LN_2_LOW, r);
    let p = polynomial::<FUSED, 6>(
        r,
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5],
    );
    let y = multiply_add::<FUSED>(p, r * r, r) + 1.0;
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    y * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// 2^n for -126 <= n <= 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// s = 1 / (1 + e^-x), and 1 - s, which a subtraction would lose for large x; both within 4 ulp.
#[inline(always)]
pub(crate) fn sigmoids<const FUSED: bool>(x: f32) -> (f32, f32) {
    let e = exp::<FUSED>(-x.abs());
    let larger = 1.0 / (1.0 + e);
    let smaller = e * larger;
    if x < 0.0 { (smaller, larger) } else { (larger, smaller) }
}

/// The upper tail of the normal distribution, Q(x) = erfc(x / sqrt 2) / 2, for x >= 0, and e^(-x^2 / 2), which it needs.
///
/// Q(x) = e^(-x^2 / 2) t P(t) with t = 1 / (1 + 0.28 x), the form of Abramowitz and Stegun 7.1.26. P is the best of
/// degree 8 in relative error for 0 <= x <= 14.5 (5.6e-8, by Lawson's algorithm). In f32 within 8 ulp up to x = 2; beyond,
/// the rounding of x^2 / 2 adds a relative error of 1.2e-7 x^2 / 4.
#[inline(always)]
pub(crate) fn normal_tail<const FUSED: bool>(x: f32) -> (f32, f32) {
    const P: [f32; 9] = [
        0.023_055_976,
        -0.084_666_28,
        0.072_500_214,
        0.017_690_167,
        0.055_468_2,
        0.091_125_02,
        0.101_177_7,
        0.111_959_68,
        0.111_689_36,
    ];
    let t = 1.0 / multiply_add::<FUSED>(0.28, x, 1.0);
    let density = exp::<FUSED>(x * x * -0.5);
    (density * t * polynomial::<FUSED, 9>(t, P), density)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest relative error of `f` against `exact` on a grid.
    fn error(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, range: Range<f32>) -> f64 {
        let n = 400_000;
        let step = (range.end - range.start) / n as f32;
        let relative = |i: i32| {
            let x = range.start + i as f32 * step;
            let y = exact(f64::from(x));
            (f64::from(f(x)) / y - 1.0).abs()
        };
        (0..n).map(relative).fold(0.0, f64::max)
    }

    struct SumOfSigmoids<'a> {
        x: &'a [f32],
        y: &'a mut [f32],
        sum: &'a mut f32,
    }

    struct Sigmoid;

    impl Map<1, 1> for Sigmoid {
        #[inline(always)]
        fn map<const FUSED: bool>(&self, [x]: [f32; 1]) -> [f32; 1] {
            [sigmoids::<FUSED>(x).0]
        }
    }

    impl Sum<1, 1> for Sigmoid {
        #[inline(always)]
        fn add<const FUSED: bool>(&self, [x]: [f32; 1], [sum]: [f32; 1]) -> [f32; 1] {
            [sum + sigmoids::<FUSED>(x).0]
        }
    }

    impl Kernel for SumOfSigmoids<'_> {
        #[inline(always)]
        fn run<const FUSED: bool>(self) {
            let x = [self.x.as_ptr()];
            // SAFETY: `x` and `y` have the same length.
            let [sum] = unsafe {
                map_serial::<_, 1, 1, FUSED>(&Sigmoid, x, [self.y.as_mut_ptr()], self.x.len());
                sum_serial::<_, 1, 1, FUSED>(&Sigmoid, x, self.x.len())
            };
            *self.sum = sum;
        }
    }

    #[test]
    fn versions_agree() {
        for n in [0, 1, 63, 64, 65, 1000] {
            let x = crate::testing::random(n, 20.0, 1);
            let run = |version: Version| {
                let (mut y, mut sum) = (vec![0.0; n], 0.0);
                // SAFETY: only available versions are asked for.
                unsafe { version.run(SumOfSigmoids { x: &x, y: &mut y, sum: &mut sum }) };
                y.push(sum);
                y
            };
            let baseline = run(Version::Baseline);
            let versions = [Version::Avx512, Version::Avx2];
            for version in versions.into_iter().filter(|v| v.is_available()) {
                crate::testing::assert_close(&run(version), &baseline, 5e-7);
            }
            if versions.iter().all(|v| v.is_available()) {
                assert_eq!(run(Version::Avx512), run(Version::Avx2));
            }
        }
    }

    #[test]
    fn exp_is_within_two_ulp() {
        assert!(error(exp::<true>, f64::exp, -87.0..88.7) < 1.3e-7);
        assert!(error(exp::<false>, f64::exp, -87.0..88.7) < 1.3e-7);
        for (x, y) in [(0.0, 1.0), (200.0, f32::INFINITY), (-200.0, 0.0), (f32::NEG_INFINITY, 0.0)]
        {
            assert_eq!(exp::<true>(x), y);
        }
        assert!(exp::<true>(f32::NAN).is_nan());
        let subnormal = (-95.0f64).exp();
        assert!((f64::from(exp::<true>(-95.0)) / subnormal - 1.0).abs() < 1e-3);
    }

    #[test]
    fn sigmoids_are_within_four_ulp() {
        let exact = |x: f64| 1.0 / (1.0 + (-x).exp());
        assert!(error(|x| sigmoids::<true>(x).0, exact, -87.0..87.0) < 2.4e-7);
        assert!(error(|x| sigmoids::<false>(x).0, exact, -87.0..87.0) < 2.4e-7);
        assert!(error(|x| sigmoids::<true>(x).1, |x| exact(-x), -87.0..87.0) < 2.4e-7);
        assert_eq!(sigmoids::<true>(-200.0), (0.0, 1.0));
        assert!(sigmoids::<true>(f32::NAN).0.is_nan());
    }

    #[test]
    fn normal_tail_agrees_with_the_continued_fraction() {
        // Q(x) = phi(x) / (x + 1 / (x + 2 / (x + ...))), which converges fast for x >= 2.
        let fraction = |x: f64| (1..400).rev().fold(x, |f, k| x + f64::from(k) / f);
        let exact =
            |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() / fraction(x);
        assert!(error(|x| normal_tail::<true>(x).0, exact, 2.0..4.0) < 1.2e-6);
        // Below, Q(x) = 1/2 - phi(x) (x + x^3 / 3 + x^5 / 15 + ...).
        let series = |x: f64| {
            let mut term = x;
            (1..60).fold(x, |sum, k| {
                term *= x * x / f64::from(2 * k + 1);
                sum + term
            })
        };
        let exact =
            |x: f64| 0.5 - (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * series(x);
        assert!(error(|x| normal_tail::<true>(x).0, exact, 0.0..2.0) < 8e-7);
        assert!(error(|x| normal_tail::<false>(x).0, exact, 0.0..2.0) < 8e-7);
    }
}
