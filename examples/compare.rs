//! Compares models by what each made of the same examples, and writes a report.

use clap::Parser;
use nexus_core::report::{EvalReport, Measure};
use nexus_eval::quality::{
    MaximumLoss, ModelScores, Pairs, Requirement, Rubric, RuleLimits, TaskScores, Threshold,
    compare,
};
use nexus_eval::report::{ModelReport, Report};
use nexus_eval::stats::{Bootstrap, mean};
use nexus_examples::{Failure, run};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compares models by what each made of the same examples, and writes report.json, report.md and report.html.
///
/// Each file holds one JSON object a line: an `id` (or `index`) with a `score` or `correct`, or what `evaluate --details`
/// wrote. The first file is the baseline; the others must hold the same examples.
///
/// Example:
///   cargo run --release --example evaluate -- --model runs/base --task choice \
///     --data examples/assets/security/choice.jsonl --details base.jsonl
///   cargo run --release --example compare -- base=base.jsonl tuned=tuned.jsonl --out runs/compare
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    /// NAME=FILE for each model, the baseline first
    #[arg(required = true, num_args = 2.., value_name = "NAME=FILE", value_parser = named)]
    models: Vec<(String, PathBuf)>,
    /// Folder for the report
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Name of the task in the report
    #[arg(long, default_value = "examples")]
    task: String,
    /// Name of the measure in the report
    #[arg(long, default_value = "accuracy")]
    measure: String,
    /// Smaller scores are better
    #[arg(long)]
    lower_is_better: bool,
    /// Compare each model with each, not only with the baseline
    #[arg(long)]
    all_pairs: bool,
    /// Check that no model is worse than the baseline by more than this
    #[arg(long, value_name = "X")]
    max_loss: Option<f64>,
    /// Bootstrap resamples
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    resamples: usize,
    /// Seed of the bootstrap
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run(|| compare_files(&args))
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.into(), file.into()))
        }
        _ => Err("NAME=FILE is expected".into()),
    }
}

fn compare_files(args: &Args) -> Result<(), Failure> {
    let mut models = Vec::new();
    for (name, path) in &args.models {
        let (task, measure) = (args.task.clone(), args.measure.clone());
        let (scores, higher_is_better) = (read(path)?, !args.lower_is_better);
        let tasks = vec![TaskScores { task, measure, higher_is_better, scores }];
        models.push(ModelScores { model: name.clone(), tasks });
    }
    let pairs = if args.all_pairs { Pairs::All } else { Pairs::WithBaseline };
    let bootstrap =
        Bootstrap { resamples: args.resamples, seed: args.seed, ..Bootstrap::default() };
    let mut report = Report::new(&format!("{} on {}", args.measure, args.task));
    report.comparisons = compare(&models, pairs, &bootstrap)?;
    report.settings.insert("resamples".into(), args.resamples.into());
    report.settings.insert("seed".into(), args.seed.into());
    let limits = RuleLimits::default();
    for (scores, (_, path)) in models.iter().zip(&args.models) {
        let mut model = ModelReport {
            name: scores.model.clone(),
            description: Some(path.display().to_string()),
            evaluations: vec![evaluation(&scores.tasks[0])?],
            ..ModelReport::default()
        };
        if let Some(loss) = args.max_loss.filter(|_| scores.model != models[0].model) {
            let requirement = Requirement::MaximumLoss(MaximumLoss::Absolute(loss));
            let (task, measure) = (args.task.clone(), args.measure.clone());
            let threshold = Threshold { task, measure, requirement };
            model.checks.push(threshold.check_scores(&models[0], scores)?);
        }
        model.grade = Rubric::default().grade(&model)?;
        model.findings = limits.findings(&model)?;
        let against = report.comparisons.iter().filter(|c| c.candidate == model.name);
        model.findings.extend(against.flat_map(|comparison| limits.compared(comparison)));
        report.models.push(model);
    }
    report.save(&args.out)?;
    std::io::stdout().write_all(report.to_markdown()?.as_bytes())?;
    eprintln!("wrote {}", args.out.display());
    Ok(())
}

fn evaluation(task: &TaskScores) -> Result<EvalReport, Failure> {
    let values: Vec<f64> = task.scores.iter().map(|(_, score)| *score).collect();
    let found = mean(&values).ok_or("there are no examples")?;
    let (name, n, higher_is_better) = (task.measure.clone(), values.len(), task.higher_is_better);
    let measure = Measure { name, value: found.value, stderr: found.stderr, n, higher_is_better };
    Ok(EvalReport { task: task.task.clone(), measures: vec![measure], examples: n, seconds: 0.0 })
}

fn read(path: &Path) -> Result<Vec<(String, f64)>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|why| format!("cannot read {}: {why}", path.display()))?;
    let mut scores = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("{}:{}", path.display(), i + 1);
        let value: Value = serde_json::from_str(line).map_err(|why| format!("{place}: {why}"))?;
        let id = match value.get("id").or(value.get("index")) {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => return Err(format!("{place}: an \"id\" or \"index\" is expected").into()),
        };
        scores.push((id, score(&value).ok_or_else(|| format!("{place}: {EXPECTED}"))?));
    }
    Ok(scores)
}

const EXPECTED: &str = "a number as \"score\", true or false as \"correct\" or \"matched\", or \"chosen\" with \"answer\" is expected";

/// The score of a line; what `evaluate --details` writes says what was chosen, or whether the answer matched.
fn score(value: &Value) -> Option<f64> {
    if let Some(score) = value.get("score") {
        return score.as_f64();
    }
    let right = match value.get("correct").or(value.get("matched")) {
        Some(right) => right.as_bool()?,
        None => value.get("chosen")?.as_u64()? == value.get("answer")?.as_u64()?,
    };
    Some(f64::from(right))
}
