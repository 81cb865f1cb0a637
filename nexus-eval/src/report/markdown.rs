//! The report as Markdown.

use super::{ModelReport, Report, format};
use crate::Result;
use crate::quality::Verdict;
use nexus_core::report::table;

/// How many changed answers are listed in each direction.
const LISTED: usize = 20;

impl Report {
    /// The report as Markdown with aligned tables.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn to_markdown(&self) -> Result<String> {
        self.check()?;
        let mut text = format!("# {}\n", plain(&self.title));
        self.measures(&mut text);
        self.comparisons(&mut text);
        self.performance(&mut text);
        self.judgement(&mut text);
        for model in &self.models {
            classes(model, &mut text);
        }
        self.settings(&mut text);
        Ok(text)
    }

    fn measures(&self, text: &mut String) {
        let mut rows = Vec::new();
        for model in &self.models {
            for (task, measure) in model.measures() {
                let interval = model.interval(task, measure);
                rows.push(vec![
                    plain(&model.name),
                    plain(task),
                    plain(&measure.name),
                    format::number(measure.value),
                    interval.map_or(String::new(), |i| format::interval(&i)),
                    measure.n.to_string(),
                ]);
            }
        }
        section(text, "Results", &["model", "task", "measure", "value", "interval", "n"], &rows);
    }

    fn comparisons(&self, text: &mut String) {
        for comparison in &self.comparisons {
            let title =
                format!("{} against {}", plain(&comparison.candidate), plain(&comparison.baseline));
            let rows: Vec<Vec<String>> = comparison
                .differences
                .iter()
                .map(|d| {
                    vec![
                        plain(&d.task),
                        plain(&d.measure),
                        format::signed(d.difference),
                        format::signed_interval(&d.interval),
                        format::p_value(d.p_adjusted),
                        d.direction().word().into(),
                        d.n.to_string(),
                    ]
                })
                .collect();
            let header =
                ["task", "measure", "difference", "interval", "corrected p", "outcome", "n"];
            section(text, &title, &header, &rows);
            for flips in &comparison.flips {
                *text += "\n";
                for (what, ids) in [("lost", &flips.lost), ("gained", &flips.gained)] {
                    let mut shown: Vec<String> =
                        ids.iter().take(LISTED).map(|id| plain(id)).collect();
                    if ids.len() > LISTED {
                        shown.push(format!("and {} more", ids.len() - LISTED));
                    }
                    let shown = if shown.is_empty() { "none".into() } else { shown.join(", ") };
                    *text += &format!(
                        "- {}, {what} answers ({}): {shown}\n",
                        plain(&flips.task),
                        ids.len()
                    );
                }
            }
        }
    }

    fn performance(&self, text: &mut String) {
        let mut rows = Vec::new();
        for model in &self.models {
            let Some(performance) = &model.performance else { continue };
            let mut row = |quantity: String, value: String| {
                rows.push(vec![plain(&model.name), quantity, value]);
            };
            for point in &performance.latency {
                let quantity = format!("{} latency", format::percentile(point.quantile));
                row(quantity, format::seconds(point.seconds));
            }
            if let Some(rate) = performance.requests_per_second {
                row("requests/s".into(), format!("{rate:.1}"));
            }
            performance.costs().into_iter().for_each(|(name, value)| row(name.into(), value));
            row("conditions".into(), plain(&performance.conditions));
        }
        section(text, "Latency and cost", &["model", "quantity", "value"], &rows);
    }

    fn judgement(&self, text: &mut String) {
        let (mut checks, mut grades) = (Vec::new(), Vec::new());
        let mut findings = String::new();
        for model in &self.models {
            for check in &model.checks {
                let more = match check.verdict {
                    Verdict::NotEnoughData { more_examples: Some(n) } => format!(" ({n} more)"),
                    _ => String::new(),
                };
                checks.push(vec![
                    plain(&model.name),
                    plain(&check.criterion),
                    format!("{}{more}", check.verdict.word()),
                    plain(&check.reason),
                ]);
            }
            if let Some(grade) = &model.grade {
                for part in &grade.criteria {
                    grades.push(vec![
                        plain(&model.name),
                        plain(&part.criterion),
                        format::number(part.value),
                        format!("{:.1} of {:.0}", part.points, part.of),
                    ]);
                }
                let percent = format!("{:.1} %", grade.percent);
                grades.push(vec![plain(&model.name), "grade".into(), grade.letter.into(), percent]);
            }
            for finding in &model.findings {
                let advice =
                    finding.advice.as_ref().map_or(String::new(), |a| format!(" {}", plain(a)));
                findings += &format!(
                    "- **{}** ({}): {}: {}.{advice}\n",
                    finding.severity.word(),
                    plain(&finding.rule),
                    plain(&finding.model),
                    plain(&finding.evidence)
                );
            }
        }
        section(text, "Checks", &["model", "criterion", "outcome", "reason"], &checks);
        section(text, "Grades", &["model", "criterion", "value", "points"], &grades);
        if !findings.is_empty() {
            *text += &format!("\n## Findings\n\n{findings}");
        }
    }

    fn settings(&self, text: &mut String) {
        *text += "\n## Settings\n\n";
        for (key, value) in &self.settings {
            *text += &format!("- {}: {}\n", plain(key), plain(&value.to_string()));
        }
        for signature in &self.signatures {
            *text += &format!("- {}\n", plain(signature));
        }
        *text += &format!("- nexus {}\n", plain(&self.nexus_version));
        if let Some(created) = &self.created {
            *text += &format!("- {}\n", plain(created));
        }
    }
}

fn classes(model: &ModelReport, text: &mut String) {
    if let Some(matrix) = &model.confusion {
        let label = |class: usize| plain(&matrix.labels[class]);
        let rows: Vec<Vec<String>> = (0..matrix.labels.len())
            .map(|class| {
                let recall = matrix.recall(class).map_or("–".into(), format::percent);
                let mistakes = matrix.mistakes();
                let most = mistakes.iter().find(|mistake| mistake.0 == class);
                let most =
                    most.map_or("–".into(), |(_, a, count)| format!("{} ({count})", label(*a)));
                vec![label(class), matrix.of_class(class).to_string(), recall, most]
            })
            .collect();
        let title = format!("Classes of {}", plain(&model.name));
        section(text, &title, &["class", "n", "recall", "most often taken for"], &rows);
    }
    if let Some(diagram) = &model.reliability {
        let bins = diagram.bins.iter().filter(|bin| bin.n > 0);
        let rows: Vec<Vec<String>> = bins
            .map(|bin| {
                vec![
                    format!("{:.2} to {:.2}", bin.low, bin.high),
                    format!("{:.3}", bin.confidence),
                    format!("{:.3}", bin.accuracy),
                    bin.n.to_string(),
                ]
            })
            .collect();
        let title = format!("Calibration of {}", plain(&model.name));
        section(text, &title, &["bin", "confidence", "accuracy", "answers"], &rows);
        if let Some(ece) = diagram.ece {
            *text += &format!("\nExpected calibration error {}\n", format::number(ece));
        }
    }
}

fn section(text: &mut String, title: &str, header: &[&str], rows: &[Vec<String>]) {
    if !rows.is_empty() {
        *text += &format!("\n## {title}\n\n{}", table(header, rows));
    }
}

/// A text that keeps to its line and cell, and is neither markup nor HTML.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            control if control.is_control() => plain.push(' '),
            '<' => plain.push_str("&lt;"),
            '&' => plain.push_str("&amp;"),
            '\\' | '|' | '`' | '*' | '[' | ']' => plain.extend(['\\', letter]),
            other => plain.push(other),
        }
    }
    plain
}
