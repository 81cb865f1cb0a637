//! One row of logits: its log-softmax at the target, and its gradient in place.
//!
//! The loops are written over fixed lanes so that the compiler vectorises them, and compiled three times: for AVX-512F,
//! for AVX2 with FMA, and for any machine. Each row is one task, so results do not depend on the number of threads; the
//! two x86 versions agree bit for bit.

/// Partial sums per block.
const LANES: usize = 32;
/// Elements whose exponentials are summed in f32; blocks are summed in f64.
const BLOCK: usize = 64 * LANES;

/// `log p(target)` of a row of logits. With `gradient` the row becomes `softmax(row) - one_hot(target)`, else it is left
/// as it is.
pub(super) fn log_probability(row: &mut [f32], target: usize, gradient: bool) -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
            // SAFETY: both features were just detected.
            return unsafe { avx512(row, target, gradient) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: both features were just detected.
            return unsafe { avx2(row, target, gradient) };
        }
    }
    portable::<{ cfg!(target_arch = "aarch64") }>(row, target, gradient)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn avx512(row: &mut [f32], target: usize, gradient: bool) -> f64 {
    portable::<true>(row, target, gradient)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(row: &mut [f32], target: usize, gradient: bool) -> f64 {
    portable::<true>(row, target, gradient)
}

#[inline(always)]
fn portable<const FMA: bool>(row: &mut [f32], target: usize, gradient: bool) -> f64 {
    let at_target = f64::from(row[target]);
    let largest = maximum(row);
    let sum = match gradient {
        true => exponentials::<FMA, true>(row, largest),
        false => exponentials::<FMA, false>(row, largest),
    };
    if gradient {
        let factor = (1.0 / sum) as f32;
        row.iter_mut().for_each(|x| *x *= factor);
        row[target] -= 1.0;
    }
    at_target - f64::from(largest) - sum.ln()
}

/// The largest element; a NaN is skipped here and comes back through its exponential.
#[inline(always)]
fn maximum(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, x);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, larger)
}

/// The sum of `exp(x - largest)` over the row; with `WRITE` each element becomes its exponential.
#[inline(always)]
fn exponentials<const FMA: bool, const WRITE: bool>(row: &mut [f32], largest: f32) -> f64 {
    let mut total = 0.0f64;
    for block in row.chunks_mut(BLOCK) {
        let mut lanes = [0.0f32; LANES];
        let (chunks, rest) = block.as_chunks_mut::<LANES>();
        for chunk in chunks {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                let e = exp::<FMA>(*x - largest);
                *lane += e;
                if WRITE {
                    *x = e;
                }
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            let e = exp::<FMA>(*x - largest);
            *lane += e;
            if WRITE {
                *x = e;
            }
        }
        total += lanes.into_iter().map(f64::from).sum::<f64>();
    }
    total
}

/// `exp(x)` for `x <= 0`, by `2^n exp(r)` with `|r| <= ln(2) / 2` and the polynomial of Cephes' `expf` (Moshier 1992).
///
/// Relative error at most 1e-7 on `[-87, 0]` (tested). Below -87 it stays at `exp(-87)`, 1.6e-38. NaN gives NaN.
#[inline(always)]
fn exp<const FMA: bool>(x: f32) -> f32 {
    let fma = |a: f32, b: f32, c: f32| if FMA { a.mul_add(b, c) } else { a * b + c };
    /// Adding it rounds to an integer, which then is in the low bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln(2) in two parts; the first has few bits, so that its product with n is exact.
    const LN2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = fma(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma(n, -LN2[1], fma(n, -LN2[0], x));
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = fma(p, r, coefficient);
    }
    let exp_r = fma(p, r * r, r) + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    exp_r * power
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative error of the exponential.
    const EXP_ERROR: f64 = 1e-7;

    #[test]
    fn exponential_is_accurate() {
        let mut worst = [0.0f64; 2];
        for i in 0..=2_000_000 {
            let x = -87.0 * (i as f32 / 2e6);
            let exact = f64::from(x).exp();
            for (worst, value) in worst.iter_mut().zip([exp::<true>(x), exp::<false>(x)]) {
                *worst = worst.max((f64::from(value) - exact).abs() / exact);
            }
        }
        println!("relative error with and without FMA: {worst:?}");
        assert!(worst.iter().all(|&error| error < EXP_ERROR), "{worst:?}");
        assert_eq!(exp::<true>(0.0), 1.0);
        assert!(
            exp::<true>(f32::NEG_INFINITY) < 1e-37
                && exp::<true>(f32::from_bits(0x7fc0_1234)).is_nan()
        );
    }

    #[test]
    fn versions_agree() {
        let row: Vec<f32> = (0..5003).map(|i| ((i * 7919) % 2003) as f32 / 100.0 - 10.0).collect();
        let run = |f: &dyn Fn(&mut [f32]) -> f64| {
            let mut row = row.clone();
            let value = f(&mut row);
            (value, row)
        };
        let (value, gradient) = run(&|row| portable::<false>(row, 17, true));
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
            // SAFETY: AVX-512F implies AVX2, and FMA was detected.
            let (wide, narrow) =
                unsafe { (run(&|row| avx512(row, 17, true)), run(&|row| avx2(row, 17, true))) };
            assert!(wide == narrow);
            assert!((wide.0 - value).abs() < 1e-6);
            assert!(wide.1.iter().zip(&gradient).all(|(a, b)| (a - b).abs() < 1e-7));
        }
        let exact: f64 = row.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
        assert!((value - (f64::from(row[17]) - exact)).abs() < 1e-6);
        assert!(gradient.iter().map(|&g| f64::from(g)).sum::<f64>().abs() < 1e-5);
        assert_eq!(run(&|row| log_probability(row, 17, false)).1, row);
    }

    #[test]
    fn a_nan_is_not_hidden() {
        let mut row = vec![0.5; 100];
        row[3] = f32::NAN;
        assert!(log_probability(&mut row, 17, true).is_nan());
    }
}
