//! Judgement of measured models: checks against limits, a grade, findings with advice, and comparisons.

mod comparison;
mod finding;
mod grade;
mod verdict;

pub use comparison::{Comparison, Difference, Direction, Flips, SIGNIFICANCE};
pub use finding::{Finding, Severity};
pub use grade::{CriterionPoints, Grade};
pub use verdict::{Check, Verdict};
