//! Judgement of measured models: checks against limits, a grade, findings with advice, and comparisons.
//!
//! | file | what |
//! |---|---|
//! | `limits` | limits on a measure or on its loss against a baseline; pass, fail, or not enough data |
//! | `grade` | A to F by a rubric |
//! | `rules` | findings and advice by rule |
//! | `compare` | models on the same examples: differences, tests, changed answers |

mod compare;
mod comparison;
mod finding;
mod grade;
mod limits;
mod rules;
mod standing;
mod threshold;
mod verdict;

pub use compare::{ModelScores, Pairs, TaskScores, compare};
pub use comparison::{Comparison, Difference, Direction, Flips, SIGNIFICANCE};
pub use finding::{Finding, Severity};
pub use grade::{Criterion, CriterionPoints, Grade, Quantity, Rubric};
pub use limits::{MaximumLoss, check_exact, check_loss, check_measure, check_statistic_loss};
pub use rules::RuleLimits;
pub use standing::{Standing, standings};
pub use threshold::{Requirement, Threshold};
pub use verdict::{Check, Verdict};
