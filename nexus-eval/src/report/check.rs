//! Whether a report can be written and drawn.

use super::Report;
use super::data::{ConfusionMatrix, ModelReport, Performance, ReliabilityDiagram};
use crate::{Error, Result};

impl Report {
    /// Checks what JSON cannot hold and plots cannot show.
    ///
    /// # Errors
    /// [`Error::Refused`] for a model's name that is empty or occurs twice, for a number that is not finite, and for a
    /// confusion matrix, reliability diagram or percentile out of form; the message names the place.
    pub fn check(&self) -> Result<()> {
        for (i, model) in self.models.iter().enumerate() {
            let name = &model.name;
            if name.trim().is_empty() {
                return Err(refused(&format!("model {i}, counted from 0"), "has no name"));
            }
            if self.models[..i].iter().any(|earlier| earlier.name == *name) {
                return Err(refused(
                    &format!("model '{name}'"),
                    "occurs twice; give each its own name",
                ));
            }
            model.check()?;
        }
        for comparison in &self.comparisons {
            let place = format!("'{}' against '{}'", comparison.candidate, comparison.baseline);
            for difference in &comparison.differences {
                let place = format!("{place}, {}, {}", difference.task, difference.measure);
                let interval = difference.interval;
                finite(
                    &place,
                    &[
                        difference.baseline,
                        difference.candidate,
                        difference.difference,
                        interval.low,
                        interval.high,
                        interval.level,
                        difference.p_value,
                        difference.p_adjusted,
                    ],
                )?;
            }
        }
        Ok(())
    }
}

impl ModelReport {
    /// Checks what JSON cannot hold and plots cannot show.
    ///
    /// # Errors
    /// [`Error::Refused`] as [`Report::check`], for one model.
    pub fn check(&self) -> Result<()> {
        let model = self;
        let of = |what: &str| format!("model '{}', {what}", model.name);
        for report in &model.evaluations {
            finite(&of(&report.task), &[report.seconds])?;
            for measure in &report.measures {
                let place = of(&format!("{}, {}", report.task, measure.name));
                finite(&place, &[measure.value, measure.stderr.unwrap_or(0.0)])?;
            }
        }
        for given in &model.intervals {
            let place = of(&format!("{}, interval of {}", given.task, given.measure));
            finite(&place, &[given.interval.low, given.interval.high, given.interval.level])?;
        }
        for check in &model.checks {
            let (low, high) =
                check.interval.map_or((0.0, 0.0), |interval| (interval.low, interval.high));
            finite(&of(&check.criterion), &[check.value, check.limit, low, high])?;
        }
        if let Some(grade) = &model.grade {
            finite(&of("grade"), &[grade.percent])?;
            for criterion in &grade.criteria {
                let numbers = [criterion.value, criterion.points, criterion.of];
                finite(&of(&format!("grade, {}", criterion.criterion)), &numbers)?;
            }
        }
        if let Some(matrix) = &model.confusion {
            check_confusion(&of("confusion matrix"), matrix)?;
        }
        if let Some(diagram) = &model.reliability {
            check_reliability(&of("reliability diagram"), diagram)?;
        }
        match &model.performance {
            Some(performance) => check_performance(&of("performance"), performance),
            None => Ok(()),
        }
    }
}

fn check_confusion(place: &str, matrix: &ConfusionMatrix) -> Result<()> {
    let classes = matrix.labels.len();
    let square =
        matrix.counts.len() == classes && matrix.counts.iter().all(|row| row.len() == classes);
    match square && classes > 0 {
        true => Ok(()),
        false => {
            Err(refused(place, &format!("needs {classes} rows and columns, one for each label")))
        }
    }
}

fn check_reliability(place: &str, diagram: &ReliabilityDiagram) -> Result<()> {
    finite(place, &[diagram.ece.unwrap_or(0.0)])?;
    for bin in &diagram.bins {
        let numbers = [bin.low, bin.high, bin.confidence, bin.accuracy];
        finite(place, &numbers)?;
        if bin.low >= bin.high || numbers.iter().any(|number| !(0.0..=1.0).contains(number)) {
            return Err(refused(
                place,
                &format!("needs numbers from 0 to 1 in each bin, found {bin:?}"),
            ));
        }
    }
    Ok(())
}

fn check_performance(place: &str, performance: &Performance) -> Result<()> {
    let rates = [performance.requests_per_second, performance.joules_per_request];
    finite(place, &rates.map(|rate| rate.unwrap_or(0.0)))?;
    for point in performance.latency.iter().chain(&performance.objective) {
        finite(place, &[point.quantile, point.seconds])?;
        if !(0.0..=1.0).contains(&point.quantile) || point.seconds < 0.0 {
            let why =
                format!("needs quantiles from 0 to 1 and no negative latency, found {point:?}");
            return Err(refused(place, &why));
        }
    }
    match performance.latency.windows(2).all(|pair| pair[0].quantile < pair[1].quantile) {
        true => Ok(()),
        false => Err(refused(place, "needs its latencies in ascending order of quantiles")),
    }
}

fn finite(place: &str, numbers: &[f64]) -> Result<()> {
    match numbers.iter().find(|number| !number.is_finite()) {
        None => Ok(()),
        Some(number) => {
            Err(refused(place, &format!("holds {number}; leave out what could not be measured")))
        }
    }
}

fn refused(place: &str, why: &str) -> Error {
    Error::Refused(format!("{place}: {why}"))
}
