//! The bootstrap and the jackknife, for any statistic of n examples.

use super::distributions::{normal_cdf, normal_quantile};
use super::{Estimate, Interval, check_finite, check_paired, check_share, mean, refused};
use crate::{Error, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Largest share of resamples on which a statistic may be undefined (such as AUROC where one class was not drawn). The
/// interval rests on the others.
const MAX_UNDEFINED: f64 = 0.05;

/// How an interval is read off the resampled values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootstrapMethod {
    /// The quantiles at `(1 - level) / 2` and `(1 + level) / 2`.
    #[default]
    Percentile,
    /// Bias-corrected and accelerated (Efron 1987; Efron and Tibshirani 1993, 14.3): better coverage for skewed
    /// statistics, at the cost of n more evaluations for the jackknife.
    Bca,
}

/// A bootstrap over examples: `scipy.stats.bootstrap` with indices in place of values, so that it also serves statistics
/// of a whole corpus.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `resamples` | 1000 | at least 2 |
/// | `level` | 0.95 | (0, 1) |
/// | `seed` | 0 | |
/// | `method` | percentile | |
///
/// The resamples are those of ChaCha8 seeded with `seed` (`seed_from_u64`): each index is the upper word of the product of
/// the next 64-bit word with n. So equal n and seed give equal resamples on every platform, and two statistics can be paired.
/// Quantiles interpolate linearly (type 7 of Hyndman and Fan 1996, numpy's default).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Number of resamples.
    pub resamples: usize,
    /// Level of the interval.
    pub level: f64,
    /// Seed of the resamples.
    pub seed: u64,
    /// Kind of interval.
    pub method: BootstrapMethod,
}

impl Default for Bootstrap {
    fn default() -> Self {
        let method = BootstrapMethod::Percentile;
        Self { resamples: 1000, level: 0.95, seed: 0, method }
    }
}

/// A statistic with its bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootstrapEstimate {
    /// The statistic of all examples.
    pub value: f64,
    /// Median over the resamples, which rouge_score calls `mid`.
    pub median: f64,
    /// Standard deviation over the resamples (divisor of their number less 1).
    pub stderr: f64,
    /// The interval.
    pub interval: Interval,
    /// Resamples on which the statistic was undefined; they are left out.
    pub undefined: usize,
}

/// Two statistics of the same examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedBootstrap {
    /// The first's value.
    pub first: f64,
    /// The second's value.
    pub second: f64,
    /// First minus second, with its interval.
    pub difference: BootstrapEstimate,
    /// Two-sided: `(1 + #{|d* - mean(d*)| >= |d|}) / (1 + resamples)`, the shifted distribution of Riezler and Maxwell
    /// (2005), figure 2. Deviation: sacreBLEU centres `|d*|`, not `d*`, and counts strictly larger ones.
    pub p_value: f64,
}

impl Bootstrap {
    /// The interval of `statistic`, which gets the indices of the examples drawn (n of them, with repetitions) and gives
    /// `None` where it is undefined.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting outside its range; [`Error::Refused`] with fewer than two examples, when the
    /// statistic of all examples or of more than one resample in twenty is undefined or not finite, and for BCa when all
    /// resamples or all jackknife values are the same (the interval is then 0 / 0).
    pub fn interval(
        &self,
        n: usize,
        mut statistic: impl FnMut(&[usize]) -> Option<f64>,
    ) -> Result<BootstrapEstimate> {
        let value = whole(n, &mut statistic)?;
        let mut values = Vec::with_capacity(self.resamples.min(1 << 20));
        self.resample(n, |indices| values.extend(defined(&mut statistic, indices)))?;
        self.estimate(value, values, || leave_one_out(n, &mut statistic))
    }

    /// The interval of a mean.
    ///
    /// # Errors
    /// As [`interval`](Self::interval), and for values that are not finite.
    pub fn mean(&self, values: &[f64]) -> Result<BootstrapEstimate> {
        check_finite("the sample", values)?;
        self.interval(values.len(), |indices| Some(mean_at(values, indices)))
    }

    /// The interval of a measure of predictions, which gets the truth and the predictions drawn and gives
    /// `None` where it is undefined.
    ///
    /// # Errors
    /// As [`interval`](Self::interval), and for different numbers of truth and predictions.
    pub fn pairs<A: Clone, B: Clone>(
        &self,
        truth: &[A],
        predicted: &[B],
        mut measure: impl FnMut(&[A], &[B]) -> Option<f64>,
    ) -> Result<BootstrapEstimate> {
        check_paired(truth, predicted)?;
        self.interval(truth.len(), |indices| {
            let drawn: Vec<A> = indices.iter().map(|&i| truth[i].clone()).collect();
            let answers: Vec<B> = indices.iter().map(|&i| predicted[i].clone()).collect();
            measure(&drawn, &answers)
        })
    }

    /// Two statistics on the same resamples; see [`interval`](Self::interval). Their closures may hold the sufficient
    /// statistics of each example and sum those.
    ///
    /// # Errors
    /// As [`interval`](Self::interval).
    pub fn paired(
        &self,
        n: usize,
        mut first: impl FnMut(&[usize]) -> Option<f64>,
        mut second: impl FnMut(&[usize]) -> Option<f64>,
    ) -> Result<PairedBootstrap> {
        let (a, b) = (whole(n, &mut first)?, whole(n, &mut second)?);
        let mut difference = |indices: &[usize]| {
            Some(defined(&mut first, indices)? - defined(&mut second, indices)?)
        };
        let mut values = Vec::with_capacity(self.resamples.min(1 << 20));
        self.resample(n, |indices| values.extend(difference(indices)))?;
        let centre = values.iter().sum::<f64>() / values.len() as f64;
        let extreme = values.iter().filter(|d| (*d - centre).abs() >= (a - b).abs()).count();
        let p_value = (extreme + 1) as f64 / (values.len() + 1) as f64;
        let difference = self.estimate(a - b, values, || leave_one_out(n, &mut difference))?;
        Ok(PairedBootstrap { first: a, second: b, difference, p_value })
    }

    /// The means of two models' scores of the same examples.
    ///
    /// # Errors
    /// As [`interval`](Self::interval), for samples of different lengths and for values that are not finite.
    pub fn paired_means(&self, first: &[f64], second: &[f64]) -> Result<PairedBootstrap> {
        check_paired(first, second)?;
        check_finite("the first sample", first)?;
        check_finite("the second sample", second)?;
        let mean = |values| move |indices: &[usize]| Some(mean_at(values, indices));
        self.paired(first.len(), mean(first), mean(second))
    }

    /// Calls `visit` with the indices of each resample.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting outside its range; [`Error::Refused`] without examples.
    pub fn resample(&self, n: usize, mut visit: impl FnMut(&[usize])) -> Result<()> {
        check_share("level", self.level)?;
        if self.resamples < 2 {
            return Err(Error::config("resamples", self.resamples, "at least 2"));
        }
        if n == 0 {
            return Err(refused("there is no example to resample"));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut indices = vec![0; n];
        for _ in 0..self.resamples {
            for index in &mut indices {
                *index = ((u128::from(rng.random::<u64>()) * n as u128) >> 64) as usize;
            }
            visit(&indices);
        }
        Ok(())
    }

    fn estimate(
        &self,
        value: f64,
        mut values: Vec<f64>,
        jackknife: impl FnOnce() -> Result<Vec<f64>>,
    ) -> Result<BootstrapEstimate> {
        let undefined = self.resamples - values.len();
        if undefined as f64 > MAX_UNDEFINED * self.resamples as f64 || values.len() < 2 {
            return Err(refused(format!(
                "the statistic is undefined on {undefined} of {} resamples; it needs more examples",
                self.resamples
            )));
        }
        values.sort_by(f64::total_cmp);
        let tail = 0.5 - 0.5 * self.level;
        let (low, high) = match self.method {
            BootstrapMethod::Percentile => (tail, 1.0 - tail),
            BootstrapMethod::Bca => bca_shares(value, &values, &jackknife()?, tail)?,
        };
        let interval = Interval {
            low: quantile(&values, low),
            high: quantile(&values, high),
            level: self.level,
        };
        // The standard error of their mean, times the root of their number, is their standard deviation.
        let spread = mean(&values).and_then(|estimate| estimate.stderr).unwrap_or(0.0);
        let stderr = spread * (values.len() as f64).sqrt();
        let median = quantile(&values, 0.5);
        Ok(BootstrapEstimate { value, median, stderr, interval, undefined })
    }
}

/// A statistic of n examples with the jackknife's standard error, `sqrt((n - 1) / n sum((s_i - mean(s))^2))` over the
/// statistics `s_i` without example i (Efron and Tibshirani 1993, equation 11.5).
///
/// # Errors
/// [`Error::Refused`](crate::Error::Refused) with fewer than two examples, and when the statistic of all examples or of all
/// but one is undefined or not finite.
pub fn jackknife(n: usize, mut statistic: impl FnMut(&[usize]) -> Option<f64>) -> Result<Estimate> {
    let value = whole(n, &mut statistic)?;
    let values = leave_one_out(n, &mut statistic)?;
    // As above: sum of squares = n (n - 1) stderr(mean)^2.
    let stderr = mean(&values).and_then(|m| m.stderr).map(|error| error * (n as f64 - 1.0));
    Ok(Estimate { value, stderr })
}

fn mean_at(values: &[f64], indices: &[usize]) -> f64 {
    indices.iter().map(|&i| values[i]).sum::<f64>() / indices.len() as f64
}

fn defined(statistic: &mut impl FnMut(&[usize]) -> Option<f64>, indices: &[usize]) -> Option<f64> {
    statistic(indices).filter(|value| value.is_finite())
}

fn whole(n: usize, statistic: &mut impl FnMut(&[usize]) -> Option<f64>) -> Result<f64> {
    match n {
        0 => return Err(refused("there is no example to resample")),
        1 => return Err(refused("one example has no spread to resample; take at least 2")),
        _ => {}
    }
    let all: Vec<usize> = (0..n).collect();
    defined(statistic, &all).ok_or_else(|| refused("the statistic of all examples is undefined"))
}

fn leave_one_out(
    n: usize,
    statistic: &mut impl FnMut(&[usize]) -> Option<f64>,
) -> Result<Vec<f64>> {
    let mut indices: Vec<usize> = (1..n).collect();
    let mut values = Vec::with_capacity(n);
    for left_out in 0..n {
        if left_out > 0 {
            indices[left_out - 1] = left_out - 1;
        }
        let value = defined(statistic, &indices).ok_or_else(|| {
            refused(format!("the statistic is undefined without example {left_out}"))
        })?;
        values.push(value);
    }
    Ok(values)
}

/// The shares at which BCa reads its two quantiles (Efron and Tibshirani 1993, equations 14.10, 14.14 and 14.15). Values
/// equal to the statistic count half, as in SciPy.
fn bca_shares(value: f64, sorted: &[f64], jackknife: &[f64], tail: f64) -> Result<(f64, f64)> {
    let below = sorted.partition_point(|&v| v < value) + sorted.partition_point(|&v| v <= value);
    let bias = normal_quantile(below as f64 / (2 * sorted.len()) as f64);
    let centre = jackknife.iter().sum::<f64>() / jackknife.len() as f64;
    let power = |p: i32| jackknife.iter().map(|v| (centre - v).powi(p)).sum::<f64>();
    let acceleration = power(3) / (6.0 * power(2).powf(1.5));
    let share = |z: f64| normal_cdf(bias + (bias + z) / (1.0 - acceleration * (bias + z)));
    let z = normal_quantile(tail);
    let shares = (share(z), share(-z));
    if shares.0.is_finite() && shares.1.is_finite() {
        return Ok(shares);
    }
    Err(refused(
        "BCa is undefined: the statistic hardly varies between resamples; take the percentile method or more examples",
    ))
}

/// The quantile of sorted values at a share in `[0, 1]`, by linear interpolation (type 7). NaN without values. From the nearer
/// end, as numpy, so that a share at a value gives that value.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len().saturating_sub(1)) as f64;
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    match (sorted.get(below), sorted.get(above)) {
        (Some(low), Some(high)) => match at - below as f64 {
            part if part < 0.5 => low + (high - low) * part,
            part => high - (high - low) * (1.0 - part),
        },
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jackknife_of_a_mean_is_its_standard_error() {
        let values = [1.0, 4.0, 2.5, 9.0, -3.0];
        let found = jackknife(5, |indices| Some(mean_at(&values, indices))).unwrap();
        let wanted = mean(&values).unwrap();
        assert!((found.value - wanted.value).abs() < 1e-15);
        assert!((found.stderr.unwrap() - wanted.stderr.unwrap()).abs() < 1e-14);
        assert!(jackknife(1, |_| Some(1.0)).is_err());
    }

    #[test]
    fn intervals_of_a_mean_are_near_students() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(i * 37 % 101)).collect();
        let wanted =
            super::super::mean_interval(&super::super::Summary::of(&values).unwrap(), 0.95)
                .unwrap();
        for method in [BootstrapMethod::Percentile, BootstrapMethod::Bca] {
            let bootstrap = Bootstrap { resamples: 4000, method, ..Bootstrap::default() };
            let found = bootstrap.mean(&values).unwrap();
            let width = wanted.high - wanted.low;
            // Quantiles of 4,000 resamples vary by about 3 % of the width.
            assert!((found.interval.low - wanted.low).abs() < 0.06 * width, "{found:?}");
            assert!((found.interval.high - wanted.high).abs() < 0.06 * width, "{found:?}");
            assert_eq!(bootstrap.mean(&values).unwrap(), found);
        }
    }

    #[test]
    fn pairs_share_their_resamples() {
        let first: Vec<f64> = (0..50).map(f64::from).collect();
        let second: Vec<f64> = first.iter().map(|x| x - 1.0).collect();
        let found = Bootstrap::default().paired_means(&first, &second).unwrap();
        assert!((found.difference.interval.low - 1.0).abs() < 1e-9);
        assert!((found.difference.interval.high - 1.0).abs() < 1e-9);
        assert!(found.p_value < 0.01);
        let same = Bootstrap::default().paired_means(&first, &first).unwrap();
        assert_eq!((same.p_value, same.difference.value), (1.0, 0.0));
    }

    #[test]
    fn what_has_no_interval_is_refused() {
        let plain = Bootstrap::default();
        let bca = Bootstrap { method: BootstrapMethod::Bca, ..plain };
        assert!(plain.mean(&[]).is_err() && plain.mean(&[1.0, f64::NAN]).is_err());
        assert!(bca.mean(&[1.0, 1.0, 1.0]).is_err());
        assert_eq!(plain.mean(&[1.0, 1.0]).unwrap().interval.high, 1.0);
        assert!(Bootstrap { resamples: 1, ..plain }.mean(&[1.0, 2.0]).is_err());
        assert!(Bootstrap { level: 1.0, ..plain }.mean(&[1.0, 2.0]).is_err());
        assert!(plain.interval(3, |_| None).is_err());
        // Undefined unless example 0 is drawn: about a third of the resamples.
        assert!(plain.interval(3, |indices| indices.contains(&0).then_some(1.0)).is_err());
        assert!(plain.paired_means(&[1.0], &[]).is_err());
    }
}
