//! Outcomes between two models.

use crate::{Error, Result};
use std::collections::BTreeMap;

/// How often the first of two models won, lost and tied against the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tally {
    /// Times that the first model was better.
    pub wins: u64,
    /// Times that the second was.
    pub losses: u64,
    /// Times that neither was.
    pub ties: u64,
}

impl Tally {
    /// All outcomes.
    pub fn total(&self) -> u64 {
        self.wins.saturating_add(self.losses).saturating_add(self.ties)
    }

    /// The same outcomes seen from the second model.
    pub fn reversed(&self) -> Self {
        Self { wins: self.losses, losses: self.wins, ties: self.ties }
    }

    /// Both tallies together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            wins: self.wins.saturating_add(other.wins),
            losses: self.losses.saturating_add(other.losses),
            ties: self.ties.saturating_add(other.ties),
        }
    }
}

/// The outcomes between players `a` and `b`, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The first player.
    pub a: usize,
    /// The second one.
    pub b: usize,
    /// The outcomes, seen from `a`.
    pub tally: Tally,
}

impl Pair {
    /// Wins of `a`, a tie as half of one.
    pub fn score_a(&self) -> f64 {
        self.tally.wins as f64 + 0.5 * self.tally.ties as f64
    }

    /// Wins of `b`, a tie as half of one.
    pub fn score_b(&self) -> f64 {
        self.tally.losses as f64 + 0.5 * self.tally.ties as f64
    }
}

/// What one model scored on each example.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleScores {
    /// The model's name.
    pub model: String,
    /// The example's name and its score.
    pub scores: Vec<(String, f64)>,
}

/// For every two models, on how many of the examples that both answered the first scored better, worse, and the same.
///
/// Gives the numbers of the two models in `models` with their tally; pairs without a common example are left out.
/// Two scores tie when they are equal.
///
/// # Errors
/// [`Error::Refused`] for a model or an example that occurs twice, and for a score that is NaN.
pub fn compare_examples(models: &[ExampleScores], higher_is_better: bool) -> Result<Vec<Pair>> {
    let mut tables: Vec<BTreeMap<&str, f64>> = Vec::with_capacity(models.len());
    for (i, model) in models.iter().enumerate() {
        let name = &model.model;
        if models[..i].iter().any(|earlier| earlier.model == *name) {
            return Err(Error::Refused(format!(
                "model '{name}' occurs twice; give each model a name of its own"
            )));
        }
        let mut table = BTreeMap::new();
        for (id, score) in &model.scores {
            if score.is_nan() {
                return Err(Error::Refused(format!(
                    "model '{name}', example '{id}': the score is NaN"
                )));
            }
            if table.insert(id.as_str(), *score).is_some() {
                return Err(Error::Refused(format!(
                    "model '{name}', example '{id}': occurs twice; every example needs an id of its own"
                )));
            }
        }
        tables.push(table);
    }
    let mut pairs = Vec::new();
    for b in 1..tables.len() {
        for a in 0..b {
            let mut tally = Tally::default();
            for (id, first) in &tables[a] {
                let Some(second) = tables[b].get(id) else { continue };
                match (first == second, (first > second) == higher_is_better) {
                    (true, _) => tally.ties += 1,
                    (false, true) => tally.wins += 1,
                    (false, false) => tally.losses += 1,
                }
            }
            if tally.total() > 0 {
                pairs.push(Pair { a, b, tally });
            }
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(model: &str, scores: &[(&str, f64)]) -> ExampleScores {
        let scores = scores.iter().map(|(id, score)| (id.to_string(), *score)).collect();
        ExampleScores { model: model.into(), scores }
    }

    #[test]
    fn examples_are_compared_by_id() {
        let models = [
            scores("x", &[("1", 1.0), ("2", 0.0), ("3", 0.5)]),
            scores("y", &[("3", 0.5), ("1", 0.0), ("2", 1.0), ("9", 1.0)]),
            scores("z", &[("9", 0.0)]),
        ];
        let pairs = compare_examples(&models, true).unwrap();
        let tally = Tally { wins: 1, losses: 1, ties: 1 };
        let last = Pair { a: 1, b: 2, tally: Tally { wins: 1, ..Tally::default() } };
        assert_eq!(pairs, vec![Pair { a: 0, b: 1, tally }, last]);
        let lower = compare_examples(&models, false).unwrap();
        assert_eq!(lower[1].tally, last.tally.reversed());
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let twice = scores("x", &[("1", 1.0), ("1", 0.0)]);
        let error = compare_examples(std::slice::from_ref(&twice), true).unwrap_err().to_string();
        assert!(error.contains("'x'") && error.contains("'1'"), "{error}");
        let nan = scores("x", &[("1", f64::NAN)]);
        assert!(compare_examples(&[nan], true).unwrap_err().to_string().contains("NaN"));
        let same = [scores("x", &[]), scores("x", &[])];
        assert!(compare_examples(&same, true).unwrap_err().to_string().contains("twice"));
    }
}
