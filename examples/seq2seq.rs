//! Trains an encoder-decoder (T5) on pairs of texts, and lets it answer.

use clap::{Args, Parser, Subcommand};
use nexus_core::adapter::load_adapter;
use nexus_core::data::{ExampleSource, Seq2SeqEncoder, Tokenizer};
use nexus_core::generate::generate_seq2seq_texts;
use nexus_core::model::{EncoderDecoder, Model};
use nexus_core::stage::{TrainData, Trainer};
use nexus_core::weights::load;
use nexus_examples::{
    BeamArgs, ColumnArgs, DeviceArgs, Failure, TrainArgs, labeled_file, model_folder, observers,
    run, save_trained,
};
use nexus_train::{Seq2Seq, Sft};
use std::path::PathBuf;
use std::process::ExitCode;

/// Trains an encoder-decoder (T5) on pairs of texts, and lets it answer.
///
/// Examples:
///   cargo run --release --example seq2seq -- train --model my-t5 --train pairs.csv \
///     --columns source=question,target=answer --method full --learning-rate 3e-4 --out runs/seq2seq
///   cargo run --release --example seq2seq -- answer --model runs/seq2seq --text "translate: good morning"
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains on {"source","target"} records (.jsonl, .json, .csv, .parquet)
    Train(Box<Train>),
    /// Writes an answer for each text, by beam search
    Answer(Answer),
}

#[derive(Args)]
struct Train {
    /// Model folder as Hugging Face writes it, or org/name[@revision] on the hub
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Training data
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Held-out data for --eval-steps
    #[arg(long, value_name = "FILE")]
    valid: Option<PathBuf>,
    /// Written before each source, such as "summarize: "
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Share of a target that is spread over the vocabulary
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    label_smoothing: f64,
    /// Where the model or adapter goes
    #[arg(long, value_name = "DIR", default_value = "runs/seq2seq")]
    out: PathBuf,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    settings: TrainArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Args)]
struct Answer {
    /// Model folder as Hugging Face writes it, or org/name[@revision] on the hub
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Folder of a LoRA adapter for the model
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// A text to answer; may be repeated
    #[arg(long, value_name = "TEXT", required = true)]
    text: Vec<String>,
    #[command(flatten)]
    search: BeamArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

fn main() -> ExitCode {
    run(|| match Program::parse().command {
        Command::Train(args) => train(&args),
        Command::Answer(args) => answer(&args),
    })
}

fn train(args: &Train) -> Result<(), Failure> {
    let config = args.settings.run_config()?;
    let device = args.device.open()?;
    let folder = model_folder(&args.model)?;
    let model: EncoderDecoder = load(&folder, &device)?;
    let tokenizer = Tokenizer::load(&folder)?;
    tokenizer.check_vocabulary(model.spec().vocab_size())?;
    let longest = config.max_length.unwrap_or(512);
    let encoder = Seq2SeqEncoder {
        tokenizer: tokenizer.clone(),
        source_prefix: args.prefix.clone(),
        max_source_length: longest,
        max_target_length: longest,
    };
    let columns = args.columns.columns()?;
    let (examples, _) = labeled_file(&args.train, &columns, &encoder)?;
    let valid = match &args.valid {
        Some(path) => Some(labeled_file(path, &columns, &encoder)?.0),
        None => None,
    };
    let objective = Seq2Seq::new().with_label_smoothing(args.label_smoothing)?;
    let base = args.model.display().to_string();
    let mut trainer = Sft::with_objective(config.train.clone(), objective)
        .checkpoints_in(&args.out)
        .with_tokenizer(tokenizer.clone())
        .with_base(&base);
    let mut observers = observers(args.settings.log.as_ref());
    let valid = valid.as_ref().map(|examples| examples as &dyn ExampleSource);
    let data = TrainData { train: &examples, valid, pad_id: tokenizer.pad() };
    let trained = trainer.train(config.prepare(model)?, &data, &mut observers)?;
    save_trained(config.method, &trained.model, &base, &tokenizer, &args.out)?;
    println!("final loss {:.4}; wrote {}", trained.report.final_loss, args.out.display());
    Ok(())
}

fn answer(args: &Answer) -> Result<(), Failure> {
    let device = args.device.open()?;
    let folder = model_folder(&args.model)?;
    let mut model: EncoderDecoder = load(&folder, &device)?;
    if let Some(adapter) = &args.adapter {
        model = load_adapter(model, adapter)?;
    }
    let tokenizer = Tokenizer::load(&folder)?;
    let answers =
        generate_seq2seq_texts(&model, &tokenizer, &args.text, &args.search.config(), &device)?;
    for answer in answers.iter().filter_map(|answers| answers.first()) {
        println!("{}", answer.text);
    }
    Ok(())
}
