//! What load a program makes.

use crate::Failure;
use clap::Args;
use nexus_core::data::read_json_lines;
use nexus_eval::performance::{Arrivals, Load, LoadOptions, Objective};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// How requests are sent, for how long, and what they ask.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub struct LoadArgs {
    /// The prompts, sent in turn: a line each, or .jsonl with {"prompt"} or {"text"}
    #[arg(long, value_name = "FILE")]
    pub prompts: PathBuf,
    /// Closed loop: this many requests in flight at any time
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "rate")]
    pub workers: usize,
    /// Open loop: requests per second, whatever becomes of earlier ones
    #[arg(long, value_name = "X")]
    pub rate: Option<f64>,
    /// Open loop at equal distances instead of random (Poisson) ones
    #[arg(long, requires = "rate")]
    pub constant: bool,
    /// Open loop: the most requests in flight
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub max_in_flight: usize,
    /// Seed of the arrivals
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Seconds to measure [default: 10, unless --requests is given]
    #[arg(long, value_name = "S")]
    pub duration: Option<f64>,
    /// Requests to measure
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,
    /// Seconds before anything is measured
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    pub warmup: f64,
    /// The latency in milliseconds that counts as good
    #[arg(long, value_name = "MS")]
    pub objective_ms: Option<f64>,
}

impl LoadArgs {
    /// The settings.
    ///
    /// # Errors
    /// When one is outside its range.
    pub fn options(&self) -> Result<LoadOptions, Failure> {
        let load = match self.rate {
            None => Load::Closed { workers: self.workers, expected_interval: None },
            Some(rate) => Load::Open {
                rate,
                arrivals: if self.constant { Arrivals::Constant } else { Arrivals::Poisson },
                seed: self.seed,
                max_in_flight: self.max_in_flight,
            },
        };
        let objective = |ms| Objective { latency: ms / 1e3, first_token: None };
        let options = LoadOptions {
            requests: self.requests,
            seconds: self.duration.or(self.requests.is_none().then_some(10.0)),
            warmup_seconds: self.warmup,
            objective: self.objective_ms.map(objective),
            ..LoadOptions::new(load)
        };
        options.check()?;
        Ok(options)
    }

    /// The most requests in flight.
    pub fn in_flight(&self) -> usize {
        if self.rate.is_some() { self.max_in_flight } else { self.workers }
    }

    /// The prompts of the file.
    ///
    /// # Errors
    /// When it cannot be read, or holds none.
    pub fn read_prompts(&self) -> Result<Vec<String>, Failure> {
        let path = &self.prompts;
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            return Ok(read_json_lines(path, prompt)?.into_iter().map(|(_, text)| text).collect());
        }
        let text = std::fs::read_to_string(path)
            .map_err(|why| format!("cannot read {}: {why}", path.display()))?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let prompts: Vec<String> = lines.map(str::to_string).collect();
        match prompts.is_empty() {
            true => Err(format!("{} holds no prompt", path.display()).into()),
            false => Ok(prompts),
        }
    }
}

fn prompt(mut object: Map<String, Value>) -> Result<String, String> {
    match object.remove("prompt").or_else(|| object.remove("text")) {
        Some(Value::String(text)) => Ok(text),
        _ => Err("expected {\"prompt\": \"...\"} or {\"text\": \"...\"}".into()),
    }
}
