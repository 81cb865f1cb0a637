//! What a classifier is asked.

use clap::ValueEnum;
use nexus_core::data::Problem;

/// What the labels of a data file stand for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ProblemArg {
    /// One class of several
    Single,
    /// Any of several
    Multi,
    /// A number
    Regression,
}

impl From<ProblemArg> for Problem {
    fn from(arg: ProblemArg) -> Self {
        match arg {
            ProblemArg::Single => Self::SingleLabel,
            ProblemArg::Multi => Self::MultiLabel,
            ProblemArg::Regression => Self::Regression,
        }
    }
}
