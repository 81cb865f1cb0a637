//! Embeds texts: one vector per text, from a sentence encoder.

use clap::{Parser, ValueEnum};
use nexus_core::data::Tokenizer;
use nexus_core::embed::{EmbedOptions, Pooling, embed_texts};
use nexus_core::model::Encoder;
use nexus_core::weights::{load, load_adapted};
use nexus_examples::{DeviceArgs, Failure, model_folder, run};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Embeds texts: one vector per text, from a sentence encoder.
///
/// Example:
///   cargo run --release --example embed -- --model my-minilm --text "a cat sits" --text "a feline rests"
///
/// Prints the cosine similarity of every pair, or with --json one line {"text","embedding"} per text.
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    /// Model folder of a BERT as Hugging Face writes it, or org/name or org/name@revision on the hub
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Folder of a LoRA adapter for the model
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// A text to embed; may be repeated
    #[arg(long, value_name = "TEXT")]
    text: Vec<String>,
    /// A file with one text a line
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How the tokens' states become one vector
    #[arg(long, value_enum, default_value_t = PoolingArg::Mean)]
    pooling: PoolingArg,
    /// Leave the vectors' lengths as they are
    #[arg(long)]
    no_normalize: bool,
    /// Longest text in tokens [default: the model's positions]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Texts in a batch
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum PoolingArg {
    /// The mean of all tokens
    Mean,
    /// The first token
    Cls,
    /// The model's pooler
    Pooler,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run(|| embed(&args))
}

fn embed(args: &Args) -> Result<(), Failure> {
    let mut texts = args.text.clone();
    if let Some(path) = &args.file {
        let content = std::fs::read_to_string(path)
            .map_err(|why| format!("cannot read {}: {why}", path.display()))?;
        texts.extend(content.lines().filter(|line| !line.trim().is_empty()).map(str::to_string));
    }
    if texts.is_empty() {
        return Err("there is nothing to embed; pass --text or --file".into());
    }
    let device = args.device.open()?;
    let folder = model_folder(&args.model)?;
    let model: Encoder = match &args.adapter {
        Some(adapter) => load_adapted(&folder, adapter, &device)?,
        None => load(&folder, &device)?,
    };
    let tokenizer = Tokenizer::load(&folder)?;
    let options = EmbedOptions {
        pooling: match args.pooling {
            PoolingArg::Mean => Pooling::Mean,
            PoolingArg::Cls => Pooling::First,
            PoolingArg::Pooler => Pooling::Pooler,
        },
        normalize: !args.no_normalize,
        max_length: args.max_length,
        batch_size: args.batch_size,
    };
    let vectors = embed_texts(&model, &tokenizer, &texts, &options)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        for (text, embedding) in texts.iter().zip(&vectors) {
            writeln!(out, "{}", serde_json::json!({ "text": text, "embedding": embedding }))?;
        }
        return Ok(());
    }
    if texts.len() == 1 {
        writeln!(out, "{:?}", vectors[0])?;
        return Ok(());
    }
    for i in 0..texts.len() {
        for j in i + 1..texts.len() {
            let similarity = cosine(&vectors[i], &vectors[j]);
            writeln!(out, "{similarity:7.4}  {}  |  {}", texts[i], texts[j])?;
        }
    }
    Ok(())
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)
}
