//! Measures of predicted probabilities.

use super::{check_predictions, check_scores};
use crate::stats::{Estimate, mean};
use crate::{Error, Result};

/// How far a row of probabilities may be from a sum of 1: what single precision leaves of a softmax over many classes.
const SUM_TOLERANCE: f64 = 1e-4;

/// The probabilities `exp(x_i) / sum exp(x_j)` of logits that are finite.
pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |m, &x| m.max(x));
    let powers: Vec<f64> = logits.iter().map(|x| (x - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The cross-entropy `log sum exp(x) - x_class` of one example in nats, without overflow. `None` when there is no such
/// class.
pub fn cross_entropy<T: Copy + Into<f64>>(logits: &[T], class: usize) -> Option<f64> {
    let target: f64 = (*logits.get(class)?).into();
    let largest = logits.iter().fold(f64::NEG_INFINITY, |m, &x| m.max(x.into()));
    let sum: f64 = logits.iter().map(|&x| (x.into() - largest).exp()).sum();
    Some(sum.ln() - (target - largest))
}

/// The mean of `-ln p(true class)` with its standard error, in nats: `log_loss`. As there, probabilities are kept between
/// 2^-52 and 1 - 2^-52.
///
/// # Errors
/// [`Error::Refused`] without predictions, for rows of different lengths, for a class without a probability, and for rows
/// that are not probabilities: values outside `[0, 1]` or a sum more than 1e-4 from 1. Deviation: scikit-learn only warns
/// of the sum.
pub fn log_loss<R: AsRef<[f64]>>(truth: &[usize], probabilities: &[R]) -> Result<Estimate> {
    check_probabilities(truth, probabilities)?;
    let loss = |(&class, row): (&usize, &R)| {
        -row.as_ref()[class].clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
    };
    let losses: Vec<f64> = truth.iter().zip(probabilities).map(loss).collect();
    mean(&losses).ok_or_else(super::no_predictions)
}

/// The mean squared distance of the positive class's probability from the truth, with its standard error, in `[0, 1]`:
/// `brier_score_loss` (Brier 1950, halved as usual for two classes).
///
/// # Errors
/// [`Error::Refused`] without predictions, for different numbers, and for values outside `[0, 1]`.
pub fn brier_score(truth: &[bool], probabilities: &[f64]) -> Result<Estimate> {
    check_predictions(truth, probabilities)?;
    check_unit("the probabilities", probabilities)?;
    let square = |(&t, p): (&bool, &f64)| (f64::from(u8::from(t)) - p).powi(2);
    let squares: Vec<f64> = truth.iter().zip(probabilities).map(square).collect();
    mean(&squares).ok_or_else(super::no_predictions)
}

/// The mean over examples of the squared distances summed over classes, with its standard error, in `[0, 2]`; for two
/// classes halved, so that it is [`brier_score`]: `brier_score_loss` of several classes.
///
/// # Errors
/// As [`log_loss`].
pub fn brier_score_multiclass<R: AsRef<[f64]>>(
    truth: &[usize],
    probabilities: &[R],
) -> Result<Estimate> {
    let classes = check_probabilities(truth, probabilities)?;
    let scale = if classes == 2 { 0.5 } else { 1.0 };
    let distance = |(&class, row): (&usize, &R)| {
        let square = |(i, p): (usize, &f64)| (f64::from(u8::from(i == class)) - p).powi(2);
        scale * row.as_ref().iter().enumerate().map(square).sum::<f64>()
    };
    let distances: Vec<f64> = truth.iter().zip(probabilities).map(distance).collect();
    mean(&distances).ok_or_else(super::no_predictions)
}

/// All values must lie in `[0, 1]`; `what` names them.
pub(super) fn check_unit(what: &str, values: &[f64]) -> Result<()> {
    match values.iter().position(|value| !(0.0..=1.0).contains(value)) {
        None => Ok(()),
        Some(i) => Err(Error::Refused(format!(
            "{what}: value {i} is {}, not a probability in [0, 1]",
            values[i]
        ))),
    }
}

/// The number of classes of rows that are probabilities.
pub(super) fn check_probabilities<R: AsRef<[f64]>>(truth: &[usize], rows: &[R]) -> Result<usize> {
    let classes = check_scores(truth, rows)?;
    for (i, row) in rows.iter().enumerate() {
        check_unit(&format!("example {i}"), row.as_ref())?;
        let sum: f64 = row.as_ref().iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(Error::Refused(format!(
                "example {i}: the probabilities sum to {sum}, not 1; apply softmax to logits first"
            )));
        }
    }
    Ok(classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cross_entropy_of_equal_logits_is_the_logarithm_of_their_number() {
        assert!((cross_entropy(&[7.0f32; 5], 2).unwrap() - 5f64.ln()).abs() < 1e-12);
        assert!(cross_entropy(&[1e4f32, -1e4], 1).unwrap().is_finite());
        assert_eq!(cross_entropy::<f32>(&[], 0), None);
        assert_eq!(softmax(&[1000.0, 1000.0]), [0.5, 0.5]);
    }

    #[test]
    fn losses_by_hand() {
        let rows = [[0.9, 0.1], [0.2, 0.8]];
        let found = log_loss(&[0, 1], &rows).unwrap();
        assert!((found.value + (0.9f64.ln() + 0.8f64.ln()) / 2.0).abs() < 1e-15);
        let found = brier_score_multiclass(&[0, 1], &rows).unwrap();
        assert!((found.value - 0.025).abs() < 1e-15);
        let found = brier_score(&[false, true], &[0.1, 0.8]).unwrap();
        assert!((found.value - 0.025).abs() < 1e-15);
        assert!(log_loss(&[1], &[[1.0, 0.0]]).unwrap().value.is_finite());
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        for row in [[0.9, 0.2], [-0.1, 1.1], [f64::NAN, 0.5], [2.0, -1.0]] {
            assert!(log_loss(&[0], &[row]).is_err(), "{row:?}");
            assert!(brier_score_multiclass(&[0], &[row]).is_err(), "{row:?}");
        }
        assert!(brier_score(&[true], &[1.5]).is_err() && brier_score(&[], &[]).is_err());
        assert!(log_loss(&[2], &[[0.5, 0.5]]).is_err());
    }
}
