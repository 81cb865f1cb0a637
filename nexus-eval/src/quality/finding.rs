//! What a report says in words.

use serde::{Deserialize, Serialize};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Worth acting on.
    Warning,
    /// A limit is not kept.
    Problem,
}

/// What a rule found, on which numbers, and what to do about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's name, such as `calibration`.
    pub rule: String,
    /// The model.
    pub model: String,
    /// How much it matters.
    pub severity: Severity,
    /// The evidence, with the numbers.
    pub evidence: String,
    /// What to do; `None` when nothing need be done.
    pub advice: Option<String>,
}

impl Severity {
    /// `note`, `warning` or `problem`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}
