//! The analysis of an experiment at its planned end.

use super::experiment::{Arm, ExperimentConfig, Outcome};
use crate::stats::hypothesis::{chi_squared_fit, fisher_exact, two_proportions, welch_t};
use crate::stats::{Alternative, Interval, PowerAnalysis, TestResult, holm, mean_interval, wilson};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Below this expected number of successes or failures the normal approximation of proportions gives way to Fisher's test
/// (the usual rule; Cochran 1954).
const SMALL_COUNT: f64 = 5.0;

/// What an experiment found.
///
/// | outcome | test against the control |
/// |---|---|
/// | binary | two-proportion z, pooled; Fisher's exact where an expected count is below 5 |
/// | continuous | Welch's t |
///
/// All tests are two-sided. With several variants, p-values are adjusted by Holm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// The experiment's name.
    pub experiment: String,
    /// The variants' estimates, in their order.
    pub arms: Vec<ArmEstimate>,
    /// The sample-ratio check: whether the units recorded come in the ratio of the weights. Where they do not, units were
    /// lost or assigned wrongly, and no comparison can be trusted (Fabijan et al. 2019).
    pub sample_ratio: TestResult,
    /// Every variant but the control against the control.
    pub comparisons: Vec<Comparison>,
}

/// The estimate of one variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmEstimate {
    /// The variant's name.
    pub variant: String,
    /// Units recorded.
    pub units: u64,
    /// The mean outcome; for binary outcomes the success rate. `None` without units.
    pub value: Option<f64>,
    /// Its interval at level 1 - alpha: Wilson's or Student's. `None` with too few units for one.
    pub interval: Option<Interval>,
}

/// One variant against the control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The variant's name.
    pub variant: String,
    /// The control's name.
    pub control: String,
    /// What was tested, variant less control; `None` where the outcomes allow no test.
    pub test: Option<TestResult>,
    /// Its p-value after Holm's correction.
    pub adjusted_p_value: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
}

/// What follows from a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// They differ: the adjusted p-value is below alpha.
    Significant,
    /// No difference was found, where the smallest that matters (if one was named) would have been with the power asked for.
    NotSignificant,
    /// Too few units to say.
    NotEnoughData {
        /// Units that the control needs, when the smallest effect that matters was named.
        needed: Option<u64>,
    },
    /// The sample-ratio check failed; nothing is said of the effect.
    SampleRatioMismatch,
}

pub(super) fn analyse(config: &ExperimentConfig, arms: &[Arm]) -> Result<Analysis> {
    let units: Vec<u64> = arms.iter().map(|arm| arm.outcomes.n()).collect();
    if units.iter().all(|&n| n == 0) {
        return Err(Error::Refused(format!("experiment {}: no outcome was recorded", config.name)));
    }
    let weights: Vec<f64> = config.variants.iter().map(|v| f64::from(v.weight)).collect();
    let sample_ratio = chi_squared_fit(&units, &weights)?;
    let mismatch = sample_ratio.p_value < config.ratio_alpha;
    let tests: Vec<Option<TestResult>> =
        arms[1..].iter().map(|arm| test(config.outcome, arm, &arms[0])).collect();
    let p_values: Vec<f64> = tests.iter().flatten().map(|test| test.p_value).collect();
    let mut adjusted = holm(&p_values)?.into_iter();
    let mut comparisons = Vec::new();
    for (i, test) in tests.into_iter().enumerate() {
        let adjusted_p_value = test.as_ref().and_then(|_| adjusted.next());
        let verdict = if mismatch {
            Verdict::SampleRatioMismatch
        } else {
            verdict(config, arms, i + 1, adjusted_p_value)
        };
        comparisons.push(Comparison {
            variant: config.variants[i + 1].name.clone(),
            control: config.variants[0].name.clone(),
            test,
            adjusted_p_value,
            verdict,
        });
    }
    let arms = config.variants.iter().zip(arms).map(|(v, arm)| estimate(config, &v.name, arm));
    Ok(Analysis {
        experiment: config.name.clone(),
        arms: arms.collect(),
        sample_ratio,
        comparisons,
    })
}

fn estimate(config: &ExperimentConfig, name: &str, arm: &Arm) -> ArmEstimate {
    let (units, level) = (arm.outcomes.n(), 1.0 - config.alpha);
    let interval = match config.outcome {
        Outcome::Binary => wilson(arm.successes, units, level),
        Outcome::Continuous => mean_interval(&arm.outcomes, level),
    };
    ArmEstimate { variant: name.into(), units, value: arm.outcomes.mean(), interval: interval.ok() }
}

/// `None` where a side has too few outcomes, or none of them varies.
fn test(outcome: Outcome, arm: &Arm, control: &Arm) -> Option<TestResult> {
    let two = Alternative::TwoSided;
    if outcome == Outcome::Continuous {
        return welch_t(&arm.outcomes, &control.outcomes, two).ok();
    }
    let [first, second] = [arm, control].map(|arm| (arm.successes, arm.outcomes.n()));
    let [successes, n] = [first.0 + second.0, first.1 + second.1].map(|count| count as f64);
    let smallest = first.1.min(second.1) as f64 * successes.min(n - successes) / n;
    if smallest < SMALL_COUNT {
        fisher_exact(first, second, two).ok()
    } else {
        two_proportions(first, second, two).ok()
    }
}

fn verdict(config: &ExperimentConfig, arms: &[Arm], index: usize, p: Option<f64>) -> Verdict {
    let (arm, control) = (&arms[index], &arms[0]);
    let needed = needed(config, arm, control, index);
    let few = arm.outcomes.n().min(control.outcomes.n()) < config.min_units;
    match p {
        Some(p) if !few && p < config.alpha => Verdict::Significant,
        Some(_) if !few && needed.is_none_or(|needed| control.outcomes.n() >= needed) => {
            Verdict::NotSignificant
        }
        _ => Verdict::NotEnoughData { needed },
    }
}

/// Units of the control that find the smallest effect, with alpha shared by the comparisons (Bonferroni, which Holm never
/// does worse than).
fn needed(config: &ExperimentConfig, arm: &Arm, control: &Arm, index: usize) -> Option<u64> {
    let effect = config.smallest_effect?;
    let comparisons = (config.variants.len() - 1) as f64;
    let weight = |i: usize| f64::from(config.variants[i].weight);
    let plan = PowerAnalysis {
        alpha: config.alpha / comparisons,
        ratio: weight(index) / weight(0),
        alternative: Alternative::TwoSided,
    };
    let n = match config.outcome {
        Outcome::Binary => {
            let rate = control.outcomes.mean()?;
            // Where the effect leads out of [0, 1] on one side, it is meant on the other.
            let other = if rate + effect <= 1.0 { rate + effect } else { (rate - effect).max(0.0) };
            plan.proportions_n(rate, other, config.power)
        }
        Outcome::Continuous => {
            let (a, b) = (control.outcomes.variance()?, arm.outcomes.variance()?);
            plan.means_n(effect / ((a + b) / 2.0).sqrt(), config.power)
        }
    };
    n.ok().map(|n| n.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, Variant};
    use super::*;

    fn experiment(counts: &[(u64, u64)], change: fn(&mut ExperimentConfig)) -> Analysis {
        let variant = |i: usize| Variant { name: format!("v{i}"), weight: 1 };
        let variants = (0..counts.len()).map(variant).collect();
        let mut config = ExperimentConfig::new("t", variants, Outcome::Binary);
        change(&mut config);
        let mut experiment = Experiment::new(config).unwrap();
        for (i, &(successes, n)) in counts.iter().enumerate() {
            for k in 0..n {
                let outcome = if k < successes { 1.0 } else { 0.0 };
                experiment.record(&format!("v{i}"), outcome).unwrap();
            }
        }
        experiment.analyse().unwrap()
    }

    #[test]
    fn verdicts_of_proportions() {
        let verdict = |counts, change| experiment(counts, change).comparisons[0].verdict;
        assert_eq!(verdict(&[(1608, 10_000), (1398, 10_000)], |_| ()), Verdict::Significant);
        assert_eq!(verdict(&[(50, 100), (52, 100)], |_| ()), Verdict::NotSignificant);
        let planned = verdict(&[(50, 100), (52, 100)], |c| c.smallest_effect = Some(0.05));
        let Verdict::NotEnoughData { needed: Some(needed) } = planned else {
            panic!("{planned:?}")
        };
        // Two-sided z, 0.50 against 0.55, power 0.8: 1565 a side.
        assert_eq!(needed, 1565);
        let lost = verdict(&[(50, 1000), (200, 1200)], |_| ());
        assert_eq!(lost, Verdict::SampleRatioMismatch);
        assert_eq!(verdict(&[(1, 10), (9, 10)], |_| ()), Verdict::NotEnoughData { needed: None });
        assert_eq!(verdict(&[(0, 100), (0, 100)], |_| ()), Verdict::NotEnoughData { needed: None });
    }

    #[test]
    fn small_counts_get_fishers_test() {
        let test = |counts| experiment(counts, |_| ()).comparisons[0].test.clone().unwrap().test;
        assert!(test(&[(4, 100), (5, 100)]).contains("Fisher"));
        assert!(test(&[(5, 100), (6, 100)]).contains("pooled"));
    }

    #[test]
    fn several_variants_share_alpha() {
        let found = experiment(&[(100, 1000), (130, 1000), (131, 1000)], |_| ());
        let [a, b] = [0, 1].map(|i| &found.comparisons[i]);
        let raw = |c: &Comparison| c.test.as_ref().unwrap().p_value;
        assert!((b.adjusted_p_value.unwrap() - 2.0 * raw(b)).abs() < 1e-15);
        // Each alone would be significant.
        assert!(raw(a) < 0.05 && raw(b) < 0.05);
        assert_eq!([a.verdict, b.verdict], [Verdict::NotSignificant; 2]);
        assert!((found.arms[0].value.unwrap() - 0.1).abs() < 1e-12);
        assert!(found.arms[0].interval.unwrap().contains(0.1));
    }

    #[test]
    fn nothing_recorded_is_refused() {
        let variant = |name: &str| Variant { name: name.into(), weight: 1 };
        let variants = vec![variant("a"), variant("b")];
        let config = ExperimentConfig::new("t", variants, Outcome::Continuous);
        assert!(Experiment::new(config).unwrap().analyse().is_err());
    }
}
