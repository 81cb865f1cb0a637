//! When to raise an alarm.

use super::Snapshot;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What an alert watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// The 0.95 quantile of the latency in seconds.
    LatencyP95,
    /// The share of right answers, 0 to 1.
    Accuracy,
    /// Requests per second.
    Throughput,
    /// Memory in bytes.
    Memory,
}

/// On which side of the threshold something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Values above it.
    Above,
    /// Values below it.
    Below,
}

/// A condition on a model that raises an alarm when it holds for a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRule {
    /// The alert's name: letters, digits and underscores.
    pub name: String,
    /// What it watches.
    pub quantity: Quantity,
    /// Which side is wrong.
    pub bound: Bound,
    /// The last value that is right, in the quantity's unit.
    pub threshold: f64,
    /// For how long the condition must hold, in seconds, 0 to 604,800 (a week).
    pub wait_seconds: f64,
    /// The label `severity` of the alert, such as `warning` or `critical`.
    pub severity: String,
    /// What is wrong, in a sentence; Prometheus' templates may stand in it, and the rule file adds model and value.
    pub summary: String,
}

/// "More than 8 GB". GB is 10^9 bytes, as the SI has it and as Prometheus counts in plain bytes. Read as 2^33 the alert
/// could not warn of what it is for: an instance limited to 8 GiB is killed when it reaches 2^33.
const EIGHT_GB: f64 = 8e9;

impl AlertRule {
    /// The four alerts: latency above 2 s, accuracy below 80 %, throughput below 10 requests per second, memory above
    /// 8 GB (8 * 10^9 bytes), each for five minutes.
    pub fn defaults() -> Vec<Self> {
        let rule = |name: &str, quantity, bound, threshold, summary: &str| Self {
            name: name.into(),
            quantity,
            bound,
            threshold,
            wait_seconds: 300.0,
            severity: "warning".into(),
            summary: summary.into(),
        };
        use {Bound::*, Quantity::*};
        vec![
            rule("HighInferenceLatency", LatencyP95, Above, 2.0, "P95 latency is above 2 s"),
            rule("LowModelAccuracy", Accuracy, Below, 0.8, "Accuracy is below 80 %"),
            rule("LowThroughput", Throughput, Below, 10.0, "Fewer than 10 requests per second"),
            rule("HighMemoryUsage", Memory, Above, EIGHT_GB, "Memory is above 8 GB"),
        ]
    }

    /// Checks the rule.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is none, a threshold that is not finite, and a wait outside its range.
    pub fn check(&self) -> Result<()> {
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if self.name.is_empty() || !self.name.chars().all(letter) {
            let allowed = "letters, digits and underscores, at least one";
            return Err(Error::config("name", &self.name, allowed));
        }
        if !self.threshold.is_finite() {
            let field = format!("{}.threshold", self.name);
            return Err(Error::config(field, self.threshold, "a finite number"));
        }
        if !(0.0..=604_800.0).contains(&self.wait_seconds) {
            let field = format!("{}.wait_seconds", self.name);
            return Err(Error::config(field, self.wait_seconds, "0 to 604800 (a week)"));
        }
        Ok(())
    }

    pub(super) fn wait(&self) -> Duration {
        Duration::try_from_secs_f64(self.wait_seconds).unwrap_or_default()
    }

    /// The watched value, if it is known.
    pub(super) fn value(&self, snapshot: &Snapshot) -> Option<f64> {
        match self.quantity {
            Quantity::LatencyP95 => snapshot.latency_p95,
            Quantity::Accuracy => snapshot.accuracy,
            Quantity::Throughput => Some(snapshot.requests_per_second),
            Quantity::Memory => snapshot.memory.map(|bytes| bytes as f64),
        }
    }

    /// Whether a value is wrong.
    pub(super) fn holds(&self, value: f64) -> bool {
        match self.bound {
            Bound::Above => value > self.threshold,
            Bound::Below => value < self.threshold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_itself_is_right() {
        for rule in AlertRule::defaults() {
            rule.check().unwrap();
            assert!(!rule.holds(rule.threshold), "{}", rule.name);
            let (below, above) = (rule.threshold.next_down(), rule.threshold.next_up());
            assert_eq!(rule.holds(below), rule.bound == Bound::Below);
            assert_eq!(rule.holds(above), rule.bound == Bound::Above);
        }
    }

    #[test]
    fn a_bad_rule_is_named() {
        let good = AlertRule::defaults().remove(0);
        let bad = [
            AlertRule { name: String::new(), ..good.clone() },
            AlertRule { name: "a b".into(), ..good.clone() },
            AlertRule { threshold: f64::NAN, ..good.clone() },
            AlertRule { wait_seconds: -1.0, ..good.clone() },
            AlertRule { wait_seconds: f64::INFINITY, ..good },
        ];
        for rule in bad {
            assert!(rule.check().is_err(), "{rule:?}");
        }
    }
}
