//! A grade from A to F.

use serde::{Deserialize, Serialize};

/// Points for one criterion of a rubric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CriterionPoints {
    /// The criterion's name.
    pub criterion: String,
    /// The number that was judged.
    pub value: f64,
    /// Points that it got.
    pub points: f64,
    /// The most that it could get.
    pub of: f64,
}

/// A grade with the points that it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grade {
    /// `A` to `F`, without `E`.
    pub letter: char,
    /// Points in percent of those that could be had.
    pub percent: f64,
    /// The criteria that could be judged.
    pub criteria: Vec<CriterionPoints>,
    /// Criteria of the rubric without a number; they count neither way.
    pub missing: Vec<String>,
}
