//! Thresholds as data: what a measure must keep.

use super::compare::{ModelScores, TaskScores};
use super::limits::{MaximumLoss, check_loss, check_measure};
use super::verdict::Check;
use crate::report::ModelReport;
use crate::stats::mean;
use crate::{Error, Result};
use nexus_core::report::Measure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one measure of one task must keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The task's name.
    pub task: String,
    /// The measure's name.
    pub measure: String,
    /// The requirement.
    #[serde(flatten)]
    pub requirement: Requirement,
}

/// A limit on a measure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// The value is at least this (at most, where less is better).
    Limit(f64),
    /// The value is worse than the baseline's by at most this.
    MaximumLoss(MaximumLoss),
}

impl Threshold {
    /// Checks a measure of a report against a limit.
    ///
    /// # Errors
    /// [`Error::Refused`] when the report lacks the measure, and for a maximum loss, which needs scores.
    pub fn check_report(&self, model: &ModelReport) -> Result<Check> {
        let Requirement::Limit(limit) = self.requirement else {
            return Err(Error::Refused(format!(
                "{}: a maximum loss is checked on the scores of both models, not on a report",
                self.name()
            )));
        };
        let mut measures = model.measures();
        let found = measures.find(|(task, m)| *task == self.task && m.name == self.measure);
        match found {
            Some((_, measure)) => Ok(check_measure(&self.name(), measure, limit)),
            None => Err(self.missing(&model.name)),
        }
    }

    /// Checks scores of a candidate, for a maximum loss against those of a baseline on the same examples.
    ///
    /// # Errors
    /// [`Error::Refused`] when a model lacks the measure, for different examples, and as [`check_loss`].
    pub fn check_scores(&self, baseline: &ModelScores, candidate: &ModelScores) -> Result<Check> {
        let task = self.scores(candidate)?;
        let values: Vec<f64> = task.scores.iter().map(|(_, score)| *score).collect();
        match self.requirement {
            Requirement::Limit(limit) => {
                let Some(estimate) = mean(&values) else {
                    return Err(Error::Refused(format!("{}: there are no scores", self.name())));
                };
                let measure = Measure {
                    name: self.measure.clone(),
                    value: estimate.value,
                    stderr: estimate.stderr,
                    n: values.len(),
                    higher_is_better: task.higher_is_better,
                };
                Ok(check_measure(&self.name(), &measure, limit))
            }
            Requirement::MaximumLoss(loss) => {
                let before: BTreeMap<&str, f64> =
                    self.scores(baseline)?.scores.iter().map(|(id, s)| (id.as_str(), *s)).collect();
                let in_order = task.scores.iter().filter_map(|(id, _)| before.get(id.as_str()));
                let in_order: Vec<f64> = in_order.copied().collect();
                if in_order.len() != values.len() || before.len() != values.len() {
                    return Err(Error::Refused(format!(
                        "{}: '{}' and '{}' do not have the same examples",
                        self.name(),
                        baseline.model,
                        candidate.model
                    )));
                }
                check_loss(&self.name(), &in_order, &values, task.higher_is_better, loss)
            }
        }
    }

    fn scores<'a>(&self, model: &'a ModelScores) -> Result<&'a TaskScores> {
        let found = model.tasks.iter().find(|t| t.task == self.task && t.measure == self.measure);
        found.ok_or_else(|| self.missing(&model.model))
    }

    fn name(&self) -> String {
        format!("{} ({})", self.measure, self.task)
    }

    fn missing(&self, model: &str) -> Error {
        Error::Refused(format!("model '{model}' has no {}", self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Verdict;
    use super::*;

    fn threshold(requirement: Requirement) -> Threshold {
        Threshold { task: "t".into(), measure: "accuracy".into(), requirement }
    }

    fn model(model: &str, right: usize) -> ModelScores {
        let scores = (0..1000).map(|i| (i.to_string(), f64::from(i < right))).collect();
        let (task, measure) = ("t".into(), "accuracy".into());
        let tasks = vec![TaskScores { task, measure, higher_is_better: true, scores }];
        ModelScores { model: model.into(), tasks }
    }

    #[test]
    fn thresholds_are_read_and_decide() {
        let json = r#"{"task": "t", "measure": "accuracy", "maximum_loss": {"relative": 0.02}}"#;
        let read: Threshold = serde_json::from_str(json).unwrap();
        assert_eq!(read, threshold(Requirement::MaximumLoss(MaximumLoss::Relative(0.02))));
        let (base, near, far) = (model("a", 900), model("b", 899), model("c", 700));
        let verdict = |candidate| read.check_scores(&base, candidate).unwrap().verdict;
        assert_eq!((verdict(&near), verdict(&far)), (Verdict::Pass, Verdict::Fail));
        let limit = threshold(Requirement::Limit(0.8));
        assert_eq!(limit.check_scores(&base, &near).unwrap().verdict, Verdict::Pass);
        assert_eq!(limit.check_scores(&base, &far).unwrap().verdict, Verdict::Fail);
    }

    #[test]
    fn what_is_missing_is_named() {
        let loss = threshold(Requirement::MaximumLoss(MaximumLoss::Absolute(0.1)));
        let mut other = model("b", 900);
        other.tasks[0].scores[0].0 = "another".into();
        let error = loss.check_scores(&model("a", 900), &other).unwrap_err().to_string();
        assert!(error.contains("same examples"), "{error}");
        other.tasks.clear();
        let error = loss.check_scores(&other, &model("a", 900)).unwrap_err().to_string();
        assert!(error.contains("'b' has no accuracy (t)"), "{error}");
        let report = ModelReport { name: "m".into(), ..ModelReport::default() };
        assert!(loss.check_report(&report).unwrap_err().to_string().contains("scores"));
        let limit = threshold(Requirement::Limit(0.8));
        assert!(limit.check_report(&report).unwrap_err().to_string().contains("'m'"));
    }
}
