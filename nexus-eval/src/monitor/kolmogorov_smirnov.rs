//! The Kolmogorov-Smirnov test for two samples.

use crate::{Error, Result};
use serde::Serialize;

/// The two-sided Kolmogorov-Smirnov test of whether two samples come from one distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KolmogorovSmirnov {
    /// The greatest distance between the two empirical distribution functions, 0 to 1.
    pub statistic: f64,
    /// The probability of a distance at least as great if both samples come from one continuous distribution. With ties
    /// it is an upper bound.
    pub p_value: f64,
    /// Whether `p_value` is exact; it is the limit for large samples otherwise.
    pub exact: bool,
}

/// The largest product of the sample sizes for which the probability is computed exactly, in time proportional to it.
const EXACT: u64 = 10_000_000;

/// Compares two samples. The probability is exact, by the recurrence of Hodges 1958 (The significance probability of the
/// Smirnov two-sample test, Arkiv foer Matematik 3), when the product of the sizes is at most ten million; above it is
/// that of the Kolmogorov distribution, `2 sum((-1)^(k-1) exp(-2 k^2 x^2))` with `x = D sqrt(n m / (n + m))`. scipy's
/// `ks_2samp` draws the line elsewhere (10,000 in the larger sample), and uses a finer approximation beyond.
///
/// # Errors
/// [`Error::Refused`] for an empty sample, and for one with a value that is not a number.
pub fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> Result<KolmogorovSmirnov> {
    let (a, b) = (sorted("first", a)?, sorted("second", b)?);
    Ok(of_sorted(&a, &b))
}

/// A sample in rising order.
pub(super) fn sorted(name: &str, sample: &[f64]) -> Result<Vec<f64>> {
    if sample.is_empty() {
        return Err(Error::Refused(format!("the {name} sample is empty")));
    }
    if let Some(i) = sample.iter().position(|value| value.is_nan()) {
        let why = format!("value {i} of the {name} sample, counted from 0, is not a number");
        return Err(Error::Refused(why));
    }
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted)
}

pub(super) fn of_sorted(a: &[f64], b: &[f64]) -> KolmogorovSmirnov {
    let (n, m) = (a.len() as u64, b.len() as u64);
    // Distances are whole multiples of 1 / (n m): |i m - j n| of them, after i values of a and j of b.
    let (mut i, mut j, mut most) = (0, 0, 0u64);
    while let (Some(&x), Some(&y)) = (a.get(i), b.get(j)) {
        let value = x.min(y);
        i += a[i..].iter().take_while(|&&x| x <= value).count();
        j += b[j..].iter().take_while(|&&y| y <= value).count();
        most = most.max((i as u64 * m).abs_diff(j as u64 * n));
    }
    let statistic = most as f64 / (n as f64 * m as f64);
    let exact = n.saturating_mul(m) <= EXACT;
    let p_value = match exact {
        true => exact_p(n, m, most),
        false => limit_p(statistic * (n as f64 * m as f64 / (n + m) as f64).sqrt()),
    };
    KolmogorovSmirnov { statistic, p_value, exact }
}

/// Among the equally likely orders of n and m values, the share whose distance reaches `most` multiples of 1 / (n m). The
/// orders are the paths over a grid from (0, 0) to (n, m); of those to (i, j) the last step comes from (i - 1, j) in the
/// share i / (i + j). All terms are positive, so that small probabilities keep their digits.
fn exact_p(n: u64, m: u64, most: u64) -> f64 {
    let mut row = vec![0.0; m as usize + 1];
    for i in 0..=n {
        let mut left = 0.0;
        for (j, cell) in (0..).zip(row.iter_mut()) {
            left = match (i * m).abs_diff(j * n) >= most {
                true => 1.0,
                false if i + j == 0 => 0.0,
                false => (i as f64 * *cell + j as f64 * left) / (i + j) as f64,
            };
            *cell = left;
        }
    }
    row[m as usize]
}

/// The survival function of the Kolmogorov distribution. Below 1 its series converges slowly, and the one from the
/// transformation of the theta function is used: `1 - sqrt(2 pi) / x * sum(exp(-(2k - 1)^2 pi^2 / (8 x^2)))`.
fn limit_p(x: f64) -> f64 {
    use std::f64::consts::PI;
    // The fifth terms are below 1e-20 of the first in both.
    if x <= 0.0 {
        1.0
    } else if x < 1.0 {
        let term = |k: i32| (-f64::from((2 * k - 1).pow(2)) * PI * PI / (8.0 * x * x)).exp();
        1.0 - (2.0 * PI).sqrt() / x * (1..=4).map(term).sum::<f64>()
    } else {
        let term = |k: i32| {
            let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
            sign * (-2.0 * f64::from(k * k) * x * x).exp()
        };
        (1..=5).map(term).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        // All orders of 2 and 2 values are equally likely; 2 of 6 keep them apart.
        let apart = kolmogorov_smirnov(&[1.0, 2.0], &[3.0, 4.0]).unwrap();
        assert_eq!(apart.statistic, 1.0);
        assert!((apart.p_value - 1.0 / 3.0).abs() < 1e-15);
        let same = kolmogorov_smirnov(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]).unwrap();
        assert_eq!((same.statistic, same.p_value), (0.0, 1.0));
        let infinite =
            kolmogorov_smirnov(&[f64::NEG_INFINITY, 0.0], &[-0.0, f64::INFINITY]).unwrap();
        assert_eq!(infinite.statistic, 0.5);
    }

    #[test]
    fn the_two_series_of_the_limit_meet() {
        let near = |x: f64, wanted: f64| assert!((limit_p(x) - wanted).abs() < 1e-12, "{x}");
        near(1.0f64.next_down(), limit_p(1.0));
        near(0.0, 1.0);
        near(1e-3, 1.0);
        near(40.0, 0.0);
    }

    #[test]
    fn samples_that_are_none_are_refused() {
        for (a, b) in [(&[][..], &[1.0][..]), (&[1.0], &[]), (&[f64::NAN], &[1.0])] {
            assert!(kolmogorov_smirnov(a, b).is_err());
        }
    }

    proptest! {
        #[test]
        fn neither_the_order_nor_the_scale_nor_which_is_first_matters(
            a in prop::collection::vec(-5i32..5, 1..20),
            b in prop::collection::vec(-5i32..5, 1..20),
        ) {
            let of = |values: &[i32], scale: f64| -> Vec<f64> {
                values.iter().map(|&value| f64::from(value) * scale).collect()
            };
            let found = kolmogorov_smirnov(&of(&a, 1.0), &of(&b, 1.0)).unwrap();
            prop_assert!((0.0..=1.0).contains(&found.statistic));
            prop_assert!((0.0..=1.0 + 1e-12).contains(&found.p_value));
            let turned: Vec<i32> = a.iter().rev().copied().collect();
            prop_assert_eq!(found, kolmogorov_smirnov(&of(&turned, 8.0), &of(&b, 8.0)).unwrap());
            let swapped = kolmogorov_smirnov(&of(&b, 1.0), &of(&a, 1.0)).unwrap();
            prop_assert_eq!(found.statistic, swapped.statistic);
            prop_assert!((found.p_value - swapped.p_value).abs() < 1e-12);
        }
    }
}
