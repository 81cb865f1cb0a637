//! Percentiles that say when there are too few samples for them.

use super::LatencyHistogram;
use crate::{Error, Result};
use serde::Serialize;
use std::fmt;

/// A quantile of a distribution of durations.
///
/// It has a value from `n >= 1 / (1 - q)` samples on (P50 from 2, P90 from 10, P95 from 20, P99 from 100): below that no
/// sample is expected to lie above the quantile, so what would be reported is the greatest sample by another name.
/// `steady` says that there are `100 / (1 - q)` samples (P99: 10,000), so that about a hundred lie above.
///
/// The interval covers the quantile with 95 % confidence whatever the distribution is: it runs between the samples of
/// ranks `n q -+ 1.96 sqrt(n q (1 - q))`, rounded up (Conover 1999, Practical Nonparametric Statistics, 3rd edition,
/// section 3.2), and is absent where a rank is not among the samples. It takes the samples as independent; latencies
/// under high load follow each other, and the true interval is then wider.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentile {
    /// The quantile, such as 0.95.
    pub quantile: f64,
    /// Its value in seconds; `None` when there are not enough samples.
    pub seconds: Option<f64>,
    /// Its 95 % confidence interval in seconds.
    pub interval: Option<[f64; 2]>,
    /// Number of samples.
    pub samples: u64,
    /// Number of samples that it takes.
    pub needed: u64,
    /// Whether there are a hundred times as many as it takes.
    pub steady: bool,
}

/// The quantile of the standard normal distribution at 0.975.
const Z: f64 = 1.959_963_984_540_054;

impl LatencyHistogram {
    /// The quantile `q`.
    ///
    /// # Errors
    /// [`Error::Config`] unless `0 < q < 1`.
    pub fn percentile(&self, q: f64) -> Result<Percentile> {
        match q > 0.0 && q < 1.0 {
            true => Ok(self.quantile(q)),
            false => Err(Error::config("quantile", q, "more than 0 and less than 1, such as 0.95")),
        }
    }

    fn quantile(&self, q: f64) -> Percentile {
        let samples = self.len();
        let needed = needed(q);
        let n = samples as f64;
        let seconds = |rank: f64| self.ranked(rank as u64).map(|value| value.as_secs_f64());
        let half = Z * (n * q * (1.0 - q)).sqrt();
        let enough = samples >= needed;
        let ends = (seconds((n * q - half).ceil()), seconds((n * q + half).ceil()));
        Percentile {
            quantile: q,
            seconds: if enough { seconds(rank(n, q)) } else { None },
            interval: match ends {
                (Some(low), Some(high)) if enough => Some([low, high]),
                _ => None,
            },
            samples,
            needed,
            steady: samples >= needed.saturating_mul(100),
        }
    }

    /// Mean, extremes and the percentiles 50, 90, 95 and 99.
    pub fn summary(&self) -> LatencySummary {
        LatencySummary {
            samples: self.len(),
            mean: self.mean().map(|value| value.as_secs_f64()),
            min: self.min().map(|value| value.as_secs_f64()),
            max: self.max().map(|value| value.as_secs_f64()),
            percentiles: [0.5, 0.9, 0.95, 0.99].map(|q| self.quantile(q)).to_vec(),
        }
    }
}

/// `ceil(1 / (1 - q))`, and `ceil(n q)`, where the rounding of q in binary must not add one.
fn needed(q: f64) -> u64 {
    (1.0 / (1.0 - q) * (1.0 - 1e-12)).ceil() as u64
}

fn rank(n: f64, q: f64) -> f64 {
    (n * q * (1.0 - 1e-12)).ceil()
}

/// A distribution of durations in a few numbers, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatencySummary {
    /// Number of samples.
    pub samples: u64,
    /// The mean.
    pub mean: Option<f64>,
    /// The shortest.
    pub min: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
    /// The percentiles 50, 90, 95 and 99.
    pub percentiles: Vec<Percentile>,
}

impl LatencySummary {
    /// The value of a quantile in seconds, if it is among the percentiles and has enough samples.
    pub fn at(&self, quantile: f64) -> Option<f64> {
        self.percentiles.iter().find(|found| found.quantile == quantile)?.seconds
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds {
            Some(seconds) => write!(f, "{:.3} ms", seconds * 1e3),
            None => write!(f, "not enough samples ({} of {})", self.samples, self.needed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::time::Duration;

    fn of(values: impl Iterator<Item = u64>) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::new();
        values.for_each(|value| histogram.record(Duration::from_millis(value)));
        histogram
    }

    #[test]
    fn a_percentile_without_samples_has_no_value() {
        for (q, count) in [(0.5, 2), (0.9, 10), (0.95, 20), (0.99, 100), (0.999, 1000)] {
            let few = of(1..count).percentile(q).unwrap();
            assert_eq!((few.seconds, few.interval, few.needed), (None, None, count), "{q}");
            let shown = format!("not enough samples ({} of {count})", count - 1);
            assert_eq!(few.to_string(), shown);
            let enough = of(1..=count).percentile(q).unwrap();
            assert!(enough.seconds.is_some() && !enough.steady, "{q}");
            assert!(of((0..count * 100).map(|i| i % 7)).percentile(q).unwrap().steady);
        }
        for q in [0.0, 1.0, -1.0, f64::NAN] {
            assert!(of(0..10).percentile(q).unwrap_err().to_string().contains("quantile"));
        }
    }

    #[test]
    fn the_summary_of_one_to_a_hundred() {
        let summary = of(1..=100).summary();
        assert_eq!((summary.samples, summary.min, summary.max), (100, Some(0.001), Some(0.1)));
        assert!((summary.mean.unwrap() - 0.0505).abs() < 1e-12);
        for (q, wanted) in [(0.5, 0.050), (0.9, 0.090), (0.95, 0.095), (0.99, 0.099)] {
            // To the width of a bucket.
            assert!((summary.at(q).unwrap() / wanted - 1.0).abs() < 1e-3, "{q}");
        }
        assert_eq!(summary.at(0.42), None);
        assert_eq!(LatencyHistogram::new().summary().at(0.5), None);
    }

    #[test]
    fn the_interval_covers_the_quantile_nineteen_times_in_twenty() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        const RUNS: u32 = 1000;
        for (q, n) in [(0.5, 100), (0.9, 300), (0.99, 2000)] {
            let covered = (0..RUNS).filter(|_| {
                // Uniform between 1 and 2 s, whose quantile is 1 + q.
                let mut histogram = LatencyHistogram::new();
                for _ in 0..n {
                    histogram.record(Duration::from_secs_f64(1.0 + rng.random::<f64>()));
                }
                let [low, high] = histogram.percentile(q).unwrap().interval.unwrap();
                low <= 1.0 + q && 1.0 + q <= high
            });
            let share = covered.count() as f64 / f64::from(RUNS);
            // Four standard errors of a share of 0.95 in 1000 runs, and the steps of the binomial distribution.
            assert!((0.915..0.985).contains(&share), "{q}: {share}");
        }
    }
}
