//! The account of a run, as JSON for machines and Markdown for people.

use crate::weights::write_file;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Version of the JSON form; it grows when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// One measured quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// The field's usual name, such as `perplexity`.
    pub name: String,
    /// The value.
    pub value: f64,
    /// Standard error of the value; `None` when it is not estimated.
    pub stderr: Option<f64>,
    /// Number of observations behind the value.
    pub n: usize,
    /// Whether more is better.
    pub higher_is_better: bool,
}

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalReport {
    /// The task's name.
    pub task: String,
    /// The measures, the main one first.
    pub measures: Vec<Measure>,
    /// Number of examples.
    pub examples: usize,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// What a training run did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Optimizer steps in all, those before a resume included.
    pub steps: usize,
    /// Passes over the data.
    pub epochs: f64,
    /// Mean loss of the last step, in nats per token.
    pub final_loss: f64,
    /// Mean loss over the steps of this run.
    pub mean_loss: f64,
    /// Tokens processed in this run.
    pub tokens: usize,
    /// Wall time of this run in seconds, evaluations and checkpoints included.
    pub seconds: f64,
    /// Tokens per second of the optimizer steps alone.
    pub tokens_per_second: f64,
    /// Parameters that were trained.
    pub trainable_parameters: usize,
    /// Parameters in all.
    pub parameters: usize,
    /// The step with the best evaluation.
    pub best_step: Option<usize>,
    /// Its metric.
    pub best_metric: Option<f64>,
    /// Whether it ended before its last planned step, and why.
    pub stopped_early: Option<String>,
}

/// What an optimisation changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizeReport {
    /// The method's name and settings in words.
    pub method: String,
    /// Size of the parameters before, in bytes.
    pub bytes_before: u64,
    /// Size of the parameters after, in bytes.
    pub bytes_after: u64,
    /// What was measured on the way.
    pub measures: Vec<Measure>,
}

/// A file that a run read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// Path as given.
    pub path: PathBuf,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Number of records.
    pub records: usize,
}

/// The account of a whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Title for people.
    pub title: String,
    /// Version of Nexus.
    pub nexus_version: String,
    /// The device's name.
    pub device: String,
    /// Threads of the CPU backend.
    pub threads: usize,
    /// The base model's folder or name.
    pub base_model: String,
    /// The names of a classifier's classes, by class number; empty for other models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The files that were read.
    pub data: Vec<DataFile>,
    /// The run's settings, as they were checked.
    pub config: serde_json::Value,
    /// The training, when there was one.
    pub train: Option<TrainReport>,
    /// Evaluations before the training.
    pub before: Vec<EvalReport>,
    /// Evaluations after it, in the same order.
    pub after: Vec<EvalReport>,
}

impl Measure {
    /// A measure whose smaller values are better.
    pub fn lower(name: &str, value: f64, stderr: Option<f64>, n: usize) -> Self {
        Self { name: name.into(), value, stderr, n, higher_is_better: false }
    }

    /// A measure whose larger values are better.
    pub fn higher(name: &str, value: f64, stderr: Option<f64>, n: usize) -> Self {
        Self { name: name.into(), value, stderr, n, higher_is_better: true }
    }
}

impl EvalReport {
    /// The measure with this name.
    pub fn measure(&self, name: &str) -> Option<&Measure> {
        self.measures.iter().find(|measure| measure.name == name)
    }
}

impl DataFile {
    /// Hashes the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn hash(path: &Path, records: usize) -> Result<Self> {
        let mut file = std::fs::File::open(path).map_err(Error::io("open", path))?;
        let sha256 = sha256_of(&mut file).map_err(Error::io("read", path))?;
        Ok(Self { path: path.to_path_buf(), sha256, records })
    }
}

/// SHA-256 of everything that `reader` gives, in hexadecimal.
pub(crate) fn sha256_of(reader: &mut impl std::io::Read) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

impl RunReport {
    /// Writes `report.json` and `report.md` into `folder`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let path = folder.join("report.json");
        let json = serde_json::to_string_pretty(self).map_err(|why| Error::format(&path, why))?;
        write_file(&path, (json + "\n").as_bytes())?;
        write_file(&folder.join("report.md"), self.to_markdown().as_bytes())
    }

    /// The report as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("# {}\n\n", self.title);
        // Writing to a String cannot fail.
        let _ = self.write_markdown(&mut text);
        text
    }

    fn write_markdown(&self, out: &mut String) -> std::fmt::Result {
        if !self.before.is_empty() || !self.after.is_empty() {
            writeln!(out, "## Results\n")?;
            writeln!(out, "{}", comparison_table(&self.before, &self.after))?;
        }
        if let Some(train) = &self.train {
            writeln!(out, "## Training\n")?;
            let share = 100.0 * train.trainable_parameters as f64 / train.parameters.max(1) as f64;
            let mut rows = vec![
                ("steps", train.steps.to_string()),
                ("epochs", format!("{:.2}", train.epochs)),
                ("final loss (nats/token)", format!("{:.4}", train.final_loss)),
                (
                    "trained parameters",
                    format!(
                        "{} of {} ({share:.2} %)",
                        train.trainable_parameters, train.parameters
                    ),
                ),
                ("tokens", train.tokens.to_string()),
                ("tokens/s", format!("{:.0}", train.tokens_per_second)),
                ("wall time (s)", format!("{:.1}", train.seconds)),
            ];
            if let (Some(step), Some(metric)) = (train.best_step, train.best_metric) {
                rows.push(("best evaluation", format!("{metric:.4} at step {step}")));
            }
            if let Some(why) = &train.stopped_early {
                rows.push(("stopped early", why.clone()));
            }
            let rows = rows.into_iter().map(|(k, v)| vec![k.to_string(), v]).collect::<Vec<_>>();
            writeln!(out, "{}", table(&["quantity", "value"], &rows))?;
        }
        writeln!(out, "## Inputs\n")?;
        writeln!(out, "- base model: `{}`", self.base_model)?;
        if !self.classes.is_empty() {
            writeln!(out, "- classes: {}", shortened(&self.classes))?;
        }
        writeln!(out, "- device: {}, {} thread(s)", self.device, self.threads)?;
        for file in &self.data {
            let hash = file.sha256.get(..12).unwrap_or(&file.sha256);
            writeln!(
                out,
                "- data: `{}`, {} records, sha256 {hash}",
                file.path.display(),
                file.records
            )?;
        }
        writeln!(out, "- nexus {}", self.nexus_version)?;
        writeln!(out, "\n## Settings\n\n```json")?;
        let config = serde_json::to_string_pretty(&self.config).unwrap_or_default();
        writeln!(out, "{config}\n```")
    }
}

/// The first names and how many there are in all.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>();
    let rest = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{} ({}{rest})", names.len(), shown.join(", "))
}

/// Measures before and after side by side, as an aligned Markdown table. With one side only, that side.
pub fn comparison_table(before: &[EvalReport], after: &[EvalReport]) -> String {
    let value = |measure: &Measure| match measure.stderr {
        Some(stderr) => format!("{:.4} ± {stderr:.4}", measure.value),
        None => format!("{:.4}", measure.value),
    };
    if before.is_empty() || after.is_empty() {
        let rows: Vec<_> = before
            .iter()
            .chain(after)
            .flat_map(|report| {
                report.measures.iter().map(|measure| {
                    vec![
                        report.task.clone(),
                        measure.name.clone(),
                        value(measure),
                        measure.n.to_string(),
                    ]
                })
            })
            .collect();
        return table(&["task", "measure", "value", "n"], &rows);
    }
    let mut rows = Vec::new();
    for old in before {
        let Some(new) = after.iter().find(|new| new.task == old.task) else { continue };
        for measure in &old.measures {
            let Some(later) = new.measure(&measure.name) else { continue };
            let change = later.value - measure.value;
            let verdict = match (change == 0.0, (change > 0.0) == measure.higher_is_better) {
                (true, _) => "same",
                (false, true) => "better",
                (false, false) => "worse",
            };
            rows.push(vec![
                old.task.clone(),
                measure.name.clone(),
                value(measure),
                value(later),
                format!("{change:+.4}"),
                verdict.to_string(),
                later.n.to_string(),
            ]);
        }
    }
    table(&["task", "measure", "before", "after", "change", "", "n"], &rows)
}

/// An aligned Markdown table.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count().max(3)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())))
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = line(&mut header.iter().copied());
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    text += &line(&mut rule.iter().map(String::as_str));
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_says_which_way_is_better() {
        let report = |perplexity, accuracy| EvalReport {
            task: "security".into(),
            measures: vec![
                Measure::lower("perplexity", perplexity, None, 10),
                Measure::higher("accuracy", accuracy, Some(0.05), 40),
            ],
            examples: 40,
            seconds: 1.0,
        };
        let text = comparison_table(&[report(30.0, 0.25)], &[report(20.0, 0.20)]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].contains("perplexity") && lines[2].contains("better"), "{text}");
        assert!(lines[3].contains("0.2500 ± 0.0500") && lines[3].contains("worse"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()));
    }
}
