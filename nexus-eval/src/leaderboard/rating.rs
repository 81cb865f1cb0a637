//! Ratings of models with intervals and ranks.

use super::bootstrap::intervals;
use super::bradley_terry::{POINTS, Prior, fit};
use super::graph::components;
use super::pairs::{Pair, Tally};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How models are rated.
///
/// | field | default | range |
/// |---|---|---|
/// | `prior` | normal, 400 points | sd above 0 |
/// | `mean` | 1000 | finite |
/// | `resamples` | 1000 | 0 for no intervals, or at least 100 |
/// | `level` | 0.95 | above 0, below 1 |
/// | `seed` | 42 | |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatingOptions {
    /// What is assumed about strengths beforehand.
    pub prior: Prior,
    /// The mean of all ratings.
    pub mean: f64,
    /// Bootstrap resamples.
    pub resamples: usize,
    /// Share of resamples within an interval.
    pub level: f64,
    /// Seed of the resampling.
    pub seed: u64,
}

impl Default for RatingOptions {
    fn default() -> Self {
        Self {
            prior: Prior::Normal { sd: 400.0 },
            mean: 1000.0,
            resamples: 1000,
            level: 0.95,
            seed: 42,
        }
    }
}

/// One model's rating.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatingRow {
    /// 1 plus the number of models whose interval lies wholly above this one's; several models may share a rank.
    /// Without intervals, 1 plus the number of models with a higher rating.
    pub rank: usize,
    /// The model's name.
    pub model: String,
    /// The rating in points; 400 more are odds of 10 to 1.
    pub rating: f64,
    /// The interval of the rating; `None` when it was not asked for or is not defined.
    pub interval: Option<(f64, f64)>,
    /// All its outcomes.
    pub tally: Tally,
}

/// Ratings of several models, the best first; of equal ratings, by name in byte order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratings {
    /// The models.
    pub rows: Vec<RatingRow>,
    /// The models by group, when there are several groups without any outcome between them. Ratings of different
    /// groups are then comparable only by the assumption that the groups are equally strong on average.
    pub unconnected: Vec<Vec<String>>,
    /// Models that won every time; how far they lead is set by the prior and the number of wins.
    pub unbeaten: Vec<String>,
    /// Models that lost every time; likewise.
    pub winless: Vec<String>,
}

/// Rates `models` by the outcomes between them with the Bradley-Terry model (see [`fit`]).
///
/// Intervals are percentiles of a bootstrap: each resample draws as many outcomes as there are from the multinomial
/// distribution of what was observed (win, loss or tie of each pair) and is fitted anew. Outcomes count as
/// independent. Where several pairs were compared on the same examples they are not, and intervals are then somewhat
/// too narrow; whether two models differ on the same examples is a question for a paired test.
/// Without a prior, intervals are undefined
/// when the ratings of any resample are.
///
/// # Errors
/// As [`fit`]; [`Error::Config`] for options out of range; [`Error::Refused`] for a name that occurs twice.
pub fn rate(models: &[String], pairs: &[Pair], options: &RatingOptions) -> Result<Ratings> {
    check(models, options)?;
    let strengths =
        fit(models.len(), pairs, options.prior).map_err(|error| named(error, models))?;
    let points = |strength: f64| options.mean + POINTS * strength;
    let intervals = intervals(models.len(), pairs, options)?;
    let mut tallies = vec![Tally::default(); models.len()];
    for pair in pairs {
        tallies[pair.a] = tallies[pair.a].plus(&pair.tally);
        tallies[pair.b] = tallies[pair.b].plus(&pair.tally.reversed());
    }
    let mut rows: Vec<RatingRow> = models
        .iter()
        .enumerate()
        .map(|(i, model)| RatingRow {
            rank: 0,
            model: model.clone(),
            rating: points(strengths[i]),
            interval: intervals.as_ref().map(|all| (points(all[i].0), points(all[i].1))),
            tally: tallies[i],
        })
        .collect();
    rows.sort_by(|x, y| y.rating.total_cmp(&x.rating).then_with(|| x.model.cmp(&y.model)));
    let ranks: Vec<usize> =
        rows.iter().map(|row| 1 + rows.iter().filter(|other| above(other, row)).count()).collect();
    rows.iter_mut().zip(ranks).for_each(|(row, rank)| row.rank = rank);

    let groups = components(models.len(), pairs);
    let names = |group: &Vec<usize>| group.iter().map(|&i| models[i].clone()).collect();
    let with = |wanted: fn(&Tally) -> bool| {
        let fits = rows.iter().filter(|row| row.tally.total() > 0 && wanted(&row.tally));
        fits.map(|row| row.model.clone()).collect()
    };
    Ok(Ratings {
        unconnected: if groups.len() > 1 { groups.iter().map(names).collect() } else { Vec::new() },
        unbeaten: with(|tally| tally.losses == 0 && tally.ties == 0),
        winless: with(|tally| tally.wins == 0 && tally.ties == 0),
        rows,
    })
}

fn above(other: &RatingRow, row: &RatingRow) -> bool {
    match (other.interval, row.interval) {
        (Some((low, _)), Some((_, high))) => low > high,
        _ => other.rating > row.rating,
    }
}

fn check(models: &[String], options: &RatingOptions) -> Result<()> {
    if let Some(i) = (1..models.len()).find(|&i| models[..i].contains(&models[i])) {
        return Err(Error::Refused(format!("model '{}' occurs twice", models[i])));
    }
    if !options.mean.is_finite() {
        return Err(Error::config("mean", options.mean, "a finite number"));
    }
    if options.resamples != 0 && options.resamples < 100 {
        return Err(Error::config("resamples", options.resamples, "0, or at least 100"));
    }
    match options.level > 0.0 && options.level < 1.0 {
        true => Ok(()),
        false => Err(Error::config("level", options.level, "above 0, below 1")),
    }
}

/// The same error, saying which numbers are which models.
fn named(error: Error, models: &[String]) -> Error {
    match error {
        Error::Refused(why) => Error::Refused(format!("{why} (models: {})", models.join(", "))),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(a: usize, b: usize, wins: u64, losses: u64, ties: u64) -> Pair {
        Pair { a, b, tally: Tally { wins, losses, ties } }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn ranks_follow_intervals_and_ties_follow_names() {
        let models = names(&["worst", "b", "a", "best"]);
        let pairs = [
            pair(1, 2, 50, 50, 0),
            pair(3, 1, 900, 100, 0),
            pair(3, 2, 900, 100, 0),
            pair(0, 1, 100, 900, 0),
            pair(0, 2, 100, 900, 0),
        ];
        let ratings = rate(&models, &pairs, &RatingOptions::default()).unwrap();
        let found: Vec<(&str, usize)> =
            ratings.rows.iter().map(|row| (row.model.as_str(), row.rank)).collect();
        assert_eq!(found, [("best", 1), ("a", 2), ("b", 2), ("worst", 4)]);
        let mean = ratings.rows.iter().map(|row| row.rating).sum::<f64>() / 4.0;
        assert!((mean - 1000.0).abs() < 1e-9, "{mean}");
        for row in &ratings.rows {
            let (low, high) = row.interval.unwrap();
            assert!(low <= row.rating && row.rating <= high && high - low < 100.0, "{row:?}");
        }
        assert!(ratings.unconnected.is_empty() && ratings.unbeaten.is_empty());
        let tally = Tally { wins: 1800, losses: 200, ties: 0 };
        assert_eq!(ratings.rows[0].tally, tally);
        assert_eq!(rate(&models, &pairs, &RatingOptions::default()).unwrap(), ratings);
    }

    #[test]
    fn unbeaten_winless_and_unconnected_models_are_named() {
        let models = names(&["a", "b", "c", "d", "e"]);
        let pairs = [pair(0, 1, 5, 0, 0), pair(2, 3, 1, 1, 0)];
        let ratings = rate(&models, &pairs, &RatingOptions::default()).unwrap();
        assert_eq!(ratings.unbeaten, ["a"]);
        assert_eq!(ratings.winless, ["b"]);
        assert_eq!(ratings.unconnected, [names(&["a", "b"]), names(&["c", "d"]), names(&["e"])]);
        assert!(ratings.rows.iter().all(|row| row.rating.is_finite()));
        let none = RatingOptions { prior: Prior::None, ..RatingOptions::default() };
        let error = rate(&models, &pairs, &none).unwrap_err().to_string();
        assert!(error.contains("a, b, c, d, e"), "{error}");
    }

    #[test]
    fn without_a_prior_an_interval_can_be_undefined() {
        let models = names(&["a", "b"]);
        let options = RatingOptions { prior: Prior::None, ..RatingOptions::default() };
        // Some resample of 4 outcomes has no loss; of 2000 with half of them lost none does.
        let few = rate(&models, &[pair(0, 1, 3, 1, 0)], &options).unwrap();
        assert_eq!(few.rows[0].interval, None);
        let many = rate(&models, &[pair(0, 1, 1000, 1000, 0)], &options).unwrap();
        assert!(many.rows[0].interval.is_some());
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let models = names(&["a", "b"]);
        let refuse = |options: RatingOptions, field: &str| {
            let error = rate(&models, &[pair(0, 1, 1, 1, 0)], &options).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        };
        let usual = RatingOptions::default();
        refuse(RatingOptions { level: 1.0, ..usual }, "level");
        refuse(RatingOptions { level: f64::NAN, ..usual }, "level");
        refuse(RatingOptions { resamples: 5, ..usual }, "resamples");
        refuse(RatingOptions { mean: f64::NAN, ..usual }, "mean");
        refuse(RatingOptions { prior: Prior::Normal { sd: -1.0 }, ..usual }, "prior.sd");
        assert!(rate(&names(&["a", "a"]), &[], &usual).is_err());
    }
}
