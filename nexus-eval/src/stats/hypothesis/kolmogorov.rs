//! The two-sample Kolmogorov-Smirnov test.

use super::{Alternative, TestResult, effect};
use crate::Result;
use crate::stats::special::binomial_density;
use crate::stats::{check_finite, refused};
use std::f64::consts::PI;

/// Sizes whose product is at most this get the exact p-value: 10,000 a side, as in SciPy.
const EXACT_PRODUCT: usize = 100_000_000;

/// The two-sample Kolmogorov-Smirnov test: `ks_2samp` of SciPy with `method="auto"`. The statistic is the largest
/// distance between the empirical distribution functions `F - G`; [`Alternative::Greater`] claims that F lies above G
/// somewhere, so that the first sample tends to be *smaller*.
///
/// The p-value is exact, with ties counted as at one point (which makes it conservative), where the product of the sizes is
/// at most 10^8 or a side has at most 140 observations; beyond, it is the distribution of the one-sample statistic at
/// `n m / (n + m)` observations (two-sided) or the approximation of Hodges (1958), equation 5.3 (one-sided).
///
/// Deviation: SciPy gives up the exact one-sided value of unequal sizes where its path counts overflow a double; this
/// computes in probabilities, which do not.
///
/// # Errors
/// [`Error::Refused`](crate::Error::Refused) for an empty sample and for values that are not finite.
pub fn kolmogorov_smirnov(
    first: &[f64],
    second: &[f64],
    alternative: Alternative,
) -> Result<TestResult> {
    check_finite("the first sample", first)?;
    check_finite("the second sample", second)?;
    let (n, m) = (first.len(), second.len());
    if n == 0 || m == 0 {
        return Err(refused("a sample is empty; the test needs at least one value on each side"));
    }
    let divisor = gcd(n, m);
    // Distances are whole multiples of 1 / (n m / divisor).
    let steps = ((m / divisor) as i64, (n / divisor) as i64);
    let (highest, lowest) = extremes(first, second, steps);
    let height = match alternative {
        Alternative::TwoSided => highest.max(-lowest),
        Alternative::Greater => highest,
        Alternative::Less => -lowest,
    };
    let distance = height as f64 / (steps.1 as f64 * m as f64);
    let exact = n.saturating_mul(m) <= EXACT_PRODUCT || n.min(m) <= 140;
    let p_value = if exact {
        share_of_paths(n, m, steps, height, alternative)
    } else {
        approximate(n, m, distance, alternative)
    };
    let method = if exact { "exact" } else { "asymptotic" };
    Ok(TestResult {
        test: format!("two-sample Kolmogorov-Smirnov test, {method}"),
        statistic: distance,
        df: None,
        p_value: p_value.clamp(0.0, 1.0),
        alternative,
        effect: effect("largest distance of the distribution functions", distance, None),
    })
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The largest and smallest of `i * steps.0 - j * steps.1`, where i and j count the values up to a point.
fn extremes(first: &[f64], second: &[f64], steps: (i64, i64)) -> (i64, i64) {
    let mut all: Vec<(f64, i64)> = first.iter().map(|&x| (x, steps.0)).collect();
    all.extend(second.iter().map(|&x| (x, -steps.1)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut height, mut highest, mut lowest) = (0, 0, 0);
    for ties in all.chunk_by(|a, b| a.0 == b.0) {
        height += ties.iter().map(|(_, step)| step).sum::<i64>();
        highest = highest.max(height);
        lowest = lowest.min(height);
    }
    (highest, lowest)
}

/// The share of orders of n and m values whose distance reaches `height`: for each point (i, j) of the lattice, the share of
/// paths to it that have left the band. A path to (i, j) comes from (i - 1, j) with probability i / (i + j).
fn share_of_paths(
    n: usize,
    m: usize,
    steps: (i64, i64),
    height: i64,
    alternative: Alternative,
) -> f64 {
    let outside = |i: usize, j: usize| {
        let at = i as i64 * steps.0 - j as i64 * steps.1;
        match alternative {
            Alternative::TwoSided => at.abs() >= height,
            Alternative::Greater => at >= height,
            Alternative::Less => -at >= height,
        }
    };
    let mut row = vec![0.0; m + 1];
    for i in 0..=n {
        let mut left = 0.0;
        for (j, above) in row.iter_mut().enumerate() {
            let share = i as f64 / (i + j).max(1) as f64;
            left = if outside(i, j) { 1.0 } else { share * *above + (1.0 - share) * left };
            *above = left;
        }
    }
    row[m]
}

fn approximate(n: usize, m: usize, distance: f64, alternative: Alternative) -> f64 {
    let (large, small) = (n.max(m) as f64, n.min(m) as f64);
    let size = large * small / (large + small);
    if alternative == Alternative::TwoSided {
        return one_sample_sf(size.round_ties_even(), distance);
    }
    let z = size.sqrt() * distance;
    let shift = (large + 2.0 * small) / (large * small * (large + small)).sqrt();
    (-2.0 * z * z - 2.0 * z * shift / 3.0).exp()
}

/// P(D_n >= x) of the one-sample statistic for n > 140, by the choice of Simard and L'Ecuyer (2011), Computing the
/// two-sided Kolmogorov-Smirnov distribution.
fn one_sample_sf(n: f64, x: f64) -> f64 {
    if n * x <= 1.0 {
        return 1.0;
    }
    if n * x * x < 2.2 {
        return 1.0 - pelz_good(n, n.sqrt() * x);
    }
    // Twice the one-sided probability (Smirnov's sum); beyond this point the overlap is below 1e-8 of it.
    let last = (n * (1.0 - x)).floor().max(0.0) as usize;
    let sum: f64 = (0..=last)
        .map(|j| {
            let at = x + j as f64 / n;
            x / at * binomial_density(j as f64, n, at, 1.0 - at)
        })
        .sum();
    2.0 * sum
}

/// P(sqrt(n) D_n <= z) by the expansion of Pelz and Good (1976), as written in Simard and L'Ecuyer (2011), section 2.
fn pelz_good(n: f64, z: f64) -> f64 {
    let [z2, p2] = [z * z, PI * PI];
    let (z4, z6, z8) = (z2.powi(2), z2.powi(3), z2.powi(4));
    let root = (PI / 2.0).sqrt();
    let mut sums = [0.0; 4];
    let last = (16.0 * z / PI).ceil() as i32 + 1;
    for k in (0..last).rev() {
        let h = (f64::from(k) + 0.5).powi(2) * p2;
        let weight = 2.0 * (-h / (2.0 * z2)).exp();
        sums[0] += weight;
        sums[1] += weight * (h - z2);
        sums[2] +=
            weight * (6.0 * z6 + 2.0 * z4 + h * (2.0 * z4 - 5.0 * z2) + h * h * (1.0 - 2.0 * z2));
        sums[3] += weight
            * (h.powi(3) * (5.0 - 30.0 * z2)
                + h * h * (-60.0 * z2 + 212.0 * z4)
                + h * (135.0 * z4 - 96.0 * z6)
                - (30.0 * z6 + 90.0 * z8));
    }
    let (mut second, mut third) = (0.0, 0.0);
    for k in (1..=last).rev() {
        let h = f64::from(k * k) * p2;
        let weight = 2.0 * (-h / (2.0 * z2)).exp();
        second += weight * h;
        third += weight * h * (3.0 * z2 - h);
    }
    let k0 = root / z * sums[0];
    let k1 = root / (6.0 * z4) * sums[1];
    let k2 = root / (72.0 * z4 * z2 * z) * sums[2] - root / (36.0 * z2 * z) * second;
    let k3 = root / (6480.0 * z8 * z2) * sums[3] + root / (216.0 * z6) * third;
    k0 + k1 / n.sqrt() + k2 / n + k3 / n.powf(1.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_by_hand() {
        // First below second: of the 6 orders of 2 and 2, one reaches F - G = 1, and one G - F = 1.
        let (low, high) = ([1.0, 2.0], [3.0, 4.0]);
        let p = |alternative| kolmogorov_smirnov(&low, &high, alternative).unwrap().p_value;
        assert!((p(Alternative::Greater) - 1.0 / 6.0).abs() < 1e-15);
        assert!((p(Alternative::TwoSided) - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(p(Alternative::Less), 1.0);
        let same = kolmogorov_smirnov(&low, &low, Alternative::TwoSided).unwrap();
        assert_eq!((same.statistic, same.p_value), (0.0, 1.0));
    }

    #[test]
    fn the_approximation_meets_the_exact_value() {
        // The limit's error is of the order 1 / size for such discrete distances.
        for height in [60, 90, 130] {
            let (n, m) = (2000, 2001);
            let steps = (m as i64, n as i64);
            let distance = f64::from(height) / 2000.0;
            let units = (distance * (n * m) as f64) as i64;
            let exact = share_of_paths(n, m, steps, units, Alternative::TwoSided);
            let found = approximate(n, m, distance, Alternative::TwoSided);
            assert!((exact / found - 1.0).abs() < 0.05, "{exact} {found}");
        }
    }

    #[test]
    fn what_cannot_be_tested_is_refused() {
        let two = Alternative::TwoSided;
        assert!(kolmogorov_smirnov(&[], &[1.0], two).is_err());
        assert!(kolmogorov_smirnov(&[f64::NAN], &[1.0], two).is_err());
    }
}
