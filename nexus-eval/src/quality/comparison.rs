//! Two models on the same examples.

use crate::stats::Interval;
use crate::stats::hypothesis::PairedOutcomes;
use serde::{Deserialize, Serialize};

/// The difference of two models in one measure, over the same examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The task's name.
    pub task: String,
    /// The measure's name.
    pub measure: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// Value of the baseline.
    pub baseline: f64,
    /// Value of the candidate.
    pub candidate: f64,
    /// Candidate less baseline.
    pub difference: f64,
    /// Interval of the difference.
    pub interval: Interval,
    /// p-value of the hypothesis that the models do not differ; `test` names the test.
    pub p_value: f64,
    /// The p-value after Holm's correction over all measures and pairs of the comparison.
    pub p_adjusted: f64,
    /// The test's name.
    pub test: String,
    /// Number of examples.
    pub n: usize,
}

/// The examples on which exactly one of two models was right.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flips {
    /// The task's name.
    pub task: String,
    /// How often both, one or neither was right; the first is the baseline.
    pub counts: PairedOutcomes,
    /// Examples that only the baseline had right.
    pub lost: Vec<String>,
    /// Examples that only the candidate had right.
    pub gained: Vec<String>,
}

/// A candidate against a baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The baseline's name.
    pub baseline: String,
    /// The candidate's name.
    pub candidate: String,
    /// One difference per task and measure.
    pub differences: Vec<Difference>,
    /// Changed answers, per task whose examples are right or wrong.
    pub flips: Vec<Flips>,
}

/// What a difference says about two models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The candidate is better.
    Better,
    /// It is worse.
    Worse,
    /// Neither is shown.
    Undecided,
}

/// Level of significance of the words that describe a difference.
pub const SIGNIFICANCE: f64 = 0.05;

impl Difference {
    /// What the difference says at [`SIGNIFICANCE`] after correction.
    pub fn direction(&self) -> Direction {
        match self.p_adjusted < SIGNIFICANCE && self.difference != 0.0 {
            false => Direction::Undecided,
            true if (self.difference > 0.0) == self.higher_is_better => Direction::Better,
            true => Direction::Worse,
        }
    }
}

impl Direction {
    /// `better`, `worse` or `not shown`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Undecided => "not shown",
        }
    }
}
