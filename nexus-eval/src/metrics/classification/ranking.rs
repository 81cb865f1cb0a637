//! Measures of scores that only their order matters to.

use super::{Average, check_predictions, check_scores};
use crate::stats::{Estimate, average_ranks, check_finite, proportion};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How AUROC is taken apart when there are several classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MultiClass {
    /// Each class against all others.
    #[default]
    OneVsRest,
    /// Each pair of classes alone (Hand and Till 2001).
    OneVsOne,
}

/// The area under the ROC curve: the probability that a positive example scores above a negative one, ties counted half.
/// `roc_auc_score`, with the standard error of DeLong et al. (1988); none with a single positive or negative.
///
/// # Errors
/// [`Error::Refused`] without predictions, for different numbers, for scores that are not finite, and when all examples
/// are of one class, for which the curve is undefined.
pub fn auroc(truth: &[bool], scores: &[f64]) -> Result<Estimate> {
    check_predictions(truth, scores)?;
    check_finite("the scores", scores)?;
    let side = |wanted: bool| -> Vec<f64> {
        truth.iter().zip(scores).filter(|(t, _)| **t == wanted).map(|(_, &score)| score).collect()
    };
    let (positive, negative) = (side(true), side(false));
    let (m, n) = (positive.len(), negative.len());
    if m == 0 || n == 0 {
        return Err(Error::Refused(format!(
            "AUROC needs examples of both classes; there are {m} positive and {n} negative ones"
        )));
    }
    let (ranks, _) = average_ranks(&[positive.as_slice(), &negative].concat());
    let (own_positive, own_negative) = (average_ranks(&positive).0, average_ranks(&negative).0);
    // Of each example: the share of the other side that it is on the right side of.
    let above = |(rank, own): (&f64, &f64)| (rank - own) / n as f64;
    let above: Vec<f64> = ranks[..m].iter().zip(&own_positive).map(above).collect();
    let below = |(rank, own): (&f64, &f64)| 1.0 - (rank - own) / m as f64;
    let below: Vec<f64> = ranks[m..].iter().zip(&own_negative).map(below).collect();
    let stderr = |shares: &[f64]| crate::stats::mean(shares).and_then(|mean| mean.stderr);
    let value = above.iter().sum::<f64>() / m as f64;
    let stderr = stderr(&above).zip(stderr(&below)).map(|(a, b)| a.hypot(b));
    Ok(Estimate { value, stderr })
}

/// Average precision, `sum (R_k - R_(k-1)) P_k` over the distinct scores in descending order: the area under the
/// precision-recall curve without interpolation, `average_precision_score`.
///
/// # Errors
/// [`Error::Refused`] without predictions, for different numbers, for scores that are not finite, and without a positive
/// example, for which recall is undefined.
pub fn average_precision(truth: &[bool], scores: &[f64]) -> Result<f64> {
    check_predictions(truth, scores)?;
    check_finite("the scores", scores)?;
    let positive = truth.iter().filter(|&&t| t).count() as f64;
    if positive == 0.0 {
        return Err(Error::Refused("average precision needs at least one positive example".into()));
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let (mut hits, mut seen, mut area) = (0.0, 0.0, 0.0);
    for ties in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let more = ties.iter().filter(|&&i| truth[i]).count() as f64;
        hits += more;
        seen += ties.len() as f64;
        area += more / positive * (hits / seen);
    }
    Ok(area)
}

/// AUROC of several classes: `roc_auc_score(multi_class=...)` with all columns as labels. Rows are probabilities.
/// [`Average::Weighted`] weighs classes, or pairs of classes, by how often they occur; [`Average::Micro`] is for
/// [`MultiClass::OneVsRest`] and takes all scores as one sample.
///
/// # Errors
/// [`Error::Refused`] without predictions, for different numbers, for rows that are not probabilities (see
/// [`log_loss`](super::log_loss)), and where a class that counts has no example: any for one against the rest in the macro
/// average, all but one otherwise. [`Error::Config`] for the micro average of pairs.
pub fn auroc_multiclass<R: AsRef<[f64]>>(
    truth: &[usize],
    probabilities: &[R],
    way: MultiClass,
    average: Average,
) -> Result<f64> {
    super::probability::check_probabilities(truth, probabilities)?;
    let area = |truth: &[bool], scores: &[f64]| auroc(truth, scores).map(|area| area.value);
    match (way, average) {
        (MultiClass::OneVsRest, _) => one_vs_rest(truth, probabilities, average, area),
        (MultiClass::OneVsOne, Average::Micro) => {
            Err(Error::config("average", "micro", "macro or weighted for one against one"))
        }
        (MultiClass::OneVsOne, _) => one_vs_one(truth, probabilities, average),
    }
}

/// The average over classes, each against all others, of [`average_precision`]: `average_precision_score` of several
/// classes.
///
/// # Errors
/// [`Error::Refused`] without predictions, for rows of different lengths, for scores that are not finite, and, but for the
/// micro average, where a class has no example.
pub fn average_precision_multiclass<R: AsRef<[f64]>>(
    truth: &[usize],
    scores: &[R],
    average: Average,
) -> Result<f64> {
    check_scores(truth, scores)?;
    one_vs_rest(truth, scores, average, average_precision)
}

/// The share of examples whose class is among the `k` highest scores, with the standard error of a proportion:
/// `top_k_accuracy_score`. Of equal scores the later class counts as higher.
///
/// # Errors
/// [`Error::Refused`] without predictions, for rows of different lengths, for scores that are not finite, for a class
/// without a score; [`Error::Config`] for a k of 0 or above the number of classes.
pub fn top_k_accuracy<R: AsRef<[f64]>>(
    truth: &[usize],
    scores: &[R],
    k: usize,
) -> Result<Estimate> {
    let classes = check_scores(truth, scores)?;
    if !(1..=classes).contains(&k) {
        return Err(Error::config("k", k, format!("1 to {classes}, the number of classes")));
    }
    let hit = |class: usize, row: &[f64]| {
        let higher = |i: usize| row[i] > row[class] || (row[i] == row[class] && i > class);
        (0..row.len()).filter(|&i| higher(i)).count() < k
    };
    let hits = truth.iter().zip(scores).filter(|(class, row)| hit(**class, row.as_ref())).count();
    proportion(hits, truth.len()).ok_or_else(super::no_predictions)
}

fn one_vs_rest<R: AsRef<[f64]>>(
    truth: &[usize],
    scores: &[R],
    average: Average,
    measure: impl Fn(&[bool], &[f64]) -> Result<f64>,
) -> Result<f64> {
    let classes = scores[0].as_ref().len();
    if average == Average::Micro {
        let flags: Vec<bool> =
            truth.iter().flat_map(|&t| (0..classes).map(move |class| class == t)).collect();
        let all: Vec<f64> = scores.iter().flat_map(|row| row.as_ref()).copied().collect();
        return measure(&flags, &all);
    }
    let (mut sum, mut weights) = (0.0, 0.0);
    for class in 0..classes {
        let flags: Vec<bool> = truth.iter().map(|&t| t == class).collect();
        let support = flags.iter().filter(|&&flag| flag).count() as f64;
        let weight = if average == Average::Weighted { support } else { 1.0 };
        if weight > 0.0 {
            let column: Vec<f64> = scores.iter().map(|row| row.as_ref()[class]).collect();
            let value = measure(&flags, &column)
                .map_err(|why| Error::Refused(format!("class {class} against the rest: {why}")))?;
            sum += weight * value;
            weights += weight;
        }
    }
    Ok(sum / weights)
}

fn one_vs_one<R: AsRef<[f64]>>(truth: &[usize], scores: &[R], average: Average) -> Result<f64> {
    let classes = scores[0].as_ref().len();
    let present: Vec<usize> = (0..classes).filter(|class| truth.contains(class)).collect();
    let (mut sum, mut weights) = (0.0, 0.0);
    for (i, &a) in present.iter().enumerate() {
        for &b in &present[i + 1..] {
            let pair: Vec<(usize, &[f64])> = truth
                .iter()
                .zip(scores)
                .filter(|(t, _)| **t == a || **t == b)
                .map(|(&t, row)| (t, row.as_ref()))
                .collect();
            let area = |positive: usize| {
                let flags: Vec<bool> = pair.iter().map(|(t, _)| *t == positive).collect();
                let column: Vec<f64> = pair.iter().map(|(_, row)| row[positive]).collect();
                auroc(&flags, &column)
            };
            let weight = if average == Average::Weighted { pair.len() as f64 } else { 1.0 };
            sum += weight * (area(a)?.value + area(b)?.value) / 2.0;
            weights += weight;
        }
    }
    if weights == 0.0 {
        return Err(Error::Refused("AUROC needs examples of at least two classes".into()));
    }
    Ok(sum / weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_by_hand() {
        // Of 4 pairs, 3 are in order; one positive is above both negatives, the other above one.
        let found = auroc(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8]).unwrap();
        assert_eq!(found.value, 0.75);
        // Shares 1/2, 1 and 1, 1/2: variances 1/8 each, so sqrt(1/16 + 1/16).
        assert!((found.stderr.unwrap() - 0.125f64.sqrt()).abs() < 1e-15);
        assert_eq!(
            auroc(&[true, false], &[0.5, 0.5]).unwrap(),
            Estimate { value: 0.5, stderr: None }
        );
        // Recall rises to 1/2 at precision 1 and to 1 at precision 2/3.
        let found = average_precision(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8]).unwrap();
        assert!((found - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-15);
    }

    #[test]
    fn ties_go_to_the_later_class() {
        let scores = [[0.5, 0.2, 0.2], [0.3, 0.4, 0.2], [0.2, 0.4, 0.3], [0.7, 0.2, 0.1]];
        assert_eq!(top_k_accuracy(&[0, 1, 2, 2], &scores, 2).unwrap().value, 0.75);
        assert_eq!(top_k_accuracy(&[1], &[[0.0, 0.0]], 1).unwrap().value, 1.0);
        assert_eq!(top_k_accuracy(&[0], &[[0.0, 0.0]], 1).unwrap().value, 0.0);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        assert!(auroc(&[true, true], &[0.1, 0.2]).is_err() && auroc(&[], &[]).is_err());
        assert!(auroc(&[true, false], &[f64::NAN, 0.2]).is_err());
        assert!(average_precision(&[false], &[0.1]).is_err());
        let rows = [[0.2, 0.3, 0.5], [0.5, 0.3, 0.2]];
        let area = |truth: &[usize], way, average| auroc_multiclass(truth, &rows, way, average);
        assert!(area(&[0, 1], MultiClass::OneVsRest, Average::Macro).is_err());
        assert!(area(&[0, 1], MultiClass::OneVsRest, Average::Weighted).is_ok());
        assert!(area(&[0, 0], MultiClass::OneVsOne, Average::Macro).is_err());
        assert!(area(&[0, 1], MultiClass::OneVsOne, Average::Micro).is_err());
        assert!(area(&[0, 3], MultiClass::OneVsOne, Average::Macro).is_err());
        assert!(top_k_accuracy(&[0], &[[0.1, 0.9]], 0).is_err());
        assert!(top_k_accuracy(&[0], &[[0.1, 0.9]], 3).is_err());
    }
}
