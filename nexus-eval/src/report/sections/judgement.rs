//! Findings, checks and grades.

use super::models::kind;
use crate::Result;
use crate::quality::{Finding, Severity, Verdict};
use crate::report::page::{Cell, Page};
use crate::report::{Report, format};

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
        page.paragraph("evidence", &format!("{}: {}.", finding.model, finding.evidence));
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
    let all = || report.models.iter().flat_map(|m| m.checks.iter().map(move |check| (m, check)));
    let rows: Vec<Vec<Cell>> = all()
        .map(|(model, check)| {
            let side = if check.higher_is_better { "at least" } else { "at most" };
            let more = match check.verdict {
                Verdict::NotEnoughData { more_examples: Some(n) } => format!("{n} more"),
                _ => "–".into(),
            };
            vec![
                Cell::Head(check.criterion.clone()),
                Cell::Text(model.name.clone()),
                Cell::Badge(kind(check.verdict), check.verdict.word().into()),
                Cell::Number(format::number(check.value)),
                Cell::Number(check.interval.map_or("–".into(), |i| format::interval(&i))),
                Cell::Number(format!("{side} {}", format::number(check.limit))),
                Cell::Number(more),
            ]
        })
        .collect();
    let header = ["criterion", "model", "outcome", "value", "interval", "limit", "examples needed"];
    page.table("All checks", &header, &rows);
    page.raw("<details><summary>Reasons</summary>");
    for (model, check) in all() {
        page.paragraph("note", &format!("{}, {}: {}", model.name, check.criterion, check.reason));
    }
    page.raw("</details>\n");
    Ok(())
}

/// Where the points of grades come from.
pub(super) fn grades(report: &Report, page: &mut Page) -> Result<()> {
    let graded = || report.models.iter().filter_map(|m| m.grade.as_ref().map(|grade| (m, grade)));
    let rows: Vec<Vec<Cell>> = graded()
        .flat_map(|(model, grade)| grade.criteria.iter().map(move |part| (model, part)))
        .map(|(model, part)| {
            vec![
                Cell::Head(model.name.clone()),
                Cell::Text(part.criterion.clone()),
                Cell::Number(format::number(part.value)),
                Cell::Number(format!("{:.1}", part.points)),
                Cell::Number(format!("{:.0}", part.of)),
            ]
        })
        .collect();
    page.table("Points", &["model", "criterion", "value", "points", "of"], &rows);
    for (model, grade) in graded() {
        let mut words =
            format!("{}: {}, {:.1} % of the points.", model.name, grade.letter, grade.percent);
        if !grade.missing.is_empty() {
            words +=
                &format!(" Not judged, since there is no number: {}.", grade.missing.join(", "));
        }
        page.paragraph("note", &words);
    }
    Ok(())
}
