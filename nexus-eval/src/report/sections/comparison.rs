//! Models against each other.

use crate::Result;
use crate::quality::{Comparison, Difference, Direction, Flips, SIGNIFICANCE, standings};
use crate::report::page::{Cell, Page};
use crate::report::{Report, format, plot};

/// How many changed answers are listed in each direction.
const LISTED: usize = 50;

/// Differences with intervals, and changed answers.
pub(super) fn comparisons(report: &Report, page: &mut Page) -> Result<()> {
    page.paragraph(
        "note",
        &format!(
            "Differences are candidate less baseline, on the same examples. A difference is called better or worse \
             when its p-value is below {SIGNIFICANCE} after Holm's correction over all rows."
        ),
    );
    if report.comparisons.len() > 1 {
        overview(report, page);
    }
    for comparison in &report.comparisons {
        let Comparison { baseline, candidate, differences, flips } = comparison;
        page.element("h3", &format!("{candidate} against {baseline}"));
        for (higher, title) in [(true, "More is better"), (false, "Less is better")] {
            plot_side(comparison, higher, title, page)?;
        }
        let rows: Vec<Vec<Cell>> = differences.iter().map(row).collect();
        let header = [
            "measure",
            "outcome",
            "baseline",
            "candidate",
            "difference",
            "interval",
            "corrected p",
            "n",
            "test",
        ];
        page.table("Differences", &header, &rows);
        flips.iter().for_each(|flips| changed(flips, page));
    }
    Ok(())
}

/// All models in all measures.
fn overview(report: &Report, page: &mut Page) {
    let names = |names: &[String]| if names.is_empty() { "–".into() } else { names.join(", ") };
    let rows: Vec<Vec<Cell>> = standings(&report.comparisons)
        .iter()
        .map(|row| {
            vec![
                Cell::Head(format!("{} ({})", row.measure, row.task)),
                Cell::Text(row.model.clone()),
                Cell::Number(format::number(row.value)),
                Cell::Text(names(&row.better_than)),
                Cell::Text(names(&row.worse_than)),
            ]
        })
        .collect();
    let header = ["measure", "model", "value", "shown better than", "shown worse than"];
    page.table("All compared models", &header, &rows);
}

fn plot_side(comparison: &Comparison, higher: bool, title: &str, page: &mut Page) -> Result<()> {
    let side = comparison.differences.iter().filter(|d| d.higher_is_better == higher);
    let rows: Vec<plot::Row> = side
        .map(|d| plot::Row {
            label: format!("{} ({})", d.measure, d.task),
            value: d.difference,
            interval: Some((d.interval.low, d.interval.high)),
            series: 0,
            better: match d.direction() {
                Direction::Better => Some(true),
                Direction::Worse => Some(false),
                Direction::Undecided => None,
            },
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let label = format!("differences of {} and {}", comparison.candidate, comparison.baseline);
    page.figure(&plot::forest(&label, &rows, true)?, title);
    Ok(())
}

fn row(difference: &Difference) -> Vec<Cell> {
    let d = difference;
    let kind = match d.direction() {
        Direction::Better => "good",
        Direction::Worse => "bad",
        Direction::Undecided => "plain",
    };
    vec![
        Cell::Head(format!("{} ({})", d.measure, d.task)),
        Cell::Badge(kind, d.direction().word().into()),
        Cell::Number(format::number(d.baseline)),
        Cell::Number(format::number(d.candidate)),
        Cell::Number(format::signed(d.difference)),
        Cell::Number(format::signed_interval(&d.interval)),
        Cell::Number(format::p_value(d.p_adjusted)),
        Cell::Number(d.n.to_string()),
        Cell::Text(d.test.clone()),
    ]
}

fn changed(flips: &Flips, page: &mut Page) {
    let counts = &flips.counts;
    page.paragraph(
        "note",
        &format!(
            "{}: both right {}, both wrong {}, only the baseline right {}, only the candidate right {}.",
            flips.task, counts.both, counts.neither, counts.only_first, counts.only_second
        ),
    );
    for (title, ids) in
        [("right before, wrong now", &flips.lost), ("wrong before, right now", &flips.gained)]
    {
        if ids.is_empty() {
            continue;
        }
        page.raw("<details><summary>").text(&format!("{} {title}", ids.len()));
        page.raw("</summary><ul class=\"ids\">");
        for id in ids.iter().take(LISTED) {
            page.element("li", id);
        }
        if ids.len() > LISTED {
            page.element("li", &format!("and {} more, in report.json", ids.len() - LISTED));
        }
        page.raw("</ul></details>\n");
    }
}
