//! What was measured.

use super::models::swatch;
use crate::Result;
use crate::report::page::{Cell, Page};
use crate::report::{ModelReport, Report, format, plot};

/// Values with intervals, as plots and as a table.
pub(super) fn measures(report: &Report, page: &mut Page) -> Result<()> {
    page.paragraph("note", "Dots are values, bars their intervals; a dot without a bar has none.");
    for (task, name) in distinct(report) {
        let mut rows = Vec::new();
        for (series, model) in report.models.iter().enumerate() {
            for (_, measure) in model.measures().filter(|(t, m)| *t == task && m.name == name) {
                let interval = model.interval(task, measure).map(|i| (i.low, i.high));
                let label = model.name.clone();
                let value = measure.value;
                rows.push(plot::Row { label, value, interval, series, better: None });
            }
        }
        let better = match report
            .models
            .iter()
            .flat_map(ModelReport::measures)
            .find(|(t, m)| *t == task && m.name == name)
        {
            Some((_, measure)) if measure.higher_is_better => "more is better",
            _ => "less is better",
        };
        page.element("h3", &format!("{name} ({task}), {better}"));
        let svg =
            plot::forest(&format!("{name} on {task} by model, with intervals"), &rows, false)?;
        page.raw("<figure>").raw(&svg).raw("</figure>\n");
    }
    let mut rows = Vec::new();
    for (task, name) in distinct(report) {
        for model in &report.models {
            for (_, measure) in model.measures().filter(|(t, m)| *t == task && m.name == name) {
                let interval = model.interval(task, measure);
                rows.push(vec![
                    Cell::Head(format!("{name} ({task})")),
                    Cell::Text(model.name.clone()),
                    Cell::Number(format::number(measure.value)),
                    Cell::Number(interval.map_or("–".into(), |i| format::interval(&i))),
                    Cell::Number(
                        interval.map_or("–".into(), |i| format!("{:.0} %", 100.0 * i.level)),
                    ),
                    Cell::Number(measure.n.to_string()),
                ]);
            }
        }
    }
    page.table("All measures", &["measure", "model", "value", "interval", "level", "n"], &rows);
    Ok(())
}

/// Tasks and measures in the order in which models have them.
fn distinct(report: &Report) -> Vec<(&str, &str)> {
    let mut all = Vec::new();
    for (task, measure) in report.models.iter().flat_map(ModelReport::measures) {
        if !all.contains(&(task, measure.name.as_str())) {
            all.push((task, measure.name.as_str()));
        }
    }
    all
}

/// How many frequent mistakes are listed.
const MISTAKES: usize = 8;

/// A confusion matrix for each model that has one, with its most frequent mistakes.
pub(super) fn confusions(report: &Report, page: &mut Page) -> Result<()> {
    page.paragraph(
        "note",
        "Rows are what was asked for, columns what was answered; shades are shares of a row.",
    );
    page.raw("<div class=\"pair\">\n");
    for model in &report.models {
        let Some(matrix) = &model.confusion else { continue };
        let class = if plot::needs_width(matrix) { "full" } else { "" };
        page.raw(&format!("<div class=\"{class}\">\n")).element("h3", &model.name);
        let svg = plot::confusion(&format!("confusion matrix of {}", model.name), matrix)?;
        page.raw("<figure>").raw(&svg).raw("</figure>\n");
        let label = |class: usize| matrix.labels[class].clone();
        let rows: Vec<Vec<Cell>> = matrix
            .mistakes()
            .into_iter()
            .take(MISTAKES)
            .map(|(target, answer, count)| {
                let share = count as f64 / matrix.of_class(target).max(1) as f64;
                vec![
                    Cell::Head(label(target)),
                    Cell::Text(label(answer)),
                    Cell::Number(count.to_string()),
                    Cell::Number(format::percent(share)),
                ]
            })
            .collect();
        match rows.is_empty() {
            true => page.paragraph("note", "No mistakes."),
            false => page.table(
                "Most frequent mistakes",
                &["target", "answered", "count", "share"],
                &rows,
            ),
        };
        let recall: Vec<Vec<Cell>> = (0..matrix.labels.len())
            .map(|class| {
                vec![
                    Cell::Head(label(class)),
                    Cell::Number(matrix.of_class(class).to_string()),
                    Cell::Number(matrix.recall(class).map_or("–".into(), format::percent)),
                ]
            })
            .collect();
        page.raw("<details><summary>Recall by class</summary>");
        page.table(
            "Share of each class that was answered rightly",
            &["class", "n", "recall"],
            &recall,
        );
        page.raw("</details>\n");
        page.raw("</div>\n");
    }
    page.raw("</div>\n");
    Ok(())
}

/// A reliability diagram for each model that has one.
pub(super) fn reliabilities(report: &Report, page: &mut Page) -> Result<()> {
    page.paragraph(
        "note",
        "Bars are the share of right answers among those of like confidence. Red lines lead to the dashed diagonal, \
         where confidence and accuracy are equal.",
    );
    page.raw("<div class=\"pair\">\n");
    for model in &report.models {
        let Some(diagram) = &model.reliability else { continue };
        page.raw("<div>\n").element("h3", &model.name);
        let svg = plot::reliability(&format!("reliability diagram of {}", model.name), diagram)?;
        let caption = match diagram.ece {
            Some(ece) => format!("Expected calibration error {}", format::number(ece)),
            None => String::new(),
        };
        page.figure(&svg, &caption);
        let rows: Vec<Vec<Cell>> = diagram
            .bins
            .iter()
            .filter(|bin| bin.n > 0)
            .map(|bin| {
                vec![
                    Cell::Head(format!("{:.2} to {:.2}", bin.low, bin.high)),
                    Cell::Number(format!("{:.3}", bin.confidence)),
                    Cell::Number(format!("{:.3}", bin.accuracy)),
                    Cell::Number(bin.n.to_string()),
                ]
            })
            .collect();
        page.raw("<details><summary>Numbers</summary>");
        page.table("Bins of confidence", &["bin", "confidence", "accuracy", "answers"], &rows);
        page.raw("</details>\n</div>\n");
    }
    page.raw("</div>\n");
    Ok(())
}

/// Latency curves and costs.
pub(super) fn performance(report: &Report, page: &mut Page) -> Result<()> {
    let measured = || {
        let models = report.models.iter().enumerate();
        models.filter_map(|(i, model)| model.performance.as_ref().map(|p| (i, model, p)))
    };
    let lines: Vec<plot::Line<'_>> = measured()
        .filter(|m| !m.2.latency.is_empty())
        .map(|m| (m.0, m.2.latency.as_slice()))
        .collect();
    if !lines.is_empty() {
        let mut goals = Vec::new();
        for goal in measured().filter_map(|m| m.2.objective) {
            if !goals.contains(&goal) {
                goals.push(goal);
            }
        }
        page.raw("<ul class=\"legend\">");
        for (i, model, _) in measured() {
            page.raw("<li>");
            swatch(i, page);
            page.raw("<span>").text(&model.name).raw("</span></li>");
        }
        page.raw("</ul>\n");
        let svg = plot::latency("latency by percentile of each model", &lines, &goals)?;
        let goals: Vec<String> = goals
            .iter()
            .map(|g| {
                format!("{} within {}", format::percentile(g.quantile), format::seconds(g.seconds))
            })
            .collect();
        let caption = match goals.is_empty() {
            true => "Latency by percentile.".into(),
            false => format!("Latency by percentile; dashed: the objective, {}.", goals.join(", ")),
        };
        page.figure(&svg, &caption);
        let quantiles = quantiles(&lines);
        let mut header = vec!["model".to_string()];
        header.extend(quantiles.iter().map(|&quantile| format::percentile(quantile)));
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let rows: Vec<Vec<Cell>> = measured()
            .map(|(_, model, performance)| {
                let cell = |&quantile: &f64| {
                    Cell::Number(
                        performance.latency_at(quantile).map_or("–".into(), format::seconds),
                    )
                };
                let name = Cell::Head(model.name.clone());
                std::iter::once(name).chain(quantiles.iter().map(cell)).collect()
            })
            .collect();
        page.table("Latency", &header, &rows);
    }
    let rows: Vec<Vec<Cell>> = measured()
        .map(|(_, model, p)| {
            let number = |text: Option<String>| Cell::Number(text.unwrap_or("–".into()));
            vec![
                Cell::Head(model.name.clone()),
                number(p.requests_per_second.map(|rate| format!("{rate:.1}"))),
                number(p.peak_memory_bytes.map(format::bytes)),
                number(p.model_bytes.map(format::bytes)),
                number(p.energy()),
                Cell::Number(p.requests.to_string()),
                Cell::Text(p.conditions.clone()),
            ]
        })
        .collect();
    let header =
        ["model", "requests/s", "peak memory", "model size", "J/request", "requests", "conditions"];
    page.table("Throughput and cost", &header, &rows);
    Ok(())
}

/// The quantiles that any model was measured at, ascending.
fn quantiles(lines: &[plot::Line<'_>]) -> Vec<f64> {
    let mut all: Vec<f64> =
        lines.iter().flat_map(|line| line.1.iter().map(|p| p.quantile)).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}
