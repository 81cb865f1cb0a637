//! What other parts measured, in the report's form.

use super::data::{
    ConfusionMatrix, LatencyPercentile, MeasureInterval, ModelReport, Performance, ReliabilityBin,
    ReliabilityDiagram,
};
use crate::metrics::classification::{
    self as metrics, Average, Binning, FScore, average_scores, calibration_curve,
    expected_calibration_error, label_counts, reliability,
};
use crate::performance::{Arrivals, Energy, Load, LoadReport};
use crate::stats::{Bootstrap, wilson};
use crate::{ChoiceOutcome, ClassificationOutcome, Error, ExactMatchOutcome, Result};
use nexus_core::report::EvalReport;

/// Bins of reliability diagrams: those of Guo et al. 2017.
const BINS: usize = 15;

/// Level of the intervals.
const LEVEL: f64 = 0.95;

/// The share of a load's requests that are to keep its objective.
const OBJECTIVE_QUANTILE: f64 = 0.95;

impl ModelReport {
    /// Adds an evaluation of single labels with what its outcomes show: the confusion matrix and the reliability diagram
    /// (15 bins of equal width), Wilson's interval of `accuracy`, and the bootstrap's of `macro_f1`. `names` are the
    /// model's classes by number. Of other problems the evaluation alone is added.
    ///
    /// # Errors
    /// [`Error::Refused`] when there are not as many names as classes; [`Error::Config`] for a bootstrap out of range.
    pub fn add_classification(
        &mut self,
        report: EvalReport,
        outcomes: &[ClassificationOutcome],
        names: &[String],
        bootstrap: &Bootstrap,
    ) -> Result<()> {
        let classes = outcomes.first().map_or(0, |outcome| outcome.logits.len());
        if classes != names.len() {
            let why = format!("{} names are given for the model's {classes} classes", names.len());
            return Err(Error::Refused(why));
        }
        let pair = |outcome: &ClassificationOutcome| outcome.answer.zip(outcome.chosen);
        let pairs: Option<Vec<(usize, usize)>> = outcomes.iter().map(pair).collect();
        if let Some(pairs) = pairs {
            let (wanted, chosen): (Vec<usize>, Vec<usize>) = pairs.into_iter().unzip();
            let classes: Vec<usize> = (0..classes).collect();
            let table = metrics::ConfusionMatrix::with_labels(&wanted, &chosen, &classes)?;
            self.confusion = Some(ConfusionMatrix::named(&table, names)?);
            let probabilities: Vec<Vec<f64>> =
                outcomes.iter().map(ClassificationOutcome::probabilities).collect();
            let bins = reliability(&wanted, &probabilities, BINS, Binning::EqualWidth)?;
            self.reliability = Some(ReliabilityDiagram::of(&bins)?);
            let right = wanted.iter().zip(&chosen).filter(|(wanted, chosen)| wanted == chosen);
            let accuracy =
                MeasureInterval::share(&report.task, "accuracy", right.count(), wanted.len())?;
            self.intervals.push(accuracy);
            // One example cannot be resampled.
            if wanted.len() > 1 {
                let macro_f1 = bootstrap.pairs(&wanted, &chosen, |wanted, chosen| {
                    let counts = label_counts(wanted, chosen).ok()?;
                    average_scores(&counts, Average::Macro, &FScore::default()).ok()?.f
                })?;
                self.intervals.push(MeasureInterval {
                    task: report.task.clone(),
                    measure: "macro_f1".into(),
                    interval: macro_f1.interval,
                    method: format!("bootstrap, {} resamples", bootstrap.resamples),
                });
            }
        }
        self.evaluations.push(report);
        Ok(())
    }

    /// Adds multiple choice with Wilson's intervals and a reliability diagram, for which a choice's probability is its
    /// likelihood among all choices of its question.
    ///
    /// # Errors
    /// [`Error::Refused`] without outcomes.
    pub fn add_choice(&mut self, report: EvalReport, outcomes: &[ChoiceOutcome]) -> Result<()> {
        let right: Vec<bool> = outcomes.iter().map(|o| o.chosen == o.answer).collect();
        let confidence: Vec<f64> = outcomes.iter().map(ChoiceOutcome::confidence).collect();
        let bins = calibration_curve(&right, &confidence, BINS, Binning::EqualWidth)?;
        self.reliability = Some(ReliabilityDiagram::of(&bins)?);
        let right_norm = outcomes.iter().filter(|o| o.chosen_norm == o.answer).count();
        for (measure, right) in [
            ("accuracy", right.iter().filter(|&&right| right).count()),
            ("accuracy_norm", right_norm),
        ] {
            let interval = MeasureInterval::share(&report.task, measure, right, outcomes.len())?;
            self.intervals.push(interval);
        }
        self.evaluations.push(report);
        Ok(())
    }

    /// Adds generated answers with Wilson's interval of the share that matched.
    ///
    /// # Errors
    /// [`Error::Refused`] without outcomes.
    pub fn add_exact_match(
        &mut self,
        report: EvalReport,
        outcomes: &[ExactMatchOutcome],
    ) -> Result<()> {
        let matched = outcomes.iter().filter(|outcome| outcome.matched).count();
        let interval =
            MeasureInterval::share(&report.task, "exact_match", matched, outcomes.len())?;
        self.intervals.push(interval);
        self.evaluations.push(report);
        Ok(())
    }
}

impl MeasureInterval {
    /// Wilson's interval at 95 % of a measure that is a share of `n` examples.
    ///
    /// # Errors
    /// As [`wilson`].
    pub fn share(task: &str, measure: &str, successes: usize, n: usize) -> Result<Self> {
        let interval = wilson(successes as u64, n as u64, LEVEL)?;
        Ok(Self { task: task.into(), measure: measure.into(), interval, method: "Wilson".into() })
    }
}

impl ConfusionMatrix {
    /// A table of labels that are numbers of these names.
    ///
    /// # Errors
    /// [`Error::Refused`] for a label without a name.
    pub fn named(table: &metrics::ConfusionMatrix, names: &[String]) -> Result<Self> {
        let name = |&label: &usize| {
            let no_name =
                || Error::Refused(format!("class {label} has no name; there are {}", names.len()));
            names.get(label).cloned().ok_or_else(no_name)
        };
        let labels = table.labels().iter().map(name).collect::<Result<_>>()?;
        Ok(Self { labels, counts: table.counts().to_vec() })
    }
}

impl ReliabilityDiagram {
    /// The diagram of these bins, with its expected calibration error.
    ///
    /// # Errors
    /// [`Error::Refused`] without a bin.
    pub fn of(bins: &[metrics::ReliabilityBin]) -> Result<Self> {
        let bin = |bin: &metrics::ReliabilityBin| ReliabilityBin {
            low: bin.low,
            high: bin.high,
            n: bin.count as u64,
            confidence: bin.mean_probability,
            accuracy: bin.share_true,
        };
        let ece = Some(expected_calibration_error(bins)?);
        Ok(Self { bins: bins.iter().map(bin).collect(), ece })
    }
}

impl Performance {
    /// The speed under a load. Percentiles with too few samples are left out; the load's objective is one for the 95th.
    pub fn of(report: &LoadReport) -> Self {
        let percentiles = report.latency.percentiles.iter();
        let point = |p: &crate::performance::Percentile| {
            Some(LatencyPercentile { quantile: p.quantile, seconds: p.seconds? })
        };
        let objective = report.goodput.map(|goodput| LatencyPercentile {
            quantile: OBJECTIVE_QUANTILE,
            seconds: goodput.objective.latency,
        });
        Self {
            conditions: conditions(report),
            requests: report.requests,
            latency: percentiles.filter_map(point).collect(),
            objective,
            requests_per_second: Some(report.requests_per_second),
            ..Self::default()
        }
    }

    /// With the energy that `requests` took together.
    #[must_use]
    pub fn with_energy(self, energy: &Energy, requests: u64) -> Self {
        let each = energy.joules().map(|joules| joules / requests.max(1) as f64);
        Self { joules_per_request: each, energy_source: Some(energy.source()), ..self }
    }
}

fn conditions(report: &LoadReport) -> String {
    let load = match &report.load {
        Load::Closed { workers: 1, .. } => "one request after the other".into(),
        Load::Closed { workers, .. } => format!("{workers} requests at a time"),
        Load::Open { rate, arrivals: Arrivals::Poisson, .. } => {
            format!("{rate} requests/s at random times")
        }
        Load::Open { rate, arrivals: Arrivals::Constant, .. } => {
            format!("{rate} requests/s at equal distances")
        }
    };
    format!("{load}, for {:.1} s", report.seconds)
}
