//! A test that may be looked at at any time.

use super::analysis::Verdict;
use crate::stats::{Interval, Summary};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Settings of a [`SequentialTest`].
///
/// | field | default | allowed |
/// |---|---|---|
/// | `alpha` | 0.05 | (0, 1) |
/// | `tau` | | positive |
/// | `min_units` | 100 | at least 2 |
/// | `variance_bound` | none | positive |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequentialConfig {
    /// Probability of ever making a claim when nothing differs.
    pub alpha: f64,
    /// Standard deviation of the effects that are thought possible, in the outcome's units: about the size of effect one
    /// hopes to find. Any value is valid; the nearer to the true effect, the sooner the end. See [`tau_for`].
    pub tau: f64,
    /// Units that each side must have before anything is said: the normal approximation has to hold from the first look.
    pub min_units: u64,
    /// A bound of each outcome's variance proxy, such as 1/4 for outcomes in `[0, 1]` (Hoeffding), in place of the
    /// variance found in the sample. Then nothing is approximate when the sides grow in pairs, but ends come later.
    pub variance_bound: Option<f64>,
}

impl SequentialConfig {
    /// The defaults for this `tau`.
    pub fn new(tau: f64) -> Self {
        Self { alpha: 0.05, tau, min_units: 100, variance_bound: None }
    }
}

/// The mixture sequential probability ratio test of a difference of means, with a normal mixture (Robbins 1970; Johari,
/// Pekelis and Walsh 2015, 2022, Always valid inference), for binary and continuous outcomes. With d the difference, v its
/// squared standard error:
///
/// ```text
/// likelihood ratio   L = sqrt(v / (v + tau^2)) exp(tau^2 d^2 / (2 v (v + tau^2)))
/// always-valid p     p = min over all looks of 1 / L
/// confidence sequence  d ± sqrt(v (v + tau^2) / tau^2 (ln((v + tau^2) / v) - 2 ln alpha))
/// ```
///
/// The probability that p is ever at most alpha, or that the sequence ever misses the true difference, is at most alpha,
/// however often one looks and whenever one stops (Ville's inequality; Howard et al. 2021 for time-uniform sequences). With
/// the sample's variance this holds asymptotically (Waudby-Smith et al. 2024), for outcomes of finite variance, shares of
/// the sides that stay about the same, and `min_units` large enough that the mean is near normal.
#[derive(Clone, Debug, PartialEq)]
pub struct SequentialTest {
    config: SequentialConfig,
    p_value: f64,
}

/// What one look shows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SequentialLook {
    /// Treatment less control; `None` before both have units.
    pub difference: Option<f64>,
    /// The always-valid p-value, the smallest so far; 1 before there is enough data.
    pub p_value: f64,
    /// The confidence sequence at this look; `None` before there is enough data.
    pub interval: Option<Interval>,
    /// Significant once `p_value` is at most alpha; before, not enough data. A sequential test never says "not
    /// significant": stop when the interval lies within what does not matter.
    pub verdict: Verdict,
}

/// The `tau` with the narrowest confidence sequence when the squared standard error is `variance`: plan the units per side
/// at which the answer is wanted, `variance = 2 s^2 / n`. The width's derivative vanishes at `tau^2 = c variance` with
/// `c = ln(1 + c) - 2 ln alpha`. NaN for arguments outside their ranges.
pub fn tau_for(variance: f64, alpha: f64) -> f64 {
    let log = -2.0 * alpha.ln();
    // A contraction: its slope is 1 / (1 + c).
    let c = (0..100).fold(log, |c: f64, _| log + c.ln_1p());
    (variance * c).sqrt()
}

impl SequentialTest {
    /// # Errors
    /// [`Error::Config`] for a field outside its range.
    pub fn new(config: SequentialConfig) -> Result<Self> {
        let positive = |field: &str, value: f64| {
            if value > 0.0 && value.is_finite() {
                return Ok(());
            }
            Err(Error::config(field, value, "a positive number"))
        };
        positive("tau", config.tau)?;
        if let Some(bound) = config.variance_bound {
            positive("variance_bound", bound)?;
        }
        if !(config.alpha > 0.0 && config.alpha < 1.0) {
            return Err(Error::config("alpha", config.alpha, "a number between 0 and 1"));
        }
        if config.min_units < 2 {
            return Err(Error::config("min_units", config.min_units, "at least 2"));
        }
        Ok(Self { config, p_value: 1.0 })
    }

    /// Looks at all outcomes so far: as long and as often as one likes.
    pub fn look(&mut self, treatment: &Summary, control: &Summary) -> SequentialLook {
        let difference = treatment.mean().zip(control.mean()).map(|(t, c)| t - c);
        let few = treatment.n().min(control.n()) < self.config.min_units;
        let variance = if few { None } else { self.variance(treatment, control) };
        let Some((difference, variance)) = difference.zip(variance) else {
            return self.report(difference, None);
        };
        let SequentialConfig { alpha, tau, .. } = self.config;
        let (square, sum) = (tau * tau, variance + tau * tau);
        let log_ratio =
            0.5 * (variance / sum).ln() + square * difference * difference / (2.0 * variance * sum);
        self.p_value = self.p_value.min((-log_ratio).exp());
        let half = (variance * sum / square * ((sum / variance).ln() - 2.0 * alpha.ln())).sqrt();
        let interval =
            Interval { low: difference - half, high: difference + half, level: 1.0 - alpha };
        self.report(Some(difference), Some(interval))
    }

    /// The squared standard error of the difference; `None` where it is not known to be positive.
    fn variance(&self, treatment: &Summary, control: &Summary) -> Option<f64> {
        let (n, m) = (treatment.n() as f64, control.n() as f64);
        let variance = match self.config.variance_bound {
            Some(bound) => bound / n + bound / m,
            None => treatment.variance()? / n + control.variance()? / m,
        };
        (variance > 0.0).then_some(variance)
    }

    fn report(&self, difference: Option<f64>, interval: Option<Interval>) -> SequentialLook {
        let verdict = if self.p_value <= self.config.alpha {
            Verdict::Significant
        } else {
            Verdict::NotEnoughData { needed: None }
        };
        SequentialLook { difference, p_value: self.p_value, interval, verdict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_by_hand() {
        let treatment = Summary::from_moments(100, 1.5, 2.0).unwrap();
        let control = Summary::from_moments(100, 1.0, 2.0).unwrap();
        let mut test = SequentialTest::new(SequentialConfig::new(0.2)).unwrap();
        let look = test.look(&treatment, &control);
        // v = 0.04 = tau^2: L = sqrt(1/2) exp(0.25 / 0.16).
        let ratio = 0.5f64.sqrt() * (0.25f64 / 0.16).exp();
        assert!((look.p_value - 1.0 / ratio).abs() < 1e-12, "{look:?}");
        let half = (0.08 * (2f64.ln() - 2.0 * 0.05f64.ln())).sqrt();
        assert!((look.interval.unwrap().low - (0.5 - half)).abs() < 1e-12);
        // The p-value never rises again.
        let later = test.look(&control, &control);
        assert_eq!((later.difference, later.p_value), (Some(0.0), look.p_value));
    }

    #[test]
    fn an_interval_excludes_zero_exactly_when_its_ratio_is_significant() {
        let control = Summary::from_moments(200, 0.0, 1.0).unwrap();
        for i in 1..100 {
            let treatment = Summary::from_moments(200, f64::from(i) / 100.0, 1.0).unwrap();
            let mut test = SequentialTest::new(SequentialConfig::new(0.3)).unwrap();
            let look = test.look(&treatment, &control);
            assert_eq!(look.verdict == Verdict::Significant, look.interval.unwrap().low >= 0.0);
        }
    }

    #[test]
    fn tau_is_the_best_at_its_size() {
        let width = |tau: f64| {
            let control = Summary::from_moments(500, 0.0, 1.0).unwrap();
            let mut test = SequentialTest::new(SequentialConfig::new(tau)).unwrap();
            let interval = test.look(&control, &control).interval.unwrap();
            interval.high - interval.low
        };
        let tau = tau_for(2.0 / 500.0, 0.05);
        assert!(width(tau) < width(1.01 * tau) && width(tau) < width(0.99 * tau));
    }

    #[test]
    fn too_little_data_and_bad_settings() {
        let mut test = SequentialTest::new(SequentialConfig::new(0.1)).unwrap();
        let few = Summary::of(&[1.0, 2.0]).unwrap();
        let look = test.look(&few, &Summary::default());
        assert_eq!((look.difference, look.p_value, look.interval), (None, 1.0, None));
        let constant = Summary::of(&[1.0; 200]).unwrap();
        assert_eq!(test.look(&constant, &constant).interval, None);
        let config = SequentialConfig::new(0.1);
        assert!(SequentialTest::new(SequentialConfig { tau: 0.0, ..config }).is_err());
        assert!(SequentialTest::new(SequentialConfig { alpha: 1.0, ..config }).is_err());
        assert!(SequentialTest::new(SequentialConfig { min_units: 1, ..config }).is_err());
        let bound = SequentialConfig { variance_bound: Some(f64::NAN), ..config };
        assert!(SequentialTest::new(bound).is_err());
    }
}
