//! One result on the leaderboard.

use crate::{Error, Result};
use nexus_core::report::EvalReport;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One measure of one model on one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The model's name.
    pub model: String,
    /// The task's name.
    pub task: String,
    /// The measure's name.
    pub measure: String,
    /// The value; finite.
    pub value: f64,
    /// Its standard error, where estimated; finite, at least 0.
    pub stderr: Option<f64>,
    /// Number of observations behind the value.
    pub n: u64,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// When it was measured, in seconds since 1970 (UTC).
    pub time: i64,
}

impl Entry {
    /// An entry for every measure of a report.
    pub fn from_report(model: &str, report: &EvalReport, time: i64) -> Vec<Self> {
        let entry = |measure: &nexus_core::report::Measure| Self {
            model: model.into(),
            task: report.task.clone(),
            measure: measure.name.clone(),
            value: measure.value,
            stderr: measure.stderr,
            n: measure.n as u64,
            higher_is_better: measure.higher_is_better,
            time,
        };
        report.measures.iter().map(entry).collect()
    }

    /// SHA-256 of the entry as JSON, in hexadecimal. It tells entries apart and shows a change made behind the
    /// leaderboard's back.
    pub fn content_hash(&self) -> String {
        content_hash(self)
    }

    pub(super) fn check(&self) -> Result<()> {
        name("model", &self.model)?;
        name("task", &self.task)?;
        name("measure", &self.measure)?;
        let refuse = |what: &str, value: f64, allowed: &str| {
            let place = format!("{}, {}, {}: {what}", self.model, self.task, self.measure);
            Err(Error::config(place, value, allowed))
        };
        match self.stderr {
            _ if i64::try_from(self.n).is_err() => {
                refuse("n", self.n as f64, "a number below 2^63")
            }
            _ if !self.value.is_finite() => refuse("value", self.value, "a finite number"),
            Some(stderr) if !(stderr.is_finite() && stderr >= 0.0) => {
                refuse("stderr", stderr, "a finite number of at least 0")
            }
            _ => Ok(()),
        }
    }
}

/// Checks a name that is to be stored.
pub(super) fn name(field: &str, text: &str) -> Result<()> {
    match text.trim().is_empty() || text.chars().any(char::is_control) {
        true => Err(Error::config(field, format!("{text:?}"), "a name without control characters")),
        false => Ok(()),
    }
}

pub(super) fn content_hash(content: &impl Serialize) -> String {
    // Plain structs of texts and finite numbers always have a JSON form.
    let json = serde_json::to_vec(content).unwrap_or_default();
    Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_core::report::Measure;

    fn entry() -> Entry {
        Entry {
            model: "m".into(),
            task: "t".into(),
            measure: "accuracy".into(),
            value: 0.5,
            stderr: Some(0.1),
            n: 25,
            higher_is_better: true,
            time: 1,
        }
    }

    #[test]
    fn a_report_gives_an_entry_for_each_measure() {
        let report = EvalReport {
            task: "t".into(),
            measures: vec![
                Measure {
                    name: "accuracy".into(),
                    value: 0.5,
                    stderr: Some(0.1),
                    n: 25,
                    higher_is_better: true,
                },
                Measure {
                    name: "loss".into(),
                    value: 2.0,
                    stderr: None,
                    n: 25,
                    higher_is_better: false,
                },
            ],
            examples: 25,
            seconds: 0.0,
        };
        let entries = Entry::from_report("m", &report, 1);
        assert_eq!(entries[0], entry());
        assert!(!entries[1].higher_is_better);
        assert_ne!(entries[0].content_hash(), entries[1].content_hash());
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        assert!(entry().check().is_ok());
        let bad = [
            (Entry { value: f64::NAN, ..entry() }, "value"),
            (Entry { stderr: Some(-1.0), ..entry() }, "stderr"),
            (Entry { model: " ".into(), ..entry() }, "model"),
            (Entry { task: "a\nb".into(), ..entry() }, "task"),
        ];
        for (entry, field) in bad {
            let error = entry.check().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
