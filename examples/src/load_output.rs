//! What a program shows of a load.

use crate::{Failure, LoadArgs};
use nexus_core::report::table;
use nexus_eval::performance::{Energy, LoadReport, folder_size, process_memory};
use nexus_eval::quality::RuleLimits;
use nexus_eval::report::{ModelReport, Performance, Report};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The speed of a model in this process, with its memory, its size and its energy.
///
/// # Errors
/// When the model's files cannot be counted.
pub fn local_performance(
    report: &LoadReport,
    energy: &Energy,
    folder: &Path,
) -> Result<Performance, Failure> {
    // The warm-up takes energy too.
    let sent = report.requests + report.warmup_requests;
    Ok(Performance {
        peak_memory_bytes: process_memory().ok().map(|memory| memory.peak_resident),
        model_bytes: Some(folder_size(folder)?.bytes),
        ..Performance::of(report).with_energy(energy, sent)
    })
}

/// Writes the report of a load.
///
/// # Errors
/// When it cannot be written.
pub fn write_load_report(
    out: &Path,
    name: &str,
    performance: Performance,
    report: &LoadReport,
    args: &LoadArgs,
) -> Result<(), Failure> {
    let mut model = ModelReport { name: name.into(), ..ModelReport::default() };
    model.evaluations = vec![report.to_eval_report("load")];
    model.performance = Some(performance);
    model.findings = RuleLimits::default().findings(&model)?;
    let mut page = Report::new(&format!("{name} under load"));
    page.settings.insert("prompts".into(), json!(args.prompts));
    page.settings.insert("load".into(), serde_json::to_value(&report.load)?);
    page.models.push(model);
    page.save(out)?;
    eprintln!("wrote {}", out.join("report.html").display());
    Ok(())
}

/// The report as one JSON object.
///
/// # Errors
/// When a number has no JSON form.
pub fn load_json(report: &LoadReport, resources: Map<String, Value>) -> Result<String, Failure> {
    let mut object = serde_json::to_value(report)?;
    object["resources"] = resources.into();
    Ok(format!("{object}\n"))
}

/// The load's tables, and for a model in this process what it took.
pub fn load_tables(
    report: &LoadReport,
    performance: &Performance,
    resources: &Map<String, Value>,
) -> String {
    let mut text = report.to_markdown();
    let mut rows: Vec<Vec<String>> = performance
        .costs()
        .into_iter()
        .map(|(name, value)| vec![name.to_string(), value])
        .collect();
    let readings = resources.get("energy").and_then(|energy| energy["readings"].as_array());
    for reading in readings.into_iter().flatten() {
        if let (Some(device), Some(why)) = (reading["device"].as_str(), reading["why"].as_str()) {
            rows.push(vec![format!("no counter of {device}"), why.to_string()]);
        }
    }
    if !rows.is_empty() {
        text += &format!("\n{}", table(&["resource", "value"], &rows));
    }
    text
}
