//! Fine-tunes a model folder on a data file, in full or with LoRA, and reports what it gained.

use clap::Parser;
use nexus_core::data::ExampleSource;
use nexus_core::model::{Decoder, Model};
use nexus_core::report::{RunReport, SCHEMA_VERSION, comparison_table};
use nexus_core::stage::{Evaluator, TrainData, Trainer};
use nexus_eval::ExamplePerplexity;
use nexus_examples::{
    DeviceArgs, Failure, ModelArgs, TrainArgs, observers, run, save_trained, training_file,
    with_template,
};
use nexus_train::{Sft, last_checkpoint};
use std::path::PathBuf;
use std::process::ExitCode;

/// Fine-tunes a model folder on a data file, in full or with LoRA, and reports what it gained.
///
/// Example:
///   cargo run --release --example finetune -- --model examples/assets/decoder \
///     --train examples/assets/security/train.jsonl --valid examples/assets/security/valid.jsonl \
///     --learning-rate 2e-3 --max-steps 60 --out runs/finetune
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Training data: .jsonl ({"text"}, {"prompt","completion"}, {"messages"}, {"instruction","output"},
    /// {"conversations"}) or .txt
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Held-out data: measured before and after, and every --eval-steps
    #[arg(long, value_name = "FILE")]
    valid: Option<PathBuf>,
    /// Where the adapter or model, the checkpoints and the report go
    #[arg(long, value_name = "DIR", default_value = "runs/finetune")]
    out: PathBuf,
    /// Chat template of conversations: chatml, or a Jinja file [default: the model's own]
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
    /// Go on from the last checkpoint in --out
    #[arg(long)]
    resume: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: TrainArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run(|| finetune(&args))
}

fn finetune(args: &Args) -> Result<(), Failure> {
    let config = args.settings.run_config()?;
    let checkpoint = checkpoint(args)?;
    let device = args.device.open()?;
    let (model, mut tokenizer) = args.model.load(&device)?;
    if let Some(template) = &args.template {
        tokenizer = with_template(tokenizer, Some(template), &mut Vec::new())?;
    }
    if model.adapter().is_some() {
        return Err("--adapter starts from a trained adapter; merge it into the model first".into());
    }
    let (train, train_file) = training_file(&args.train, &config, &model, &tokenizer)?;
    let mut data = vec![train_file];
    let mut valid = None;
    if let Some(path) = &args.valid {
        let (examples, file) = training_file(path, &config, &model, &tokenizer)?;
        data.push(file);
        valid = Some(examples);
    }
    config.train.check(train.len())?;

    let evaluator = match &valid {
        Some(examples) => Some(ExamplePerplexity::new(examples.clone(), config.train.batch_size)?),
        None => None,
    };
    let measure = |model: &Decoder| evaluator.iter().map(|e| e.evaluate(model)).collect();
    let before: Result<Vec<_>, _> = measure(&model);
    let model = config.prepare(model)?;
    let base = args.model.model.display().to_string();
    let mut trainer = Sft::new(config.train.clone())
        .checkpoints_in(&args.out)
        .with_tokenizer(tokenizer.clone())
        .with_base(&base);
    if let Some(checkpoint) = checkpoint {
        trainer = trainer.resume_from(checkpoint);
    }
    let mut observers = observers(args.settings.log.as_ref());
    let valid = valid.as_ref().map(|examples| examples as &dyn ExampleSource);
    let train_data = TrainData { train: &train, valid, pad_id: tokenizer.pad() };
    let trained = trainer.train(model, &train_data, &mut observers)?;

    save_trained(config.method, &trained.model, &base, &tokenizer, &args.out)?;
    let report = RunReport {
        schema_version: SCHEMA_VERSION,
        title: format!("Fine-tuning of {base}"),
        nexus_version: env!("CARGO_PKG_VERSION").into(),
        device: args.device.name().into(),
        threads: rayon::current_num_threads(),
        base_model: base,
        data,
        config: serde_json::to_value(&config)?,
        train: Some(trained.report),
        before: before?,
        after: measure(&trained.model)?,
    };
    report.save(&args.out)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        if !report.after.is_empty() {
            println!("{}", comparison_table(&report.before, &report.after));
        }
        println!("wrote {}", args.out.display());
    }
    Ok(())
}

/// The checkpoint to go on from. A folder with checkpoints of another run is not written over.
fn checkpoint(args: &Args) -> Result<Option<PathBuf>, Failure> {
    let out = args.out.display();
    match (last_checkpoint(&args.out)?, args.resume) {
        (None, true) => Err(format!("{out} holds no checkpoint; leave out --resume").into()),
        (Some(found), false) => Err(format!(
            "{} is from an earlier run; add --resume to go on with it, or choose another --out",
            found.display()
        )
        .into()),
        (found, _) => Ok(found),
    }
}
