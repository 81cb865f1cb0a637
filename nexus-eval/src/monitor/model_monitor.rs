//! What is known of one model in service.

use super::clock::Clock;
use super::metrics::{GaugeF64, Labels, Metrics};
use super::window::{Sum, Window};
use crate::performance::LatencySummary;
use crate::{Error, Result};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Takes what happens to one version of a model. Cheap to call for every request: a bucket of the histogram and one of
/// the window are counted up, each under its lock. A scrape or an evaluation of alerts sums up the window under the same
/// lock, which takes a fraction of a millisecond.
pub struct ModelMonitor {
    labels: Labels,
    clock: Arc<dyn Clock>,
    min_outcomes: u64,
    duration: Histogram,
    evaluations: Counter,
    accuracy: Family<Labels, GaugeF64>,
    throughput: Family<Labels, GaugeF64>,
    memory: Family<Labels, GaugeF64>,
    state: Mutex<State>,
}

struct State {
    window: Window,
    /// The accuracy of the last evaluation that had one.
    evaluated: Option<f64>,
    memory: Option<u64>,
}

/// A model's recent past.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Requests in the window.
    pub requests: u64,
    /// Requests per second over the window.
    pub requests_per_second: f64,
    /// Latency over the window in seconds.
    pub latency: LatencySummary,
    /// The 0.95 quantile of the very requests of the window in seconds: what an alert on latency compares. With fewer
    /// than 20 it is the slowest one, since an alert cannot wait for samples; `latency` has P95 as an estimate.
    pub latency_p95: Option<f64>,
    /// Share of right outcomes in the window when there are enough of them, else the accuracy of the last evaluation.
    pub accuracy: Option<f64>,
    /// Outcomes in the window.
    pub outcomes: u64,
    /// Memory in bytes, as last told.
    pub memory: Option<u64>,
}

impl ModelMonitor {
    pub(super) fn new(
        labels: Labels,
        metrics: &Metrics,
        window: Duration,
        min_outcomes: u64,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let state =
            State { window: Window::new(window, clock.now()), evaluated: None, memory: None };
        Self {
            duration: metrics.duration.get_or_create_owned(&labels),
            evaluations: metrics.evaluations.get_or_create_owned(&labels),
            accuracy: metrics.accuracy.clone(),
            throughput: metrics.throughput.clone(),
            memory: metrics.memory.clone(),
            labels,
            clock,
            min_outcomes,
            state: Mutex::new(state),
        }
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.labels.model
    }

    /// The model's version.
    pub fn version(&self) -> &str {
        &self.labels.version
    }

    /// A request was answered after this time.
    pub fn inference(&self, latency: Duration) {
        self.duration.observe(latency.as_secs_f64());
        let now = self.clock.now();
        self.state().window.request(latency, now);
    }

    /// An answer turned out right or wrong.
    pub fn outcome(&self, right: bool) {
        let now = self.clock.now();
        self.state().window.outcome(right, now);
    }

    /// The model was evaluated, with this accuracy if the evaluation gives one.
    ///
    /// # Errors
    /// [`Error::Config`] for an accuracy outside 0 to 1; nothing is counted then.
    pub fn evaluation(&self, accuracy: Option<f64>) -> Result<()> {
        if let Some(accuracy) = accuracy {
            if !(0.0..=1.0).contains(&accuracy) {
                return Err(Error::config(
                    "accuracy",
                    accuracy,
                    "a share of right answers, 0 to 1",
                ));
            }
            self.state().evaluated = Some(accuracy);
        }
        self.evaluations.inc();
        Ok(())
    }

    /// The model's instance takes this much memory; see
    /// [`process_memory`](crate::performance::process_memory).
    pub fn memory(&self, bytes: u64) {
        self.state().memory = Some(bytes);
    }

    /// The recent past.
    pub fn snapshot(&self) -> Snapshot {
        let now = self.clock.now();
        let (sum, evaluated, memory) = {
            let state = self.state();
            (state.window.sum(now), state.evaluated, state.memory)
        };
        let Sum { latencies, right, outcomes, span } = sum;
        let rolling =
            (outcomes > 0 && outcomes >= self.min_outcomes).then(|| right as f64 / outcomes as f64);
        // ceil(0.95 n) in whole numbers.
        let p95 = latencies.ranked((latencies.len() * 95).div_ceil(100));
        Snapshot {
            requests: latencies.len(),
            requests_per_second: latencies.len() as f64 / span.as_secs_f64(),
            latency_p95: p95.map(|latency| latency.as_secs_f64()),
            latency: latencies.summary(),
            accuracy: rolling.or(evaluated),
            outcomes,
            memory,
        }
    }

    /// Writes the recent past into the gauges. What is not known has no series: a gauge of 0 would fire alerts.
    pub(super) fn refresh(&self) {
        let snapshot = self.snapshot();
        let set = |family: &Family<Labels, GaugeF64>, value: Option<f64>| match value {
            Some(value) => {
                family.get_or_create(&self.labels).set(value);
            }
            None => {
                family.remove(&self.labels);
            }
        };
        set(&self.throughput, Some(snapshot.requests_per_second));
        set(&self.accuracy, snapshot.accuracy);
        set(&self.memory, snapshot.memory.map(|bytes| bytes as f64));
    }

    /// A state is whole between any two of its changes, even if a thread panicked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for ModelMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelMonitor").field("labels", &self.labels).finish_non_exhaustive()
    }
}
