//! Estimates with their standard errors, intervals, hypothesis tests, sample sizes.
//!
//! | file | what |
//! |---|---|
//! | `estimate` | means, proportions and ratios with standard errors |
//! | `summary` | count, mean and variance of a growing sample |
//! | [`distributions`] | distribution functions and quantiles |
//! | `interval` | Wilson, Newcombe, t |
//! | `bootstrap` | percentile and BCa bootstrap, paired bootstrap, jackknife |
//! | [`hypothesis`] | tests of proportions, means, ranks, distributions |
//! | `multiple` | Holm, Bonferroni, Benjamini-Hochberg |
//! | `power` | power and sample size |
//!
//! Values agree with SciPy 1.17.1 and statsmodels 0.15.0 where these define the same quantity; deviations are listed on
//! the items. What a sample cannot tell (one observation, no variance) is an error that says so, or `None`.

mod bootstrap;
pub mod distributions;
mod estimate;
pub mod hypothesis;
mod interval;
mod multiple;
mod power;
mod special;
mod summary;

pub(crate) use bootstrap::quantile;
pub use bootstrap::{Bootstrap, BootstrapEstimate, BootstrapMethod, PairedBootstrap, jackknife};
pub use estimate::{Cluster, Estimate, mean, proportion, ratio};
pub(crate) use hypothesis::average_ranks;
pub use hypothesis::{Alternative, TestResult};
pub use interval::{Interval, mean_interval, newcombe, wilson};
pub use multiple::{benjamini_hochberg, bonferroni, holm};
pub use power::{PowerAnalysis, cohens_h};
pub(crate) use special::bisect;
pub use summary::Summary;

use crate::{Error, Result};

/// A level or share strictly between 0 and 1.
fn check_share(field: &str, value: f64) -> Result<()> {
    if value > 0.0 && value < 1.0 {
        Ok(())
    } else {
        Err(Error::config(field, value, "a number strictly between 0 and 1"))
    }
}

/// The error of a sample that cannot answer the question.
fn refused(why: impl Into<String>) -> Error {
    Error::Refused(why.into())
}

/// All values must be finite numbers; `what` names the sample.
pub(crate) fn check_finite(what: &str, values: &[f64]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(i) => Err(refused(format!(
            "{what}: value {i} is {}; leave such observations out, or find where they come from",
            values[i]
        ))),
    }
}

/// Two paired samples must have one length.
pub(crate) fn check_paired<A, B>(first: &[A], second: &[B]) -> Result<()> {
    if first.len() == second.len() {
        Ok(())
    } else {
        Err(refused(format!(
            "{} values are paired with {}; both must be of the same examples in the same order",
            first.len(),
            second.len()
        )))
    }
}
