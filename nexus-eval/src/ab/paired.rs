//! Two models on the same examples.

use super::experiment::Outcome;
use crate::stats::hypothesis::{
    Method, PairedOutcomes, mcnemar, mcnemar_exact, paired_t, wilcoxon,
};
use crate::stats::{Alternative, TestResult, check_paired};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Discordant pairs from which McNemar's chi-square test takes over from the exact one.
const MANY_DISCORDANT: u64 = 1000;

/// Pairs from which the mean of their differences is taken as normal.
const MANY_PAIRS: usize = 30;

/// What two models' outcomes on the same examples show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedComparison {
    /// Number of examples.
    pub n: usize,
    /// Mean outcome of the first.
    pub first: f64,
    /// Mean outcome of the second.
    pub second: f64,
    /// What was tested, first less second.
    pub test: TestResult,
    /// Whether its p-value is below alpha.
    pub significant: bool,
}

/// Compares two models on the same examples in the same order; a test of independent samples would throw away that their
/// errors go together.
///
/// | outcome | test |
/// |---|---|
/// | binary | McNemar's exact; its chi-square with continuity correction beyond 1,000 discordant pairs |
/// | continuous | paired t; Wilcoxon's signed ranks below 30 pairs |
///
/// # Errors
/// [`Error::Refused`] without examples, for different numbers, for values that are not finite, for binary outcomes other
/// than 0 and 1, and when the differences do not vary; [`Error::Config`] for an alpha outside (0, 1).
pub fn compare_paired(
    first: &[f64],
    second: &[f64],
    outcome: Outcome,
    alpha: f64,
) -> Result<PairedComparison> {
    check_paired(first, second)?;
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(Error::config("alpha", alpha, "a number between 0 and 1"));
    }
    let two = Alternative::TwoSided;
    let test = match outcome {
        Outcome::Binary => {
            let table = PairedOutcomes::count(&flags(first)?, &flags(second)?)?;
            if table.only_first + table.only_second > MANY_DISCORDANT {
                mcnemar(&table, true)
            } else {
                mcnemar_exact(&table)
            }
        }
        Outcome::Continuous if first.len() < MANY_PAIRS => {
            wilcoxon(first, second, two, Method::Auto)
        }
        Outcome::Continuous => paired_t(first, second, two),
    }?;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let significant = test.p_value < alpha;
    Ok(PairedComparison {
        n: first.len(),
        first: mean(first),
        second: mean(second),
        test,
        significant,
    })
}

fn flags(outcomes: &[f64]) -> Result<Vec<bool>> {
    let flag = |(i, &outcome): (usize, &f64)| match outcome {
        0.0 => Ok(false),
        1.0 => Ok(true),
        other => Err(Error::Refused(format!("outcome {i} is {other}, neither 0 nor 1"))),
    };
    outcomes.iter().enumerate().map(flag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_chosen_by_outcome_and_size() {
        let (a, b) = ([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let found = compare_paired(&a, &b, Outcome::Binary, 0.05).unwrap();
        // 2 (1/2)^6.
        assert!((found.test.p_value - 0.03125).abs() < 1e-15 && found.significant);
        let found = compare_paired(&a, &b, Outcome::Continuous, 0.05).unwrap();
        assert!(found.test.test.contains("Wilcoxon"));
        let long: Vec<f64> = (0..40).map(f64::from).collect();
        let zeros = vec![0.0; 40];
        let found = compare_paired(&long, &zeros, Outcome::Continuous, 0.05).unwrap();
        assert!(found.test.test.contains("paired t") && found.first == 19.5);
        let (ones, zeros) = (vec![1.0; 1001], vec![0.0; 1001]);
        let found = compare_paired(&ones, &zeros, Outcome::Binary, 0.05).unwrap();
        assert!(found.test.test.contains("chi-square"));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        assert!(compare_paired(&[], &[], Outcome::Binary, 0.05).is_err());
        assert!(compare_paired(&[], &[], Outcome::Continuous, 0.05).is_err());
        assert!(compare_paired(&[0.5], &[1.0], Outcome::Binary, 0.05).is_err());
        assert!(compare_paired(&[0.5], &[1.0], Outcome::Continuous, 1.0).is_err());
        assert!(compare_paired(&[0.5], &[], Outcome::Continuous, 0.05).is_err());
    }
}
