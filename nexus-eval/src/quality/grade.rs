//! A grade from A to F by a rubric.

use crate::report::ModelReport;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// A number of a model's report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// The mean over tasks of each task's first measure that is a share of which more is better (accuracy, F1).
    Quality,
    /// One measure of one task.
    Measure {
        /// The task's name.
        task: String,
        /// The measure's name.
        measure: String,
    },
    /// Expected calibration error.
    CalibrationError,
    /// 95th percentile of latency as a multiple of the objective's seconds; without an objective, of 2 s.
    Latency,
    /// Requests per second.
    RequestsPerSecond,
    /// Most resident memory, in GiB.
    PeakMemory,
    /// Energy per request in joules.
    JoulesPerRequest,
}

/// What a quantity is worth: nothing at `none`, all of `points` at `full`, and in proportion in between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// Name in the report.
    pub name: String,
    /// The number that is judged.
    pub quantity: Quantity,
    /// The most points; above 0.
    pub points: f64,
    /// The value from which there are no points.
    pub none: f64,
    /// The value from which there are all; less than `none` where less is better.
    pub full: f64,
    /// Whether a model without this number gets no grade at all. Other criteria without a number count neither way.
    pub required: bool,
}

/// What a grade is made of: A from 90 % of the points of the criteria that have a number, B from 80, C from 70, D from 60,
/// F below.
///
/// The default is for models that answer requests; its limits are the targets of a service (P95 below 2 s, 50 requests/s,
/// 8 GiB of memory), lost in proportion beyond them:
///
/// | criterion | number | no points at | full points at | points |
/// |---|---|---|---|---|
/// | quality (required) | main measures, mean over tasks | 0.5 | 0.95 | 50 |
/// | calibration | expected calibration error | 0.15 | 0.02 | 15 |
/// | latency | P95 / objective | 2 | 1 | 15 |
/// | throughput | requests/s | 10 | 50 | 5 |
/// | memory | peak, GiB | 16 | 8 | 10 |
/// | energy | J/request | 100 | 10 | 5 |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rubric {
    /// The criteria.
    pub criteria: Vec<Criterion>,
}

/// Points for one criterion of a rubric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CriterionPoints {
    /// The criterion's name.
    pub criterion: String,
    /// The number that was judged.
    pub value: f64,
    /// Points that it got.
    pub points: f64,
    /// The most that it could get.
    pub of: f64,
}

/// A grade with the points that it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grade {
    /// `A` to `F`, without `E`.
    pub letter: char,
    /// Points in percent of those that could be had.
    pub percent: f64,
    /// The criteria that could be judged.
    pub criteria: Vec<CriterionPoints>,
    /// Criteria of the rubric without a number; they count neither way.
    pub missing: Vec<String>,
}

impl Default for Rubric {
    fn default() -> Self {
        let criterion = |name: &str, quantity, none, full, points| Criterion {
            name: name.into(),
            required: quantity == Quantity::Quality,
            quantity,
            points,
            none,
            full,
        };
        Self {
            criteria: vec![
                criterion("quality", Quantity::Quality, 0.5, 0.95, 50.0),
                criterion("calibration", Quantity::CalibrationError, 0.15, 0.02, 15.0),
                criterion("latency", Quantity::Latency, 2.0, 1.0, 15.0),
                criterion("throughput", Quantity::RequestsPerSecond, 10.0, 50.0, 5.0),
                criterion("memory", Quantity::PeakMemory, 16.0, 8.0, 10.0),
                criterion("energy", Quantity::JoulesPerRequest, 100.0, 10.0, 5.0),
            ],
        }
    }
}

impl Rubric {
    /// The grade of a model; `None` when a required number is missing or there is none at all.
    ///
    /// # Errors
    /// [`Error::Config`] for a criterion without points or with `none` equal to `full`.
    pub fn grade(&self, model: &ModelReport) -> Result<Option<Grade>> {
        let (mut criteria, mut missing) = (Vec::new(), Vec::new());
        for criterion in &self.criteria {
            criterion.check()?;
            match criterion.quantity.of(model).filter(|value| value.is_finite()) {
                Some(value) => criteria.push(CriterionPoints {
                    criterion: criterion.name.clone(),
                    value,
                    points: criterion.points_for(value),
                    of: criterion.points,
                }),
                None if criterion.required => return Ok(None),
                None => missing.push(criterion.name.clone()),
            }
        }
        let of: f64 = criteria.iter().map(|criterion| criterion.of).sum();
        if criteria.is_empty() {
            return Ok(None);
        }
        let percent = 100.0 * criteria.iter().map(|criterion| criterion.points).sum::<f64>() / of;
        Ok(Some(Grade { letter: letter(percent), percent, criteria, missing }))
    }
}

fn letter(percent: f64) -> char {
    match percent {
        p if p >= 90.0 => 'A',
        p if p >= 80.0 => 'B',
        p if p >= 70.0 => 'C',
        p if p >= 60.0 => 'D',
        _ => 'F',
    }
}

impl Criterion {
    fn check(&self) -> Result<()> {
        let field = |name: &str| format!("criterion '{}', {name}", self.name);
        if !(self.points > 0.0 && self.points.is_finite()) {
            return Err(Error::config(field("points"), self.points, "a finite number above 0"));
        }
        match self.none.is_finite() && self.full.is_finite() && self.none != self.full {
            true => Ok(()),
            false => {
                Err(Error::config(field("full"), self.full, "a finite number other than none"))
            }
        }
    }

    fn points_for(&self, value: f64) -> f64 {
        self.points * ((value - self.none) / (self.full - self.none)).clamp(0.0, 1.0)
    }
}

/// What latency is a multiple of without an objective, in seconds.
const LATENCY: f64 = 2.0;

impl Quantity {
    fn of(&self, model: &ModelReport) -> Option<f64> {
        let performance = model.performance.as_ref();
        match self {
            Self::Quality => {
                let main = model.evaluations.iter().filter_map(|report| {
                    let share = |value: f64| (0.0..=1.0).contains(&value);
                    report.measures.iter().find(|m| m.higher_is_better && share(m.value))
                });
                let values: Vec<f64> = main.map(|measure| measure.value).collect();
                (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
            }
            Self::Measure { task, measure } => {
                let mut all = model.measures();
                all.find(|(t, m)| t == task && m.name == *measure).map(|(_, m)| m.value)
            }
            Self::CalibrationError => model.reliability.as_ref()?.ece,
            Self::Latency => {
                let objective = performance?.objective.map_or(LATENCY, |goal| goal.seconds);
                performance?.latency_at(0.95).map(|seconds| seconds / objective)
            }
            Self::RequestsPerSecond => performance?.requests_per_second,
            Self::PeakMemory => {
                performance?.peak_memory_bytes.map(|bytes| bytes as f64 / f64::from(1 << 30))
            }
            Self::JoulesPerRequest => performance?.joules_per_request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{LatencyPercentile, Performance, ReliabilityDiagram};
    use nexus_core::report::{EvalReport, Measure};

    fn model(accuracy: f64) -> ModelReport {
        let measure = Measure {
            name: "accuracy".into(),
            value: accuracy,
            stderr: None,
            n: 10,
            higher_is_better: true,
        };
        let loss = Measure { name: "loss".into(), higher_is_better: false, ..measure.clone() };
        let report = EvalReport {
            task: "t".into(),
            measures: vec![loss, measure],
            examples: 10,
            seconds: 0.0,
        };
        ModelReport { name: "m".into(), evaluations: vec![report], ..ModelReport::default() }
    }

    #[test]
    fn points_by_hand() {
        let mut model = model(0.86);
        // (0.86 - 0.5) / 0.45 = 0.8: 40 of 50, 80 %.
        let grade = Rubric::default().grade(&model).unwrap().unwrap();
        assert!((grade.percent - 80.0).abs() < 1e-9 && grade.criteria.len() == 1, "{grade:?}");
        assert_eq!(grade.missing.len(), 5);

        model.reliability = Some(ReliabilityDiagram { bins: vec![], ece: Some(0.085) });
        let point = |quantile, seconds| LatencyPercentile { quantile, seconds };
        model.performance = Some(Performance {
            latency: vec![point(0.95, 1.5)],
            objective: Some(point(0.95, 1.0)),
            requests_per_second: Some(60.0),
            peak_memory_bytes: Some(12 << 30),
            ..Performance::default()
        });
        // 40 + 7.5 + 7.5 + 5 + 5 = 65 of 95.
        let grade = Rubric::default().grade(&model).unwrap().unwrap();
        assert!((grade.percent - 100.0 * 65.0 / 95.0).abs() < 1e-9, "{grade:?}");
        assert_eq!((grade.letter, grade.missing), ('D', vec!["energy".to_string()]));
    }

    #[test]
    fn letters_and_what_gets_none() {
        let letters: String =
            [100.0, 90.0, 89.9, 80.0, 70.0, 60.0, 59.9, 0.0].map(letter).into_iter().collect();
        assert_eq!(letters, "AABBCDFF");
        let mut speed_alone = model(0.9);
        speed_alone.evaluations.clear();
        assert_eq!(Rubric::default().grade(&speed_alone).unwrap(), None);
        assert_eq!(Rubric { criteria: vec![] }.grade(&model(0.9)).unwrap(), None);
        let mut rubric = Rubric::default();
        rubric.criteria[0].full = 0.5;
        assert!(rubric.grade(&model(0.9)).is_err());
        rubric = Rubric::default();
        rubric.criteria[0].points = 0.0;
        assert!(rubric.grade(&model(0.9)).is_err());
    }
}
