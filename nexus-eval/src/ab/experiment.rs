//! An experiment and what was recorded in it.

use super::analysis::{Analysis, analyse};
use super::assignment::{Assignment, Variant};
use crate::stats::Summary;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What is measured of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Success (1) or failure (0).
    Binary,
    /// A number, such as a score or a duration.
    Continuous,
}

/// An experiment as it is written down. The first variant is the control that the others are compared with.
///
/// | field | default | allowed |
/// |---|---|---|
/// | `salt` | the name | see [`Assignment::new`] |
/// | `alpha` | 0.05 | (0, 1) |
/// | `power` | 0.8 | (alpha, 1) |
/// | `smallest_effect` | none | positive |
/// | `min_units` | 30 | at least 2 |
/// | `ratio_alpha` | 0.001 | (0, 1) |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentConfig {
    /// The experiment's name.
    pub name: String,
    /// What makes this experiment's assignment its own.
    #[serde(default)]
    pub salt: Option<String>,
    /// The variants, the control first.
    pub variants: Vec<Variant>,
    /// What is measured.
    pub outcome: Outcome,
    /// Probability of any false claim when no variant differs from the control.
    #[serde(default = "defaults::alpha")]
    pub alpha: f64,
    /// Probability of finding the smallest effect that matters.
    #[serde(default = "defaults::power")]
    pub power: f64,
    /// The smallest absolute difference that matters. With it, a result that is not significant counts as one only when
    /// the units suffice to find such a difference.
    #[serde(default)]
    pub smallest_effect: Option<f64>,
    /// Units that every variant must have before anything is said.
    #[serde(default = "defaults::min_units")]
    pub min_units: u64,
    /// The sample-ratio check fails below this p-value.
    #[serde(default = "defaults::ratio_alpha")]
    pub ratio_alpha: f64,
}

mod defaults {
    pub(super) fn alpha() -> f64 {
        0.05
    }
    pub(super) fn power() -> f64 {
        0.8
    }
    pub(super) fn min_units() -> u64 {
        30
    }
    pub(super) fn ratio_alpha() -> f64 {
        0.001
    }
}

impl ExperimentConfig {
    /// The defaults for these variants.
    pub fn new(name: &str, variants: Vec<Variant>, outcome: Outcome) -> Self {
        Self {
            name: name.into(),
            salt: None,
            variants,
            outcome,
            alpha: defaults::alpha(),
            power: defaults::power(),
            smallest_effect: None,
            min_units: defaults::min_units(),
            ratio_alpha: defaults::ratio_alpha(),
        }
    }
}

/// What was recorded of a variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Its outcomes; of binary ones, zeros and ones.
    pub outcomes: Summary,
    /// Successes among binary outcomes; 0 for others.
    pub successes: u64,
}

/// A checked experiment with the outcomes recorded so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    config: ExperimentConfig,
    assignment: Assignment,
    arms: Vec<Arm>,
}

impl Experiment {
    /// # Errors
    /// [`Error::Config`] for a field outside its range.
    pub fn new(config: ExperimentConfig) -> Result<Self> {
        let salt = config.salt.as_deref().unwrap_or(&config.name);
        let assignment = Assignment::new(salt, &config.variants)?;
        let within = |field: &str, value: f64, low: f64, high: f64| {
            if value > low && value < high {
                return Ok(());
            }
            Err(Error::config(field, value, format!("a number between {low} and {high}")))
        };
        within("alpha", config.alpha, 0.0, 1.0)?;
        within("power", config.power, config.alpha, 1.0)?;
        within("ratio_alpha", config.ratio_alpha, 0.0, 1.0)?;
        let largest = if config.outcome == Outcome::Binary { 1.0 } else { f64::INFINITY };
        if let Some(effect) = config.smallest_effect {
            within("smallest_effect", effect, 0.0, largest)?;
        }
        if config.min_units < 2 {
            return Err(Error::config("min_units", config.min_units, "at least 2"));
        }
        let arms = vec![Arm::default(); config.variants.len()];
        Ok(Self { config, assignment, arms })
    }

    /// The configuration.
    pub fn config(&self) -> &ExperimentConfig {
        &self.config
    }

    /// The variant of this unit; see [`Assignment`].
    pub fn assign(&self, unit: &str) -> &Variant {
        &self.config.variants[self.assignment.index(unit)]
    }

    /// Records the outcome of one unit; each unit once, since a test takes outcomes as independent.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is no variant's; [`Error::Refused`] for an outcome that is not finite, or a
    /// binary one that is neither 0 nor 1. Nothing is then recorded.
    pub fn record(&mut self, variant: &str, outcome: f64) -> Result<()> {
        let Some(index) = self.config.variants.iter().position(|v| v.name == variant) else {
            let names: Vec<&str> = self.config.variants.iter().map(|v| v.name.as_str()).collect();
            return Err(Error::config("variant", variant, format!("one of {}", names.join(", "))));
        };
        if self.config.outcome == Outcome::Binary && outcome != 0.0 && outcome != 1.0 {
            return Err(Error::Refused(format!(
                "the outcome {outcome} of {variant} is neither 0 nor 1"
            )));
        }
        let arm = &mut self.arms[index];
        arm.outcomes.push(outcome)?;
        if self.config.outcome == Outcome::Binary {
            arm.successes += u64::from(outcome == 1.0);
        }
        Ok(())
    }

    /// What was recorded, by variant.
    pub fn arms(&self) -> &[Arm] {
        &self.arms
    }

    /// Compares every variant with the control, once, at the end. See [`Analysis`].
    ///
    /// # Errors
    /// [`Error::Refused`] when nothing was recorded.
    pub fn analyse(&self) -> Result<Analysis> {
        analyse(&self.config, &self.arms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ExperimentConfig {
        let variant = |name: &str| Variant { name: name.into(), weight: 1 };
        ExperimentConfig::new("t", vec![variant("a"), variant("b")], Outcome::Binary)
    }

    #[test]
    fn outcomes_are_checked_before_they_count() {
        let mut experiment = Experiment::new(config()).unwrap();
        experiment.record("a", 1.0).unwrap();
        assert!(experiment.record("a", 0.5).is_err() && experiment.record("b", f64::NAN).is_err());
        assert!(experiment.record("c", 1.0).unwrap_err().to_string().contains("a, b"));
        assert_eq!((experiment.arms()[0].successes, experiment.arms()[0].outcomes.n()), (1, 1));
        assert_eq!(experiment.arms()[1].outcomes.n(), 0);
    }

    #[test]
    fn configurations_are_checked() {
        let refused = |change: fn(&mut ExperimentConfig)| {
            let mut config = config();
            change(&mut config);
            assert!(matches!(Experiment::new(config), Err(Error::Config { .. })));
        };
        refused(|c| c.alpha = 0.0);
        refused(|c| c.power = 0.01);
        refused(|c| c.ratio_alpha = f64::NAN);
        refused(|c| c.smallest_effect = Some(1.5));
        refused(|c| c.min_units = 1);
        refused(|c| c.variants.truncate(1));
        let json = r#"{"name": "t", "outcome": "continuous", "variants": [
            {"name": "a", "weight": 1}, {"name": "b", "weight": 9}]}"#;
        let config: ExperimentConfig = serde_json::from_str(json).unwrap();
        assert_eq!((config.alpha, config.min_units), (0.05, 30));
        assert!(serde_json::from_str::<ExperimentConfig>(r#"{"nme": "t"}"#).is_err());
    }
}
