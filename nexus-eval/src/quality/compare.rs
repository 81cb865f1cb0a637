//! Two or more models on the same examples.

use super::comparison::{Comparison, Difference, Flips};
use crate::stats::hypothesis::{PairedOutcomes, mcnemar_exact};
use crate::stats::{Bootstrap, holm};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one model scored on each example in one measure that is their mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskScores {
    /// The task's name.
    pub task: String,
    /// The measure's name.
    pub measure: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// The example's name and its score.
    pub scores: Vec<(String, f64)>,
}

/// All scores of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelScores {
    /// The model's name.
    pub model: String,
    /// Its scores by task and measure.
    pub tasks: Vec<TaskScores>,
}

/// Which pairs of models are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pairs {
    /// Each with the first.
    #[default]
    WithBaseline,
    /// Each with each.
    All,
}

/// Compares models on the same examples.
///
/// For every pair and every task and measure: the difference of the means with the interval of the paired bootstrap, and
/// a p-value. Where all scores are 0 or 1 it is that of McNemar's exact test, and the examples on which the models
/// disagree are listed; otherwise it is the bootstrap's. All p-values are corrected together by Holm's method, over
/// measures and pairs.
///
/// # Errors
/// [`Error::Refused`] for fewer than two models, a name that occurs twice, models whose tasks, measures, directions or
/// examples differ, and scores that are not finite; otherwise as [`Bootstrap::paired_means`].
pub fn compare(
    models: &[ModelScores],
    pairs: Pairs,
    bootstrap: &Bootstrap,
) -> Result<Vec<Comparison>> {
    check(models)?;
    let mut comparisons = Vec::new();
    for second in 1..models.len() {
        let firsts = match pairs {
            Pairs::WithBaseline => 0..1,
            Pairs::All => 0..second,
        };
        for first in firsts {
            comparisons.push(pair(&models[first], &models[second], bootstrap)?);
        }
    }
    let all = || comparisons.iter().flat_map(|comparison: &Comparison| &comparison.differences);
    let adjusted = holm(&all().map(|difference| difference.p_value).collect::<Vec<_>>())?;
    let differences = comparisons.iter_mut().flat_map(|comparison| &mut comparison.differences);
    differences.zip(adjusted).for_each(|(difference, p)| difference.p_adjusted = p);
    Ok(comparisons)
}

fn check(models: &[ModelScores]) -> Result<()> {
    let Some((first, others)) = models.split_first().filter(|(_, others)| !others.is_empty())
    else {
        return Err(Error::Refused("a comparison needs at least two models".into()));
    };
    if first.tasks.is_empty() {
        return Err(Error::Refused(format!("model '{}' has no scores", first.model)));
    }
    for (i, model) in others.iter().enumerate() {
        if models[..=i].iter().any(|earlier| earlier.model == model.model) {
            return Err(Error::Refused(format!(
                "model '{}' occurs twice; give each model a name of its own",
                model.model
            )));
        }
        if model.tasks.len() != first.tasks.len() {
            return Err(Error::Refused(format!(
                "'{}' has {} measures, '{}' has {}; compare models in the same measures",
                first.model,
                first.tasks.len(),
                model.model,
                model.tasks.len()
            )));
        }
    }
    Ok(())
}

fn pair(
    baseline: &ModelScores,
    candidate: &ModelScores,
    bootstrap: &Bootstrap,
) -> Result<Comparison> {
    let (mut differences, mut flips) = (Vec::new(), Vec::new());
    for task in &baseline.tasks {
        let name = format!("{}, {}", task.task, task.measure);
        let twin =
            candidate.tasks.iter().find(|t| t.task == task.task && t.measure == task.measure);
        let Some(twin) = twin.filter(|twin| twin.higher_is_better == task.higher_is_better) else {
            return Err(Error::Refused(format!(
                "model '{}' has no scores for {name} with the same better side",
                candidate.model
            )));
        };
        let after = aligned(task, twin, &baseline.model, &candidate.model)?;
        let before: Vec<f64> = task.scores.iter().map(|(_, score)| *score).collect();
        let found = bootstrap.paired_means(&after, &before)?;
        let binary = before.iter().chain(&after).all(|&score| score == 0.0 || score == 1.0);
        let (p_value, test) = match binary {
            true => {
                let changed = changes(task, &after)?;
                let test = mcnemar_exact(&changed.counts)?;
                flips.push(changed);
                (test.p_value, "McNemar, exact".to_string())
            }
            false => (found.p_value, "paired bootstrap".to_string()),
        };
        differences.push(Difference {
            task: task.task.clone(),
            measure: task.measure.clone(),
            higher_is_better: task.higher_is_better,
            baseline: found.second,
            candidate: found.first,
            difference: found.difference.value,
            interval: found.difference.interval,
            p_value,
            p_adjusted: p_value,
            test,
            n: before.len(),
        });
    }
    let (baseline, candidate) = (baseline.model.clone(), candidate.model.clone());
    Ok(Comparison { baseline, candidate, differences, flips })
}

/// The candidate's scores in the baseline's order.
fn aligned(task: &TaskScores, twin: &TaskScores, first: &str, second: &str) -> Result<Vec<f64>> {
    let name = format!("{}, {}", task.task, task.measure);
    let index = |scores: &TaskScores, model: &str| -> Result<BTreeMap<String, f64>> {
        let mut table = BTreeMap::new();
        for (id, score) in &scores.scores {
            if table.insert(id.clone(), *score).is_some() {
                return Err(Error::Refused(format!(
                    "model '{model}', {name}: example '{id}' occurs twice; every example needs an id of its own"
                )));
            }
        }
        Ok(table)
    };
    let (ours, theirs) = (index(task, first)?, index(twin, second)?);
    let missing = |from: &BTreeMap<String, f64>, within: &BTreeMap<String, f64>| {
        from.keys().find(|id| !within.contains_key(*id)).cloned()
    };
    for (id, model) in [(missing(&ours, &theirs), second), (missing(&theirs, &ours), first)] {
        if let Some(id) = id {
            return Err(Error::Refused(format!(
                "{name}: model '{model}' has no score for example '{id}'; compare models on the same examples"
            )));
        }
    }
    Ok(task.scores.iter().filter_map(|(id, _)| theirs.get(id).copied()).collect())
}

/// The examples on which exactly one model was right; right is the better of 0 and 1.
fn changes(task: &TaskScores, after: &[f64]) -> Result<Flips> {
    let right = |score: f64| (score == 1.0) == task.higher_is_better;
    let before: Vec<bool> = task.scores.iter().map(|(_, score)| right(*score)).collect();
    let after: Vec<bool> = after.iter().map(|&score| right(score)).collect();
    let only = |these: &[bool], those: &[bool]| {
        let examples = task.scores.iter().zip(these.iter().zip(those));
        examples
            .filter(|(_, (this, that))| **this && !**that)
            .map(|((id, _), _)| id.clone())
            .collect()
    };
    Ok(Flips {
        task: task.task.clone(),
        counts: PairedOutcomes::count(&before, &after)?,
        lost: only(&before, &after),
        gained: only(&after, &before),
    })
}

#[cfg(test)]
mod tests {
    use super::super::comparison::Direction;
    use super::*;

    fn scores(measure: &str, higher_is_better: bool, scores: &[f64]) -> TaskScores {
        let scores = scores.iter().enumerate().map(|(i, &score)| (i.to_string(), score)).collect();
        TaskScores { task: "t".into(), measure: measure.into(), higher_is_better, scores }
    }

    fn model(model: &str, tasks: Vec<TaskScores>) -> ModelScores {
        ModelScores { model: model.into(), tasks }
    }

    /// 40 examples, the first `right` of them right.
    fn first_right(right: usize) -> Vec<f64> {
        (0..40).map(|i| f64::from(i < right)).collect()
    }

    #[test]
    fn flips_and_p_values_by_hand() {
        let base = model("base", vec![scores("accuracy", true, &first_right(30))]);
        let mut worse = first_right(20);
        worse[39] = 1.0;
        let mut worse = model("worse", vec![scores("accuracy", true, &worse)]);
        worse.tasks[0].scores.reverse();
        let found = compare(&[base, worse], Pairs::WithBaseline, &Bootstrap::default()).unwrap();
        let flips = &found[0].flips[0];
        assert_eq!(flips.lost.len(), 10);
        assert_eq!(flips.gained, ["39"]);
        assert_eq!(
            flips.counts,
            PairedOutcomes { both: 20, only_first: 10, only_second: 1, neither: 9 }
        );
        // Binomial: 2 (1 + 11) / 2^11.
        let difference = &found[0].differences[0];
        assert!((difference.p_value - 24.0 / 2048.0).abs() < 1e-12, "{difference:?}");
        assert!((difference.difference + 9.0 / 40.0).abs() < 1e-12);
        assert!(difference.interval.high < 0.0);
        assert_eq!(difference.direction(), Direction::Worse);
    }

    #[test]
    fn all_pairs_and_measures_are_corrected_together() {
        let loss = |shift: f64| (0..40).map(|i| f64::from(i % 5) + shift).collect::<Vec<_>>();
        let models: Vec<ModelScores> = [(30, 0.0), (29, 0.4), (10, 0.0)]
            .iter()
            .enumerate()
            .map(|(i, &(right, shift))| {
                let tasks = vec![
                    scores("accuracy", true, &first_right(right)),
                    scores("loss", false, &loss(shift)),
                ];
                model(&i.to_string(), tasks)
            })
            .collect();
        let found = compare(&models, Pairs::All, &Bootstrap::default()).unwrap();
        let names: Vec<(&str, &str)> =
            found.iter().map(|c| (c.baseline.as_str(), c.candidate.as_str())).collect();
        assert_eq!(names, [("0", "1"), ("0", "2"), ("1", "2")]);
        let all: Vec<&Difference> = found.iter().flat_map(|c| &c.differences).collect();
        let raw: Vec<f64> = all.iter().map(|d| d.p_value).collect();
        let adjusted: Vec<f64> = all.iter().map(|d| d.p_adjusted).collect();
        assert_eq!(adjusted, holm(&raw).unwrap());
        assert_eq!(found[0].differences[1].test, "paired bootstrap");
        assert_eq!(found[0].differences[1].direction(), Direction::Worse);
        // The same losses: no difference, and nothing shown.
        assert_eq!(found[1].differences[1].direction(), Direction::Undecided);
        assert_eq!(found[1].flips.len(), 1);
    }

    #[test]
    fn what_is_not_the_same_is_refused() {
        let good = model("a", vec![scores("accuracy", true, &[1.0, 0.0])]);
        let refuse = |other: ModelScores, why: &str| {
            let error =
                compare(&[good.clone(), other], Pairs::All, &Bootstrap::default()).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        };
        refuse(good.clone(), "twice");
        refuse(model("b", vec![]), "0");
        refuse(model("b", vec![scores("f1", true, &[1.0, 0.0])]), "no scores for");
        refuse(model("b", vec![scores("accuracy", false, &[1.0, 0.0])]), "better side");
        refuse(model("b", vec![scores("accuracy", true, &[1.0])]), "example '1'");
        refuse(model("b", vec![scores("accuracy", true, &[1.0, 0.0, 1.0])]), "example '2'");
        refuse(model("b", vec![scores("accuracy", true, &[1.0, f64::NAN])]), "NaN");
        assert!(compare(std::slice::from_ref(&good), Pairs::All, &Bootstrap::default()).is_err());
    }
}
