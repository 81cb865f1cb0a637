//! Distributions of durations.

use crate::{Error, Result};
use hdrhistogram::Histogram;
use std::time::Duration;

/// Counts of durations in buckets that are at most 0.1 % wide, from a nanosecond up; it grows as longer durations come.
///
/// Mean, least and greatest are exact. A quantile is that of HdrHistogram: the smallest recorded value with at least
/// `ceil(q n)` values at or below it, to the bucket's width (numpy interpolates between two values by default).
/// Distributions are merged, never their quantiles averaged: the mean of two P99 is no P99.
///
/// Source: Gil Tene, HdrHistogram (<https://hdrhistogram.org>), through the crate `hdrhistogram`.
#[derive(Clone, Debug)]
pub struct LatencyHistogram {
    counts: Histogram<u64>,
    /// Of all values in nanoseconds.
    sum: u128,
    least: u64,
    most: u64,
}

/// Significant decimal digits of a value.
const DIGITS: u8 = 3;

/// The most values that one correction adds; more is a mistake of units.
const MOST_ADDED: u64 = 100_000_000;

impl Default for LatencyHistogram {
    fn default() -> Self {
        let counts = Histogram::new(DIGITS).expect("the crate allows 3 digits");
        Self { counts, sum: 0, least: u64::MAX, most: 0 }
    }
}

impl LatencyHistogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        let value = nanoseconds(duration);
        // Fails only where a usize cannot count the buckets.
        if self.counts.record(value).is_err() {
            self.counts.saturating_record(value);
        }
        self.sum += u128::from(value);
        self.least = self.least.min(value);
        self.most = self.most.max(value);
    }

    /// Counts a duration of a sender that sends every `interval` but waits for the answer, with those that it left out
    /// meanwhile (coordinated omission): `duration - interval`, `duration - 2 interval`, ... as long as they are at
    /// least `interval`.
    ///
    /// # Errors
    /// [`Error::Config`] for an interval of 0, and for one so short that it would add more than 100 million values.
    pub fn record_corrected(&mut self, duration: Duration, interval: Duration) -> Result<()> {
        let (value, step) = (nanoseconds(duration), nanoseconds(interval));
        let refused = |allowed| Error::config("interval", format!("{interval:?}"), allowed);
        let Some(times) = value.checked_div(step) else {
            return Err(refused("more than 0 seconds"));
        };
        if times > MOST_ADDED {
            return Err(refused("at least a hundred-millionth of the latency"));
        }
        self.record(duration);
        for k in 1..times {
            self.record(Duration::from_nanos(value - k * step));
        }
        Ok(())
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same digits, and grow.
        self.counts.add(&other.counts).expect("a histogram that grows takes any other one");
        self.sum += other.sum;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }

    /// Number of values.
    pub fn len(&self) -> u64 {
        self.counts.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The mean, exactly; `None` without values.
    pub fn mean(&self) -> Option<Duration> {
        let mean = self.sum.checked_div(u128::from(self.len()))?;
        Some(Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX)))
    }

    /// The shortest value, exactly; `None` without values.
    pub fn min(&self) -> Option<Duration> {
        (!self.is_empty()).then(|| Duration::from_nanos(self.least))
    }

    /// The longest value, exactly; `None` without values.
    pub fn max(&self) -> Option<Duration> {
        (!self.is_empty()).then(|| Duration::from_nanos(self.most))
    }

    /// The value of this rank, from 1 to [`len`](Self::len), to the bucket's width.
    pub(crate) fn ranked(&self, rank: u64) -> Option<Duration> {
        if !(1..=self.len()).contains(&rank) {
            return None;
        }
        // Half a rank below: no rounding of the quotient reaches the next.
        let value = self.counts.value_at_quantile((rank as f64 - 0.5) / self.len() as f64);
        Some(Duration::from_nanos(value.clamp(self.least, self.most)))
    }

    /// The share of values above a duration, to the bucket's width; `None` without values.
    pub fn share_above(&self, duration: Duration) -> Option<f64> {
        let value = nanoseconds(duration);
        if self.is_empty() {
            return None;
        }
        Some(if value >= self.most { 0.0 } else { 1.0 - self.counts.quantile_below(value) })
    }
}

/// Saturates after 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A bucket's width relative to its value.
    const WIDTH: f64 = 1e-3;

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn at(histogram: &LatencyHistogram, q: f64) -> f64 {
        let rank = (q * histogram.len() as f64).ceil() as u64;
        histogram.ranked(rank).unwrap().as_secs_f64()
    }

    /// 10,000 answers after 1 ms, then one after 100 s, one sent every 10 ms: the case of HdrHistogram's own tests
    /// (tests/data_access.rs). 100 s leave room for 9,999 more.
    #[test]
    fn a_stall_of_100_seconds_is_counted_10000_times() {
        let (mut raw, mut corrected) = (LatencyHistogram::new(), LatencyHistogram::new());
        for value in std::iter::repeat_n(millis(1), 10_000).chain([millis(100_000)]) {
            raw.record(value);
            corrected.record_corrected(value, millis(10)).unwrap();
        }
        assert_eq!((raw.len(), corrected.len()), (10_001, 20_000));
        for (q, seconds) in [(0.3, 0.001), (0.99, 0.001), (0.9999, 0.001), (0.99999, 100.0)] {
            assert!((at(&raw, q) / seconds - 1.0).abs() <= WIDTH, "{q}");
        }
        let wanted = [(0.3, 0.001), (0.5, 0.001), (0.75, 50.0), (0.9, 80.0), (0.99, 98.0)];
        for (q, seconds) in wanted.into_iter().chain([(0.99999, 100.0)]) {
            assert!((at(&corrected, q) / seconds - 1.0).abs() <= WIDTH, "{q}");
        }
        // Exactly (10,000 * 1 ms + 10 ms * (1 + ... + 10,000)) / 20,000.
        let sum = 10_000 * 1_000_000 + 10_000_000 * (10_000 * 10_001 / 2);
        assert_eq!(corrected.mean().unwrap(), Duration::from_nanos(sum / 20_000));
        assert_eq!((corrected.min(), corrected.max()), (Some(millis(1)), Some(millis(100_000))));
        assert!((corrected.share_above(millis(50_000)).unwrap() - 0.25).abs() < WIDTH);
        assert_eq!(corrected.share_above(millis(100_000)), Some(0.0));
    }

    #[test]
    fn the_correction_is_that_of_hdrhistogram() {
        for (value, interval) in [(5u64, 10u64), (10, 10), (19, 10), (20, 10), (21, 10), (105, 10)]
        {
            let mut ours = LatencyHistogram::new();
            ours.record_corrected(Duration::from_nanos(value), Duration::from_nanos(interval))
                .unwrap();
            let mut theirs = Histogram::<u64>::new(DIGITS).unwrap();
            theirs.record_correct(value, interval).unwrap();
            assert_eq!(ours.counts, theirs, "{value} {interval}");
        }
        let mut histogram = LatencyHistogram::new();
        let mut refused = |interval| {
            histogram.record_corrected(millis(100_000), interval).unwrap_err().to_string()
        };
        assert!(refused(Duration::ZERO).contains("more than 0"));
        assert!(refused(Duration::from_nanos(1)).contains("hundred-millionth"));
    }

    #[test]
    fn nothing_and_the_longest_duration() {
        let mut histogram = LatencyHistogram::new();
        assert_eq!((histogram.mean(), histogram.min(), histogram.max()), (None, None, None));
        assert_eq!((histogram.ranked(1), histogram.share_above(millis(1))), (None, None));
        histogram.record(Duration::MAX);
        histogram.record(Duration::ZERO);
        assert_eq!(histogram.max(), Some(Duration::from_nanos(u64::MAX)));
        assert_eq!(histogram.ranked(1), Some(Duration::ZERO));
        assert_eq!(histogram.ranked(3), None);
    }

    proptest! {
        #[test]
        fn merged_is_as_recorded_together(values in prop::collection::vec(0u64..u64::MAX / 2, 0..40), at in 0usize..40) {
            let of = |values: &[u64]| {
                let mut histogram = LatencyHistogram::new();
                values.iter().for_each(|&value| histogram.record(Duration::from_nanos(value)));
                histogram
            };
            let (left, right) = values.split_at(at.min(values.len()));
            let mut merged = of(left);
            merged.merge(&of(right));
            let all = of(&values);
            prop_assert_eq!(&merged.counts, &all.counts);
            prop_assert_eq!((merged.mean(), merged.min(), merged.max()), (all.mean(), all.min(), all.max()));
            let mut sorted = values;
            sorted.sort_unstable();
            for (rank, &value) in (1..).zip(&sorted) {
                let found = all.ranked(rank).unwrap().as_nanos() as f64;
                prop_assert!((found - value as f64).abs() <= WIDTH * value as f64);
            }
        }
    }
}
