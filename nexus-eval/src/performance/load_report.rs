//! What a load run measured.

use super::recorder::Recorder;
use super::{LatencyHistogram, LatencySummary, Load, LoadOptions, Objective};
use nexus_core::report::{EvalReport, Measure, table};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a load run measured. Times are in seconds.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// The load.
    pub load: Load,
    /// Requests of the warm-up, which nothing else counts.
    pub warmup_requests: u64,
    /// Measured requests.
    pub requests: u64,
    /// Those that were answered without error.
    pub succeeded: u64,
    /// Errors by message.
    pub errors: BTreeMap<String, u64>,
    /// From the time at which the first measured request was due until the last answer. Short runs understate
    /// throughput, since it falls while the last requests are outstanding.
    pub seconds: f64,
    /// Successful requests per second.
    pub requests_per_second: f64,
    /// Tokens read per second; `None` unless every answer said its number.
    pub tokens_in_per_second: Option<f64>,
    /// Tokens written per second; `None` unless every answer said its number.
    pub tokens_out_per_second: Option<f64>,
    /// Latency of the whole answer.
    pub latency: LatencySummary,
    /// Time to the first token.
    pub first_token: LatencySummary,
    /// Time between two tokens that follow each other.
    pub inter_token: LatencySummary,
    /// Mean time per output token after the first, by request.
    pub time_per_output_token: LatencySummary,
    /// Requests that kept the objective.
    pub goodput: Option<Goodput>,
    /// How far sending fell behind; of open loops.
    pub send_lag: Option<SendLag>,
    /// What makes the numbers doubtful.
    pub warnings: Vec<String>,
    /// Latencies of the whole answer, to merge with those of other runs.
    #[serde(skip)]
    pub latencies: LatencyHistogram,
}

/// Requests that kept the objective.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Goodput {
    /// The objective.
    pub objective: Objective,
    /// Requests that kept it.
    pub within: u64,
    /// Their share of all measured requests; one that failed does not keep it.
    pub share: f64,
    /// Their number per second.
    pub per_second: f64,
}

/// How far the generator fell behind the times at which requests were due.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SendLag {
    /// From due to sent.
    pub lag: LatencySummary,
    /// From which lag on a request counts as late: a tenth of the median latency, but at least a millisecond.
    pub late_from: f64,
    /// The share of requests that were late.
    pub late: f64,
    /// The share of requests that were due while all workers were busy.
    pub all_busy: f64,
}

/// A larger share of late requests is a warning.
const MOST_LATE: f64 = 0.01;

impl LoadReport {
    pub(super) fn new(options: &LoadOptions, all: Recorder) -> Self {
        let failed: u64 = all.errors.values().sum();
        let requests = all.succeeded + failed;
        let begin = all.first_due.unwrap_or(all.last_end);
        let seconds = all.last_end.saturating_sub(begin).as_secs_f64();
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let share = |count: u64| count as f64 / requests.max(1) as f64;
        let goodput = options.objective.map(|objective| Goodput {
            objective,
            within: all.within,
            share: share(all.within),
            per_second: per_second(all.within),
        });
        let send_lag = match options.load {
            Load::Open { .. } => Some(SendLag::new(&all.lag, &all.latency, share(all.waited))),
            Load::Closed { .. } => None,
        };
        let mut report = Self {
            load: options.load.clone(),
            warmup_requests: all.warmup,
            requests,
            succeeded: all.succeeded,
            errors: all.errors,
            seconds,
            requests_per_second: per_second(all.succeeded),
            tokens_in_per_second: all
                .tokens_in
                .known()
                .filter(|_| all.succeeded > 0)
                .map(per_second),
            tokens_out_per_second: all
                .tokens_out
                .known()
                .filter(|_| all.succeeded > 0)
                .map(per_second),
            latency: all.latency.summary(),
            first_token: all.first_token.summary(),
            inter_token: all.inter_token.summary(),
            time_per_output_token: all.per_token.summary(),
            goodput,
            send_lag,
            warnings: Vec::new(),
            latencies: all.latency,
        };
        report.warn();
        report
    }

    /// Measured requests that failed.
    pub fn failed(&self) -> u64 {
        self.requests - self.succeeded
    }

    fn warn(&mut self) {
        if self.failed() > 0 {
            let (failed, requests) = (self.failed(), self.requests);
            self.warnings.push(format!("{failed} of {requests} requests failed"));
        }
        let Some(lag) = &self.send_lag else { return };
        if lag.late <= MOST_LATE {
            return;
        }
        let mut text = format!(
            "{:.1} % of the requests were sent more than {:.1} ms late",
            lag.late * 100.0,
            lag.late_from * 1e3
        );
        text += match lag.all_busy > MOST_LATE {
            true => {
                ": all workers were busy; the target is overloaded at this rate, or max_in_flight \
                 is too low for its latency"
            }
            false => ": this machine is too busy to keep the schedule",
        };
        self.warnings.push(text);
    }

    /// The main numbers as measures, to compare runs with
    /// [`comparison_table`](nexus_core::report::comparison_table). Percentiles without enough samples are left out.
    pub fn to_eval_report(&self, task: &str) -> EvalReport {
        let n = self.requests as usize;
        let mut measures = Vec::new();
        let groups = [
            ("latency", &self.latency),
            ("first_token", &self.first_token),
            ("inter_token", &self.inter_token),
        ];
        for (name, summary) in groups {
            for percentile in &summary.percentiles {
                let Some(value) = percentile.seconds else { continue };
                let name = format!("{name}_p{}_seconds", (percentile.quantile * 100.0).round());
                measures.push(measure(name, value, summary.samples as usize, false));
            }
        }
        measures.push(measure("requests_per_second".into(), self.requests_per_second, n, true));
        if let Some(rate) = self.tokens_out_per_second {
            measures.push(measure("tokens_out_per_second".into(), rate, n, true));
        }
        if let Some(goodput) = &self.goodput {
            measures.push(measure("goodput_share".into(), goodput.share, n, true));
        }
        EvalReport { task: task.into(), measures, examples: n, seconds: self.seconds }
    }
}

impl LoadReport {
    /// The report as Markdown: rates, then times in milliseconds. A percentile with too few samples is `n/a`.
    pub fn to_markdown(&self) -> String {
        let number = |value: Option<f64>| value.map_or("n/a".into(), |value| format!("{value:.2}"));
        let mut rates = vec![
            ("requests", format!("{} ({} failed)", self.requests, self.failed())),
            ("seconds", format!("{:.2}", self.seconds)),
            ("requests/s", format!("{:.2}", self.requests_per_second)),
            ("input tokens/s", number(self.tokens_in_per_second)),
            ("output tokens/s", number(self.tokens_out_per_second)),
        ];
        if let Some(goodput) = &self.goodput {
            let share = goodput.share * 100.0;
            rates.push(("goodput", format!("{share:.1} %, {:.2} requests/s", goodput.per_second)));
        }
        let errors = self.errors.iter().map(|(why, count)| (why.as_str(), count.to_string()));
        let rows = rates.into_iter().chain(errors).map(|(name, value)| vec![name.into(), value]);
        let mut text = table(&["quantity", "value"], &rows.collect::<Vec<_>>());
        let times = [
            ("latency", Some(&self.latency)),
            ("first token", Some(&self.first_token)),
            ("between tokens", Some(&self.inter_token)),
            ("per output token", Some(&self.time_per_output_token)),
            ("send lag", self.send_lag.as_ref().map(|lag| &lag.lag)),
        ];
        let mut rows = Vec::new();
        for (name, summary) in times {
            let Some(summary) = summary.filter(|summary| summary.samples > 0) else { continue };
            let millis = |value: Option<f64>| number(value.map(|seconds| seconds * 1e3));
            let mut row = vec![name.into(), millis(summary.mean)];
            row.extend(summary.percentiles.iter().map(|percentile| millis(percentile.seconds)));
            row.extend([millis(summary.max), summary.samples.to_string()]);
            rows.push(row);
        }
        if !rows.is_empty() {
            let header = ["milliseconds", "mean", "P50", "P90", "P95", "P99", "max", "n"];
            text += &format!("\n{}", table(&header, &rows));
        }
        text
    }
}

fn measure(name: String, value: f64, n: usize, higher_is_better: bool) -> Measure {
    Measure { name, value, stderr: None, n, higher_is_better }
}

impl SendLag {
    fn new(lag: &LatencyHistogram, latency: &LatencyHistogram, all_busy: f64) -> Self {
        let median = latency.ranked(latency.len().div_ceil(2)).unwrap_or_default();
        let late_from = (median / 10).max(Duration::from_millis(1));
        Self {
            lag: lag.summary(),
            late_from: late_from.as_secs_f64(),
            late: lag.share_above(late_from).unwrap_or(0.0),
            all_busy,
        }
    }
}
