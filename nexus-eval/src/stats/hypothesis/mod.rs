//! Hypothesis tests. Each says in its [`TestResult`] what was tested.
//!
//! | question | test |
//! |---|---|
//! | two independent proportions | [`two_proportions`], [`fisher_exact`] for small counts |
//! | the same examples, right or wrong, under two models | [`mcnemar_exact`], [`mcnemar`] |
//! | two independent means | [`welch_t`], [`equal_variance_t`] |
//! | the same examples, scored under two models | [`paired_t`], [`wilcoxon`], [`approximate_randomisation`] |
//! | two independent samples, no normality | [`mann_whitney`], [`kolmogorov_smirnov`] |
//! | counts against expected shares | [`chi_squared_fit`] |

mod kolmogorov;
mod means;
mod paired;
mod proportions;
mod randomisation;
mod ranks;

pub use kolmogorov::kolmogorov_smirnov;
pub use means::{equal_variance_t, one_sample_t, paired_t, welch_t};
pub use paired::{PairedOutcomes, mcnemar, mcnemar_exact};
pub use proportions::{chi_squared_fit, fisher_exact, two_proportions};
pub use randomisation::approximate_randomisation;
pub(crate) use ranks::average_ranks;
pub use ranks::{Method, mann_whitney, wilcoxon};

use super::Interval;
use super::distributions::{normal_cdf, normal_sf, student_t_cdf, student_t_sf};
use serde::{Deserialize, Serialize};

/// Level of the intervals in a [`TestResult`]. For another level take the functions of [`stats`](super).
pub const LEVEL: f64 = 0.95;

/// What is claimed against the null hypothesis, for the first sample against the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alternative {
    /// They differ.
    #[default]
    TwoSided,
    /// The first is smaller.
    Less,
    /// The first is larger.
    Greater,
}

/// The size of what was tested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Its usual name, such as `difference in means`.
    pub name: String,
    /// The estimate.
    pub value: f64,
    /// Its two-sided interval of [`LEVEL`], whatever the alternative; `None` where none is defined.
    pub interval: Option<Interval>,
}

/// What a test found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// The test's usual name, with its variant.
    pub test: String,
    /// The test statistic.
    pub statistic: f64,
    /// Its degrees of freedom, where it has them.
    pub df: Option<f64>,
    /// Probability, under the null hypothesis, of a statistic at least as extreme.
    pub p_value: f64,
    /// What the p-value speaks for.
    pub alternative: Alternative,
    /// How large the effect is; `None` for tests without one.
    pub effect: Option<Effect>,
}

impl Alternative {
    fn normal_p(self, z: f64) -> f64 {
        match self {
            Self::TwoSided => 2.0 * normal_sf(z.abs()),
            Self::Less => normal_cdf(z),
            Self::Greater => normal_sf(z),
        }
    }

    fn student_p(self, t: f64, df: f64) -> f64 {
        match self {
            Self::TwoSided => 2.0 * student_t_sf(t.abs(), df),
            Self::Less => student_t_cdf(t, df),
            Self::Greater => student_t_sf(t, df),
        }
    }

    /// From P(X <= observed) and P(X >= observed); two-sided is twice the smaller, at most 1.
    fn discrete_p(self, at_most: f64, at_least: f64) -> f64 {
        match self {
            Self::TwoSided => (2.0 * at_most.min(at_least)).min(1.0),
            Self::Less => at_most.min(1.0),
            Self::Greater => at_least.min(1.0),
        }
    }
}

fn effect(name: &str, value: f64, interval: Option<Interval>) -> Option<Effect> {
    Some(Effect { name: name.into(), value, interval })
}
