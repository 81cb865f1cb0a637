//! What becomes of an evaluation beside its table: checks against limits, and a report with speed and cost.

use crate::{Failure, local_performance, progress};
use clap::Args;
use nexus_eval::performance::{
    Energy, EnergyMeter, EnergyOptions, EnergyReading, Load, LoadOptions, Objective, Response,
    run_load,
};
use nexus_eval::quality::{Check, Requirement, Rubric, RuleLimits, Threshold, Verdict};
use nexus_eval::report::{ModelReport, Performance, Report};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Limits and the report.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Judgement and report")]
pub struct ReportArgs {
    /// Exit with 1 when a measure is worse than this with 95 % certainty; may be repeated
    #[arg(long, value_name = "MEASURE=VALUE", value_parser = requirement)]
    require: Vec<(String, f64)>,
    /// Write report.json, report.md and report.html into this folder; examples are then also timed, one after the other
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// The most examples to time
    #[arg(long, value_name = "N", default_value_t = 200, requires = "report")]
    timed: usize,
    /// The latency in milliseconds that 95 % of the timed examples are to keep
    #[arg(long, value_name = "MS", requires = "report")]
    objective_ms: Option<f64>,
    /// Power of the processor in watts, to estimate energy where it cannot be measured
    #[arg(long, value_name = "W", requires = "report")]
    tdp_watts: Option<f64>,
}

/// An evaluated model, and how each of its examples can be asked by itself.
#[allow(missing_debug_implementations, reason = "holds a closure")]
pub struct Evaluated<'a> {
    /// What was found.
    pub model: ModelReport,
    /// The settings behind it.
    pub settings: Map<String, Value>,
    /// Number of examples that can be asked.
    pub examples: usize,
    /// Asks the model one example, by its number.
    pub ask: Box<dyn Fn(usize) -> Result<(), String> + Sync + 'a>,
}

impl ReportArgs {
    /// Checks the arguments that need nothing else.
    ///
    /// # Errors
    /// When one is out of its range.
    pub fn check(&self) -> Result<(), Failure> {
        EnergyMeter::start(self.energy())?;
        Ok(self.load(1).check()?)
    }

    /// The most examples that are timed; none without a report.
    pub fn timed(&self) -> usize {
        if self.report.is_some() { self.timed } else { 0 }
    }

    /// Checks the limits, and writes the report of a model in `folder`.
    ///
    /// # Errors
    /// When a limit is not kept or names no measure, or the report cannot be made.
    pub fn finish(&self, evaluated: Evaluated<'_>, folder: &Path) -> Result<(), Failure> {
        let Evaluated { mut model, mut settings, examples, ask } = evaluated;
        for (name, limit) in &self.require {
            model.checks.extend(check(&model, name, *limit)?);
        }
        let checks = model.checks.clone();
        if let Some(out) = &self.report {
            if examples > 0 {
                model.performance = Some(self.time(&ask, examples, folder, &mut settings)?);
            }
            model.grade = Rubric::default().grade(&model)?;
            model.findings = RuleLimits::default().findings(&model)?;
            let tasks: Vec<&str> = model.evaluations.iter().map(|e| e.task.as_str()).collect();
            let mut report = Report::new(&format!("{} on {}", model.name, tasks.join(", ")));
            settings.retain(|_, value| !value.is_null());
            report.settings = settings;
            report.models.push(model);
            report.save(out)?;
            eprintln!("wrote {}", out.join("report.html").display());
        }
        verdicts(&checks)
    }

    fn time(
        &self,
        ask: &(dyn Fn(usize) -> Result<(), String> + Sync),
        examples: usize,
        folder: &Path,
        settings: &mut Map<String, Value>,
    ) -> Result<Performance, Failure> {
        let mut bar = progress("timing");
        // The first request is the warm-up, and is asked again.
        let send = |i: u64| ask(i.saturating_sub(1) as usize).map(|()| Response::default());
        let run = || run_load(&self.load(examples as u64), send, &mut bar);
        let (report, energy) = EnergyMeter::during(self.energy(), run)?;
        let report = report?;
        if let Some((why, _)) = report.errors.iter().next() {
            return Err(format!("an example alone: {why}").into());
        }
        settings.insert("energy".into(), energy_in_words(&energy).into());
        local_performance(&report, &energy, folder)
    }

    fn energy(&self) -> EnergyOptions {
        EnergyOptions { tdp_watts: self.tdp_watts, ..EnergyOptions::default() }
    }

    fn load(&self, requests: u64) -> LoadOptions {
        let objective = |ms: f64| Objective { latency: ms / 1e3, first_token: None };
        LoadOptions {
            requests: Some(requests),
            warmup_requests: 1,
            objective: self.objective_ms.map(objective),
            ..LoadOptions::new(Load::Closed { workers: 1, expected_interval: None })
        }
    }
}

/// Where the energy of each device comes from, or why there is none.
fn energy_in_words(energy: &Energy) -> String {
    let words = |reading: &EnergyReading| match (reading.joules, &reading.why) {
        (Some(joules), None) => format!("{}: {joules:.3} J by its counter", reading.device),
        (Some(joules), Some(why)) => format!("{}: {joules:.3} J estimated; {why}", reading.device),
        (None, why) => format!("{}: unavailable; {}", reading.device, why.as_deref().unwrap_or("")),
    };
    energy.readings.iter().map(words).collect::<Vec<_>>().join(", ")
}

fn requirement(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("MEASURE=VALUE is expected")?;
    match value.parse::<f64>() {
        Ok(value) if value.is_finite() && !name.is_empty() => Ok((name.into(), value)),
        _ => Err("MEASURE=VALUE is expected, with a finite number".into()),
    }
}

/// The check of a measure in each task that has it.
fn check(model: &ModelReport, name: &str, limit: f64) -> Result<Vec<Check>, Failure> {
    let tasks = model.evaluations.iter().filter(|e| e.measure(name).is_some());
    let threshold = |task: &str| Threshold {
        task: task.into(),
        measure: name.into(),
        requirement: Requirement::Limit(limit),
    };
    let checks = tasks.map(|e| threshold(&e.task).check_report(model));
    let checks = checks.collect::<Result<Vec<_>, _>>()?;
    if checks.is_empty() {
        let known: Vec<&str> = model.measures().map(|(_, m)| m.name.as_str()).collect();
        return Err(format!("--require: there is no {name}; there are {}", known.join(", ")).into());
    }
    Ok(checks)
}

/// Says each verdict on stderr; an error when one is a failure.
fn verdicts(checks: &[Check]) -> Result<(), Failure> {
    for check in checks {
        eprintln!("{}: {}: {}", check.verdict.word(), check.criterion, check.reason);
    }
    match checks.iter().filter(|check| check.verdict == Verdict::Fail).count() {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} limits not kept", checks.len()).into()),
    }
}
