//! Tests of independent counts.

use super::{Alternative, LEVEL, TestResult, effect};
use crate::stats::distributions::chi_squared_sf;
use crate::stats::interval::check_count;
use crate::stats::newcombe;
use crate::stats::refused;
use crate::stats::special::hypergeometric_density;
use crate::{Error, Result};

/// The z test of two independent proportions with the pooled variance: `proportions_ztest` of statsmodels. Each is given
/// as (successes, trials). Effect: the difference `first - second` with the interval of [`newcombe`].
///
/// A normal approximation: with fewer than about 5 expected successes or failures take [`fisher_exact`].
///
/// # Errors
/// [`Error::Refused`] without trials, with more successes than trials, and when all outcomes are the same (the statistic
/// is then 0 / 0).
pub fn two_proportions(
    first: (u64, u64),
    second: (u64, u64),
    alternative: Alternative,
) -> Result<TestResult> {
    let interval = newcombe(first, second, LEVEL)?;
    let [(x, n), (y, m)] = [first, second].map(|(k, n)| (k as f64, n as f64));
    let pooled = (x + y) / (n + m);
    let variance = pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m);
    if variance == 0.0 {
        return Err(refused(
            "all outcomes are the same, so their variance is unknown: collect more, or take Fisher's exact test",
        ));
    }
    let difference = x / n - y / m;
    let statistic = difference / variance.sqrt();
    Ok(TestResult {
        test: "two-proportion z test, pooled".into(),
        statistic,
        df: None,
        p_value: alternative.normal_p(statistic),
        alternative,
        effect: effect("difference in proportions", difference, Some(interval)),
    })
}

/// Probabilities closer than this, relatively, count as equal when a two-sided p-value adds up all outcomes that are no
/// more likely than the observed one. Equal ones differ by rounding, near 1e-14; unequal ones by whole fractions.
const SAME_PROBABILITY: f64 = 1e-11;

/// Tables with the same margins that Fisher's test adds up: a second's work or two.
const MOST_TABLES: u64 = 10_000_000;

/// Fisher's exact test of a 2 x 2 table; each row is given as (successes, trials). The two-sided p-value adds up all
/// tables with these margins that are no more likely, as SciPy's `fisher_exact`. The statistic and the effect are the
/// sample's odds ratio, infinite when a denominator is 0.
///
/// # Errors
/// [`Error::Refused`] without trials, with more successes than trials, when all outcomes are the same (the odds ratio
/// is then 0 / 0), and when more than 10 million tables have the same margins.
pub fn fisher_exact(
    first: (u64, u64),
    second: (u64, u64),
    alternative: Alternative,
) -> Result<TestResult> {
    check_count(first.0, first.1)?;
    check_count(second.0, second.1)?;
    let successes = first.0 + second.0;
    if successes == 0 || successes == first.1 + second.1 {
        return Err(refused("all outcomes are the same, so their odds ratio is undefined"));
    }
    let density = |k| hypergeometric_density(k, successes, first.1, second.1);
    let lowest = successes.saturating_sub(second.1);
    let highest = successes.min(first.1);
    if highest - lowest >= MOST_TABLES {
        return Err(refused(format!(
            "{} tables have these margins, more than {MOST_TABLES}: take the two-proportion z test",
            highest - lowest + 1
        )));
    }
    let observed = density(first.0);
    let p_value = match alternative {
        Alternative::TwoSided => (lowest..=highest)
            .map(density)
            .filter(|&p| p <= observed * (1.0 + SAME_PROBABILITY))
            .sum::<f64>(),
        Alternative::Less => (lowest..=first.0).map(density).sum(),
        Alternative::Greater => (first.0..=highest).map(density).sum(),
    };
    let [hits, misses, others, rest] =
        [first.0, first.1 - first.0, second.0, second.1 - second.0].map(|count| count as f64);
    let odds = hits * rest / (misses * others);
    Ok(TestResult {
        test: "Fisher's exact test".into(),
        statistic: odds,
        df: None,
        p_value: p_value.min(1.0),
        alternative,
        effect: effect("odds ratio", odds, None),
    })
}

/// Pearson's chi-square test that counts come from the given shares: SciPy's `chisquare`. The shares need not sum to 1.
///
/// An approximation that wants at least about 5 expected counts a cell.
///
/// # Errors
/// [`Error::Refused`] for fewer than two cells or no count; [`Error::Config`] for shares of another number than the counts
/// or that are not positive and finite.
pub fn chi_squared_fit(counts: &[u64], shares: &[f64]) -> Result<TestResult> {
    if counts.len() != shares.len() {
        let allowed = format!("one for each of the {} counts", counts.len());
        return Err(Error::config("shares", shares.len(), allowed));
    }
    if let Some(share) = shares.iter().find(|share| !(share.is_finite() && **share > 0.0)) {
        return Err(Error::config("shares", share, "positive and finite numbers"));
    }
    let n = counts.iter().map(|&count| count as f64).sum::<f64>();
    if counts.len() < 2 || n == 0.0 {
        return Err(refused(format!(
            "{} cell(s) with {n} counts: a fit needs at least 2 cells and 1 count",
            counts.len()
        )));
    }
    let all: f64 = shares.iter().sum();
    let statistic = counts
        .iter()
        .zip(shares)
        .map(|(&count, share)| (count as f64, n * share / all))
        .map(|(count, expected)| (count - expected).powi(2) / expected)
        .sum::<f64>();
    let df = (counts.len() - 1) as f64;
    Ok(TestResult {
        test: "chi-square goodness of fit".into(),
        statistic,
        df: Some(df),
        p_value: chi_squared_sf(statistic, df),
        alternative: Alternative::TwoSided,
        effect: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of sums of densities, each exact to a few units in the last place.
    const ROUNDING: f64 = 1e-14;

    #[test]
    fn z_of_known_counts() {
        let test = |first, second| two_proportions(first, second, Alternative::TwoSided).unwrap();
        let found = test((5, 83), (12, 99));
        assert!(
            (found.statistic + 1.40783).abs() < 5e-6 && (found.p_value - 0.159181).abs() < 5e-7
        );
        let found = test((1398, 10_000), (1608, 10_000));
        assert!(
            (found.statistic + 4.15520).abs() < 5e-6 && (found.p_value - 3.25e-5).abs() < 5e-10
        );
        let effect = found.effect.unwrap();
        assert!((effect.value + 0.021).abs() < 1e-12 && !effect.interval.unwrap().contains(0.0));
    }

    #[test]
    fn the_lady_tasting_tea() {
        // Three of four cups right: (16 + 1) / 70 one-sided, (16 + 16 + 1 + 1) / 70 two-sided.
        let p = |alternative| fisher_exact((3, 4), (1, 4), alternative).unwrap().p_value;
        assert!((p(Alternative::Greater) - 17.0 / 70.0).abs() < ROUNDING);
        assert!((p(Alternative::TwoSided) - 34.0 / 70.0).abs() < ROUNDING);
        assert!((p(Alternative::Less) - 69.0 / 70.0).abs() < ROUNDING);
        let found = fisher_exact((2, 2), (0, 3), Alternative::TwoSided).unwrap();
        assert_eq!(found.statistic, f64::INFINITY);
    }

    #[test]
    fn chi_squared_by_hand() {
        // 30 and 10 for 20 each: 5 + 5 = 10.
        let found = chi_squared_fit(&[30, 10], &[1.0, 1.0]).unwrap();
        assert!((found.statistic - 10.0).abs() < 1e-12 && found.df == Some(1.0));
        assert!((found.p_value - 0.001565402258002549).abs() < 1e-15);
    }

    #[test]
    fn what_cannot_be_tested_is_refused() {
        let two = Alternative::TwoSided;
        assert!(two_proportions((0, 5), (0, 9), two).is_err());
        assert!(two_proportions((5, 5), (9, 9), two).is_err());
        assert!(two_proportions((0, 0), (1, 9), two).is_err());
        assert!(
            fisher_exact((6, 5), (1, 9), two).is_err()
                && fisher_exact((0, 5), (0, 9), two).is_err()
        );
        let all = u64::MAX;
        assert!(two_proportions((1, all), (1, 9), two).is_err());
        assert!(fisher_exact((all, all), (1, all), two).is_err());
        let many = 1 << 40;
        let error = fisher_exact((many / 2, many), (many / 3, many), two).unwrap_err();
        assert!(error.to_string().contains("two-proportion"), "{error}");
        assert!(
            chi_squared_fit(&[1], &[1.0]).is_err()
                && chi_squared_fit(&[0, 0], &[1.0, 1.0]).is_err()
        );
        assert!(chi_squared_fit(&[1, 2], &[1.0]).is_err());
        assert!(chi_squared_fit(&[1, 2], &[1.0, 0.0]).is_err());
        assert!(chi_squared_fit(&[1, 2], &[1.0, f64::NAN]).is_err());
    }
}
