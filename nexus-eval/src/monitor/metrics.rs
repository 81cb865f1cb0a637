//! The metrics for Prometheus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// The content type of what [`Monitor::encode`](super::Monitor::encode) gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper edges of the latency histogram in seconds. Prometheus knows a quantile only to its bucket, so that each
/// objective is an edge: whether P95 is above 2 s is then exact.
pub const LATENCY_BUCKETS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct Labels {
    pub(super) model: String,
    pub(super) version: String,
}

pub(super) type GaugeF64 = Gauge<f64, AtomicU64>;

/// The five metrics, each with a series per model and version.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    pub(super) duration: Family<Labels, Histogram, fn() -> Histogram>,
    pub(super) accuracy: Family<Labels, GaugeF64>,
    pub(super) throughput: Family<Labels, GaugeF64>,
    pub(super) memory: Family<Labels, GaugeF64>,
    pub(super) evaluations: Family<Labels, Counter>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::default();
        let histogram: fn() -> Histogram = || Histogram::new(LATENCY_BUCKETS);
        let metrics = Self {
            registry: Registry::default(),
            duration: Family::new_with_constructor(histogram),
            accuracy: Family::default(),
            throughput: Family::default(),
            memory: Family::default(),
            evaluations: Family::default(),
        };
        // The crate ends each text with a full stop, and the counter's name with _total.
        registry.register(
            "model_inference_duration_seconds",
            "Time from a request to its whole answer",
            metrics.duration.clone(),
        );
        registry.register(
            "model_accuracy_score",
            "Share of right answers, 0 to 1: of recent outcomes, else of the last evaluation",
            metrics.accuracy.clone(),
        );
        registry.register(
            "model_throughput_requests_per_second",
            "Answered requests per second of the recent past",
            metrics.throughput.clone(),
        );
        registry.register(
            "model_memory_usage_bytes",
            "Memory that the model's instance takes",
            metrics.memory.clone(),
        );
        registry.register(EVALUATIONS, "Evaluations of the model", metrics.evaluations.clone());
        Self { registry, ..metrics }
    }

    /// All series in Prometheus' text format 0.0.4.
    pub(super) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String fails only where a metric's own encoding does, and these are the crate's.
        let encoded = encode(&mut text, &self.registry);
        debug_assert!(encoded.is_ok());
        // The crate writes OpenMetrics, which differs in two ways: the comments on a counter name it without _total,
        // and an end is marked.
        for comment in ["# HELP", "# TYPE"] {
            let (from, to) =
                (format!("{comment} {EVALUATIONS} "), format!("{comment} {EVALUATIONS}_total "));
            text = text.replacen(&from, &to, 1);
        }
        match text.strip_suffix("# EOF\n") {
            Some(series) => series.to_string(),
            None => text,
        }
    }
}

const EVALUATIONS: &str = "model_evaluations";
