//! Measures a model on a file: perplexity, multiple choice, generated answers, or tasks of lm-evaluation-harness.

use clap::{Parser, ValueEnum};
use nexus_core::data::{EncodeOptions, Record, Tokenizer, encode_records, read_records};
use nexus_core::model::Decoder;
use nexus_core::report::{EvalReport, comparison_table};
use nexus_eval::{Choice, ChoiceOptions, ExactMatch, ExamplePerplexity, Perplexity, ScoreOptions};
use nexus_examples::{AnswerArgs, DeviceArgs, Failure, ModelArgs, TaskFileArgs, progress, run};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures a model on a file: perplexity, multiple choice, generated answers, or tasks of lm-evaluation-harness.
///
/// Example:
///   cargo run --release --example evaluate -- --model runs/base --task choice \
///     --data examples/assets/security/choice.jsonl
///   cargo run --release --example evaluate -- --model runs/base --output runs/results \
///     --task-file examples/assets/tasks/security_choice.yaml
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// What to measure
    #[arg(long, value_enum, required_unless_present = "task_file", conflicts_with = "task_file")]
    task: Option<Task>,
    /// The data: .jsonl with one JSON object a line; for perplexity also .txt
    #[arg(long, value_name = "FILE", required_unless_present = "task_file", requires = "task")]
    data: Option<PathBuf>,
    /// The most tokens that the model reads at a time [default: what it was made for, at most 2048]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Rows per forward pass
    #[arg(long, value_name = "N", default_value_t = 8)]
    batch_size: usize,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Also write what was chosen or generated, one JSON object a line (tasks choice and generate)
    #[arg(long, value_name = "FILE", requires = "task")]
    details: Option<PathBuf>,
    #[command(flatten)]
    files: TaskFileArgs,
    #[command(flatten)]
    answers: AnswerArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Task {
    /// How well the model predicts text: {"text"}; or answers: {"prompt", "completion"}, {"messages"}
    Perplexity,
    /// Which choice the model finds likeliest: {"question", "choices": [..], "answer": index}
    Choice,
    /// Whether the model writes the expected answer: {"prompt", "completion"}
    Generate,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run(|| evaluate(&args))
}

fn evaluate(args: &Args) -> Result<(), Failure> {
    let score = ScoreOptions { max_length: args.max_length, batch_size: args.batch_size };
    let text = match (args.task, &args.data) {
        (Some(task), Some(data)) => measure(args, task, data, score)?,
        _ => args.files.evaluate(&args.model, &args.device, &score, args.json)?,
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn measure(args: &Args, task: Task, path: &Path, score: ScoreOptions) -> Result<String, Failure> {
    if args.details.is_some() && task == Task::Perplexity {
        return Err("--details is for the tasks choice and generate".into());
    }
    let device = args.device.open()?;
    let (model, tokenizer) = args.model.load(&device)?;
    let details = args.details.as_deref();
    let mut bar = progress("evaluating");
    let report = match task {
        Task::Perplexity => perplexity(&model, &tokenizer, score, path, &mut bar)?,
        Task::Choice => {
            let options = ChoiceOptions { score, ..ChoiceOptions::default() };
            let task = Choice::from_file(path, &tokenizer, options)?;
            let (report, outcomes) = task.measure(&model, &mut bar)?;
            write_details(details, &outcomes)?;
            report
        }
        Task::Generate => {
            let task = ExactMatch::from_file(path, &tokenizer, args.answers.options())?;
            let (report, outcomes) = task.measure(&model, &mut bar)?;
            write_details(details, &outcomes)?;
            report
        }
    };
    Ok(match args.json {
        true => serde_json::to_string(&report)? + "\n",
        false => comparison_table(&[report], &[]),
    })
}

/// Of documents if all records are texts, else of what is trained of each record.
fn perplexity(
    model: &Decoder,
    tokenizer: &Tokenizer,
    options: ScoreOptions,
    path: &Path,
    bar: &mut dyn FnMut(usize, usize),
) -> Result<EvalReport, Failure> {
    let records = read_records(path)?;
    if records.iter().any(|located| matches!(located.record, Record::Text { .. })) {
        let task = Perplexity::from_records(&records, tokenizer, options, path)?;
        return Ok(task.measure(model, bar)?);
    }
    let longest = options.max_length.unwrap_or(model.config().max_positions.min(2048));
    let encode = EncodeOptions { max_length: longest, ..EncodeOptions::default() };
    let encoded = encode_records(&records, tokenizer, &encode, path)?;
    let (cut, dropped) = (encoded.truncated, encoded.untrainable);
    if cut + dropped > 0 {
        eprintln!(
            "note: {cut} record(s) cut at {longest} tokens, {dropped} left without an answer"
        );
    }
    Ok(ExamplePerplexity::new(encoded.examples, options.batch_size)?.measure(model, bar)?)
}

fn write_details(path: Option<&Path>, outcomes: &[impl Serialize]) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let lines = outcomes.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    std::fs::write(path, lines.join("\n") + "\n")
        .map_err(|why| format!("cannot write {}: {why}", path.display()).into())
}
