//! Fine-tunes a model folder on a data file, in full or with LoRA, and reports what it gained.

use clap::Parser;
use nexus_core::data::{Columns, ExampleSource, TextEncoder};
use nexus_core::model::{Decoder, Model};
use nexus_core::report::RunReport;
use nexus_core::stage::{Evaluator, TrainData, Trainer};
use nexus_eval::ExamplePerplexity;
use nexus_examples::{
    DeviceArgs, Failure, ModelArgs, TrainArgs, checkpoint, finish, in_memory, new_report,
    observers, run, save_trained, with_template,
};
use nexus_train::Sft;
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
    let checkpoint = checkpoint(&args.out, args.settings.resume)?;
    let device = args.device.open_for_this_thread()?;
    let (model, mut tokenizer) = args.model.load(&device)?;
    if let Some(template) = &args.template {
        tokenizer = with_template(tokenizer, Some(template), &mut Vec::new())?;
    }
    if model.adapter().is_some() {
        return Err("--adapter starts from a trained adapter; merge it into the model first".into());
    }
    let options = config.encode_options(&model);
    let encoder = TextEncoder { tokenizer: tokenizer.clone(), options };
    let mut reader = args.settings.reader(Columns::new(), &args.out)?;
    let train = reader.read(&args.train, &encoder)?;
    let valid = reader.read_some(args.valid.as_ref(), &encoder)?;
    config.train.check(train.len())?;

    let evaluator = match &valid {
        Some(examples) => {
            Some(ExamplePerplexity::new(in_memory(examples)?, config.train.batch_size)?)
        }
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
        data: reader.files,
        train: Some(trained.report),
        before: before?,
        after: measure(&trained.model)?,
        ..new_report("Fine-tuning of", &base, &args.device, &config)?
    };
    finish(&report, &args.out, args.json)
}
