//! Tables of one task.

use super::entry::Entry;
use super::store::Leaderboard;
use crate::stats::distributions::normal_quantile;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// One model's place on a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRow {
    /// 1 plus the number of models whose 95 % interval lies wholly on the better side of this one's; several models
    /// may share a rank.
    pub rank: usize,
    /// The model's newest result.
    pub entry: Entry,
    /// The value's 95 % interval, `value ± 1.96 stderr`; `None` without a standard error, and then the value alone
    /// decides.
    pub interval: Option<(f64, f64)>,
}

/// The newest result of every model in one measure of one task, the best first; of equal values, by name in byte order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskTable {
    /// The task's name.
    pub task: String,
    /// The measure's name.
    pub measure: String,
    /// The models.
    pub rows: Vec<TaskRow>,
}

impl Leaderboard {
    /// The table of a task's measure. Of results with the same time, the one added last is the newest.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no result; otherwise as [`open`](Self::open).
    pub fn table(&self, task: &str, measure: &str) -> Result<TaskTable> {
        let mut newest: Vec<Entry> = Vec::new();
        for entry in self.entries(Some(task))?.into_iter().filter(|e| e.measure == measure) {
            match newest.iter_mut().find(|earlier| earlier.model == entry.model) {
                Some(earlier) => *earlier = entry,
                None => newest.push(entry),
            }
        }
        if newest.is_empty() {
            return Err(Error::Refused(format!(
                "{}: there is no result of measure '{measure}' on task '{task}'",
                self.path().display()
            )));
        }
        Ok(TaskTable { task: task.into(), measure: measure.into(), rows: ranked(newest) })
    }
}

fn ranked(entries: Vec<Entry>) -> Vec<TaskRow> {
    let mut rows: Vec<TaskRow> = entries
        .into_iter()
        .map(|entry| {
            let half = entry.stderr.map(|stderr| normal_quantile(0.975) * stderr);
            let interval = half.map(|half| (entry.value - half, entry.value + half));
            TaskRow { rank: 0, entry, interval }
        })
        .collect();
    rows.sort_by(|x, y| {
        let (x, y) = (&x.entry, &y.entry);
        goodness(y, y.value).total_cmp(&goodness(x, x.value)).then_with(|| x.model.cmp(&y.model))
    });
    let ranks: Vec<usize> =
        rows.iter().map(|row| 1 + rows.iter().filter(|other| better(other, row)).count()).collect();
    rows.iter_mut().zip(ranks).for_each(|(row, rank)| row.rank = rank);
    rows
}

/// The value, turned so that more is better.
fn goodness(entry: &Entry, value: f64) -> f64 {
    if entry.higher_is_better { value } else { -value }
}

/// Whether all of `other`'s interval is better than all of `row`'s.
fn better(other: &TaskRow, row: &TaskRow) -> bool {
    let ends = |row: &TaskRow| {
        let (low, high) = row.interval.unwrap_or((row.entry.value, row.entry.value));
        let (one, two) = (goodness(&row.entry, low), goodness(&row.entry, high));
        (one.min(two), one.max(two))
    };
    ends(other).0 > ends(row).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(model: &str, value: f64, stderr: Option<f64>, higher_is_better: bool) -> Entry {
        Entry {
            model: model.into(),
            task: "t".into(),
            measure: "m".into(),
            value,
            stderr,
            n: 100,
            higher_is_better,
            time: 0,
        }
    }

    fn places(entries: Vec<Entry>) -> Vec<(String, usize)> {
        ranked(entries).into_iter().map(|row| (row.entry.model, row.rank)).collect()
    }

    #[test]
    fn overlapping_intervals_share_a_rank() {
        let models = [("d", 0.5, 0.01), ("c", 0.78, 0.02), ("b", 0.8, 0.02), ("a", 0.8, 0.02)];
        let higher = models.map(|(model, value, stderr)| entry(model, value, Some(stderr), true));
        let wanted = [("a", 1), ("b", 1), ("c", 1), ("d", 4)].map(|(m, r)| (m.to_string(), r));
        assert_eq!(places(higher.to_vec()), wanted);
    }

    #[test]
    fn less_can_be_better_and_points_decide_without_errors() {
        let models = [("a", 30.0), ("b", 20.0), ("c", 20.0), ("d", 25.0)];
        let lower = models.map(|(model, value)| entry(model, value, None, false));
        let wanted = [("b", 1), ("c", 1), ("d", 3), ("a", 4)].map(|(m, r)| (m.to_string(), r));
        assert_eq!(places(lower.to_vec()), wanted);
    }
}
