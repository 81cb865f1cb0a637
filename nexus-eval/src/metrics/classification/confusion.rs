//! The confusion matrix and what it gives.

use super::check_predictions;
use crate::stats::{Estimate, proportion};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// How often each label (row) was predicted as which (column).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    labels: Vec<usize>,
    counts: Vec<Vec<u64>>,
}

/// What a cell is a share of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// Of its true label (row).
    Truth,
    /// Of its predicted label (column).
    Predicted,
    /// Of all predictions.
    All,
}

/// How much a disagreement weighs in Cohen's kappa, by the distance of the labels in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KappaWeights {
    /// All alike.
    #[default]
    Unweighted,
    /// The distance.
    Linear,
    /// Its square.
    Quadratic,
}

impl ConfusionMatrix {
    /// Over the labels that occur, in ascending order.
    ///
    /// # Errors
    /// [`Error::Refused`] without predictions, and when `truth` has another number.
    pub fn of(truth: &[usize], predicted: &[usize]) -> Result<Self> {
        let labels: BTreeSet<usize> = truth.iter().chain(predicted).copied().collect();
        Self::count(truth, predicted, labels.into_iter().collect())
    }

    /// Over these labels in this order; predictions from or to other labels are left out.
    ///
    /// # Errors
    /// As [`of`](Self::of); [`Error::Config`] for no label, one given twice, and when none occurs in `truth`.
    pub fn with_labels(truth: &[usize], predicted: &[usize], labels: &[usize]) -> Result<Self> {
        check_labels(labels)?;
        check_predictions(truth, predicted)?;
        if !truth.iter().any(|label| labels.contains(label)) {
            let allowed = "labels of which at least one occurs in the truth";
            return Err(Error::config("labels", format!("{labels:?}"), allowed));
        }
        Self::count(truth, predicted, labels.to_vec())
    }

    fn count(truth: &[usize], predicted: &[usize], labels: Vec<usize>) -> Result<Self> {
        check_predictions(truth, predicted)?;
        let places: HashMap<usize, usize> =
            labels.iter().enumerate().map(|(i, &label)| (label, i)).collect();
        let mut counts = vec![vec![0; labels.len()]; labels.len()];
        for pair in truth.iter().zip(predicted) {
            if let (Some(&t), Some(&p)) = (places.get(pair.0), places.get(pair.1)) {
                counts[t][p] += 1;
            }
        }
        Ok(Self { labels, counts })
    }

    /// The labels of rows and columns.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The counts, `[true label][predicted label]`.
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// The counts as shares; 0 where there is nothing to take a share of.
    pub fn normalised(&self, by: Normalise) -> Vec<Vec<f64>> {
        let (rows, columns) = (self.rows(), self.columns());
        let all: f64 = rows.iter().sum();
        let share = |(t, p): (usize, usize), count: u64| {
            let whole = match by {
                Normalise::Truth => rows[t],
                Normalise::Predicted => columns[p],
                Normalise::All => all,
            };
            if whole == 0.0 { 0.0 } else { count as f64 / whole }
        };
        let row = |(t, row): (usize, &Vec<u64>)| {
            row.iter().enumerate().map(|(p, &count)| share((t, p), count)).collect()
        };
        self.counts.iter().enumerate().map(row).collect()
    }

    /// The share on the diagonal. `None` when all predictions were left out.
    pub fn accuracy(&self) -> Option<Estimate> {
        let right: u64 = (0..self.labels.len()).map(|i| self.counts[i][i]).sum();
        let all: u64 = self.counts.iter().flatten().sum();
        proportion(usize::try_from(right).ok()?, usize::try_from(all).ok()?)
    }

    /// The mean recall of the labels that occur in the truth: `balanced_accuracy_score`.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        let recalls = self.recalls();
        (!recalls.is_empty()).then(|| recalls.iter().sum::<f64>() / recalls.len() as f64)
    }

    /// Balanced accuracy scaled so that chance is 0 and perfection 1. `None` with fewer than two labels in the truth.
    pub fn adjusted_balanced_accuracy(&self) -> Option<f64> {
        let labels = self.recalls().len();
        let chance = 1.0 / labels as f64;
        let balanced = self.balanced_accuracy()?;
        (labels > 1).then(|| (balanced - chance) / (1.0 - chance))
    }

    /// The Matthews correlation coefficient, in `[-1, 1]` (Gorodkin 2004 for several labels): `matthews_corrcoef`, which
    /// is 0 when truth or predictions have one label only.
    pub fn matthews(&self) -> f64 {
        let (rows, columns) = (self.rows(), self.columns());
        let right: f64 = (0..self.labels.len()).map(|i| self.counts[i][i] as f64).sum();
        let all: f64 = rows.iter().sum();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let covariance = right * all - dot(&rows, &columns);
        let spread = (all * all - dot(&columns, &columns)) * (all * all - dot(&rows, &rows));
        if spread == 0.0 { 0.0 } else { covariance / spread.sqrt() }
    }

    /// Cohen's kappa, the agreement beyond chance, at most 1 (Cohen 1960, 1968): `cohen_kappa_score`. `None` when chance
    /// alone agrees always (one label only).
    pub fn kappa(&self, weights: KappaWeights) -> Option<f64> {
        let (rows, columns) = (self.rows(), self.columns());
        let all: f64 = rows.iter().sum();
        let (mut observed, mut expected) = (0.0, 0.0);
        for (t, row) in self.counts.iter().enumerate() {
            for (p, &count) in row.iter().enumerate() {
                let distance = t.abs_diff(p) as f64;
                let weight = match weights {
                    KappaWeights::Unweighted => distance.min(1.0),
                    KappaWeights::Linear => distance,
                    KappaWeights::Quadratic => distance * distance,
                };
                observed += weight * count as f64;
                expected += weight * rows[t] * columns[p] / all;
            }
        }
        (expected > 0.0).then(|| 1.0 - observed / expected)
    }

    fn rows(&self) -> Vec<f64> {
        self.counts.iter().map(|row| row.iter().sum::<u64>() as f64).collect()
    }

    fn columns(&self) -> Vec<f64> {
        let column = |p: usize| self.counts.iter().map(|row| row[p]).sum::<u64>() as f64;
        (0..self.labels.len()).map(column).collect()
    }

    fn recalls(&self) -> Vec<f64> {
        let rows = self.rows();
        let occurring = (0..self.labels.len()).filter(|&i| rows[i] > 0.0);
        occurring.map(|i| self.counts[i][i] as f64 / rows[i]).collect()
    }
}

pub(super) fn check_labels(labels: &[usize]) -> Result<()> {
    let different: BTreeSet<&usize> = labels.iter().collect();
    if labels.is_empty() || different.len() != labels.len() {
        let allowed = "at least one label, each once";
        return Err(Error::config("labels", format!("{labels:?}"), allowed));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_two_classes() {
        let mut truth = vec![0; 25];
        truth.extend([1; 25]);
        let mut predicted = vec![0; 22];
        predicted.extend([1; 3]);
        predicted.extend([0; 8]);
        predicted.extend([1; 17]);
        let matrix = ConfusionMatrix::of(&truth, &predicted).unwrap();
        assert_eq!(matrix.counts(), [[22, 3], [8, 17]]);
        assert!((matrix.matthews() - 0.57).abs() < 0.005);
        assert_eq!(matrix.normalised(Normalise::Truth)[0], [0.88, 0.12]);
        assert!((matrix.accuracy().unwrap().value - 0.78).abs() < 1e-15);
        assert!((matrix.balanced_accuracy().unwrap() - 0.78).abs() < 1e-15);
        assert!((matrix.adjusted_balanced_accuracy().unwrap() - 0.56).abs() < 1e-15);
    }

    #[test]
    fn published_kappas() {
        // Artstein and Poesio (2008), Inter-coder agreement for computational linguistics, tables 1 and 4, and a weighted
        // example; values as scikit-learn has them.
        let kappa = |a: &[Vec<usize>], b: &[Vec<usize>], weights| {
            ConfusionMatrix::of(&a.concat(), &b.concat()).unwrap().kappa(weights).unwrap()
        };
        let plain = KappaWeights::Unweighted;
        let first = [vec![0; 40], vec![1; 60]];
        let second = [vec![0; 20], vec![1; 20], vec![0; 10], vec![1; 50]];
        assert!((kappa(&first, &second, plain) - 0.348).abs() < 5e-4);
        assert_eq!(kappa(&first, &second, plain), kappa(&second, &first, plain));
        let first = [vec![0; 46], vec![1; 44], vec![2; 10]];
        let second = [vec![0; 52], vec![1; 32], vec![2; 16]];
        assert!((kappa(&first, &second, plain) - 0.8013).abs() < 5e-5);
        let second = [vec![0; 50], vec![1; 40], vec![2; 10]];
        assert!((kappa(&first, &second, plain) - 0.9315).abs() < 5e-5);
        assert!((kappa(&first, &second, KappaWeights::Linear) - 0.9412).abs() < 5e-5);
        assert!((kappa(&first, &second, KappaWeights::Quadratic) - 0.9541).abs() < 5e-5);
    }

    #[test]
    fn one_class_only() {
        let matrix = ConfusionMatrix::of(&[3, 3], &[3, 3]).unwrap();
        assert_eq!((matrix.kappa(KappaWeights::Unweighted), matrix.matthews()), (None, 0.0));
        assert_eq!(matrix.adjusted_balanced_accuracy(), None);
        assert_eq!(matrix.balanced_accuracy(), Some(1.0));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        assert!(ConfusionMatrix::of(&[], &[]).is_err() && ConfusionMatrix::of(&[1], &[]).is_err());
        assert!(ConfusionMatrix::with_labels(&[1], &[1], &[]).is_err());
        assert!(ConfusionMatrix::with_labels(&[1], &[1], &[2]).is_err());
        assert!(ConfusionMatrix::with_labels(&[1], &[1], &[1, 1]).is_err());
        let left_out = ConfusionMatrix::with_labels(&[1], &[2], &[1]).unwrap();
        assert_eq!((left_out.accuracy(), left_out.balanced_accuracy()), (None, None));
        assert_eq!(left_out.kappa(KappaWeights::Linear), None);
    }
}
