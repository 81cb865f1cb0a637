//! Watching models in service: metrics for Prometheus, alerts, drift.
//!
//! ```text
//! requests, outcomes, evaluations, memory -> ModelMonitor -> Monitor::encode   -> Prometheus, Grafana
//!                                                         -> Monitor::evaluate -> AlertEvent
//! inputs or outputs against a reference   -> DriftReference, DriftWatch -> DriftReport
//! ```
//!
//! The same [`AlertRule`]s are evaluated in process and exported with [`prometheus_rules`].

mod alert;
mod alert_rule;
mod clock;
mod drift;
mod embedding_drift;
mod metrics;
mod model_monitor;
mod models;
mod prometheus_rules;
mod stability_index;
mod window;

pub use alert::{AlertEvent, AlertState, AlertStatus};
pub use alert_rule::{AlertRule, Bound, Quantity};
pub use clock::{Clock, ManualClock, SystemClock};
pub use drift::{DriftReference, DriftReport, DriftWatch};
pub use embedding_drift::{Discrepancy, centroid_distance, maximum_mean_discrepancy};
pub use metrics::{CONTENT_TYPE, LATENCY_BUCKETS};
pub use model_monitor::{ModelMonitor, Snapshot};
pub use models::{Monitor, MonitorOptions};
pub use prometheus_rules::prometheus_rules;
pub use stability_index::{Shift, StabilityIndex, population_stability_index};

/// A Grafana dashboard of the metrics, as JSON to import; it asks for the Prometheus data source.
pub const GRAFANA_DASHBOARD: &str = include_str!("dashboard.json");
