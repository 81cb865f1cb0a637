//! Trains a classifier on a model folder and measures it on held-out data.

use clap::Parser;
use nexus_core::data::{ExampleSource, LabelMap, LabeledText, Problem, SequenceEncoder, Tokenizer};
use nexus_core::model::{Classes, Classify, Decoder, Encoder, Head, ModelConfig, with_pad_token};
use nexus_core::report::RunReport;
use nexus_core::stage::{Evaluator, TrainData, Trainer};
use nexus_core::weights::{Headed, load_with_head, read_spec};
use nexus_eval::Classification;
use nexus_examples::{
    ColumnArgs, DeviceArgs, Failure, ProblemArg, TrainArgs, checkpoint, finish, in_memory,
    model_folder, new_report, observers, run, save_trained,
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
    /// Model folder as Hugging Face writes it, or org/name or org/name@revision on the hub
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Training data; its labels are the classes
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Held-out data for --eval-steps
    #[arg(long, value_name = "FILE")]
    valid: Option<PathBuf>,
    /// Held-out data that is measured before and after [default: --valid]
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// What the labels stand for
    #[arg(long, value_enum, default_value_t = ProblemArg::Single)]
    problem: ProblemArg,
    /// Share of a target that is spread over all classes; for --problem single
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
    let mut config = args.settings.run_config()?;
    let checkpoint = checkpoint(&args.out, args.settings.resume)?;
    let problem = Problem::from(args.problem);
    if args.label_smoothing != 0.0 && problem != Problem::SingleLabel {
        return Err("--label-smoothing: only --problem single has a target to spread".into());
    }
    let device = args.device.open_for_this_thread()?;
    let columns = args.columns.columns()?;
    let labels = match problem {
        Problem::Regression => LabelMap::numbered(1)?,
        _ => LabelMap::read::<LabeledText>(&args.train, &columns)?,
    };
    let classes = labels.names().to_vec();
    let head = Head::Sequence(Classes { names: classes.clone(), problem });
    let folder = model_folder(&args.model)?;
    let Headed { model, fresh } = load_with_head::<M>(&folder, &device, head, config.train.seed)?;
    config.save_whole(&fresh);
    let tokenizer = Tokenizer::load(&folder)?;
    tokenizer.check_vocabulary(model.spec().vocab_size())?;
    let model = with_pad_token(model, tokenizer.pad());
    let max_length = config.sequence_length(longest);
    let encoder = SequenceEncoder { tokenizer: tokenizer.clone(), labels, problem, max_length };

    let mut reader = args.settings.reader(columns, &args.out)?;
    let train = reader.read(&args.train, &encoder)?;
    let valid = reader.read_some(args.valid.as_ref(), &encoder)?;
    let test = reader.read_some(args.test.as_ref(), &encoder)?;
    let evaluator = match test.as_ref().or(valid.as_ref()) {
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
    if let Some(checkpoint) = checkpoint {
        trainer = trainer.resume_from(checkpoint);
    }
    let mut observers = observers(args.settings.log.as_ref());
    let valid = valid.as_ref().map(|examples| examples as &dyn ExampleSource);
    let train_data = TrainData { train: &train, valid, pad_id: tokenizer.pad() };
    let trained = trainer.train(config.prepare(model)?, &train_data, &mut observers)?;

    save_trained(config.method, &trained.model, &base, &tokenizer, &args.out)?;
    let report = RunReport {
        classes,
        data: reader.files,
        train: Some(trained.report),
        before,
        after: measure(&trained.model)?,
        ..new_report("Classifier on", &base, &args.device, &config)?
    };
    finish(&report, &args.out, args.json)
}
