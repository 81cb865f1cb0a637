//! Whether probabilities mean what they say.

use super::check_predictions;
use super::probability::{check_probabilities, check_unit};
use crate::stats::quantile;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the probabilities are divided into bins. Bin k holds those above edge k and up to edge k + 1; the first holds its
/// lower edge, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binning {
    /// Edges at equal distances in `[0, 1]`: `strategy="uniform"`.
    #[default]
    EqualWidth,
    /// Edges at quantiles, so that bins hold about equally many: `strategy="quantile"`.
    EqualMass,
}

/// A bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Number of predictions.
    pub count: usize,
    /// Their mean probability: the x of the diagram.
    pub mean_probability: f64,
    /// The share that came true: the y of the diagram.
    pub share_true: f64,
}

/// The reliability diagram of events with a predicted probability, without its empty bins: `calibration_curve`.
///
/// # Errors
/// [`Error::Refused`] without predictions, for different numbers, and for values outside `[0, 1]`; [`Error::Config`] for no
/// bin.
pub fn calibration_curve(
    truth: &[bool],
    probabilities: &[f64],
    bins: usize,
    binning: Binning,
) -> Result<Vec<ReliabilityBin>> {
    check_predictions(truth, probabilities)?;
    check_unit("the probabilities", probabilities)?;
    if bins == 0 {
        return Err(Error::config("bins", bins, "at least 1"));
    }
    // The operations of numpy's linspace and percentile, in their order: edges decide about equality.
    let step = 1.0 / bins as f64;
    let mut edges: Vec<f64> = (0..bins).map(|k| k as f64 * step).chain([1.0]).collect();
    if binning == Binning::EqualMass {
        let mut sorted = probabilities.to_vec();
        sorted.sort_by(f64::total_cmp);
        edges.iter_mut().for_each(|edge| *edge = quantile(&sorted, *edge * 100.0 / 100.0));
    }
    let empty = (0usize, 0.0, 0usize);
    let mut sums = vec![empty; bins];
    for (&t, &p) in truth.iter().zip(probabilities) {
        let bin = edges[1..bins].partition_point(|&edge| edge < p);
        let (count, sum, came_true) = &mut sums[bin];
        *count += 1;
        *sum += p;
        *came_true += usize::from(t);
    }
    let occupied = sums.into_iter().zip(edges.windows(2)).filter(|((count, ..), _)| *count > 0);
    let bin = |((count, sum, came_true), edges): ((usize, f64, usize), &[f64])| ReliabilityBin {
        low: edges[0],
        high: edges[1],
        count,
        mean_probability: sum / count as f64,
        share_true: came_true as f64 / count as f64,
    };
    Ok(occupied.map(bin).collect())
}

/// The reliability diagram of a classifier: of the largest probability of each example (the first of equals), and whether
/// its class is the true one.
///
/// # Errors
/// As [`log_loss`](super::log_loss); [`Error::Config`] for no bin.
pub fn reliability<R: AsRef<[f64]>>(
    truth: &[usize],
    probabilities: &[R],
    bins: usize,
    binning: Binning,
) -> Result<Vec<ReliabilityBin>> {
    check_probabilities(truth, probabilities)?;
    let (mut right, mut confidence) = (Vec::new(), Vec::new());
    for (&class, row) in truth.iter().zip(probabilities) {
        let row = row.as_ref();
        let best = (0..row.len()).reduce(|best, i| if row[i] > row[best] { i } else { best });
        right.push(best == Some(class));
        confidence.push(best.map_or(0.0, |best| row[best]));
    }
    calibration_curve(&right, &confidence, bins, binning)
}

/// The expected calibration error, `sum over bins of count / n * |share true - mean probability|`, in `[0, 1]` (Naeini et
/// al. 2015; Guo et al. 2017, equation 3, with 15 bins of equal width). It depends on the bins: report them with it.
///
/// # Errors
/// [`Error::Refused`] without a bin.
pub fn expected_calibration_error(bins: &[ReliabilityBin]) -> Result<f64> {
    let n: usize = bins.iter().map(|bin| bin.count).sum();
    if n == 0 {
        return Err(super::no_predictions());
    }
    let gap = |bin: &ReliabilityBin| {
        bin.count as f64 / n as f64 * (bin.share_true - bin.mean_probability).abs()
    };
    Ok(bins.iter().map(gap).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_by_hand() {
        let (truth, p) = ([false, true, true, true], [0.0, 0.2, 0.4, 0.9]);
        let bins = calibration_curve(&truth, &p, 5, Binning::EqualWidth).unwrap();
        let found: Vec<(usize, f64)> = bins.iter().map(|bin| (bin.count, bin.share_true)).collect();
        // 0 and 0.2 share the first bin; 0.4 lies at the end of the second.
        assert_eq!(found, [(2, 0.5), (1, 1.0), (1, 1.0)]);
        // 2/4 * 0.4 + 1/4 * 0.6 + 1/4 * 0.1.
        assert!((expected_calibration_error(&bins).unwrap() - 0.375).abs() < 1e-15);
        let bins = calibration_curve(&truth, &p, 2, Binning::EqualMass).unwrap();
        assert_eq!(bins.iter().map(|bin| bin.count).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        assert!(calibration_curve(&[], &[], 5, Binning::EqualWidth).is_err());
        assert!(calibration_curve(&[true], &[0.5], 0, Binning::EqualWidth).is_err());
        assert!(calibration_curve(&[true], &[f64::NAN], 5, Binning::EqualMass).is_err());
        assert!(reliability(&[0], &[[0.7, 0.7]], 5, Binning::EqualWidth).is_err());
        assert!(expected_calibration_error(&[]).is_err());
    }
}
