//! The monitor of all models of a service.

use super::alert::{Alert, AlertEvent, AlertStatus};
use super::clock::{Clock, SystemClock};
use super::metrics::{Labels, Metrics};
use super::{AlertRule, ModelMonitor};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The settings of a [`Monitor`].
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorOptions {
    /// The recent past, over which throughput, latency and outcomes are taken; 60 s by default, one second to a day. It
    /// slides in twelve steps.
    pub window: Duration,
    /// Outcomes in the window from which on their share counts as accuracy; 20 by default.
    pub min_outcomes: u64,
    /// Models and versions that can be watched, each with its own series and about 2 MB of window; 100 by default.
    pub max_models: usize,
    /// The alerts; [`AlertRule::defaults`] by default.
    pub rules: Vec<AlertRule>,
}

impl Default for MonitorOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            min_outcomes: 20,
            max_models: 100,
            rules: AlertRule::defaults(),
        }
    }
}

/// Watches models in service. It starts no thread and opens no port: the service serves [`encode`](Self::encode) at
/// `/metrics`, and calls [`evaluate`](Self::evaluate) about every 15 seconds for the alerts.
///
/// Metrics, each with the labels `model` and `version`:
///
/// | name | type | |
/// |---|---|---|
/// | `model_inference_duration_seconds` | histogram | [`ModelMonitor::inference`], edges [`LATENCY_BUCKETS`](super::LATENCY_BUCKETS) |
/// | `model_accuracy_score` | gauge | [`ModelMonitor::outcome`], else [`ModelMonitor::evaluation`]; absent until known |
/// | `model_throughput_requests_per_second` | gauge | requests in the window over its length |
/// | `model_memory_usage_bytes` | gauge | [`ModelMonitor::memory`]; absent until told |
/// | `model_evaluations_total` | counter | [`ModelMonitor::evaluation`] |
pub struct Monitor {
    options: MonitorOptions,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    models: Mutex<BTreeMap<Labels, Arc<ModelMonitor>>>,
    /// By model and by the rule's index.
    alerts: Mutex<BTreeMap<(Labels, usize), Alert>>,
}

impl Monitor {
    /// A monitor with a registry of its own.
    ///
    /// # Errors
    /// [`Error::Config`] for options outside their ranges, a bad rule, and two rules of one name.
    pub fn new(options: MonitorOptions) -> Result<Self> {
        Self::with_clock(options, Arc::new(SystemClock::default()))
    }

    /// The same by another clock.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(options: MonitorOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        if !(1..=86_400).contains(&options.window.as_secs()) {
            let window = format!("{:?}", options.window);
            return Err(Error::config("window", window, "one second to a day"));
        }
        for (i, rule) in options.rules.iter().enumerate() {
            rule.check()?;
            if options.rules[..i].iter().any(|other| other.name == rule.name) {
                return Err(Error::config("name", &rule.name, "a name of its own for each rule"));
            }
        }
        let (models, alerts) = (Mutex::default(), Mutex::default());
        Ok(Self { options, clock, metrics: Metrics::new(), models, alerts })
    }

    /// The monitor of a version of a model; the same one for the same names. Hold on to it: finding it takes a lock.
    ///
    /// # Errors
    /// [`Error::Refused`] for more models than the options allow.
    pub fn model(&self, model: &str, version: &str) -> Result<Arc<ModelMonitor>> {
        let labels = Labels { model: model.into(), version: version.into() };
        let mut models = lock(&self.models);
        if let Some(known) = models.get(&labels) {
            return Ok(known.clone());
        }
        let most = self.options.max_models;
        if models.len() >= most {
            return Err(Error::Refused(format!(
                "the monitor already watches {most} models; remove one, or raise max_models"
            )));
        }
        let (window, outcomes) = (self.options.window, self.options.min_outcomes);
        let monitor =
            ModelMonitor::new(labels.clone(), &self.metrics, window, outcomes, self.clock.clone());
        let monitor = Arc::new(monitor);
        models.insert(labels, monitor.clone());
        Ok(monitor)
    }

    /// Forgets a version of a model: its series and alerts end. Whether it was known.
    pub fn remove(&self, model: &str, version: &str) -> bool {
        let labels = Labels { model: model.into(), version: version.into() };
        let mut models = lock(&self.models);
        let known = models.remove(&labels).is_some();
        self.metrics.duration.remove(&labels);
        self.metrics.accuracy.remove(&labels);
        self.metrics.throughput.remove(&labels);
        self.metrics.memory.remove(&labels);
        self.metrics.evaluations.remove(&labels);
        lock(&self.alerts).retain(|(of, _), _| *of != labels);
        known
    }

    /// All series in Prometheus' text format 0.0.4, to be served as [`CONTENT_TYPE`](super::CONTENT_TYPE).
    pub fn encode(&self) -> String {
        // Held throughout, so that no removed model comes back.
        let models = lock(&self.models);
        models.values().for_each(|model| model.refresh());
        self.metrics.encode()
    }

    /// Evaluates the alerts of all models, and gives what changed.
    pub fn evaluate(&self) -> Vec<AlertEvent> {
        let models = lock(&self.models);
        let mut alerts = lock(&self.alerts);
        let now = self.clock.now();
        let mut events = Vec::new();
        for (labels, model) in models.iter() {
            let snapshot = model.snapshot();
            for (i, rule) in self.options.rules.iter().enumerate() {
                let value = rule.value(&snapshot);
                let holds = value.is_some_and(|value| rule.holds(value));
                let alert = alerts.entry((labels.clone(), i)).or_default();
                for (from, to) in alert.step(holds, rule.wait(), now) {
                    events.push(AlertEvent {
                        rule: rule.name.clone(),
                        model: labels.model.clone(),
                        version: labels.version.clone(),
                        from,
                        to,
                        value,
                        at: now,
                    });
                }
            }
        }
        events
    }

    /// Where every alert stood at the last evaluation.
    pub fn alerts(&self) -> Vec<AlertStatus> {
        let alerts = lock(&self.alerts);
        let status = |((labels, rule), alert): (&(Labels, usize), &Alert)| AlertStatus {
            rule: self.options.rules[*rule].name.clone(),
            model: labels.model.clone(),
            version: labels.version.clone(),
            state: alert.state,
            since: alert.since,
        };
        alerts.iter().map(status).collect()
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What the locks guard is whole between any two changes, even if a thread panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
