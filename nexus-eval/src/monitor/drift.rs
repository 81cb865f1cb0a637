//! Drift of numbers, such as lengths of inputs or scores of outputs, against a reference.

use super::{StabilityIndex, population_stability_index};
use crate::stats::hypothesis::{Alternative, Method, TestResult, kolmogorov_smirnov};
use crate::stats::{check_finite, quantile};
use crate::{Error, Result};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// A sample of how things were when all was well.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftReference {
    sorted: Vec<f64>,
    /// Between bins; a bin holds its lower edge and not its upper one.
    edges: Vec<f64>,
    counts: Vec<u64>,
}

/// The most pairs of values for which [`DriftReference::compare`] computes an exact p-value: tens of milliseconds.
const EXACT_PAIRS: usize = 10_000_000;

/// How far a sample is from its reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftReport {
    /// Number of values.
    pub samples: usize,
    /// The size of the shift, over the reference's bins.
    pub stability: StabilityIndex,
    /// Whether there is one at all, by [`kolmogorov_smirnov`], two-sided. With many samples a shift that does not matter has
    /// a small p too: judge its size by `stability`.
    pub test: TestResult,
}

impl DriftReference {
    /// A reference in `bins` bins (10 is usual, 2 to 1000 allowed).
    ///
    /// Bins are divided at the reference's quantiles k / `bins`, k = 1, 2, ..., interpolated as numpy's `quantile` does
    /// by default, so that each holds about the same share. A value that alone makes up 1 / `bins` of the reference or
    /// more has a bin of its own: with 95 % zeros the ones are not lost among them. The first and the last bin reach to
    /// infinity.
    ///
    /// # Errors
    /// [`Error::Config`] for another number of bins; [`Error::Refused`] for fewer values than bins, and for values that
    /// are not finite.
    pub fn new(reference: &[f64], bins: usize) -> Result<Self> {
        if !(2..=1000).contains(&bins) {
            return Err(Error::config("bins", bins, "2 to 1000"));
        }
        check_finite("the reference", reference)?;
        let mut sorted = reference.to_vec();
        sorted.sort_by(f64::total_cmp);
        if sorted.len() < bins {
            let n = sorted.len();
            return Err(Error::Refused(format!(
                "{n} values are too few for {bins} bins; give more, or take fewer bins"
            )));
        }
        let mut edges: Vec<f64> =
            (1..bins).map(|k| quantile(&sorted, k as f64 / bins as f64)).collect();
        for equal in sorted.chunk_by(|a, b| a == b) {
            if equal.len() * bins >= sorted.len() {
                edges.extend([equal[0], equal[0].next_up()]);
            }
        }
        edges.sort_by(f64::total_cmp);
        edges.dedup();
        let counts = count(&edges, &sorted);
        Ok(Self { sorted, edges, counts })
    }

    /// Compares values with the reference. The test's p-value is exact up to 10^7 pairs of a value and one of the reference.
    ///
    /// # Errors
    /// [`Error::Refused`] without values, and for one that is not a number.
    pub fn compare(&self, current: &[f64]) -> Result<DriftReport> {
        let pairs = self.sorted.len().saturating_mul(current.len());
        let method = if pairs <= EXACT_PAIRS { Method::Exact } else { Method::Asymptotic };
        let test = kolmogorov_smirnov(&self.sorted, current, Alternative::TwoSided, method)?;
        let counts = count(&self.edges, current);
        let stability = population_stability_index(&self.counts, &counts)?;
        Ok(DriftReport { samples: current.len(), stability, test })
    }
}

/// How many values lie in each bin.
fn count(edges: &[f64], values: &[f64]) -> Vec<u64> {
    let mut counts = vec![0; edges.len() + 1];
    for value in values {
        counts[edges.partition_point(|edge| edge <= value)] += 1;
    }
    counts
}

/// Keeps the most recent values of something and compares them with a reference.
#[derive(Debug)]
pub struct DriftWatch {
    reference: DriftReference,
    capacity: usize,
    recent: Mutex<VecDeque<f64>>,
}

impl DriftWatch {
    /// Compares the last `capacity` values, 1 to 1,000,000.
    ///
    /// # Errors
    /// [`Error::Config`] for another capacity.
    pub fn new(reference: DriftReference, capacity: usize) -> Result<Self> {
        if !(1..=1_000_000).contains(&capacity) {
            return Err(Error::config("capacity", capacity, "1 to 1000000"));
        }
        Ok(Self { reference, capacity, recent: Mutex::default() })
    }

    /// Takes a value; the oldest one goes when there is no room.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is not a number; it is not kept then.
    pub fn observe(&self, value: f64) -> Result<()> {
        if value.is_nan() {
            return Err(Error::Refused("a watched value is not a number".into()));
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == self.capacity {
            recent.pop_front();
        }
        recent.push_back(value);
        Ok(())
    }

    /// Compares the recent values with the reference; `None` until there are as many as `capacity`.
    ///
    /// # Errors
    /// As [`DriftReference::compare`].
    pub fn report(&self) -> Result<Option<DriftReport>> {
        let recent: Vec<f64> = {
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.iter().copied().collect()
        };
        match recent.len() == self.capacity {
            true => self.reference.compare(&recent).map(Some),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Shift;

    #[test]
    fn a_value_that_many_share_has_a_bin_of_its_own() {
        let zeros_and_ones =
            |ones: usize| -> Vec<f64> { (0..100).map(|i| f64::from(u8::from(i < ones))).collect() };
        let reference = DriftReference::new(&zeros_and_ones(5), 10).unwrap();
        assert_eq!(reference.counts, [0, 95, 5]);
        assert_eq!(reference.compare(&zeros_and_ones(5)).unwrap().stability.value, 0.0);
        let report = reference.compare(&zeros_and_ones(50)).unwrap();
        assert_eq!(report.stability.shift, Shift::Large);
        assert!((report.test.statistic - 0.45).abs() < 1e-15);
        let constant = DriftReference::new(&[3.0; 20], 10).unwrap();
        assert_eq!(constant.counts, [0, 20, 0]);
        for moved in [2.0, 4.0] {
            assert_eq!(constant.compare(&[moved; 20]).unwrap().stability.shift, Shift::Large);
        }
    }

    #[test]
    fn a_watch_compares_the_most_recent_values_only() {
        let reference: Vec<f64> = (0..100).map(f64::from).collect();
        let watch = DriftWatch::new(DriftReference::new(&reference, 10).unwrap(), 100).unwrap();
        for value in 1000..1050 {
            watch.observe(f64::from(value)).unwrap();
        }
        assert_eq!(watch.report().unwrap(), None);
        for &value in &reference[..50] {
            watch.observe(value).unwrap();
        }
        assert_eq!(watch.report().unwrap().unwrap().stability.shift, Shift::Large);
        for &value in &reference[50..] {
            watch.observe(value).unwrap();
        }
        assert!(watch.observe(f64::NAN).is_err());
        let report = watch.report().unwrap().unwrap();
        assert_eq!((report.stability.value, report.test.p_value), (0.0, 1.0));
        let reference = DriftReference::new(&reference, 10).unwrap();
        assert!(DriftWatch::new(reference, 0).is_err());
    }

    #[test]
    fn a_reference_that_is_none_is_refused() {
        for (reference, why) in [
            (&[][..], "0 values are too few"),
            (&[1.0; 9], "9 values are too few"),
            (&[f64::NAN; 20], "value 0 is NaN"),
            (&[f64::INFINITY; 20], "value 0 is inf"),
        ] {
            let found = DriftReference::new(reference, 10).unwrap_err().to_string();
            assert!(found.contains(why), "{found}");
        }
        assert!(DriftReference::new(&[1.0; 20], 1).is_err());
        let reference = DriftReference::new(&[1.0; 20], 2).unwrap();
        assert!(reference.compare(&[]).is_err());
        assert!(reference.compare(&[f64::NAN]).is_err());
        reference.compare(&[f64::INFINITY]).unwrap();
    }
}
