//! Several models compared at once.

use super::comparison::{Comparison, Direction};

/// What comparisons show about one model in one measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The task's name.
    pub task: String,
    /// The measure's name.
    pub measure: String,
    /// The model.
    pub model: String,
    /// Its value.
    pub value: f64,
    /// Models that it is shown to be better than.
    pub better_than: Vec<String>,
    /// Models that it is shown to be worse than.
    pub worse_than: Vec<String>,
}

/// A row for each task, measure and model, in the order of the comparisons; within a measure the best value first, equal
/// ones by name.
pub fn standings(comparisons: &[Comparison]) -> Vec<Standing> {
    let mut rows: Vec<(Standing, bool)> = Vec::new();
    for comparison in comparisons {
        for d in &comparison.differences {
            let (base, candidate) = (&comparison.baseline, &comparison.candidate);
            let sides = [
                (candidate, base, d.candidate, Direction::Better),
                (base, candidate, d.baseline, Direction::Worse),
            ];
            for (model, other, value, good) in sides {
                let same = |row: &Standing| {
                    row.task == d.task && row.measure == d.measure && row.model == *model
                };
                let place = rows.iter().position(|(row, _)| same(row)).unwrap_or_else(|| {
                    let (task, measure) = (d.task.clone(), d.measure.clone());
                    let (better_than, worse_than) = (Vec::new(), Vec::new());
                    let model = model.clone();
                    let row = Standing { task, measure, model, value, better_than, worse_than };
                    rows.push((row, d.higher_is_better));
                    rows.len() - 1
                });
                match d.direction() {
                    Direction::Undecided => {}
                    direction if direction == good => rows[place].0.better_than.push(other.clone()),
                    _ => rows[place].0.worse_than.push(other.clone()),
                }
            }
        }
    }
    let measures: Vec<(String, String)> =
        rows.iter().map(|(row, _)| (row.task.clone(), row.measure.clone())).collect();
    let order = |row: &Standing| {
        measures.iter().position(|(task, measure)| *task == row.task && *measure == row.measure)
    };
    rows.sort_by(|(x, higher), (y, _)| {
        let goodness = |value: f64| if *higher { value } else { -value };
        let by_value = goodness(y.value).total_cmp(&goodness(x.value));
        order(x).cmp(&order(y)).then(by_value).then_with(|| x.model.cmp(&y.model))
    });
    rows.into_iter().map(|(row, _)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::comparison::Difference;
    use super::*;
    use crate::stats::Interval;

    #[test]
    fn rows_say_who_is_shown_to_be_better() {
        let comparison = |baseline: &str, candidate: &str, values: (f64, f64), p: f64| Comparison {
            baseline: baseline.into(),
            candidate: candidate.into(),
            differences: vec![Difference {
                task: "t".into(),
                measure: "loss".into(),
                higher_is_better: false,
                baseline: values.0,
                candidate: values.1,
                difference: values.1 - values.0,
                interval: Interval { low: 0.0, high: 0.0, level: 0.95 },
                p_value: p,
                p_adjusted: p,
                test: "paired bootstrap".into(),
                n: 10,
            }],
            flips: vec![],
        };
        let rows = standings(&[
            comparison("a", "b", (1.0, 2.0), 0.01),
            comparison("a", "c", (1.0, 0.9), 0.4),
            comparison("b", "c", (2.0, 0.9), 0.02),
        ]);
        let found: Vec<(&str, usize, usize)> = rows
            .iter()
            .map(|row| (row.model.as_str(), row.better_than.len(), row.worse_than.len()))
            .collect();
        assert_eq!(found, [("c", 1, 0), ("a", 1, 0), ("b", 0, 2)]);
        assert!(standings(&[]).is_empty());
    }
}
