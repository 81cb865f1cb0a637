//! Measures of classifiers, as scikit-learn 1.9.1 defines them.
//!
//! Classes are numbers; a prediction is a class, a score per class, or a set of labels. Where scikit-learn warns and gives
//! a number of its own (AUROC of one class, average precision without positives), these give
//! [`Error::Refused`](crate::Error::Refused) or `None`.
//!
//! Measures with a closed form carry their standard error in an [`Estimate`]; for the others
//! [`Bootstrap::pairs`](crate::stats::Bootstrap::pairs) gives an interval.

mod calibration;
mod confusion;
mod f_score;
mod probability;
mod ranking;
mod report;
mod temperature;

pub use calibration::{
    Binning, ReliabilityBin, calibration_curve, expected_calibration_error, reliability,
};
pub use confusion::{ConfusionMatrix, KappaWeights, Normalise};
pub use f_score::{Average, FScore, LabelCounts, Scores, ZeroDivision, label_counts};
pub use f_score::{average_scores, multi_label_counts, sample_scores, selected_counts};
pub use probability::{brier_score, brier_score_multiclass, cross_entropy, log_loss, softmax};
pub use ranking::{
    MultiClass, auroc, auroc_multiclass, average_precision, average_precision_multiclass,
    top_k_accuracy,
};
pub use report::{ClassificationReport, classification_report};
pub use temperature::{TemperatureScaling, temperature_scaling};

use crate::stats::{Estimate, check_paired, proportion};
use crate::{Error, Result};

/// The share of right predictions, with the standard error of a proportion: `accuracy_score`. With sets of labels in place
/// of classes it is the exact match (subset accuracy).
///
/// # Errors
/// [`Error::Refused`] without predictions, and when `truth` has another number.
pub fn accuracy<T: PartialEq>(truth: &[T], predicted: &[T]) -> Result<Estimate> {
    check_predictions(truth, predicted)?;
    let right = truth.iter().zip(predicted).filter(|(t, p)| t == p).count();
    proportion(right, truth.len()).ok_or_else(no_predictions)
}

/// The share of labels, over all examples, that were predicted wrongly: `hamming_loss` of label sets.
///
/// # Errors
/// [`Error::Refused`] without predictions, for rows of different lengths, and without labels.
pub fn hamming_loss<R: AsRef<[bool]>>(truth: &[R], predicted: &[R]) -> Result<f64> {
    let labels = check_label_sets(truth, predicted)?;
    let wrong =
        |(t, p): (&R, &R)| t.as_ref().iter().zip(p.as_ref()).filter(|(t, p)| t != p).count();
    let wrong: usize = truth.iter().zip(predicted).map(wrong).sum();
    Ok(wrong as f64 / (truth.len() * labels) as f64)
}

fn check_predictions<A, B>(truth: &[A], predicted: &[B]) -> Result<()> {
    check_paired(truth, predicted)?;
    if truth.is_empty() { Err(no_predictions()) } else { Ok(()) }
}

fn no_predictions() -> Error {
    Error::Refused("there is no prediction to measure; give at least one example".into())
}

/// The number of labels, at least 1, that every row has.
fn check_label_sets<R: AsRef<[bool]>>(truth: &[R], predicted: &[R]) -> Result<usize> {
    check_predictions(truth, predicted)?;
    let labels = truth[0].as_ref().len();
    if labels == 0 {
        return Err(Error::Refused("example 0 has no label; a set needs a flag per label".into()));
    }
    for (i, row) in truth.iter().zip(predicted).enumerate() {
        if row.0.as_ref().len() != labels || row.1.as_ref().len() != labels {
            return Err(Error::Refused(format!(
                "example {i} has {} and {} labels, others have {labels}; give a flag per label",
                row.0.as_ref().len(),
                row.1.as_ref().len()
            )));
        }
    }
    Ok(labels)
}

/// The number of classes, at least 2: the length of every row of finite scores, and above every true class.
fn check_scores<R: AsRef<[f64]>>(truth: &[usize], scores: &[R]) -> Result<usize> {
    check_predictions(truth, scores)?;
    let classes = scores[0].as_ref().len();
    if classes < 2 {
        return Err(Error::Refused(format!(
            "example 0 has {classes} score(s); give one for each of at least 2 classes"
        )));
    }
    for (i, (&class, row)) in truth.iter().zip(scores).enumerate() {
        let row = row.as_ref();
        if row.len() != classes {
            return Err(Error::Refused(format!(
                "example {i} has {} scores, example 0 has {classes}",
                row.len()
            )));
        }
        if let Some(score) = row.iter().find(|score| !score.is_finite()) {
            return Err(Error::Refused(format!("example {i} has the score {score}")));
        }
        if class >= classes {
            return Err(Error::Refused(format!(
                "example {i} is of class {class}, but there are scores for {classes} classes"
            )));
        }
    }
    Ok(classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let found = accuracy(&[1, 0, 2, 2], &[1, 0, 2, 1]).unwrap();
        assert_eq!((found.value, found.stderr), (0.75, Some(0.25)));
        let (truth, predicted) = ([[true, false], [true, true]], [[true, true], [true, true]]);
        assert_eq!(hamming_loss(&truth, &predicted).unwrap(), 0.25);
        assert_eq!(accuracy(&truth, &predicted).unwrap().value, 0.5);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        assert!(accuracy::<usize>(&[], &[]).is_err() && accuracy(&[1], &[1, 2]).is_err());
        assert!(hamming_loss(&[vec![true], vec![]], &[vec![true], vec![true]]).is_err());
        assert!(hamming_loss::<[bool; 0]>(&[[]], &[[]]).is_err());
        assert!(check_scores(&[2], &[[0.1, 0.9]]).is_err());
        assert!(check_scores(&[0], &[[0.1, f64::NAN]]).is_err());
        assert!(check_scores(&[0, 0], &[vec![0.1, 0.9], vec![1.0]]).is_err());
        assert!(check_scores(&[0], &[[1.0]]).is_err());
    }
}
