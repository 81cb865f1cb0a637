//! Measures of regression: squared and absolute errors as scikit-learn 1.9.1 defines them, correlations as SciPy 1.17.1.

use crate::stats::{Estimate, average_ranks, check_finite, check_paired, mean};
use crate::{Error, Result};

/// The mean squared error with its standard error: `mean_squared_error`.
///
/// # Errors
/// [`Error::Refused`] without values, for different numbers, and for values that are not finite.
pub fn mean_squared_error(truth: &[f64], predicted: &[f64]) -> Result<Estimate> {
    mean_of(truth, predicted, |t, p| (t - p).powi(2))
}

/// The root of the mean squared error, with its standard error by the delta method: `root_mean_squared_error`.
///
/// # Errors
/// As [`mean_squared_error`].
pub fn root_mean_squared_error(truth: &[f64], predicted: &[f64]) -> Result<Estimate> {
    let square = mean_squared_error(truth, predicted)?;
    let value = square.value.sqrt();
    // d sqrt(x) = dx / (2 sqrt(x)); at 0 all errors are 0, and so is theirs.
    let scale = if value > 0.0 { 0.5 / value } else { 0.0 };
    Ok(Estimate { value, stderr: square.stderr.map(|stderr| stderr * scale) })
}

/// The mean absolute error with its standard error: `mean_absolute_error`.
///
/// # Errors
/// As [`mean_squared_error`].
pub fn mean_absolute_error(truth: &[f64], predicted: &[f64]) -> Result<Estimate> {
    mean_of(truth, predicted, |t, p| (t - p).abs())
}

/// The share of the truth's variance that the predictions explain, at most 1: `r2_score(force_finite=False)`. `None` where
/// the truth does not vary.
///
/// # Errors
/// As [`mean_squared_error`].
pub fn r_squared(truth: &[f64], predicted: &[f64]) -> Result<Option<f64>> {
    check(truth, predicted)?;
    let total = squares(&deviations(truth));
    let residual: f64 = truth.iter().zip(predicted).map(|(t, p)| (t - p).powi(2)).sum();
    Ok((total > 0.0).then(|| 1.0 - residual / total))
}

/// Pearson's correlation, in `[-1, 1]`: `pearsonr`. `None` where a side does not vary.
///
/// # Errors
/// As [`mean_squared_error`].
pub fn pearson(first: &[f64], second: &[f64]) -> Result<Option<f64>> {
    check(first, second)?;
    Ok(correlation(first, second))
}

/// Spearman's rank correlation, in `[-1, 1]`, that of average ranks: `spearmanr`. `None` where a side does not vary.
///
/// # Errors
/// As [`mean_squared_error`].
pub fn spearman(first: &[f64], second: &[f64]) -> Result<Option<f64>> {
    check(first, second)?;
    Ok(correlation(&average_ranks(first).0, &average_ranks(second).0))
}

/// Kendall's tau-b, in `[-1, 1]`, which allows for ties: `kendalltau`. `None` where a side does not vary. Looks at every pair.
///
/// # Errors
/// As [`mean_squared_error`].
pub fn kendall(first: &[f64], second: &[f64]) -> Result<Option<f64>> {
    check(first, second)?;
    let order = |a: f64, b: f64| i64::from(a > b) - i64::from(a < b);
    let (mut agreement, mut in_first, mut in_second) = (0i64, 0i64, 0i64);
    for i in 1..first.len() {
        for j in 0..i {
            let (a, b) = (order(first[i], first[j]), order(second[i], second[j]));
            agreement += a * b;
            in_first += a * a;
            in_second += b * b;
        }
    }
    let scale = (in_first as f64).sqrt() * (in_second as f64).sqrt();
    Ok((scale > 0.0).then(|| (agreement as f64 / scale).clamp(-1.0, 1.0)))
}

fn mean_of(truth: &[f64], predicted: &[f64], error: fn(f64, f64) -> f64) -> Result<Estimate> {
    check(truth, predicted)?;
    let errors: Vec<f64> = truth.iter().zip(predicted).map(|(&t, &p)| error(t, p)).collect();
    mean(&errors).ok_or_else(nothing)
}

fn correlation(first: &[f64], second: &[f64]) -> Option<f64> {
    let (a, b) = (deviations(first), deviations(second));
    let product: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
    let scale = squares(&a).sqrt() * squares(&b).sqrt();
    (scale > 0.0).then(|| (product / scale).clamp(-1.0, 1.0))
}

/// Distances from the mean; exactly 0 for values that do not vary.
fn deviations(values: &[f64]) -> Vec<f64> {
    let constant = values.windows(2).all(|pair| pair[0] == pair[1]);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| if constant { 0.0 } else { value - mean }).collect()
}

fn squares(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

fn check(truth: &[f64], predicted: &[f64]) -> Result<()> {
    check_paired(truth, predicted)?;
    check_finite("the first values", truth)?;
    check_finite("the second values", predicted)?;
    if truth.is_empty() { Err(nothing()) } else { Ok(()) }
}

fn nothing() -> Error {
    Error::Refused("there is no value to measure; give at least one example".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_by_hand() {
        let (truth, predicted) = ([3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0]);
        assert_eq!(mean_squared_error(&truth, &predicted).unwrap().value, 0.375);
        assert_eq!(root_mean_squared_error(&truth, &predicted).unwrap().value, 0.375f64.sqrt());
        assert_eq!(mean_absolute_error(&truth, &predicted).unwrap().value, 0.5);
        let found = r_squared(&truth, &predicted).unwrap().unwrap();
        assert!((found - 0.9486081370449679).abs() < 1e-15);
    }

    #[test]
    fn correlations_by_hand() {
        let (a, b) = ([1.0, 2.0, 3.0], [10.0, 100.0, 1000.0]);
        assert!((spearman(&a, &b).unwrap().unwrap() - 1.0).abs() < 1e-15);
        assert_eq!(kendall(&a, &[3.0, 2.0, 1.0]).unwrap(), Some(-1.0));
        // One pair tied: 2 / sqrt(3 * 2).
        let found = kendall(&a, &[1.0, 1.0, 2.0]).unwrap().unwrap();
        assert!((found - 2.0 / 6f64.sqrt()).abs() < 1e-15);
        assert_eq!(pearson(&a, &[0.1; 3]).unwrap(), None);
        assert_eq!(
            (spearman(&[1.0], &[1.0]).unwrap(), kendall(&a, &[0.0; 3]).unwrap()),
            (None, None)
        );
        assert_eq!(r_squared(&[0.1; 3], &a).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        assert!(mean_squared_error(&[], &[]).is_err() && pearson(&[1.0], &[]).is_err());
        assert!(kendall(&[f64::NAN], &[1.0]).is_err());
        assert!(r_squared(&[1.0], &[f64::INFINITY]).is_err());
    }
}
