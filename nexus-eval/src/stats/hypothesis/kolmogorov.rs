//! The two-sample Kolmogorov-Smirnov test.

use super::{Alternative, Method, TestResult, effect};
use crate::stats::refused;
use crate::stats::special::{binomial_density, stirling_error};
use crate::{Error, Result};
use std::f64::consts::{E, PI, TAU};

/// The larger size up to which [`Method::Auto`] is exact.
const EXACT_SIZE: usize = 10_000;

/// The most pairs for which the exact p-value can be asked: its time grows with them, here to seconds.
const MOST_PAIRS: usize = 1_000_000_000;

/// The two-sample Kolmogorov-Smirnov test: `ks_2samp` of SciPy. The statistic is the largest distance between the
/// empirical distribution functions `F - G`; [`Alternative::Greater`] claims that F lies above G somewhere, so that the first
/// sample tends to be *smaller*. Only the order of the values matters, so that they may be infinite.
///
/// [`Method::Exact`] counts ties as at one point, which makes the p-value conservative; its time is proportional to the
/// product of the sizes. [`Method::Asymptotic`] takes the distribution of the one-sample statistic at `n m / (n + m)`
/// observations (two-sided) or the approximation of Hodges (1958), equation 5.3 (one-sided). [`Method::Auto`] is exact up to
/// 10,000 values in the larger sample.
///
/// Deviation: SciPy gives up the exact one-sided value of unequal sizes where its path counts overflow a double; this
/// computes in probabilities, which do not.
///
/// # Errors
/// [`Error::Refused`] for an empty sample, for a value that is not a number, and for the two-sided asymptotic p-value of one
/// value against one, which has no observation; [`Error::Config`] for [`Method::Exact`] beyond 10^9 pairs.
pub fn kolmogorov_smirnov(
    first: &[f64],
    second: &[f64],
    alternative: Alternative,
    method: Method,
) -> Result<TestResult> {
    check_ordered("the first sample", first)?;
    check_ordered("the second sample", second)?;
    let (n, m) = (first.len(), second.len());
    let exact = match method {
        Method::Auto => n.max(m) <= EXACT_SIZE,
        Method::Exact if n.saturating_mul(m) > MOST_PAIRS => {
            let allowed = "auto or asymptotic for more than 10^9 pairs of values";
            return Err(Error::config("method", "exact", allowed));
        }
        other => other == Method::Exact,
    };
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
    let p_value = if exact {
        share_of_paths(n, m, steps, height, alternative)
    } else {
        approximate(n, m, distance, alternative)?
    };
    let name = if exact { "exact" } else { "asymptotic" };
    Ok(TestResult {
        test: format!("two-sample Kolmogorov-Smirnov test, {name}"),
        statistic: distance,
        df: None,
        p_value: p_value.clamp(0.0, 1.0),
        alternative,
        effect: effect("largest distance of the distribution functions", distance, None),
    })
}

/// A sample must have values, and each must have its place in an order.
fn check_ordered(what: &str, values: &[f64]) -> Result<()> {
    if values.is_empty() {
        return Err(refused(format!("{what} is empty; the test needs at least one value")));
    }
    match values.iter().position(|value| value.is_nan()) {
        None => Ok(()),
        Some(i) => Err(refused(format!(
            "{what}: value {i} is not a number; leave such observations out, or find where they come from"
        ))),
    }
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

fn approximate(n: usize, m: usize, distance: f64, alternative: Alternative) -> Result<f64> {
    let (large, small) = (n.max(m) as f64, n.min(m) as f64);
    let size = large * small / (large + small);
    if alternative == Alternative::TwoSided {
        let whole = size.round_ties_even();
        if whole == 0.0 {
            return Err(refused(
                "one value against one has no asymptotic p-value; take the exact one",
            ));
        }
        return Ok(one_sample_sf(whole, distance));
    }
    let z = size.sqrt() * distance;
    let shift = (large + 2.0 * small) / (large * small * (large + small)).sqrt();
    Ok((-2.0 * z * z - 2.0 * z * shift / 3.0).exp())
}

/// P(D_n >= x) of the one-sample statistic, by the choice of Simard and L'Ecuyer (2011), Computing the two-sided
/// Kolmogorov-Smirnov distribution. Deviation: they take the exact value up to n = 100,000; from 10,000 on the expansion is
/// within 1e-10 of it.
fn one_sample_sf(n: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 1.0 } else { 0.0 };
    }
    let square = n * x * x;
    if square < if n <= 140.0 { 4.0 } else { 2.2 } {
        let exact = n <= 140.0 || n <= 10_000.0 && n * x.powf(1.5) <= 1.4;
        return 1.0 - if exact { durbin(n, x) } else { pelz_good(n, n.sqrt() * x) };
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

/// P(D_n < x) exactly: the matrix of Durbin (1968) as written in Marsaglia, Tsang and Wang (2003), Evaluating Kolmogorov's
/// distribution. With `n x = k - h` for 0 <= h < 1 it is `n! / n^n` times the middle of the n-th power of a matrix of
/// 2 k - 1 rows. The vector is divided by e in each step, and multiplied at the end by `n! (e / n)^n`, so that it neither
/// over- nor underflows.
fn durbin(n: f64, x: f64) -> f64 {
    let k = (n * x).ceil() as usize;
    let (h, size) = (k as f64 - n * x, 2 * k - 1);
    // h^i and 1 / i!.
    let scan = |factor: &dyn Fn(f64) -> f64| -> Vec<f64> {
        let mut product = 1.0;
        let next = |i: usize| {
            product *= if i == 0 { 1.0 } else { factor(i as f64) };
            product
        };
        (0..=size).map(next).collect()
    };
    let (powers, shares) = (scan(&|_| h), scan(&|i| 1.0 / i));
    let entry = |row: usize, column: usize| {
        let order = row + 1 - column;
        let first = if column == 0 { powers[order] } else { 0.0 };
        let last = if row + 1 == size { powers[order] } else { 0.0 };
        let both = if order == size { (2.0 * h - 1.0).max(0.0).powi(size as i32) } else { 0.0 };
        (1.0 - first - last + both) * shares[order]
    };
    let rows: Vec<Vec<f64>> = (0..size)
        .map(|row| (0..size.min(row + 2)).map(|column| entry(row, column) / E).collect())
        .collect();
    let mut vector = vec![0.0; size];
    vector[k - 1] = 1.0;
    for _ in 0..n as usize {
        vector = rows.iter().map(|row| row.iter().zip(&vector).map(|(a, b)| a * b).sum()).collect();
    }
    vector[k - 1] * (TAU * n).sqrt() * stirling_error(n).exp()
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

    fn test(first: &[f64], second: &[f64], alternative: Alternative) -> TestResult {
        kolmogorov_smirnov(first, second, alternative, Method::Auto).unwrap()
    }

    #[test]
    fn orders_by_hand() {
        // First below second: of the 6 orders of 2 and 2, one reaches F - G = 1, and one G - F = 1.
        let (low, high) = ([1.0, 2.0], [3.0, 4.0]);
        let p = |alternative| test(&low, &high, alternative).p_value;
        assert!((p(Alternative::Greater) - 1.0 / 6.0).abs() < 1e-15);
        assert!((p(Alternative::TwoSided) - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(p(Alternative::Less), 1.0);
        let same = test(&low, &low, Alternative::TwoSided);
        assert_eq!((same.statistic, same.p_value), (0.0, 1.0));
        // Only the order counts, and -0 is 0.
        let infinite = [f64::NEG_INFINITY, 0.0];
        let found = test(&infinite, &[-0.0, f64::INFINITY], Alternative::TwoSided);
        assert_eq!(found.statistic, 0.5);
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
            let found = approximate(n, m, distance, Alternative::TwoSided).unwrap();
            assert!((exact / found - 1.0).abs() < 0.05, "{exact} {found}");
        }
    }

    #[test]
    fn one_sample_by_hand() {
        // D_1 = max(u, 1 - u); D_2 < 1/2 has probability 2! (1/2)^2.
        for (n, x, wanted) in [(1.0, 0.25, 1.0), (1.0, 0.75, 0.5), (2.0, 0.5, 0.5), (1.0, 1.0, 0.0)]
        {
            assert!((one_sample_sf(n, x) - wanted).abs() < 1e-14, "{n} {x}");
        }
    }

    #[test]
    fn large_samples_are_asymptotic_unless_asked_for() {
        let large: Vec<f64> = (0..=EXACT_SIZE).map(|i| i as f64).collect();
        let two = Alternative::TwoSided;
        let run = |first: &[f64], method| kolmogorov_smirnov(first, &[5000.5], two, method);
        let name = |first: &[f64], method| run(first, method).unwrap().test;
        assert!(name(&large, Method::Auto).ends_with("asymptotic"));
        assert!(name(&large, Method::Exact).ends_with("exact"));
        assert!(name(&large[1..], Method::Auto).ends_with("exact"));
        assert!(name(&large[1..], Method::Asymptotic).ends_with("asymptotic"));
    }

    #[test]
    fn what_cannot_be_tested_is_refused() {
        let two = Alternative::TwoSided;
        let run = |first: &[f64], method| kolmogorov_smirnov(first, &[1.0], two, method);
        let why = |found: Result<TestResult>| found.unwrap_err().to_string();
        assert!(why(run(&[], Method::Auto)).contains("the first sample is empty"));
        assert!(why(run(&[2.0, f64::NAN], Method::Auto)).contains("value 1 is not a number"));
        assert!(why(run(&[2.0], Method::Asymptotic)).contains("take the exact one"));
        let second = kolmogorov_smirnov(&[1.0], &[], two, Method::Auto);
        assert!(why(second).contains("the second sample is empty"));
        let many = vec![0.0; 40_000];
        let found = kolmogorov_smirnov(&many, &many, two, Method::Exact);
        assert!(matches!(found, Err(Error::Config { .. })), "{found:?}");
    }
}
