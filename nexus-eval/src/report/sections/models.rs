//! The models at a glance, and the settings.

use crate::Result;
use crate::quality::Verdict;
use crate::report::page::{Cell, Page};
use crate::report::{ModelReport, Report, format};
use serde_json::Value;

/// How many measures of a model stand in its card.
const SHOWN: usize = 3;

/// A card for each model.
pub(in crate::report) fn summary(report: &Report, page: &mut Page) {
    page.raw("<div class=\"models\">\n");
    for (i, model) in report.models.iter().enumerate() {
        page.raw("<article class=\"model\">\n<div class=\"top\"><div>\n<h2>");
        swatch(i, page);
        page.raw("<span>").text(&model.name).raw("</span></h2>\n");
        if let Some(description) = &model.description {
            page.paragraph("note", description);
        }
        if !model.checks.is_empty() {
            let verdict = Verdict::all(model.checks.iter().map(|check| check.verdict));
            page.badge(kind(verdict), verdict_words(verdict)).raw("\n");
        }
        page.raw("</div>\n");
        if let Some(grade) = &model.grade {
            page.raw("<div class=\"grade\"><span>grade</span><b>").text(&grade.letter.to_string());
            page.raw("</b><span>").text(&format!("{:.0} %", grade.percent)).raw("</span></div>\n");
        }
        page.raw("</div>\n<dl>\n");
        numbers(model, page);
        page.raw("</dl>\n</article>\n");
    }
    page.raw("</div>\n");
}

fn numbers(model: &ModelReport, page: &mut Page) {
    for (task, measure) in model.measures().take(SHOWN) {
        page.raw("<dt>").text(&format!("{} ({task})", measure.name)).raw("</dt><dd>");
        page.text(&format::number(measure.value));
        if let Some(interval) = model.interval(task, measure) {
            page.raw("<small>").text(&format::interval(&interval)).raw("</small>");
        }
        page.raw("</dd>\n");
    }
    let Some(performance) = &model.performance else { return };
    let latency = performance.latency_at(0.95).map(|s| ("P95 latency", format::seconds(s)));
    let memory = performance.peak_memory_bytes.map(|b| ("peak memory", format::bytes(b)));
    for (name, value) in latency.into_iter().chain(memory) {
        page.element("dt", name).element("dd", &value);
    }
}

/// The dot in a model's colour.
pub(super) fn swatch(model: usize, page: &mut Page) {
    let colour = model % crate::report::plot::SERIES;
    page.raw(&format!("<span class=\"swatch s{colour}\" aria-hidden=\"true\"></span>"));
}

/// The badge's colour of a verdict.
pub(super) fn kind(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "good",
        Verdict::Fail => "bad",
        Verdict::NotEnoughData { .. } => "warn",
    }
}

fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "all checks pass",
        Verdict::Fail => "a check fails",
        Verdict::NotEnoughData { .. } => "not enough data",
    }
}

/// Settings and signatures.
pub(super) fn settings(report: &Report, page: &mut Page) -> Result<()> {
    let value = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if !report.settings.is_empty() {
        let rows: Vec<Vec<Cell>> = report
            .settings
            .iter()
            .map(|(key, setting)| vec![Cell::Head(key.clone()), Cell::Text(value(setting))])
            .collect();
        page.table("What the numbers depend on", &["setting", "value"], &rows);
    }
    for signature in &report.signatures {
        page.raw("<p><code>").text(signature).raw("</code></p>\n");
    }
    Ok(())
}
