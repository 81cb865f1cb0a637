//! Arithmetic on rows of a tile: loops that the compiler turns into vectors of the widest kind that the processor has.

use super::tile::LANES;

/// Defines a function that runs `$body::<FUSED>` compiled for the vectors found at run time.
macro_rules! widest {
    ($(#[$doc:meta])* $name:ident = $body:ident ($($arg:ident: $ty:ty),*) $(-> $result:ty)?) => {
        $(#[$doc])*
        pub(super) fn $name($($arg: $ty),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,fma")]
                fn avx512($($arg: $ty),*) $(-> $result)? { $body::<true>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $result)? { $body::<true>($($arg),*) }
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                    // SAFETY: the processor has these instructions (every one with AVX-512 has FMA).
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has these instructions.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body::<false>($($arg),*)
        }
    };
}

widest! {
    /// The largest element; `row` is whole vectors. NaN is passed over.
    largest = largest_body(row: &[f32]) -> f32
}
widest! {
    /// `row = exp(row - shift)`, and the sum; `row` is whole vectors. See [`exp`] for the error.
    exp_sum = exp_sum_body(row: &mut [f32], shift: f32) -> f32
}
widest! {
    /// `p = p * (dp - mean)`: from probabilities to the gradient of the scores.
    score_gradient = score_gradient_body(p: &mut [f32], dp: &[f32], mean: f32)
}
widest! {
    /// `row = row + other`.
    add = add_body(row: &mut [f32], other: &[f32])
}
widest! {
    /// `row = row * factor`.
    scale = scale_body(row: &mut [f32], factor: f32)
}
widest! {
    /// The inner product.
    dot = dot_body(a: &[f32], b: &[f32]) -> f32
}
widest! {
    /// Rotary position: with halves `x1`, `x2`, `[x1 cos - x2 sin, x2 cos + x1 sin]`, `sin` times `sign`.
    rotate = rotate_body(from: &[f32], to: &mut [f32], cos: &[f32], sin: &[f32], sign: f32)
}
widest! {
    /// `to[c * stride + r] = from[r * columns + c]` for 16 rows.
    transpose = transpose_body(from: &[f32], columns: usize, to: &mut [f32], stride: usize)
}

#[inline(always)]
fn fused<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    // Without the instruction `mul_add` is a call.
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x` with a relative error below 2e-7 for -87 <= x <= 88 (Cephes `expf`: x = n ln 2 + r, a polynomial of r, times
/// 2^n). Smaller x count as -87 (1.6e-38), larger as 88; NaN stays NaN.
#[inline(always)]
fn exp<const FUSED: bool>(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    // Not `f32::max`, which would lose NaN.
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = fused::<FUSED>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fused::<FUSED>(n, -0.693_359_4, x);
    let r = fused::<FUSED>(n, 2.121_944_4e-4, r);
    let p = fused::<FUSED>(1.987_569_1e-4, r, 1.398_199_9e-3);
    let p = fused::<FUSED>(p, r, 8.333_452e-3);
    let p = fused::<FUSED>(p, r, 4.166_579_6e-2);
    let p = fused::<FUSED>(p, r, 1.666_666_5e-1);
    let p = fused::<FUSED>(p, r, 0.5);
    let p = fused::<FUSED>(p, r * r, r) + 1.0;
    let power = shifted.to_bits().wrapping_shl(23).wrapping_add(0x3f80_0000);
    p * f32::from_bits(power)
}

#[inline(always)]
fn largest_body<const FUSED: bool>(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in row.as_chunks::<LANES>().0 {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

#[inline(always)]
fn exp_sum_body<const FUSED: bool>(row: &mut [f32], shift: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    for chunk in row.as_chunks_mut::<LANES>().0 {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *x = exp::<FUSED>(*x - shift);
            *lane += *x;
        }
    }
    total(lanes)
}

#[inline(always)]
fn score_gradient_body<const FUSED: bool>(p: &mut [f32], dp: &[f32], mean: f32) {
    for (p, dp) in p.iter_mut().zip(dp) {
        *p *= dp - mean;
    }
}

#[inline(always)]
fn add_body<const FUSED: bool>(row: &mut [f32], other: &[f32]) {
    for (x, other) in row.iter_mut().zip(other) {
        *x += other;
    }
}

#[inline(always)]
fn scale_body<const FUSED: bool>(row: &mut [f32], factor: f32) {
    row.iter_mut().for_each(|x| *x *= factor);
}

#[inline(always)]
fn dot_body<const FUSED: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] = fused::<FUSED>(a[i], b[i], lanes[i]);
        }
    }
    total(lanes) + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[inline(always)]
fn total(mut lanes: [f32; LANES]) -> f32 {
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
    }
    lanes[0]
}

#[inline(always)]
fn rotate_body<const FUSED: bool>(
    from: &[f32],
    to: &mut [f32],
    cos: &[f32],
    sin: &[f32],
    sign: f32,
) {
    let half = cos.len();
    let (from1, from2) = from.split_at(half);
    let (to1, to2) = to.split_at_mut(half);
    let (from2, sin) = (&from2[..half], &sin[..half]);
    let (to1, to2) = (&mut to1[..half], &mut to2[..half]);
    for i in 0..half {
        let (x1, x2, c, s) = (from1[i], from2[i], cos[i], sign * sin[i]);
        to1[i] = x1 * c - x2 * s;
        to2[i] = x2 * c + x1 * s;
    }
}

#[inline(always)]
fn transpose_body<const FUSED: bool>(from: &[f32], columns: usize, to: &mut [f32], stride: usize) {
    let from = &from[..LANES * columns];
    for column in 0..columns {
        let to: &mut [f32; LANES] =
            (&mut to[column * stride..column * stride + LANES]).try_into().expect("16 elements");
        for (row, to) in to.iter_mut().enumerate() {
            *to = from[row * columns + column];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_accurate() {
        let mut worst = 0.0f64;
        for i in 0..=1_750_000 {
            let x = -87.0 + i as f32 * 1e-4;
            let truth = f64::from(x).exp();
            for found in [exp::<false>(x), exp::<true>(x)] {
                worst = worst.max((f64::from(found) - truth).abs() / truth);
            }
        }
        println!("relative error of exp: {worst:.2e}");
        assert!(worst < 2e-7, "relative error {worst}");
        assert!(exp::<true>(f32::NEG_INFINITY) < 2e-38);
        assert!(exp::<true>(f32::NAN).is_nan() && exp::<false>(f32::NAN).is_nan());
        assert_eq!(exp::<true>(0.0), 1.0);
    }

    #[test]
    fn vectors_agree_with_scalars() {
        let row: Vec<f32> = (0..48).map(|i| (i as f32 * 0.7).sin() * 9.0).collect();
        let (mut wide, mut narrow) = (row.clone(), row.clone());
        let sums = (exp_sum(&mut wide, 9.0), exp_sum_body::<false>(&mut narrow, 9.0));
        assert!((sums.0 - sums.1).abs() < 1e-6 * sums.1);
        assert!(wide.iter().zip(&narrow).all(|(a, b)| (a - b).abs() <= 2e-7 * b));
        assert_eq!(largest(&row), row.iter().copied().fold(f32::MIN, f32::max));
        let mut turned = vec![0.0; 48];
        transpose(&row, 3, &mut turned, 16);
        assert!((0..48).all(|i| turned[i % 3 * 16 + i / 3] == row[i]));
    }
}
