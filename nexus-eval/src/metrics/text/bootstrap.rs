//! Percentile intervals of a mean by the bootstrap.

use crate::{Error, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How [`aggregate`](super::RougeReport::aggregate) resamples.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `confidence` | 0.95 | 0 to 1 |
/// | `samples` | 1000 | at least 1 |
/// | `seed` | 0 | any |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// The share of resamples between the two ends.
    pub confidence: f64,
    /// Resamples.
    pub samples: usize,
    /// Seed of the ChaCha generator.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { confidence: 0.95, samples: 1000, seed: 0 }
    }
}

/// A value between two ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval<T> {
    /// The lower end.
    pub low: T,
    /// The median of the resamples' means.
    pub mid: T,
    /// The upper end.
    pub high: T,
}

impl Bootstrap {
    /// The means' percentiles over resamples with replacement, for each of N quantities of the same rows.
    pub(super) fn intervals<const N: usize>(&self, rows: &[[f64; N]]) -> Result<[Interval<f64>; N]> {
        if self.samples == 0 {
            return Err(Error::config("samples", 0, "at least 1"));
        }
        if rows.is_empty() {
            return Err(Error::Refused("there are 0 scores to resample".into()));
        }
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        let count = rows.len();
        percentiles(rows, self.confidence, self.samples, || generator.random_range(0..count))
    }
}

/// The intervals of `samples` resamples of as many rows as there are, each drawn by `draw`.
fn percentiles<const N: usize>(
    rows: &[[f64; N]],
    confidence: f64,
    samples: usize,
    mut draw: impl FnMut() -> usize,
) -> Result<[Interval<f64>; N]> {
    if !(0.0..=1.0).contains(&confidence) {
        return Err(Error::config("confidence", confidence, "0 to 1"));
    }
    let mut means = [(); N].map(|()| Vec::with_capacity(samples));
    for _ in 0..samples {
        let mut sums = [0.0; N];
        for row in (0..rows.len()).filter_map(|_| rows.get(draw())) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        means.iter_mut().zip(sums).for_each(|(means, sum)| means.push(sum / rows.len() as f64));
    }
    let tail = (1.0 - confidence) / 2.0;
    Ok(means.map(|mut means| {
        means.sort_by(f64::total_cmp);
        let [low, mid, high] = [tail, 0.5, 1.0 - tail].map(|share| percentile(&means, share));
        Interval { low, mid, high }
    }))
}

/// The percentile of sorted values by linear interpolation between neighbours (definition 7 of Hyndman and Fan 1996, numpy's
/// default).
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len().saturating_sub(1)) as f64;
    let at = |index: f64| sorted.get(index as usize).copied().unwrap_or(f64::NAN);
    let (below, above) = (at(place.floor()), at(place.ceil()));
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Means and percentiles of the same numbers in another order of operations.
    const TOLERANCE: f64 = 1e-9;

    #[derive(Deserialize)]
    struct Golden {
        confidence: f64,
        scores: Vec<[f64; 3]>,
        indices: Vec<Vec<usize>>,
        low: [f64; 3],
        mid: [f64; 3],
        high: [f64; 3],
    }

    #[test]
    fn as_rouge_score_with_the_same_resamples() {
        let file = include_str!("../../../tests/golden/text_metrics/bootstrap.json");
        for golden in serde_json::from_str::<Vec<Golden>>(file).unwrap() {
            let mut indices = golden.indices.iter().flatten();
            let draw = || *indices.next().unwrap();
            let samples = golden.indices.len();
            let found = percentiles(&golden.scores, golden.confidence, samples, draw).unwrap();
            for (i, found) in found.into_iter().enumerate() {
                for (found, expected) in [
                    (found.low, golden.low[i]),
                    (found.mid, golden.mid[i]),
                    (found.high, golden.high[i]),
                ] {
                    assert!((found - expected).abs() <= TOLERANCE, "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn seeded_and_checked() {
        let rows: Vec<[f64; 1]> = (0..100).map(|i| [f64::from(i)]).collect();
        let bootstrap = Bootstrap::default();
        let [interval] = bootstrap.intervals(&rows).unwrap();
        assert_eq!([interval], bootstrap.intervals(&rows).unwrap());
        assert_ne!([interval], Bootstrap { seed: 1, ..bootstrap }.intervals(&rows).unwrap());
        // The standard error of the mean is 2.9: the ends are about two of them from it.
        assert!((interval.mid - 49.5).abs() < 1.0, "{interval:?}");
        assert!((interval.high - interval.low - 11.3).abs() < 2.0, "{interval:?}");
        assert!(bootstrap.intervals::<1>(&[]).is_err());
        assert!(Bootstrap { samples: 0, ..bootstrap }.intervals(&rows).is_err());
        assert!(Bootstrap { confidence: f64::NAN, ..bootstrap }.intervals(&rows).is_err());
    }
}
