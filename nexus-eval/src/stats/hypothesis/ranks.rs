//! Tests on ranks: Mann-Whitney U, Wilcoxon's signed ranks.

use super::{Alternative, TestResult, effect};
use crate::stats::{check_finite, check_paired, refused};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a test on ranks or orders gets its p-value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Exact for small samples, as SciPy chooses; each test says where it draws the line.
    #[default]
    Auto,
    /// The exact distribution of the statistic.
    Exact,
    /// The limit for large samples.
    Asymptotic,
}

/// Ranks from 1, ties sharing their average, and the sum of `t^3 - t` over groups of t ties.
pub(crate) fn average_ranks(values: &[f64]) -> (Vec<f64>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let (mut before, mut ties) = (0usize, 0.0);
    for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let t = group.len() as f64;
        for &i in group {
            ranks[i] = before as f64 + (t + 1.0) / 2.0;
        }
        before += group.len();
        ties += t * t * t - t;
    }
    (ranks, ties)
}

/// The Mann-Whitney U test: `mannwhitneyu` of SciPy. The statistic is U of the first sample: the number of pairs in which
/// the first is larger, ties counted half. Effect: U / (n m), the probability of superiority.
///
/// [`Method::Auto`] is exact when a sample has at most 8 values and none is tied; otherwise the normal approximation with
/// corrections for ties and continuity.
///
/// # Errors
/// [`Error::Refused`] for an empty sample, for values that are not finite, and for [`Method::Exact`] with ties.
pub fn mann_whitney(
    first: &[f64],
    second: &[f64],
    alternative: Alternative,
    method: Method,
) -> Result<TestResult> {
    check_finite("the first sample", first)?;
    check_finite("the second sample", second)?;
    let (n, m) = (first.len(), second.len());
    if n == 0 || m == 0 {
        return Err(refused("a sample is empty; the test needs at least one value on each side"));
    }
    let (ranks, ties) = average_ranks(&[first, second].concat());
    let (size, pairs) = ((n + m) as f64, n as f64 * m as f64);
    let u = ranks[..n].iter().sum::<f64>() - n as f64 * (n as f64 + 1.0) / 2.0;
    let exact = match method {
        Method::Auto => n.min(m) <= 8 && ties == 0.0,
        Method::Exact if ties > 0.0 => {
            return Err(refused("values are tied; the exact distribution of U knows no ties"));
        }
        other => other == Method::Exact,
    };
    let largest = match alternative {
        Alternative::TwoSided => u.max(pairs - u),
        Alternative::Greater => u,
        Alternative::Less => pairs - u,
    };
    let tail = if exact {
        // U is symmetric: P(U >= u) = P(U <= n m - u).
        u_cdf(n.min(m), n.max(m), (pairs - largest) as usize)
    } else {
        let variance = pairs / 12.0 * (size + 1.0 - ties / (size * (size - 1.0)));
        let z = (largest - pairs / 2.0 - 0.5) / variance.sqrt();
        Alternative::Greater.normal_p(z)
    };
    let sides = if alternative == Alternative::TwoSided { 2.0 } else { 1.0 };
    let name = if exact { "exact" } else { "asymptotic" };
    Ok(TestResult {
        test: format!("Mann-Whitney U test, {name}"),
        statistic: u,
        df: None,
        p_value: (sides * tail).min(1.0),
        alternative,
        effect: effect("probability of superiority", u / pairs, None),
    })
}

/// P(U <= u) without ties: the coefficients of the Gaussian binomial `prod (1 - q^(m + i)) / (1 - q^i)`, i = 1..n, divided
/// by their sum as they grow.
fn u_cdf(n: usize, m: usize, u: usize) -> f64 {
    let mut shares = vec![0.0; u + 1];
    shares[0] = 1.0;
    for i in 1..=n {
        for k in (m + i..=u).rev() {
            shares[k] -= shares[k - m - i];
        }
        for k in i..=u {
            shares[k] += shares[k - i];
        }
        let scale = i as f64 / (m + i) as f64;
        shares.iter_mut().for_each(|share| *share *= scale);
    }
    shares.iter().sum()
}

/// Wilcoxon's signed-rank test of paired samples: `wilcoxon` of SciPy, which leaves out pairs without difference. The
/// statistic is the smaller sum of ranks (two-sided) or that of the positive differences. Effect: the matched-pairs
/// rank-biserial correlation.
///
/// [`Method::Auto`] is exact for at most 50 pairs without ties and zeros and for at most 13 pairs in any case; otherwise
/// the normal approximation with the correction for ties. The exact distribution here is that of the sample's own ranks, tied or not.
///
/// # Errors
/// [`Error::Refused`] for samples of different lengths, for values that are not finite, when no pair differs, and for
/// [`Method::Exact`] beyond 1,000 pairs.
pub fn wilcoxon(
    first: &[f64],
    second: &[f64],
    alternative: Alternative,
    method: Method,
) -> Result<TestResult> {
    check_paired(first, second)?;
    let all: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    check_finite("the differences", &all)?;
    let differences: Vec<f64> = all.iter().copied().filter(|&d| d != 0.0).collect();
    if differences.is_empty() {
        return Err(refused("no pair differs, so there is no rank to test"));
    }
    let sizes: Vec<f64> = differences.iter().map(|d| d.abs()).collect();
    let (ranks, ties) = average_ranks(&sizes);
    let plain = ties == 0.0 && differences.len() == all.len();
    let exact = match method {
        Method::Auto => all.len() <= if plain { 50 } else { 13 },
        Method::Exact if differences.len() > 1000 => {
            let allowed = "auto or asymptotic for more than 1000 pairs";
            return Err(Error::config("method", "exact", allowed));
        }
        other => other == Method::Exact,
    };
    let positive: f64 =
        ranks.iter().zip(&differences).filter(|(_, d)| **d > 0.0).map(|(r, _)| r).sum();
    let n = differences.len() as f64;
    let total = n * (n + 1.0) / 2.0;
    let p_value = if exact {
        let (at_most, at_least) = signed_rank_tails(&ranks, positive);
        alternative.discrete_p(at_most, at_least)
    } else {
        let variance = (n * (n + 1.0) * (2.0 * n + 1.0) - ties / 2.0) / 24.0;
        alternative.normal_p((positive - total / 2.0) / variance.sqrt())
    };
    let two_sided = alternative == Alternative::TwoSided;
    let name = if exact { "exact" } else { "asymptotic" };
    Ok(TestResult {
        test: format!("Wilcoxon signed-rank test, {name}"),
        statistic: if two_sided { positive.min(total - positive) } else { positive },
        df: None,
        p_value,
        alternative,
        effect: effect("rank-biserial correlation", 2.0 * positive / total - 1.0, None),
    })
}

/// P(W <= w) and P(W >= w) where each rank is positive with probability 1/2. Ranks are whole or half numbers.
fn signed_rank_tails(ranks: &[f64], w: f64) -> (f64, f64) {
    let doubled: Vec<usize> = ranks.iter().map(|rank| (2.0 * rank) as usize).collect();
    let mut shares = vec![0.0; doubled.iter().sum::<usize>() + 1];
    shares[0] = 1.0;
    for &rank in &doubled {
        for k in (0..shares.len()).rev() {
            let with = if k >= rank { shares[k - rank] } else { 0.0 };
            shares[k] = 0.5 * (shares[k] + with);
        }
    }
    let at = (2.0 * w) as usize;
    (shares[..=at].iter().sum(), shares[at..].iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_share_their_average() {
        assert_eq!(average_ranks(&[3.0, 1.0, 3.0, 0.0]), (vec![3.5, 2.0, 3.5, 1.0], 6.0));
        // -0.0 and 0.0 are one value.
        assert_eq!(average_ranks(&[0.0, -0.0]), (vec![1.5, 1.5], 6.0));
    }

    #[test]
    fn orders_by_hand() {
        let (low, high) = ([1.0, 2.0], [3.0, 4.0]);
        let test = |alternative| mann_whitney(&low, &high, alternative, Method::Auto).unwrap();
        assert_eq!(test(Alternative::TwoSided).statistic, 0.0);
        assert!((test(Alternative::Less).p_value - 1.0 / 6.0).abs() < 1e-15);
        assert!((test(Alternative::TwoSided).p_value - 1.0 / 3.0).abs() < 1e-15);
        assert!((test(Alternative::Greater).p_value - 1.0).abs() < 1e-15);
        // All three signs positive: 1 of 8.
        let test =
            wilcoxon(&[1.0, 2.0, 3.0], &[0.0; 3], Alternative::Greater, Method::Auto).unwrap();
        assert_eq!((test.statistic, test.p_value), (6.0, 0.125));
    }

    #[test]
    fn what_cannot_be_tested_is_refused() {
        let two = Alternative::TwoSided;
        assert!(mann_whitney(&[], &[1.0], two, Method::Auto).is_err());
        assert!(mann_whitney(&[1.0], &[1.0], two, Method::Exact).is_err());
        assert!(mann_whitney(&[f64::NAN], &[1.0], two, Method::Auto).is_err());
        assert!(wilcoxon(&[1.0], &[1.0], two, Method::Auto).is_err());
        assert!(wilcoxon(&[1.0], &[], two, Method::Auto).is_err());
        let all_tied = mann_whitney(&[1.0; 20], &[1.0; 20], two, Method::Auto).unwrap();
        assert_eq!(all_tied.p_value, 1.0);
    }
}
