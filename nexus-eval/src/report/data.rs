//! What a report holds about a model.

use super::format;
use crate::performance::EnergySource;
use crate::quality::{Check, Finding, Grade};
use crate::stats::Interval;
use crate::stats::distributions::normal_quantile;
use nexus_core::report::{EvalReport, Measure};
use serde::{Deserialize, Serialize};

/// What is known about one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// The model's name; each in a report has its own.
    pub name: String,
    /// A few words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What evaluations found.
    pub evaluations: Vec<EvalReport>,
    /// Intervals of measures, where better ones are known than those of the standard error.
    #[serde(default)]
    pub intervals: Vec<MeasureInterval>,
    /// How often each class was answered as which.
    #[serde(default)]
    pub confusion: Option<ConfusionMatrix>,
    /// How far probabilities can be trusted.
    #[serde(default)]
    pub reliability: Option<ReliabilityDiagram>,
    /// Speed and cost.
    #[serde(default)]
    pub performance: Option<Performance>,
    /// Checks against limits.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// The grade.
    #[serde(default)]
    pub grade: Option<Grade>,
    /// What rules found, and what they advise.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// The interval of a measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasureInterval {
    /// The task's name.
    pub task: String,
    /// The measure's name.
    pub measure: String,
    /// The interval.
    pub interval: Interval,
    /// How it was found, such as `Wilson` or `bootstrap, 1000 resamples`.
    pub method: String,
}

/// Counts of target classes (rows) by answered classes (columns).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    /// Names of the classes, C.
    pub labels: Vec<String>,
    /// Counts, `[C, C]`.
    pub counts: Vec<Vec<u64>>,
}

/// Confidence against accuracy, by bins of confidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityDiagram {
    /// The bins in ascending order of confidence.
    pub bins: Vec<ReliabilityBin>,
    /// Expected calibration error, where computed.
    pub ece: Option<f64>,
}

/// The answers whose confidence lies in one bin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Number of answers.
    pub n: u64,
    /// Mean confidence; without meaning when `n` is 0.
    pub confidence: f64,
    /// Share of right answers; without meaning when `n` is 0.
    pub accuracy: f64,
}

/// Speed and cost of a model, measured under one load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    /// The load and the machine in words, such as `20 requests/s for 60 s, 16 threads`.
    pub conditions: String,
    /// Requests behind the percentiles.
    pub requests: u64,
    /// Latency by quantile, ascending.
    #[serde(default)]
    pub latency: Vec<LatencyPercentile>,
    /// The latency that is asked for.
    #[serde(default)]
    pub objective: Option<LatencyPercentile>,
    /// What holds the speed back, where known.
    #[serde(default)]
    pub bottleneck: Option<Bottleneck>,
    /// Requests per second that were answered.
    #[serde(default)]
    pub requests_per_second: Option<f64>,
    /// Most memory that was resident, in bytes.
    #[serde(default)]
    pub peak_memory_bytes: Option<u64>,
    /// Size of the model's files in bytes.
    #[serde(default)]
    pub model_bytes: Option<u64>,
    /// Energy per request in joules, where measured or estimated.
    #[serde(default)]
    pub joules_per_request: Option<f64>,
    /// Where the energy comes from; `None` when nobody looked.
    #[serde(default)]
    pub energy_source: Option<EnergySource>,
}

/// What holds the speed of a model back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bottleneck {
    /// Arithmetic: more work for each byte that is read than the processor keeps up with.
    Compute,
    /// Reading weights from memory, as when tokens are generated one by one.
    MemoryBandwidth,
    /// Requests wait for each other before they are worked on.
    Queue,
}

/// A latency that a share of all requests keeps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyPercentile {
    /// The share, such as 0.95.
    pub quantile: f64,
    /// The latency in seconds.
    pub seconds: f64,
}

impl ModelReport {
    /// Every measure with its task.
    pub fn measures(&self) -> impl Iterator<Item = (&str, &Measure)> {
        self.evaluations.iter().flat_map(|report| {
            report.measures.iter().map(move |measure| (report.task.as_str(), measure))
        })
    }

    /// The interval of a measure: the one given, else `value ± 1.96 stderr`, else none.
    pub fn interval(&self, task: &str, measure: &Measure) -> Option<Interval> {
        let given = self.intervals.iter().find(|i| i.task == task && i.measure == measure.name);
        match (given, measure.stderr) {
            (Some(given), _) => Some(given.interval),
            (None, Some(stderr)) => {
                let half = normal_quantile(0.975) * stderr;
                let (low, high) = (measure.value - half, measure.value + half);
                Some(Interval { low, high, level: 0.95 })
            }
            (None, None) => None,
        }
    }
}

impl ConfusionMatrix {
    /// Answers to examples of a class.
    pub fn of_class(&self, class: usize) -> u64 {
        self.counts.get(class).map_or(0, |row| row.iter().sum())
    }

    /// The share of a class's examples that were answered rightly; `None` without examples.
    pub fn recall(&self, class: usize) -> Option<f64> {
        let right = *self.counts.get(class)?.get(class)?;
        let all = self.of_class(class);
        (all > 0).then(|| right as f64 / all as f64)
    }

    /// The wrong answers by frequency, as (target, answer, count), most frequent first.
    pub fn mistakes(&self) -> Vec<(usize, usize, u64)> {
        let mut cells: Vec<(usize, usize, u64)> = self
            .counts
            .iter()
            .enumerate()
            .flat_map(|(t, row)| row.iter().enumerate().map(move |(a, &count)| (t, a, count)))
            .filter(|&(target, answer, count)| target != answer && count > 0)
            .collect();
        cells.sort_by_key(|&(_, _, count)| std::cmp::Reverse(count));
        cells
    }
}

impl Performance {
    /// The latency at a quantile that was measured.
    pub fn latency_at(&self, quantile: f64) -> Option<f64> {
        self.latency.iter().find(|point| point.quantile == quantile).map(|point| point.seconds)
    }

    /// Memory, size of the files and energy as people read them, each with its name; what is not known is left out.
    pub fn costs(&self) -> Vec<(&'static str, String)> {
        let costs = [
            ("peak memory", self.peak_memory_bytes.map(format::bytes)),
            ("model size", self.model_bytes.map(format::bytes)),
            ("J/request", self.energy()),
        ];
        costs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The energy per request as people read it, which says where it is an estimate or could not be measured.
    pub(super) fn energy(&self) -> Option<String> {
        let joules = self.joules_per_request.map(format::number);
        match (joules, self.energy_source) {
            (Some(joules), Some(EnergySource::TdpEstimate)) => Some(format!("{joules} (estimate)")),
            (None, Some(EnergySource::Unavailable)) => Some("unavailable".into()),
            (joules, _) => joules,
        }
    }
}
