//! McNemar's test of paired outcomes.

use super::{Alternative, LEVEL, TestResult, effect};
use crate::Result;
use crate::stats::distributions::{binomial_cdf, chi_squared_sf, two_sided_normal};
use crate::stats::{Interval, check_paired, refused};
use serde::{Deserialize, Serialize};

/// How often each of two classifiers was right on the same examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairedOutcomes {
    /// Both were.
    pub both: u64,
    /// Only the first was.
    pub only_first: u64,
    /// Only the second was.
    pub only_second: u64,
    /// Neither was.
    pub neither: u64,
}

impl PairedOutcomes {
    /// Counts outcomes of the same examples in the same order.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) for different numbers.
    pub fn count(first: &[bool], second: &[bool]) -> Result<Self> {
        check_paired(first, second)?;
        let mut table = Self::default();
        for pair in first.iter().zip(second) {
            *match pair {
                (true, true) => &mut table.both,
                (true, false) => &mut table.only_first,
                (false, true) => &mut table.only_second,
                (false, false) => &mut table.neither,
            } += 1;
        }
        Ok(table)
    }

    /// Number of examples, at most `u64::MAX`.
    pub fn n(&self) -> u64 {
        let rest = self.only_second.saturating_add(self.neither);
        self.both.saturating_add(self.only_first).saturating_add(rest)
    }

    /// The share of the first less that of the second.
    pub fn difference(&self) -> Option<f64> {
        let n = self.n() as f64;
        (n > 0.0).then(|| (self.only_first as f64 - self.only_second as f64) / n)
    }

    /// An interval for [`difference`](Self::difference): the adjusted Wald interval of Bonett and Price (2012), Adjusted
    /// Wald confidence interval for a difference of binomial proportions based on paired data. `None` without examples.
    pub fn interval(&self, level: f64) -> Option<Interval> {
        if self.n() == 0 || !(level > 0.0 && level < 1.0) {
            return None;
        }
        let n = self.n() as f64 + 2.0;
        let (p, q) = ((self.only_first as f64 + 1.0) / n, (self.only_second as f64 + 1.0) / n);
        let half = two_sided_normal(1.0 - level) * ((p + q - (p - q).powi(2)) / n).sqrt();
        Some(Interval { low: (p - q - half).max(-1.0), high: (p - q + half).min(1.0), level })
    }
}

/// McNemar's exact test (binomial): `mcnemar(exact=True)` of statsmodels. The statistic is the smaller discordant count.
/// Effect: the difference of the shares with [`PairedOutcomes::interval`].
///
/// # Errors
/// [`Error::Refused`](crate::Error::Refused) without examples. Without discordant pairs the p-value is 1.
pub fn mcnemar_exact(table: &PairedOutcomes) -> Result<TestResult> {
    let discordant = table.only_first.saturating_add(table.only_second);
    let smaller = table.only_first.min(table.only_second);
    let p_value = (2.0 * binomial_cdf(smaller, discordant, 0.5)).min(1.0);
    result("McNemar's exact test", table, smaller as f64, None, p_value)
}

/// McNemar's chi-square test, with or without the continuity correction of Edwards (1948): `mcnemar(exact=False)` of
/// statsmodels. An approximation that wants about 25 discordant pairs. Effect as [`mcnemar_exact`].
///
/// # Errors
/// [`Error::Refused`](crate::Error::Refused) without discordant pairs (the statistic is then 0 / 0).
pub fn mcnemar(table: &PairedOutcomes, continuity: bool) -> Result<TestResult> {
    let (b, c) = (table.only_first as f64, table.only_second as f64);
    if b + c == 0.0 {
        return Err(refused(
            "no pair is discordant, so McNemar's chi-square is undefined; take the exact test",
        ));
    }
    let distance = (b - c).abs() - if continuity { 1.0 } else { 0.0 };
    let statistic = distance * distance / (b + c);
    let name = if continuity { "with" } else { "without" };
    let name = format!("McNemar's chi-square test, {name} continuity correction");
    result(&name, table, statistic, Some(1.0), chi_squared_sf(statistic, 1.0))
}

fn result(
    name: &str,
    table: &PairedOutcomes,
    statistic: f64,
    df: Option<f64>,
    p_value: f64,
) -> Result<TestResult> {
    let Some(difference) = table.difference() else {
        return Err(refused("there is no pair of outcomes to compare"));
    };
    Ok(TestResult {
        test: name.into(),
        statistic,
        df,
        p_value,
        alternative: Alternative::TwoSided,
        effect: effect("difference in proportions", difference, table.interval(LEVEL)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_values_by_hand() {
        let table = PairedOutcomes::count(&[true, true, false, true], &[true, false, false, false])
            .unwrap();
        assert_eq!(table, PairedOutcomes { both: 1, only_first: 2, only_second: 0, neither: 1 });
        assert_eq!(table.difference(), Some(0.5));
        // 2 (1/2)^2 = 1/2.
        assert_eq!(mcnemar_exact(&table).unwrap().p_value, 0.5);
        // 2^2 / 2 and (2 - 1)^2 / 2.
        assert_eq!(mcnemar(&table, false).unwrap().statistic, 2.0);
        assert_eq!(mcnemar(&table, true).unwrap().statistic, 0.5);
    }

    #[test]
    fn without_discordant_pairs() {
        let same = PairedOutcomes { both: 3, ..PairedOutcomes::default() };
        assert_eq!(mcnemar_exact(&same).unwrap().p_value, 1.0);
        assert!(mcnemar(&same, true).is_err());
        assert!(mcnemar_exact(&PairedOutcomes::default()).is_err());
        assert!(PairedOutcomes::count(&[true], &[]).is_err());
        assert!(PairedOutcomes::default().interval(0.95).is_none());
    }
}
