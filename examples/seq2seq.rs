//! Trains an encoder-decoder (T5) on pairs of texts, and lets it answer.

use clap::{Args, Parser, Subcommand};
use nexus_core::data::{ExampleSource, Seq2SeqEncoder, Tokenizer};
use nexus_core::generate::generate_seq2seq_texts;
use nexus_core::model::{EncoderDecoder, Model};
use nexus_core::report::RunReport;
use nexus_core::stage::{TrainData, Trainer};
use nexus_core::weights::load;
use nexus_examples::{
    BeamArgs, ColumnArgs, DeviceArgs, Failure, ModelArgs, TrainArgs, checkpoint, finish,
    model_folder, new_report, observers, run, save_trained,
};
use nexus_train::{Seq2Seq, Sft};
use std::path::PathBuf;
use std::process::ExitCode;

/// Trains an encoder-decoder (T5) on pairs of texts, and lets it answer.
///
/// Examples:
///   cargo run --release --example seq2seq -- train --model my-t5 --train pairs.csv --method full --learning-rate 3e-4
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
    /// Model folder as Hugging Face writes it, or org/name or org/name@revision on the hub
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
    /// Where the model or adapter and the report go
    #[arg(long, value_name = "DIR", default_value = "runs/seq2seq")]
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

#[derive(Args)]
struct Answer {
    #[command(flatten)]
    model: ModelArgs,
    /// A text to answer; may be repeated
    #[arg(long, value_name = "TEXT", required = true)]
    text: Vec<String>,
    /// One JSON object {"text","answer"} a line
    #[arg(long)]
    json: bool,
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
    let checkpoint = checkpoint(&args.out, args.settings.resume)?;
    let device = args.device.open_for_this_thread()?;
    let folder = model_folder(&args.model)?;
    let model: EncoderDecoder = load(&folder, &device)?;
    let tokenizer = Tokenizer::load(&folder)?;
    tokenizer.check_vocabulary(model.spec().vocab_size())?;
    let longest = config.sequence_length(usize::MAX);
    let (max_source_length, max_target_length) = (longest, longest);
    let source_prefix = args.prefix.clone();
    let tokens = tokenizer.clone();
    let encoder =
        Seq2SeqEncoder { tokenizer: tokens, source_prefix, max_source_length, max_target_length };
    let mut reader = args.settings.reader(args.columns.columns()?, &args.out)?;
    let examples = reader.read(&args.train, &encoder)?;
    let valid = reader.read_some(args.valid.as_ref(), &encoder)?;
    let objective = Seq2Seq::new().with_label_smoothing(args.label_smoothing)?;
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
    let data = TrainData { train: &examples, valid, pad_id: tokenizer.pad() };
    let trained = trainer.train(config.prepare(model)?, &data, &mut observers)?;
    save_trained(config.method, &trained.model, &base, &tokenizer, &args.out)?;
    let report = RunReport {
        data: reader.files,
        train: Some(trained.report),
        ..new_report("Encoder-decoder on", &base, &args.device, &config)?
    };
    finish(&report, &args.out, args.json)
}

fn answer(args: &Answer) -> Result<(), Failure> {
    let device = args.device.open()?;
    let model: EncoderDecoder = args.model.load_model(&device)?;
    let tokenizer = args.model.load_tokenizer(&model)?;
    let answers =
        generate_seq2seq_texts(&model, &tokenizer, &args.text, &args.search.config(), &device)?;
    for (text, answers) in args.text.iter().zip(&answers) {
        let answer = answers.first().map_or("", |answer| &answer.text);
        match args.json {
            true => println!("{}", serde_json::json!({ "text": text, "answer": answer })),
            false => println!("{answer}"),
        }
    }
    Ok(())
}
