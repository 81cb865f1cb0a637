//! Confidence intervals with a closed form.

use super::distributions::{student_t_quantile, two_sided_normal};
use super::{Summary, check_share, refused};
use crate::Result;
use serde::{Deserialize, Serialize};

/// A two-sided confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The share of such intervals that hold the true value, such as 0.95.
    pub level: f64,
}

impl Interval {
    /// Whether `value` lies in the interval, ends included.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// The score interval of Wilson (1927) for a proportion, without continuity correction.
///
/// # Errors
/// [`Error::Refused`](crate::Error::Refused) without trials or with more successes than trials;
/// [`Error::Config`](crate::Error::Config) for a level outside (0, 1).
pub fn wilson(successes: u64, n: u64, level: f64) -> Result<Interval> {
    check_share("level", level)?;
    check_count(successes, n)?;
    let z2 = two_sided_normal(1.0 - level).powi(2);
    let count = n as f64;
    let p = successes as f64 / count;
    let middle = (p + z2 / (2.0 * count)) / (1.0 + z2 / count);
    let half =
        (z2 * (p * (1.0 - p) / count + z2 / (4.0 * count * count))).sqrt() / (1.0 + z2 / count);
    // At 0 and n the ends are 0 and 1; rounding would leave a remainder.
    let low = if successes == 0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if successes == n { 1.0 } else { (middle + half).min(1.0) };
    Ok(Interval { low, high, level })
}

/// The interval of Newcombe (1998), Interval estimation for the difference between independent proportions, method 10,
/// for `first - second`; each is given as (successes, trials).
///
/// # Errors
/// As [`wilson`].
pub fn newcombe(first: (u64, u64), second: (u64, u64), level: f64) -> Result<Interval> {
    let (a, b) = (wilson(first.0, first.1, level)?, wilson(second.0, second.1, level)?);
    let (p, q) = (first.0 as f64 / first.1 as f64, second.0 as f64 / second.1 as f64);
    let difference = p - q;
    Ok(Interval {
        low: difference - (p - a.low).hypot(b.high - q),
        high: difference + (a.high - p).hypot(q - b.low),
        level,
    })
}

/// Student's interval for a mean.
///
/// # Errors
/// [`Error::Refused`](crate::Error::Refused) with fewer than two observations and for a variance that overflows;
/// [`Error::Config`](crate::Error::Config) for a level outside (0, 1).
pub fn mean_interval(sample: &Summary, level: f64) -> Result<Interval> {
    let (mean, variance) = sample.moments("the sample")?;
    let n = sample.n() as f64;
    around(mean, (variance / n).sqrt(), n - 1.0, level)
}

/// `value ± t stderr`.
pub(super) fn around(value: f64, stderr: f64, df: f64, level: f64) -> Result<Interval> {
    check_share("level", level)?;
    let half = student_t_quantile(0.5 + 0.5 * level, df) * stderr;
    Ok(Interval { low: value - half, high: value + half, level })
}

/// The most trials: every count is a whole number in f64.
const MOST_TRIALS: u64 = 1 << 53;

pub(super) fn check_count(successes: u64, n: u64) -> Result<()> {
    match (n, successes > n) {
        (MOST_TRIALS.., _) => {
            Err(refused(format!("{n} trials: fewer than 2^53 can be told apart")))
        }
        (0, _) => Err(refused("a proportion of 0 trials is undefined; collect outcomes first")),
        (_, true) => Err(refused(format!("{successes} successes in {n} trials: more than all"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_intervals() {
        // Newcombe (1998), table II, example (a): 56/70 - 48/80, method 10.
        let found = newcombe((56, 70), (48, 80), 0.95).unwrap();
        assert!(
            (found.low - 0.0524).abs() < 5e-5 && (found.high - 0.3339).abs() < 5e-5,
            "{found:?}"
        );
        // Newcombe (1998), Two-sided confidence intervals for the single proportion, table I: 81/263, 0/20.
        let found = wilson(81, 263, 0.95).unwrap();
        assert!(
            (found.low - 0.2553).abs() < 5e-5 && (found.high - 0.3662).abs() < 5e-5,
            "{found:?}"
        );
        let found = wilson(0, 20, 0.95).unwrap();
        assert!(found.low == 0.0 && (found.high - 0.1611).abs() < 5e-5, "{found:?}");
        assert_eq!(wilson(20, 20, 0.95).unwrap().high, 1.0);
    }

    #[test]
    fn a_mean_by_hand() {
        // Mean 3, s^2 = 7, n = 3: t(0.975, 2) = 4.302652729749464.
        let sample = Summary::of(&[1.0, 2.0, 6.0]).unwrap();
        let found = mean_interval(&sample, 0.95).unwrap();
        assert!((found.high - 3.0 - 4.302652729749464 * (7.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!(found.contains(found.low) && !found.contains(found.high + 1e-9));
    }

    #[test]
    fn what_has_no_interval_is_refused() {
        assert!(wilson(0, 0, 0.95).is_err() && wilson(3, 2, 0.95).is_err());
        assert!(wilson(1, 2, 1.0).is_err() && wilson(1, 2, f64::NAN).is_err());
        assert!(newcombe((1, 2), (0, 0), 0.9).is_err());
        assert!(mean_interval(&Summary::of(&[1.0]).unwrap(), 0.9).is_err());
    }
}
