//! The main job from one command: the small decoder of this repository becomes a security specialist.

use clap::Parser;
use nexus_core::adapter::save_adapter;
use nexus_core::data::{Columns, ExampleSource, TextEncoder, Tokenizer};
use nexus_core::model::Decoder;
use nexus_core::report::{DataFile, EvalReport, RunReport, comparison_table};
use nexus_core::stage::{Evaluator, TrainData, Trainer};
use nexus_eval::{Choice, ChoiceOptions, ExamplePerplexity};
use nexus_examples::{DataReader, DeviceArgs, Failure, beside, in_memory, new_report, run};
use nexus_train::{LoraConfig, ProgressBar, RunConfig, ScheduleKind, Sft, TrainConfig};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Fine-tunes the small decoder of this repository with LoRA into a security specialist, and measures it before and
/// after: perplexity of held-out answers and 40 multiple-choice questions. Nothing is downloaded.
///
/// Example:
///   cargo run --release --example specialist
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    /// Where the adapter, report.json and report.md go
    #[arg(long, value_name = "DIR", default_value = "runs/specialist")]
    out: PathBuf,
    /// Optimizer steps; fewer make a quicker and weaker specialist
    #[arg(long, value_name = "N", default_value_t = 160)]
    max_steps: usize,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run(|| specialist(&args))
}

fn specialist(args: &Args) -> Result<(), Failure> {
    let device = args.device.open_for_this_thread()?;
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let base = assets.join("decoder");
    let model: Decoder = nexus_core::weights::load(&base, &device)?;
    let tokenizer = Tokenizer::load(&base)?;
    tokenizer.check_vocabulary(model.config().vocab_size)?;
    let config = RunConfig {
        lora: LoraConfig { rank: 16, alpha: 32.0, dropout: 0.1, ..LoraConfig::default() },
        train: TrainConfig {
            max_steps: Some(args.max_steps),
            batch_size: 16,
            learning_rate: 4e-3,
            schedule: ScheduleKind::Cosine,
            warmup_steps: args.max_steps / 10,
            ..TrainConfig::default()
        },
        ..RunConfig::default()
    };

    let security = |name: &str| assets.join("security").join(name);
    let options = config.encode_options(&model);
    let encoder = TextEncoder { tokenizer: tokenizer.clone(), options };
    let mut reader = DataReader::new(Columns::new(), beside(&args.out)?);
    let train = reader.read(&security("train.jsonl"), &encoder)?;
    let valid = in_memory(&reader.read(&security("valid.jsonl"), &encoder)?)?;
    let questions = security("choice.jsonl");
    let mut perplexity = ExamplePerplexity::new(valid.clone(), 16)?;
    perplexity.task = "security answers".into();
    let mut choice = Choice::from_file(&questions, &tokenizer, ChoiceOptions::default())?;
    choice.task = "security questions".into();
    reader.files.push(DataFile::hash(&questions, choice.len())?);
    let measure = |model: &Decoder| -> Result<Vec<EvalReport>, Failure> {
        Ok(vec![perplexity.evaluate(model)?, choice.evaluate(model)?])
    };

    let before = measure(&model)?;
    let valid = Some(&valid as &dyn ExampleSource);
    let train_data = TrainData { train: &train, valid, pad_id: tokenizer.pad() };
    let model = config.prepare(model)?;
    let trained =
        Sft::new(config.train.clone()).train(model, &train_data, &mut ProgressBar::new())?;
    let after = measure(&trained.model)?;

    std::fs::create_dir_all(&args.out)?;
    save_adapter(&trained.model, "examples/assets/decoder", &args.out)?;
    let base = "examples/assets/decoder";
    let report = RunReport {
        data: reader.files,
        train: Some(trained.report),
        before,
        after,
        ..new_report("Security specialist on", base, &args.device, &config)?
    };
    report.save(&args.out)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    println!("\n{}", comparison_table(&report.before, &report.after));
    let out = args.out.display();
    println!("Adapter and report are in {out}. Ask the specialist:\n");
    println!("  cargo run --release --example generate -- --model examples/assets/decoder \\");
    println!(
        "    --adapter {out} --prompt $'Question: Which port does HTTPS use?\\nAnswer:' --stop '\\n'"
    );
    Ok(())
}
