//! All scores of a classifier in one table.

use super::{
    Average, FScore, LabelCounts, Scores, accuracy, average_scores, label_counts, selected_counts,
};
use crate::Result;
use nexus_core::report::table;
use serde::{Deserialize, Serialize};

/// Precision, recall and F of every label and on average, as `classification_report`. Its `Display` is a Markdown table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// Name, scores and support of each label.
    pub labels: Vec<(String, Scores, u64)>,
    /// The share of right predictions; `None` when it was made for some of the labels that occur.
    pub accuracy: Option<f64>,
    /// Of the summed counts; equal to the accuracy when all labels are in.
    pub micro: Scores,
    /// The mean over labels.
    pub macro_average: Scores,
    /// The mean weighted by support.
    pub weighted: Scores,
}

/// The scores of single-label predictions. With `names`, label i is `names[i]` and labels without a name are left out; with
/// `None`, all labels that occur, by their numbers.
///
/// # Errors
/// [`Error::Refused`](crate::Error::Refused) without predictions, and when `truth` has another number; [`Error::Config`](crate::Error::Config) for no name and for a beta
/// outside its range.
pub fn classification_report(
    truth: &[usize],
    predicted: &[usize],
    names: Option<&[&str]>,
    settings: &FScore,
) -> Result<ClassificationReport> {
    let counts = match names {
        None => label_counts(truth, predicted)?,
        Some(names) => selected_counts(truth, predicted, &(0..names.len()).collect::<Vec<_>>())?,
    };
    let name = |count: &LabelCounts| match names.and_then(|names| names.get(count.label)) {
        Some(name) => (*name).to_string(),
        None => count.label.to_string(),
    };
    let row = |count: &LabelCounts| Ok((name(count), count.scores(settings)?, count.support));
    let labels = counts.iter().map(row).collect::<Result<Vec<_>>>()?;
    let all = names.is_none_or(|names| truth.iter().chain(predicted).all(|&l| l < names.len()));
    let average = |average| average_scores(&counts, average, settings);
    Ok(ClassificationReport {
        labels,
        accuracy: if all { Some(accuracy(truth, predicted)?.value) } else { None },
        micro: average(Average::Micro)?,
        macro_average: average(Average::Macro)?,
        weighted: average(Average::Weighted)?,
    })
}

impl std::fmt::Display for ClassificationReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
        let row = |name: &str, scores: &Scores, support: u64| {
            let Scores { precision, recall, f } = *scores;
            vec![name.into(), number(precision), number(recall), number(f), support.to_string()]
        };
        let support: u64 = self.labels.iter().map(|(.., support)| support).sum();
        let mut rows: Vec<Vec<String>> =
            self.labels.iter().map(|(name, scores, support)| row(name, scores, *support)).collect();
        if self.accuracy.is_some() {
            let accuracy = number(self.accuracy);
            rows.push(vec!["accuracy".into(), "".into(), "".into(), accuracy, support.to_string()]);
        } else {
            rows.push(row("micro average", &self.micro, support));
        }
        rows.push(row("macro average", &self.macro_average, support));
        rows.push(row("weighted average", &self.weighted, support));
        write!(f, "{}", table(&["label", "precision", "recall", "F", "support"], &rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_by_hand() {
        let (truth, predicted) = ([0, 0, 1, 1], [0, 1, 1, 1]);
        let settings = FScore::default();
        let report =
            classification_report(&truth, &predicted, Some(&["no", "yes"]), &settings).unwrap();
        assert_eq!(report.accuracy, Some(0.75));
        assert_eq!(report.labels[1].1.precision, Some(2.0 / 3.0));
        let text = report.to_string();
        assert!(text.contains("| yes ") && text.contains("0.6667") && text.contains("accuracy"));
        let some = classification_report(&truth, &predicted, Some(&["no"]), &settings).unwrap();
        assert!(some.accuracy.is_none() && some.to_string().contains("micro average"));
        let numbers = classification_report(&truth, &predicted, None, &settings).unwrap();
        assert_eq!(numbers.labels[1].0, "1");
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let settings = FScore::default();
        assert!(classification_report(&[], &[], None, &settings).is_err());
        assert!(matches!(
            classification_report(&[0], &[0], Some(&[]), &settings),
            Err(crate::Error::Config { .. })
        ));
    }
}
