//! Findings, checks and grades.

use super::models::kind;
use crate::Result;
use crate::quality::{Finding, Severity, Verdict};
use crate::report::page::{Cell, Page};
use crate::report::{ModelReport, Report, format};

/// What rules found and advise, the gravest first.
pub(super) fn findings(report: &Report, page: &mut Page) -> Result<()> {
    let mut findings: Vec<&Finding> = report.models.iter().flat_map(|m| &m.findings).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    page.raw("<ul class=\"findings\">\n");
    for finding in findings {
        let kind = match finding.severity {
            Severity::Problem => "bad",
            Severity::Warning => "warn",
            Severity::Note => "plain",
        };
        page.raw("<li><div>").badge(kind, finding.severity.word()).raw("</div><div>");
        page.paragraph("evidence", &format!("{}: {}", finding.model, finding.evidence));
        if let Some(advice) = &finding.advice {
            page.paragraph("advice", advice);
        }
        page.paragraph("note", &format!("Rule: {}", finding.rule)).raw("</div></li>\n");
    }
    page.raw("</ul>\n");
    Ok(())
}

/// Checks against limits.
pub(super) fn checks(report: &Report, page: &mut Page) -> Result<()> {
    page.paragraph(
        "note",
        "A check passes when the whole interval keeps the limit, fails when none of it does, and is open otherwise.",
    );
    for model in report.models.iter().filter(|model| !model.checks.is_empty()) {
        let rows: Vec<Vec<Cell>> = model
            .checks
            .iter()
            .map(|check| {
                let side = if check.higher_is_better { "at least" } else { "at most" };
                let more = match check.verdict {
                    Verdict::NotEnoughData { more_examples: Some(n) } => format!("{n} more"),
                    _ => "–".into(),
                };
                vec![
                    Cell::Head(check.criterion.clone()),
                    Cell::Badge(kind(check.verdict), check.verdict.word().into()),
                    Cell::Number(format::number(check.value)),
                    Cell::Number(check.interval.map_or("–".into(), |i| format::interval(&i))),
                    Cell::Number(format!("{side} {}", format::number(check.limit))),
                    Cell::Number(more),
                ]
            })
            .collect();
        let header = ["criterion", "outcome", "value", "interval", "limit", "examples needed"];
        page.table(&model.name, &header, &rows);
        for check in &model.checks {
            page.paragraph("note", &format!("{}: {}", check.criterion, check.reason));
        }
    }
    Ok(())
}

/// Where the points of grades come from.
pub(super) fn grades(report: &Report, page: &mut Page) -> Result<()> {
    for model in &report.models {
        let ModelReport { name, grade: Some(grade), .. } = model else { continue };
        let rows: Vec<Vec<Cell>> = grade
            .criteria
            .iter()
            .map(|criterion| {
                vec![
                    Cell::Head(criterion.criterion.clone()),
                    Cell::Number(format::number(criterion.value)),
                    Cell::Number(format!("{:.1}", criterion.points)),
                    Cell::Number(format!("{:.0}", criterion.of)),
                ]
            })
            .collect();
        let title = format!("{name}: {}, {:.1} % of the points", grade.letter, grade.percent);
        page.table(&title, &["criterion", "value", "points", "of"], &rows);
        if !grade.missing.is_empty() {
            let missing = grade.missing.join(", ");
            page.paragraph("note", &format!("Not judged, since there is no number: {missing}."));
        }
    }
    Ok(())
}
