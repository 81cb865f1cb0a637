//! Measures a model on a file: perplexity, multiple choice, generated answers, classes, or tasks of lm-evaluation-harness.

use clap::Parser;
use nexus_eval::ScoreOptions;
use nexus_examples::{
    DataTaskArgs, DeviceArgs, Failure, ModelArgs, ReportArgs, Run, TaskFileArgs, run,
};
use std::process::ExitCode;

/// Measures a model on a file: perplexity, multiple choice, generated answers, classes, or tasks of lm-evaluation-harness.
///
/// Example:
///   cargo run --release --example evaluate -- --model runs/base --task choice \
///     --data examples/assets/security/choice.jsonl --report runs/report
///   cargo run --release --example evaluate -- --model runs/base --output runs/results \
///     --task-file examples/assets/tasks/security_choice.yaml
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The most tokens that the model reads at a time [default: what it was made for, at most 2048]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Rows per forward pass
    #[arg(long, value_name = "N", default_value_t = 8)]
    batch_size: usize,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataTaskArgs,
    #[command(flatten)]
    files: TaskFileArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run(|| evaluate(&args))
}

fn evaluate(args: &Args) -> Result<(), Failure> {
    let score = ScoreOptions { max_length: args.max_length, batch_size: args.batch_size };
    let (model, device, report, json) = (&args.model, &args.device, &args.report, args.json);
    let run = Run { model, device, score, report, json };
    report.check()?;
    match args.data.task() {
        Some((task, data)) => args.data.evaluate(&run, task, data),
        None => args.files.evaluate(&run),
    }
}
