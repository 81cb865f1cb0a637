//! Power and sample size of tests of two samples.

use super::distributions::{
    MAX_NONCENTRALITY, noncentral_t_cdf, normal_cdf, normal_quantile, normal_sf, student_t_quantile,
};
use super::{Alternative, bisect, check_share, refused};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Largest sample size that is looked for.
const MAX_N: f64 = 1e15;

/// The design of a test of two samples, whose power and sample size are asked for.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `alpha` | 0.05 | (0, 1) |
/// | `ratio` | 1 | positive |
/// | `alternative` | two-sided | |
///
/// Sizes are those of the first sample, as real numbers; round up. The second has `ratio` times as many.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PowerAnalysis {
    /// Probability of a claim when nothing differs.
    pub alpha: f64,
    /// Size of the second sample over that of the first.
    pub ratio: f64,
    /// What is claimed.
    pub alternative: Alternative,
}

impl Default for PowerAnalysis {
    fn default() -> Self {
        Self { alpha: 0.05, ratio: 1.0, alternative: Alternative::TwoSided }
    }
}

/// Cohen's h, `2 asin(sqrt(first)) - 2 asin(sqrt(second))`. NaN outside `[0, 1]`.
pub fn cohens_h(first: f64, second: f64) -> f64 {
    2.0 * (first.sqrt().asin() - second.sqrt().asin())
}

impl PowerAnalysis {
    /// Power of the pooled z test of two proportions at sample size `n`: `power_proportions_2indep` of statsmodels.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting, proportion or size outside its range, and for equal proportions of 0 or 1.
    pub fn proportions_power(&self, first: f64, second: f64, n: f64) -> Result<f64> {
        self.check()?;
        check_size(n, 0.0)?;
        let (null, alternative) = self.deviations(first, second)?;
        Ok(self.z_power((first - second) * n.sqrt() / alternative, null / alternative))
    }

    /// Sample size at which the pooled z test of two proportions has `power`, by the formula of Fleiss (1981), Statistical
    /// methods for rates and proportions, 3.14, without continuity correction:
    ///
    /// ```text
    /// n = (z_(alpha/2) sqrt((1 + 1/k) p q) + z_power sqrt(p1 q1 + p2 q2 / k))^2 / (p1 - p2)^2
    /// ```
    ///
    /// with `k` the ratio, p the pooled proportion, and z_alpha for one-sided tests:
    /// `samplesize_proportions_2indep_onetail` of statsmodels.
    ///
    /// # Errors
    /// As [`proportions_power`](Self::proportions_power); [`Error::Refused`] for equal proportions and for a difference
    /// against the alternative.
    pub fn proportions_n(&self, first: f64, second: f64, power: f64) -> Result<f64> {
        self.check()?;
        self.check_reachable(first - second, power)?;
        let (null, alternative) = self.deviations(first, second)?;
        let root =
            (self.critical() * null + normal_quantile(power) * alternative) / (first - second);
        Ok(root * root)
    }

    /// Power of the z test for two proportions that lie `h` apart ([`cohens_h`]), at sample size `n`: `NormalIndPower` of
    /// statsmodels.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting outside its range, an effect that is not finite, a size that is not positive.
    pub fn effect_power(&self, h: f64, n: f64) -> Result<f64> {
        self.check()?;
        check_effect(h)?;
        check_size(n, 0.0)?;
        Ok(self.z_power(h * self.paired_size(n).sqrt(), 1.0))
    }

    /// Sample size at which [`effect_power`](Self::effect_power) is `power`.
    ///
    /// # Errors
    /// As there; [`Error::Refused`] for an effect of 0 or against the alternative, and where no size up to 1e15 will do.
    pub fn effect_n(&self, h: f64, power: f64) -> Result<f64> {
        self.check()?;
        check_effect(h)?;
        self.check_reachable(h, power)?;
        solve(|n| self.z_power(h * self.paired_size(n).sqrt(), 1.0), power, 0.0)
    }

    /// Power of Student's t test of two means that lie `d` common standard deviations apart (Cohen's d), at sample size
    /// `n`: `TTestIndPower` of statsmodels. Noncentralities beyond [`MAX_NONCENTRALITY`] count as that.
    ///
    /// # Errors
    /// As [`effect_power`](Self::effect_power), and when both samples together have at most 2 observations.
    pub fn means_power(&self, d: f64, n: f64) -> Result<f64> {
        self.check()?;
        check_effect(d)?;
        check_size(n, 2.0 / (1.0 + self.ratio))?;
        Ok(self.t_power(d, n))
    }

    /// Sample size at which [`means_power`](Self::means_power) is `power`.
    ///
    /// # Errors
    /// As [`effect_n`](Self::effect_n).
    pub fn means_n(&self, d: f64, power: f64) -> Result<f64> {
        self.check()?;
        check_effect(d)?;
        self.check_reachable(d, power)?;
        solve(|n| self.t_power(d, n), power, 2.0 / (1.0 + self.ratio))
    }

    fn check(&self) -> Result<()> {
        check_share("alpha", self.alpha)?;
        if self.ratio > 0.0 && self.ratio.is_finite() {
            Ok(())
        } else {
            Err(Error::config("ratio", self.ratio, "a positive number"))
        }
    }

    fn check_reachable(&self, effect: f64, power: f64) -> Result<()> {
        if !(power > self.alpha && power < 1.0) {
            return Err(Error::config("power", power, "a number between alpha and 1"));
        }
        let reachable = match self.alternative {
            Alternative::TwoSided => effect != 0.0,
            Alternative::Less => effect < 0.0,
            Alternative::Greater => effect > 0.0,
        };
        if reachable {
            return Ok(());
        }
        Err(refused(format!(
            "an effect of {effect} is not in the alternative, so no sample size finds it"
        )))
    }

    /// Standard deviations of `sqrt(n)` times the difference, with the pooled and with the separate proportions.
    fn deviations(&self, first: f64, second: f64) -> Result<(f64, f64)> {
        for (name, p) in [("first", first), ("second", second)] {
            if !(0.0..=1.0).contains(&p) {
                return Err(Error::config(name, p, "a proportion in [0, 1]"));
            }
        }
        let pooled = (first + second * self.ratio) / (1.0 + self.ratio);
        let deviation = |p: f64, q: f64| (p * (1.0 - p) + q * (1.0 - q) / self.ratio).sqrt();
        if pooled == 0.0 || pooled == 1.0 {
            return Err(Error::config(
                "first",
                first,
                "proportions of which one is neither 0 nor 1",
            ));
        }
        // Proportions of 0 and 1 have no variance of their own: the test then claims a difference with certainty.
        Ok((deviation(pooled, pooled), deviation(first, second).max(f64::MIN_POSITIVE)))
    }

    /// `n m / (n + m)`.
    fn paired_size(&self, n: f64) -> f64 {
        n * self.ratio / (1.0 + self.ratio)
    }

    fn tail(&self) -> f64 {
        if self.alternative == Alternative::TwoSided { self.alpha / 2.0 } else { self.alpha }
    }

    fn critical(&self) -> f64 {
        -normal_quantile(self.tail())
    }

    /// Power where the statistic is normal around `shift`, and its critical value is scaled.
    fn z_power(&self, shift: f64, scale: f64) -> f64 {
        let critical = self.critical() * scale;
        self.both(normal_cdf(-critical - shift), normal_sf(critical - shift))
    }

    fn t_power(&self, d: f64, n: f64) -> f64 {
        let df = n * (1.0 + self.ratio) - 2.0;
        let shift = (d * self.paired_size(n).sqrt()).clamp(-MAX_NONCENTRALITY, MAX_NONCENTRALITY);
        let critical = -student_t_quantile(self.tail(), df);
        self.both(
            noncentral_t_cdf(-critical, df, shift),
            1.0 - noncentral_t_cdf(critical, df, shift),
        )
    }

    fn both(&self, below: f64, above: f64) -> f64 {
        match self.alternative {
            Alternative::TwoSided => below + above,
            Alternative::Less => below,
            Alternative::Greater => above,
        }
    }
}

fn check_effect(effect: f64) -> Result<()> {
    if effect.is_finite() {
        return Ok(());
    }
    Err(Error::config("effect", effect, "a finite number"))
}

fn check_size(n: f64, above: f64) -> Result<()> {
    if n > above && n <= MAX_N {
        return Ok(());
    }
    Err(Error::config("n", n, format!("more than {above}, at most {MAX_N:e}")))
}

/// The n above `low` with `power_at(n) = power`.
fn solve(power_at: impl Fn(f64) -> f64, power: f64, low: f64) -> Result<f64> {
    let mut high = low + 1.0;
    while power_at(high) < power {
        high *= 2.0;
        if high > MAX_N {
            return Err(refused(format!(
                "no sample size up to {MAX_N:e} has power {power}; the effect is too small"
            )));
        }
    }
    Ok(bisect(power_at, power, low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_power_they_were_solved_for() {
        let plan = PowerAnalysis { ratio: 1.5, ..PowerAnalysis::default() };
        let n = plan.effect_n(0.2, 0.8).unwrap();
        assert!((plan.effect_power(0.2, n).unwrap() - 0.8).abs() < 1e-12);
        let n = plan.means_n(-0.4, 0.9).unwrap();
        assert!((plan.means_power(-0.4, n).unwrap() - 0.9).abs() < 1e-10);
        // The closed form leaves out the far tail, which is below 1e-6 here.
        let n = plan.proportions_n(0.30, 0.35, 0.8).unwrap();
        assert!((plan.proportions_power(0.30, 0.35, n).unwrap() - 0.8).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_planned_is_refused() {
        let plan = PowerAnalysis::default();
        let less = PowerAnalysis { alternative: Alternative::Less, ..plan };
        assert!(plan.effect_n(0.0, 0.8).is_err() && less.means_n(0.3, 0.8).is_err());
        assert!(
            plan.proportions_n(0.2, 0.2, 0.8).is_err()
                && plan.proportions_n(0.2, 1.2, 0.8).is_err()
        );
        assert!(plan.means_n(0.3, 0.01).is_err() && plan.means_n(f64::NAN, 0.8).is_err());
        assert!(plan.effect_n(1e-12, 0.8).is_err() && plan.means_power(0.3, 1.0).is_err());
        assert!(plan.proportions_power(0.0, 0.0, 5.0).is_err());
        assert!(PowerAnalysis { ratio: 0.0, ..plan }.effect_power(0.1, 5.0).is_err());
        assert!(PowerAnalysis { alpha: 1.0, ..plan }.effect_power(0.1, 5.0).is_err());
        assert_eq!(plan.means_power(1e9, 100.0).unwrap(), 1.0);
    }
}
