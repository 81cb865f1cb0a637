//! Writes a model folder anew: merges an adapter, changes the number format, splits it into shards.

use clap::{Parser, ValueEnum};
use nexus_core::adapter::merge_and_unload;
use nexus_core::data::Tokenizer;
use nexus_core::model::{Decoder, Encoder, EncoderDecoder, Model, ModelConfig};
use nexus_core::weights::{
    SaveOptions, StoredDtype, load, load_adapted, parameters, read_spec, save,
};
use nexus_examples::{DeviceArgs, Failure, model_folder, run};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Writes a model folder anew: merges an adapter, changes the number format, splits it into shards.
///
/// Example:
///   cargo run --release --example export -- --model my-model --adapter runs/finetune --dtype bf16 --out my-merged
///
/// The folder that is written loads in transformers and here. An adapter of a classifier brings its classes along, when
/// the example classify wrote it; one that PEFT wrote needs the config.json with the classes in its folder.
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    /// Model folder as Hugging Face writes it, or org/name or org/name@revision on the hub
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Folder of a LoRA adapter to merge, as PEFT writes it
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Number format of the weights
    #[arg(long, value_enum, default_value_t = DtypeArg::F32)]
    dtype: DtypeArg,
    /// The most megabytes (10^6 bytes) of tensors in one file; a larger model is written in several, with an index
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..))]
    max_shard_size: Option<u64>,
    /// Folder to write; must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print what was written as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum DtypeArg {
    /// 32 bits, exact
    F32,
    /// 16 bits with the range of f32
    Bf16,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run(|| match read_spec(&model_folder(&args.model)?)?.config {
        ModelConfig::Decoder(_) => export::<Decoder>(&args),
        ModelConfig::Encoder(_) => export::<Encoder>(&args),
        ModelConfig::EncoderDecoder(_) => export::<EncoderDecoder>(&args),
    })
}

fn export<M: Model>(args: &Args) -> Result<(), Failure> {
    if args.out.exists() {
        return Err(format!("--out: {} exists already", args.out.display()).into());
    }
    let device = args.device.open()?;
    let folder = model_folder(&args.model)?;
    let model: M = match &args.adapter {
        Some(adapter) => merge_and_unload(load_adapted(&folder, adapter, &device)?),
        None => load(&folder, &device)?,
    };
    let dtype = match args.dtype {
        DtypeArg::F32 => StoredDtype::F32,
        DtypeArg::Bf16 => StoredDtype::Bf16,
    };
    let tokenizer = Tokenizer::load(&folder);
    std::fs::create_dir_all(&args.out)?;
    let mut options = SaveOptions::from(dtype);
    if let Some(megabytes) = args.max_shard_size {
        options.max_shard_bytes = megabytes.saturating_mul(1_000_000);
    }
    save(&model, &args.out, options)?;
    let with_tokenizer = tokenizer.is_ok();
    match tokenizer {
        Ok(tokenizer) => tokenizer.save(&args.out)?,
        Err(why) => eprintln!("note: no tokenizer was written: {why}"),
    }
    let parameters = parameters(&model).into_iter().map(|p| p.shape.iter().product::<usize>());
    let written = json!({
        "out": args.out,
        "parameters": parameters.sum::<usize>(),
        "dtype": dtype.name(),
        "tokenizer": with_tokenizer,
    });
    match args.json {
        true => println!("{written}"),
        false => println!("wrote {}", args.out.display()),
    }
    Ok(())
}
