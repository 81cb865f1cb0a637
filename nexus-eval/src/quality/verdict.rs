//! What a check of a number against a limit can say.

use crate::stats::Interval;
use serde::{Deserialize, Serialize};

/// The outcome of a check that is decided on a confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Verdict {
    /// The whole interval keeps the limit.
    Pass,
    /// No part of it does.
    Fail,
    /// The limit lies within the interval.
    NotEnoughData {
        /// How many more examples would decide it if the value stayed what it is; `None` when it lies so close to the
        /// limit that no number would, or nothing is known about its spread.
        more_examples: Option<u64>,
    },
}

/// A number that was checked against a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What was checked, in words.
    pub criterion: String,
    /// The estimate.
    pub value: f64,
    /// Its interval; `None` when it is known without error, or its error is not.
    pub interval: Option<Interval>,
    /// The limit.
    pub limit: f64,
    /// Whether the value should lie above the limit, or below it.
    pub higher_is_better: bool,
    /// The outcome.
    pub verdict: Verdict,
    /// Why, with the numbers.
    pub reason: String,
}

impl Verdict {
    /// `pass`, `fail` or `not enough data`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotEnoughData { .. } => "not enough data",
        }
    }

    /// Of several checks: fail if one fails, else not enough data (with the largest number of examples) if one is
    /// undecided, else pass.
    pub fn all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().fold(Self::Pass, |sum, next| match (sum, next) {
            (Self::Fail, _) | (_, Self::Fail) => Self::Fail,
            (
                Self::NotEnoughData { more_examples: x },
                Self::NotEnoughData { more_examples: y },
            ) => Self::NotEnoughData { more_examples: x.zip(y).map(|(x, y)| x.max(y)) },
            (open @ Self::NotEnoughData { .. }, Self::Pass) => open,
            (Self::Pass, other) => other,
        })
    }
}
