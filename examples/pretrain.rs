//! Trains a decoder from scratch: a byte-level BPE tokenizer on the text, then the model.

use clap::Parser;
use nexus_core::data::{
    EncodeOptions, Example, Tokenizer, encode_records, pack_wrapped, read_records,
};
use nexus_core::model::{Decoder, Model, RandomSource, Spec};
use nexus_core::observe::Observer;
use nexus_core::stage::{TrainData, Trainer};
use nexus_core::weights::{StoredDtype, save};
use nexus_examples::{DeviceArgs, Failure, run};
use nexus_train::{JsonlLog, ProgressBar, Sft, TrainConfig};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Trains a decoder from scratch on text.
///
/// Example:
///   cargo run --release --example pretrain -- --config examples/assets/pretrain.toml \
///     --train a.jsonl --train b.txt --valid held_out.jsonl --out runs/base
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    /// Settings: [tokenizer], [model] (fields of a config.json) and [train]
    #[arg(long)]
    config: PathBuf,
    /// Training text: .txt, or .jsonl of any record shape; may be repeated
    #[arg(long, required = true)]
    train: Vec<PathBuf>,
    /// Held-out text for evaluation
    #[arg(long)]
    valid: Vec<PathBuf>,
    /// Where the model goes: config.json, model.safetensors, tokenizer.json
    #[arg(long)]
    out: PathBuf,
    /// Optimizer steps, in place of the configured number
    #[arg(long)]
    max_steps: Option<usize>,
    /// A line per step goes into this file
    #[arg(long)]
    log: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    tokenizer: TokenizerConfig,
    /// The fields of a config.json; vocab_size and the special ids follow from the tokenizer.
    model: serde_json::Map<String, serde_json::Value>,
    train: TrainConfig,
    /// Tokens of a training row.
    length: usize,
    /// How the weights are stored.
    #[serde(default)]
    bf16: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenizerConfig {
    vocab_size: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run(|| pretrain(&args))
}

fn pretrain(args: &Args) -> Result<(), Failure> {
    let device = args.device.open_for_this_thread()?;
    let text = std::fs::read_to_string(&args.config)
        .map_err(|why| format!("cannot read {}: {why}", args.config.display()))?;
    let mut config: Config =
        toml::from_str(&text).map_err(|why| format!("{}: {why}", args.config.display()))?;
    config.train.max_steps = args.max_steps.or(config.train.max_steps);

    let texts = args.train.iter().map(|path| texts(path)).collect::<Result<Vec<_>, _>>()?;
    let end = "<|endoftext|>";
    let tokenizer =
        Tokenizer::train_bpe(texts.into_iter().flatten(), config.tokenizer.vocab_size, &[end])?
            .with_special(Some(end), Some(end), Some(end))?;
    let rows = |paths: &[PathBuf]| -> Result<Vec<Example>, Failure> {
        let mut examples = Vec::new();
        for path in paths {
            let options = EncodeOptions {
                max_length: 1 << 20,
                mask: Some(nexus_core::data::LossMask::All),
                ..EncodeOptions::default()
            };
            let records = read_records(path)?;
            examples.extend(encode_records(&records, &tokenizer, &options, path)?.examples);
        }
        Ok(pack_wrapped(&examples, config.length))
    };
    let (train, valid) = (rows(&args.train)?, rows(&args.valid)?);
    let tokens: usize = train.iter().map(|row| row.ids.len()).sum();
    eprintln!("{tokens} tokens in {} rows of {}", train.len(), config.length);

    let mut json = config.model.clone();
    json.insert("vocab_size".into(), tokenizer.vocab_size().into());
    for field in ["bos_token_id", "eos_token_id"] {
        json.insert(field.into(), tokenizer.bos().into());
    }
    let spec = Arc::new(Spec::from_json(json, &args.config)?);
    let model = Decoder::build(&mut RandomSource::new(config.train.seed, &device), spec)?;

    let mut observers: Vec<Box<dyn Observer>> = vec![Box::new(ProgressBar::new())];
    observers
        .extend(args.log.iter().map(|path| Box::new(JsonlLog::new(path)) as Box<dyn Observer>));
    let data = TrainData {
        train: &train,
        valid: (!valid.is_empty()).then_some(&valid as &dyn nexus_core::data::ExampleSource),
        pad_id: tokenizer.pad(),
    };
    let mut trainer = Sft::new(config.train)
        .checkpoints_in(args.out.join("checkpoints"))
        .with_tokenizer(tokenizer.clone());
    let trained = trainer.train(model, &data, &mut observers)?;
    std::fs::create_dir_all(&args.out)?;
    let dtype = if config.bf16 { StoredDtype::Bf16 } else { StoredDtype::F32 };
    save(&trained.model, &args.out, dtype)?;
    tokenizer.save(&args.out)?;
    match args.json {
        true => println!("{}", serde_json::to_string(&trained.report)?),
        false => println!("wrote {}", args.out.display()),
    }
    Ok(())
}

/// The texts of a file, for the tokenizer: prompts and completions as they will be joined.
fn texts(path: &Path) -> Result<Vec<String>, Failure> {
    use nexus_core::data::Record;
    let text = |record| match record {
        Record::Text { text } => text,
        Record::Completion { prompt, completion } => prompt + &completion,
        Record::Chat { messages, .. } => {
            messages.iter().map(|m| m.content.to_string()).collect::<Vec<_>>().join("\n")
        }
    };
    Ok(read_records(path)?.into_iter().map(|located| text(located.record)).collect())
}
