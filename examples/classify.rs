//! Trains a classifier on a model folder and measures it on held-out data.

use clap::Parser;
use nexus_core::data::{ExampleSource, LabelMap, LabeledText, Problem, SequenceEncoder, Tokenizer};
use nexus_core::model::{Classes, Classify, Decoder, Encoder, Head, ModelConfig};
use nexus_core::report::{RunReport, SCHEMA_VERSION, comparison_table};
use nexus_core::stage::{Evaluator, TrainData, Trainer};
use nexus_core::weights::{load_with_head, read_spec};
use nexus_eval::Classification;
use nexus_examples::{
    ColumnArgs, DeviceArgs, Failure, ProblemArg, TrainArgs, in_memory, labeled_file, model_folder,
    observers, run, save_trained,
};
use nexus_train::{SequenceClassification, Sft};
use std::path::PathBuf;
use std::process::ExitCode;

/// Trains a classifier on a model folder and measures it on held-out data.
///
/// Example:
///   cargo run --release --example classify -- --model my-bert --train train.jsonl --test test.csv \
///     --method full --learning-rate 2e-4 --epochs 3 --out runs/classify
///
/// Works with BERT, RoBERTa, DistilBERT, GPT-2 and LLaMA folders; a classification head is added where the folder has
/// none. Data: .jsonl, .json, .csv or .parquet with {"text","label"} or {"text_a","text_b","label"}.
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    /// Model folder as Hugging Face writes it, or org/name[@revision] on the hub
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Training data; its labels are the classes
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Held-out data for --eval-steps
    #[arg(long, value_name = "FILE")]
    valid: Option<PathBuf>,
    /// Held-out data that is measured before and after
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// What the labels stand for
    #[arg(long, value_enum, default_value_t = ProblemArg::Single)]
    problem: ProblemArg,
    /// Share of a target that is spread over all classes
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    label_smoothing: f64,
    /// Where the model or adapter and the report go
    #[arg(long, value_name = "DIR", default_value = "runs/classify")]
    out: PathBuf,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    settings: TrainArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run(|| match read_spec(&model_folder(&args.model)?)?.config {
        ModelConfig::Encoder(config) => classify::<Encoder>(&args, config.max_length()),
        ModelConfig::Decoder(config) => classify::<Decoder>(&args, config.max_positions),
        ModelConfig::EncoderDecoder(_) => {
            Err("--model: an encoder-decoder does not classify; see the example seq2seq".into())
        }
    })
}

fn classify<M: Classify>(args: &Args, longest: usize) -> Result<(), Failure> {
    let config = args.settings.run_config()?;
    let device = args.device.open()?;
    let columns = args.columns.columns()?;
    let problem = Problem::from(args.problem);
    let labels = match problem {
        Problem::Regression => LabelMap::numbered(1)?,
        _ => LabelMap::read::<LabeledText>(&args.train, &columns)?,
    };
    let head = Head::Sequence(Classes { names: labels.names().to_vec(), problem });
    let folder = model_folder(&args.model)?;
    let model: M = load_with_head(&folder, &device, head, config.train.seed)?;
    let tokenizer = Tokenizer::load(&folder)?;
    tokenizer.check_vocabulary(model.spec().vocab_size())?;
    let max_length = config.max_length.unwrap_or(longest.min(512));
    let encoder = SequenceEncoder { tokenizer: tokenizer.clone(), labels, problem, max_length };

    let (train, file) = labeled_file(&args.train, &columns, &encoder)?;
    let mut data = vec![file];
    let mut held_out = |path: &Option<PathBuf>| -> Result<_, Failure> {
        let Some(path) = path else { return Ok(None) };
        let (examples, file) = labeled_file(path, &columns, &encoder)?;
        data.push(file);
        Ok(Some(examples))
    };
    let valid = held_out(&args.valid)?;
    let test = held_out(&args.test)?.or(held_out(&args.valid)?);
    let evaluator = match &test {
        Some(test) => Some(Classification::new(in_memory(test)?, 32, tokenizer.pad())?),
        None => None,
    };
    let measure = |model: &M| evaluator.iter().map(|e| e.evaluate(model)).collect();
    let before: Result<Vec<_>, _> = measure(&model);
    let before = before?;

    let objective = SequenceClassification::new().with_label_smoothing(args.label_smoothing)?;
    let base = args.model.display().to_string();
    let mut trainer = Sft::with_objective(config.train.clone(), objective)
        .checkpoints_in(&args.out)
        .with_tokenizer(tokenizer.clone())
        .with_base(&base);
    let mut observers = observers(args.settings.log.as_ref());
    let valid = valid.as_ref().map(|examples| examples as &dyn ExampleSource);
    let train_data = TrainData { train: &train, valid, pad_id: tokenizer.pad() };
    let trained = trainer.train(config.prepare(model)?, &train_data, &mut observers)?;

    save_trained(config.method, &trained.model, &base, &tokenizer, &args.out)?;
    let report = RunReport {
        schema_version: SCHEMA_VERSION,
        title: format!("Classifier on {base}"),
        nexus_version: env!("CARGO_PKG_VERSION").into(),
        device: args.device.name().into(),
        threads: rayon::current_num_threads(),
        base_model: base,
        data,
        config: serde_json::to_value(&config)?,
        train: Some(trained.report),
        before,
        after: measure(&trained.model)?,
    };
    report.save(&args.out)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{}", comparison_table(&report.before, &report.after));
        println!("wrote {}", args.out.display());
    }
    Ok(())
}
