//! What load a generator makes, and for how long.

use super::Arrivals;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How requests are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Load {
    /// Each of `workers` sends the next request when its last one is answered: latency is counted from the sending. A
    /// target that stalls receives fewer requests meanwhile, which makes its latency look better than users would find
    /// it (coordinated omission).
    Closed {
        /// Requests in flight at any time, 1 to 4096.
        workers: usize,
        /// The interval in seconds, 0.001 to 604,800, at which a worker would send if answers came at once; latencies
        /// are then corrected by [`record_corrected`](super::LatencyHistogram::record_corrected).
        expected_interval: Option<f64>,
    },
    /// Requests are due at their times whatever becomes of earlier ones, as users send them. Latency is counted from
    /// the time at which a request was due, not from its sending, so that a stall costs all who wait.
    Open {
        /// Requests per second on average, 0.001 to 1,000,000.
        rate: f64,
        /// How they follow each other.
        arrivals: Arrivals,
        /// Seed of the arrivals.
        seed: u64,
        /// The most requests in flight, 1 to 4096, each on a thread of its own; when all are busy the next one is sent
        /// late, which [`SendLag`](super::SendLag) shows.
        max_in_flight: usize,
    },
}

/// What an answer must keep to count as good.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// The longest latency of the whole answer in seconds.
    pub latency: f64,
    /// The longest time to the first token in seconds; an answer whose first token has no time does not keep it.
    pub first_token: Option<f64>,
}

/// The settings of [`run_load`](super::run_load).
///
/// | setting | default | range |
/// |---|---|---|
/// | `requests` | none | at least 1; it or `seconds` is needed, the first one reached ends the run |
/// | `seconds` | none | more than 0, at most 604,800 (a week) |
/// | `warmup_requests` | 0 | any |
/// | `warmup_seconds` | 0 | 0 to 604,800; the warm-up lasts until both have passed |
/// | `objective` | none | bounds more than 0 |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadOptions {
    /// How requests are sent.
    pub load: Load,
    /// How many requests are measured.
    #[serde(default)]
    pub requests: Option<u64>,
    /// For how long requests are sent after the warm-up; answers that are outstanding then still count.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// Requests before any is measured.
    #[serde(default)]
    pub warmup_requests: u64,
    /// Time before any is measured.
    #[serde(default)]
    pub warmup_seconds: f64,
    /// What goodput counts.
    #[serde(default)]
    pub objective: Option<Objective>,
}

const WEEK: f64 = 604_800.0;
pub(super) const MOST_WORKERS: usize = 4096;

impl LoadOptions {
    /// Options for a load, without end, warm-up and objective yet.
    pub fn new(load: Load) -> Self {
        Self {
            load,
            requests: None,
            seconds: None,
            warmup_requests: 0,
            warmup_seconds: 0.0,
            objective: None,
        }
    }

    /// Threads that send.
    pub(super) fn workers(&self) -> usize {
        match self.load {
            Load::Closed { workers, .. } => workers,
            Load::Open { max_in_flight, .. } => max_in_flight,
        }
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// [`Error::Config`] for the first that is outside.
    pub fn check(&self) -> Result<()> {
        let within = |field: &str, value: f64, least: f64, most: f64, allowed: &str| match value {
            value if (least..=most).contains(&value) => Ok(()),
            value => Err(Error::config(field, value, allowed)),
        };
        // The least positive number: more than 0.
        let positive = f64::MIN_POSITIVE;
        let name = match &self.load {
            Load::Closed { expected_interval, .. } => {
                if let Some(interval) = *expected_interval {
                    let allowed = "0.001 to 604800 seconds";
                    within("expected_interval", interval, 1e-3, WEEK, allowed)?;
                }
                "workers"
            }
            Load::Open { rate, .. } => {
                within("rate", *rate, 1e-3, 1e6, "0.001 to 1000000 requests per second")?;
                "max_in_flight"
            }
        };
        if !(1..=MOST_WORKERS).contains(&self.workers()) {
            return Err(Error::config(name, self.workers(), "1 to 4096"));
        }
        match (self.requests, self.seconds) {
            (None, None) => {
                return Err(Error::config(
                    "requests",
                    "none",
                    "a number, or seconds, to end the run",
                ));
            }
            (Some(0), _) => return Err(Error::config("requests", 0, "at least 1")),
            (_, Some(seconds)) => {
                within("seconds", seconds, positive, WEEK, "more than 0, at most 604800 (a week)")?;
            }
            _ => {}
        }
        within("warmup_seconds", self.warmup_seconds, 0.0, WEEK, "0 to 604800 (a week)")?;
        if let Some(objective) = &self.objective {
            let bounds =
                [("latency", Some(objective.latency)), ("first_token", objective.first_token)];
            for (name, bound) in bounds {
                let field = format!("objective.{name}");
                within(&field, bound.unwrap_or(1.0), positive, f64::MAX, "more than 0 seconds")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(rate: f64) -> Load {
        Load::Open { rate, arrivals: Arrivals::Poisson, seed: 0, max_in_flight: 8 }
    }

    fn closed(workers: usize, expected_interval: Option<f64>) -> Load {
        Load::Closed { workers, expected_interval }
    }

    #[test]
    fn every_setting_outside_its_range_is_named() {
        let good = LoadOptions { requests: Some(1), ..LoadOptions::new(open(10.0)) };
        good.check().unwrap();
        let objective = |latency, first_token| Some(Objective { latency, first_token });
        let bad = [
            ("rate", LoadOptions { load: open(0.0), ..good.clone() }),
            ("rate", LoadOptions { load: open(f64::NAN), ..good.clone() }),
            ("workers", LoadOptions { load: closed(0, None), ..good.clone() }),
            ("workers", LoadOptions { load: closed(5000, None), ..good.clone() }),
            ("expected_interval", LoadOptions { load: closed(1, Some(0.0)), ..good.clone() }),
            ("requests", LoadOptions { requests: None, ..good.clone() }),
            ("requests", LoadOptions { requests: Some(0), ..good.clone() }),
            ("seconds", LoadOptions { seconds: Some(0.0), ..good.clone() }),
            ("seconds", LoadOptions { seconds: Some(f64::INFINITY), ..good.clone() }),
            ("warmup_seconds", LoadOptions { warmup_seconds: -1.0, ..good.clone() }),
            ("objective.latency", LoadOptions { objective: objective(0.0, None), ..good.clone() }),
            (
                "objective.first_token",
                LoadOptions { objective: objective(1.0, Some(f64::NAN)), ..good },
            ),
        ];
        for (field, options) in bad {
            let error = options.check().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{field} = ")), "{error}");
        }
    }

    #[test]
    fn options_are_read_from_json_and_unknown_ones_refused() {
        let text = r#"{"load": {"kind": "open", "rate": 5.0, "arrivals": "constant", "seed": 1,
                       "max_in_flight": 4}, "seconds": 2.0}"#;
        let options: LoadOptions = serde_json::from_str(text).unwrap();
        assert_eq!((options.seconds, options.workers()), (Some(2.0), 4));
        assert!(serde_json::from_str::<LoadOptions>(&text.replace("seconds", "second")).is_err());
        assert!(serde_json::from_str::<LoadOptions>(&text.replace("seed", "sed")).is_err());
    }
}
