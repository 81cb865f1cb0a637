//! Outcomes between models on the leaderboard, and the ratings that follow from them.

use super::Leaderboard;
use super::database::translate;
use super::entry::{content_hash, name};
use super::pairs::{ExampleScores, Pair, Tally, compare_examples};
use super::rating::{RatingOptions, Ratings, rate};
use crate::{Error, Result};
use rusqlite::{Row, Transaction, params};
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The outcomes between two models, as they are stored.
#[derive(Serialize)]
struct Match<'a> {
    task: &'a str,
    model_a: &'a str,
    model_b: &'a str,
    source: &'a str,
    tally: Tally,
}

impl<'a> Match<'a> {
    /// The same outcomes with the models in ascending order, so that a pair is stored in one way only.
    fn checked(self) -> Result<Self> {
        name("task", self.task)?;
        name("model", self.model_a)?;
        name("model", self.model_b)?;
        name("source", self.source)?;
        let Tally { wins, losses, ties } = self.tally;
        if [wins, losses, ties].iter().any(|&count| i64::try_from(count).is_err()) {
            return Err(Error::config("tally", format!("{:?}", self.tally), "counts below 2^63"));
        }
        match self.model_a.cmp(self.model_b) {
            Ordering::Less => Ok(self),
            Ordering::Greater => Ok(Self {
                model_a: self.model_b,
                model_b: self.model_a,
                tally: self.tally.reversed(),
                ..self
            }),
            Ordering::Equal => Err(Error::Refused(format!(
                "model '{}' cannot be compared with itself",
                self.model_a
            ))),
        }
    }

    fn store(&self, transaction: &Transaction<'_>, path: &Path) -> Result<()> {
        let Self { task, model_a, model_b, source, tally } = self;
        let [wins, losses, ties] = [tally.wins, tally.losses, tally.ties].map(|n| n as i64);
        let stored = transaction.execute(
            "INSERT OR REPLACE INTO matches
             (task, model_a, model_b, source, wins, losses, ties, content_hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![task, model_a, model_b, source, wins, losses, ties, content_hash(self)],
        );
        stored.map(|_| ()).map_err(|error| translate(path, error))
    }
}

impl Leaderboard {
    /// Records the outcomes between two models on a task. `source` names what was compared (a set of examples, a week
    /// of votes): recording the same two models with the same source again replaces what was there.
    ///
    /// # Errors
    /// [`Error::Config`] for names out of range; [`Error::Refused`] for a model against itself; otherwise as
    /// [`open`](Self::open).
    pub fn record_match(
        &mut self,
        task: &str,
        model_a: &str,
        model_b: &str,
        source: &str,
        tally: Tally,
    ) -> Result<()> {
        let seen = Match { task, model_a, model_b, source, tally }.checked()?;
        self.write(|transaction, path| seen.store(transaction, path))
    }

    /// Compares models on the examples of a task and records, for every two of them, on how many examples the first
    /// was better, worse and equal (see [`compare_examples`]). Gives the number of pairs.
    ///
    /// Two models that are compared on the same examples again replace their earlier outcomes.
    ///
    /// # Errors
    /// As [`compare_examples`] and [`record_match`](Self::record_match); [`Error::Refused`] when no two models have an
    /// example in common.
    pub fn record_examples(
        &mut self,
        task: &str,
        models: &[ExampleScores],
        higher_is_better: bool,
    ) -> Result<usize> {
        let pairs = compare_examples(models, higher_is_better)?;
        if pairs.is_empty() {
            return Err(Error::Refused(format!(
                "task '{task}': no two models have an example in common; compare at least two on the same examples"
            )));
        }
        let sources: Vec<String> = pairs.iter().map(|pair| common(models, pair)).collect();
        let matches: Vec<Match<'_>> = pairs
            .iter()
            .zip(&sources)
            .map(|(pair, source)| {
                let (model_a, model_b) = (&models[pair.a].model, &models[pair.b].model);
                Match { task, model_a, model_b, source, tally: pair.tally }.checked()
            })
            .collect::<Result<_>>()?;
        self.write(|transaction, path| {
            matches.iter().try_for_each(|seen| seen.store(transaction, path))
        })?;
        Ok(pairs.len())
    }

    /// The models that were compared, in ascending order, and the sum of the outcomes between every two: of one task,
    /// or of all. Every outcome counts the same, so a task with more examples weighs more.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn pairs(&self, task: Option<&str>) -> Result<(Vec<String>, Vec<Pair>)> {
        let sql = "SELECT task, model_a, model_b, source, wins, losses, ties, content_hash
                   FROM matches WHERE ?1 IS NULL OR task = ?1 ORDER BY task, model_a, model_b, source";
        let texts = |row: &Row<'_>| -> rusqlite::Result<[String; 4]> {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        };
        let rows = self.rows(sql, task, |row| Ok((texts(row)?, tally(row)?, row.get(7)?)))?;
        let mut sums: BTreeMap<(String, String), Tally> = BTreeMap::new();
        for (texts, tally, hash) in rows {
            let [task, model_a, model_b, source] = texts;
            let seen =
                Match { task: &task, model_a: &model_a, model_b: &model_b, source: &source, tally };
            let stored: String = hash;
            if content_hash(&seen) != stored {
                return Err(self.changed(&format!(
                    "the outcome of '{model_a}' against '{model_b}' on '{task}'"
                )));
            }
            let sum = sums.entry((model_a, model_b)).or_default();
            *sum = sum.plus(&tally);
        }
        let models: BTreeSet<String> =
            sums.keys().flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
        let models: Vec<String> = models.into_iter().collect();
        let number = |name: &String| models.binary_search(name).unwrap_or_default();
        let pairs = sums.iter().map(|((a, b), &tally)| Pair { a: number(a), b: number(b), tally });
        let pairs = pairs.collect();
        Ok((models, pairs))
    }

    /// Ratings from the outcomes of one task, or of all (see [`rate`]).
    ///
    /// # Errors
    /// As [`rate`] and [`open`](Self::open); [`Error::Refused`] when no outcome is recorded.
    pub fn ratings(&self, task: Option<&str>, options: &RatingOptions) -> Result<Ratings> {
        let (models, pairs) = self.pairs(task)?;
        if models.is_empty() {
            let what = task.map_or("any task".into(), |task| format!("task '{task}'"));
            return Err(Error::Refused(format!(
                "{}: no comparison of models is recorded for {what}",
                self.path().display()
            )));
        }
        rate(&models, &pairs, options)
    }
}

fn tally(row: &Row<'_>) -> rusqlite::Result<Tally> {
    // A negative count does not match the row's hash, whatever it is read as.
    let count = |i| row.get::<_, i64>(i).map(i64::unsigned_abs);
    Ok(Tally { wins: count(4)?, losses: count(5)?, ties: count(6)? })
}

/// Names the set of examples that two models have in common.
fn common(models: &[ExampleScores], pair: &Pair) -> String {
    let ids = |model: usize| -> BTreeSet<&str> {
        models[model].scores.iter().map(|(id, _)| id.as_str()).collect()
    };
    let shared: Vec<&str> = ids(pair.a).intersection(&ids(pair.b)).copied().collect();
    format!("examples {}", content_hash(&shared))
}
