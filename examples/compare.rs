//! Compares models by what each made of the same examples, and writes a report.

use clap::Parser;
use nexus_core::report::{EvalReport, Measure};
use nexus_eval::quality::{
    MaximumLoss, ModelScores, Pairs, Requirement, Rubric, RuleLimits, TaskScores, Threshold,
    compare,
};
use nexus_eval::report::{MeasureInterval, ModelReport, Report};
use nexus_eval::stats::{Bootstrap, mean};
use nexus_examples::{Failure, read_scores, run};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares models by what each made of the same examples, and writes report.json, report.md and report.html.
///
/// Each file holds one JSON object a line: an `id` (or `index`) with a `score` or `correct`, or what `evaluate --details`
/// or `evaluate --task-file --output` wrote. The first file is the baseline; the others must hold the same examples.
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
    /// Name of the measure in the report; samples of a task have names of their own
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
        let tasks =
            read_scores(path, &args.measure)?.into_iter().map(|(measure, scores)| TaskScores {
                task: args.task.clone(),
                measure,
                higher_is_better: !args.lower_is_better,
                scores,
            });
        models.push(ModelScores { model: name.clone(), tasks: tasks.collect() });
    }
    let pairs = if args.all_pairs { Pairs::All } else { Pairs::WithBaseline };
    let bootstrap =
        Bootstrap { resamples: args.resamples, seed: args.seed, ..Bootstrap::default() };
    let measures: Vec<&str> = models[0].tasks.iter().map(|task| task.measure.as_str()).collect();
    let mut report = Report::new(&format!("{} on {}", measures.join(", "), args.task));
    report.comparisons = compare(&models, pairs, &bootstrap)?;
    report.settings.insert("resamples".into(), args.resamples.into());
    report.settings.insert("seed".into(), args.seed.into());
    let limits = RuleLimits::default();
    for (scores, (_, path)) in models.iter().zip(&args.models) {
        let mut model = ModelReport {
            name: scores.model.clone(),
            description: Some(path.display().to_string()),
            evaluations: vec![evaluation(&args.task, &scores.tasks)?],
            ..ModelReport::default()
        };
        for task in &scores.tasks {
            model.intervals.extend(wilson(task)?);
        }
        if let Some(loss) = args.max_loss.filter(|_| scores.model != models[0].model) {
            let requirement = Requirement::MaximumLoss(MaximumLoss::Absolute(loss));
            let (task, measure) = (args.task.clone(), scores.tasks[0].measure.clone());
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

fn evaluation(name: &str, tasks: &[TaskScores]) -> Result<EvalReport, Failure> {
    let mut measures = Vec::new();
    for task in tasks {
        let values: Vec<f64> = task.scores.iter().map(|(_, score)| *score).collect();
        let found = mean(&values).ok_or("there are no examples")?;
        let (name, n, higher_is_better) =
            (task.measure.clone(), values.len(), task.higher_is_better);
        let (value, stderr) = (found.value, found.stderr);
        measures.push(Measure { name, value, stderr, n, higher_is_better });
    }
    let examples = measures.first().map_or(0, |measure| measure.n);
    Ok(EvalReport { task: name.into(), measures, examples, seconds: 0.0 })
}

/// The interval of scores that are all 0 or 1.
fn wilson(task: &TaskScores) -> Result<Option<MeasureInterval>, Failure> {
    let scores = || task.scores.iter().map(|(_, score)| *score);
    if scores().any(|score| score != 0.0 && score != 1.0) {
        return Ok(None);
    }
    let right = scores().filter(|score| *score == 1.0).count();
    Ok(Some(MeasureInterval::share(&task.task, &task.measure, right, task.scores.len())?))
}
