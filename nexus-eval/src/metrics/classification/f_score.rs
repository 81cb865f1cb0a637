//! Precision, recall and F.

use super::{check_label_sets, check_predictions};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often a label was predicted rightly, predicted, and true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelCounts {
    /// The label; 0 for counts that are not of one label.
    pub label: usize,
    /// True positives.
    pub hits: u64,
    /// How often it was predicted.
    pub predicted: u64,
    /// How often it is true.
    pub support: u64,
}

/// What a ratio without denominator counts as: precision of a label that was never predicted, recall of one that is never
/// true, F of one that is neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroDivision {
    /// 0.
    #[default]
    Zero,
    /// 1.
    One,
    /// `None`, which averages leave out.
    Undefined,
}

/// How labels are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// The mean over labels of their scores.
    #[default]
    Macro,
    /// The score of the summed counts.
    Micro,
    /// The mean over labels, weighted by how often they are true.
    Weighted,
}

/// The settings of `precision_recall_fscore_support`.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `beta` | 1 | at least 0, infinity included |
/// | `zero_division` | zero | |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FScore {
    /// How many times recall weighs as much as precision in F.
    pub beta: f64,
    /// What a ratio without denominator counts as.
    pub zero_division: ZeroDivision,
}

impl Default for FScore {
    fn default() -> Self {
        Self { beta: 1.0, zero_division: ZeroDivision::Zero }
    }
}

/// Precision, recall and F; `None` only with [`ZeroDivision::Undefined`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// `hits / predicted`.
    pub precision: Option<f64>,
    /// `hits / support`.
    pub recall: Option<f64>,
    /// `(1 + beta^2) hits / (beta^2 support + predicted)`.
    pub f: Option<f64>,
}

/// The counts of every label that occurs in `truth` or `predicted`, by label.
///
/// # Errors
/// [`Error::Refused`] without predictions, and when `truth` has another number.
pub fn label_counts(truth: &[usize], predicted: &[usize]) -> Result<Vec<LabelCounts>> {
    check_predictions(truth, predicted)?;
    let mut counts: BTreeMap<usize, LabelCounts> = BTreeMap::new();
    let at = |label| LabelCounts { label, ..LabelCounts::default() };
    for (&t, &p) in truth.iter().zip(predicted) {
        counts.entry(t).or_insert_with(|| at(t)).support += 1;
        let count = counts.entry(p).or_insert_with(|| at(p));
        count.predicted += 1;
        count.hits += u64::from(t == p);
    }
    Ok(counts.into_values().collect())
}

/// The counts of the given labels, in their order; those that do not occur count 0. Other labels still make the
/// predictions of these wrong.
///
/// # Errors
/// As [`label_counts`], and [`Error::Config`] for no label or one given twice.
pub fn selected_counts(
    truth: &[usize],
    predicted: &[usize],
    labels: &[usize],
) -> Result<Vec<LabelCounts>> {
    super::confusion::check_labels(labels)?;
    let all = label_counts(truth, predicted)?;
    let find = |&label: &usize| match all.binary_search_by_key(&label, |count| count.label) {
        Ok(i) => all[i],
        Err(_) => LabelCounts { label, ..LabelCounts::default() },
    };
    Ok(labels.iter().map(find).collect())
}

/// The counts of every label of label sets, a flag per label.
///
/// # Errors
/// [`Error::Refused`] without predictions, for rows of different lengths, and without labels.
pub fn multi_label_counts<R: AsRef<[bool]>>(
    truth: &[R],
    predicted: &[R],
) -> Result<Vec<LabelCounts>> {
    let labels = check_label_sets(truth, predicted)?;
    let mut counts: Vec<LabelCounts> =
        (0..labels).map(|label| LabelCounts { label, ..LabelCounts::default() }).collect();
    for (t, p) in truth.iter().zip(predicted) {
        for (count, (&t, &p)) in counts.iter_mut().zip(t.as_ref().iter().zip(p.as_ref())) {
            count.add(t, p);
        }
    }
    Ok(counts)
}

/// The mean over examples of the scores of their label sets: `average="samples"`.
///
/// # Errors
/// As [`multi_label_counts`], and [`Error::Config`] for a beta outside its range.
pub fn sample_scores<R: AsRef<[bool]>>(
    truth: &[R],
    predicted: &[R],
    settings: &FScore,
) -> Result<Scores> {
    check_label_sets(truth, predicted)?;
    let rows = truth.iter().zip(predicted).map(|(t, p)| {
        let mut count = LabelCounts::default();
        t.as_ref().iter().zip(p.as_ref()).for_each(|(&t, &p)| count.add(t, p));
        count
    });
    average_scores(&rows.collect::<Vec<_>>(), Average::Macro, settings)
}

/// The scores of several labels together. A weighted mean whose weights are all 0 is the unweighted one.
///
/// # Errors
/// [`Error::Refused`] without labels; [`Error::Config`] for a beta outside its range.
pub fn average_scores(
    counts: &[LabelCounts],
    average: Average,
    settings: &FScore,
) -> Result<Scores> {
    if counts.is_empty() {
        return Err(Error::Refused("there is no label to average over".into()));
    }
    if average == Average::Micro {
        let mut sum = LabelCounts::default();
        for count in counts {
            sum.hits += count.hits;
            sum.predicted += count.predicted;
            sum.support += count.support;
        }
        return sum.scores(settings);
    }
    let scores = counts.iter().map(|count| count.scores(settings)).collect::<Result<Vec<_>>>()?;
    let weight = |count: &LabelCounts| match average {
        Average::Weighted => count.support as f64,
        _ => 1.0,
    };
    let mean = |score: fn(&Scores) -> Option<f64>| {
        let defined: Vec<(f64, f64)> = scores
            .iter()
            .zip(counts)
            .filter_map(|(scores, count)| Some((score(scores)?, weight(count))))
            .collect();
        let weights: f64 = defined.iter().map(|(_, weight)| weight).sum();
        let sum = defined.iter().map(|(value, weight)| value * weight).sum::<f64>();
        let plain = defined.iter().map(|(value, _)| value).sum::<f64>() / defined.len() as f64;
        (!defined.is_empty()).then_some(if weights == 0.0 { plain } else { sum / weights })
    };
    Ok(Scores { precision: mean(|s| s.precision), recall: mean(|s| s.recall), f: mean(|s| s.f) })
}

impl LabelCounts {
    fn add(&mut self, truth: bool, predicted: bool) {
        self.support += u64::from(truth);
        self.predicted += u64::from(predicted);
        self.hits += u64::from(truth && predicted);
    }

    /// The scores of this label alone: those of binary classification, when it is the positive class.
    ///
    /// # Errors
    /// [`Error::Config`] for a beta outside its range.
    pub fn scores(&self, settings: &FScore) -> Result<Scores> {
        let beta = settings.beta;
        if beta.is_nan() || beta < 0.0 {
            return Err(Error::config("beta", beta, "a number of at least 0"));
        }
        let [hits, predicted, support] =
            [self.hits, self.predicted, self.support].map(|count| count as f64);
        let ratio = |top: f64, bottom: f64| match (bottom == 0.0, settings.zero_division) {
            (false, _) => Some(top / bottom),
            (true, ZeroDivision::Zero) => Some(0.0),
            (true, ZeroDivision::One) => Some(1.0),
            (true, ZeroDivision::Undefined) => None,
        };
        let (precision, recall) = (ratio(hits, predicted), ratio(hits, support));
        let square = beta * beta;
        let f = if beta == 0.0 {
            precision
        } else if square == f64::INFINITY {
            recall
        } else {
            ratio((1.0 + square) * hits, square * support + predicted)
        };
        Ok(Scores { precision, recall, f })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Predictions with this confusion matrix.
    fn predictions(table: &[&[usize]]) -> (Vec<usize>, Vec<usize>) {
        let (mut truth, mut predicted) = (Vec::new(), Vec::new());
        for (t, row) in table.iter().enumerate() {
            for (p, &count) in row.iter().enumerate() {
                truth.extend(vec![t; count]);
                predicted.extend(vec![p; count]);
            }
        }
        (truth, predicted)
    }

    fn rounded(scores: &Scores) -> [f64; 3] {
        [scores.precision, scores.recall, scores.f].map(|s| (s.unwrap() * 100.0).round() / 100.0)
    }

    #[test]
    fn two_classes() {
        let (truth, predicted) = predictions(&[&[22, 3], &[8, 17]]);
        let counts = label_counts(&truth, &predicted).unwrap();
        let scores = |i: usize| rounded(&counts[i].scores(&FScore::default()).unwrap());
        assert_eq!(scores(0), [0.73, 0.88, 0.80]);
        assert_eq!(scores(1), [0.85, 0.68, 0.76]);
    }

    #[test]
    fn three_classes() {
        let (truth, predicted) = predictions(&[&[19, 4, 1], &[4, 3, 24], &[0, 2, 18]]);
        let counts = label_counts(&truth, &predicted).unwrap();
        let scores = |i: usize| rounded(&counts[i].scores(&FScore::default()).unwrap());
        assert_eq!(
            [scores(0), scores(1), scores(2)],
            [[0.83, 0.79, 0.81], [0.33, 0.10, 0.15], [0.42, 0.90, 0.57]]
        );
        let average =
            |average| rounded(&average_scores(&counts, average, &FScore::default()).unwrap());
        assert_eq!(average(Average::Macro), [0.53, 0.60, 0.51]);
        assert_eq!(average(Average::Weighted), [0.51, 0.53, 0.47]);
        assert_eq!(average(Average::Micro), [0.53, 0.53, 0.53]);
    }

    #[test]
    fn labels_that_do_not_occur() {
        let labels = [0, 1, 2, 3, 4];
        let counts = selected_counts(&[1, 3, 3, 2], &[1, 1, 3, 2], &labels).unwrap();
        let recall = |settings: &FScore| {
            counts.iter().map(|c| c.scores(settings).unwrap().recall).collect::<Vec<_>>()
        };
        let some = |values: [f64; 5]| values.map(Some).to_vec();
        assert_eq!(recall(&FScore::default()), some([0.0, 1.0, 1.0, 0.5, 0.0]));
        let one = FScore { zero_division: ZeroDivision::One, ..FScore::default() };
        assert_eq!(recall(&one), some([1.0, 1.0, 1.0, 0.5, 1.0]));
        let undefined = FScore { zero_division: ZeroDivision::Undefined, ..FScore::default() };
        assert_eq!(recall(&undefined), [None, Some(1.0), Some(1.0), Some(0.5), None]);
        let mean = average_scores(&counts, Average::Macro, &undefined).unwrap();
        assert_eq!(mean.recall, Some(2.5 / 3.0));
    }

    #[test]
    fn all_wrong_is_zero() {
        let counts = label_counts(&[0, 0, 1], &[1, 1, 0]).unwrap();
        for average in [Average::Macro, Average::Micro, Average::Weighted] {
            let found = average_scores(&counts, average, &FScore::default()).unwrap();
            assert_eq!(found.f, Some(0.0));
        }
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        assert!(label_counts(&[], &[]).is_err() && label_counts(&[1], &[]).is_err());
        assert!(selected_counts(&[1], &[1], &[]).is_err());
        assert!(selected_counts(&[1], &[1], &[2, 2]).is_err());
        assert!(average_scores(&[], Average::Macro, &FScore::default()).is_err());
        let counts = label_counts(&[1], &[1]).unwrap();
        let bad = FScore { beta: -1.0, ..FScore::default() };
        assert!(average_scores(&counts, Average::Macro, &bad).is_err());
        assert!(average_scores(&counts, Average::Micro, &bad).is_err());
    }
}
