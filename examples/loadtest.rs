//! Measures how fast a model answers under load, in this process or behind HTTP.

use burn::tensor::Device;
use clap::Parser;
use nexus_core::data::Tokenizer;
use nexus_core::generate::{SamplingConfig, generate};
use nexus_core::model::Decoder;
use nexus_eval::encode_prompt;
use nexus_eval::performance::{EnergyMeter, EnergyOptions, Response, run_load};
use nexus_eval::report::Performance;
use nexus_examples::{
    DeviceArgs, Failure, HttpTarget, LoadArgs, ModelArgs, load_json, load_tables,
    local_performance, model_folder, progress, run, write_load_report,
};
use serde_json::Map;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Measures how fast a model answers under load, in this process or behind HTTP.
///
/// Example:
///   echo "A firewall is" > prompts.txt
///   cargo run --release --example loadtest -- --model runs/base --prompts prompts.txt \
///     --workers 2 --duration 20
///
/// In this process every answer has --max-new-tokens tokens: the end of a sequence does not end it.
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    /// Model folder as Hugging Face writes it, or org/name on the hub, to answer in this process
    #[arg(long, value_name = "DIR", required_unless_present = "url", conflicts_with = "url")]
    model: Option<PathBuf>,
    /// Folder of a LoRA adapter for the model
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    adapter: Option<PathBuf>,
    /// Endpoint in the form of OpenAI's API: http://.../v1/completions or .../v1/chat/completions
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The model's name in requests to --url
    #[arg(long, value_name = "NAME", requires = "url")]
    served_model: Option<String>,
    /// Seconds after which an answer of --url is an error
    #[arg(long, value_name = "S", default_value_t = 120)]
    timeout: u64,
    /// Tokens per answer
    #[arg(long, value_name = "N", default_value_t = 32)]
    max_new_tokens: usize,
    /// Power of the processor in watts, to estimate energy where it cannot be measured
    #[arg(long, value_name = "W")]
    tdp_watts: Option<f64>,
    /// Also write report.json, report.md and report.html into this folder
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run(|| loadtest(&args))
}

fn loadtest(args: &Args) -> Result<(), Failure> {
    // What is read in no time, and may be wrong, first.
    let options = args.load.options()?;
    let prompts = args.load.read_prompts()?;
    let prompt = |i: u64| prompts[(i % prompts.len() as u64) as usize].as_str();
    let mut bar = progress("loading");
    let mut resources = Map::new();
    let (report, performance, name) = if let Some(model) = &args.model {
        let parts = ModelArgs { model: model.clone(), adapter: args.adapter.clone() };
        let device = args.device.open()?;
        let (decoder, tokenizer) = parts.load(&device)?;
        let send = |i| answer(&decoder, &tokenizer, prompt(i), args.max_new_tokens, &device);
        let energy = EnergyOptions { tdp_watts: args.tdp_watts, ..EnergyOptions::default() };
        let (report, energy) = EnergyMeter::during(energy, || run_load(&options, send, &mut bar))?;
        let report = report?;
        let performance = local_performance(&report, &energy, &model_folder(model)?)?;
        resources.insert("joules_per_request".into(), performance.joules_per_request.into());
        resources.insert("energy".into(), serde_json::to_value(&energy)?);
        resources.insert("peak_resident_bytes".into(), performance.peak_memory_bytes.into());
        resources.insert("model_bytes".into(), performance.model_bytes.into());
        (report, performance, parts.name())
    } else {
        let url = args.url.as_deref().unwrap_or_default();
        let (name, timeout) = (args.served_model.clone(), Duration::from_secs(args.timeout));
        let (tokens, connections) = (args.max_new_tokens, args.load.in_flight());
        let shown = name.clone().unwrap_or_else(|| url.to_string());
        let target = HttpTarget::new(url, name, tokens, true, connections, timeout)?;
        let report = run_load(&options, |i| target.send(prompt(i)), &mut bar)?;
        let performance = Performance::of(&report);
        (report, performance, shown)
    };
    report.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let text = match args.json {
        true => load_json(&report, resources)?,
        false => load_tables(&report, &performance, &resources),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    match &args.report {
        Some(out) => write_load_report(out, &name, performance, &report, &args.load),
        None => Ok(()),
    }
}

fn answer(
    model: &Decoder,
    tokenizer: &Tokenizer,
    prompt: &str,
    tokens: usize,
    device: &Device,
) -> Result<Response, String> {
    let start = Instant::now();
    let ids = encode_prompt(tokenizer, prompt).map_err(|why| why.to_string())?;
    let mut times = Vec::with_capacity(tokens);
    let sampling = SamplingConfig::default();
    let generation = generate(model, &ids, &sampling, tokens, &[], device, |_| {
        times.push(start.elapsed());
        Ok(ControlFlow::Continue(()))
    });
    let written = generation.map_err(|why| why.to_string())?.ids.len();
    let (read, written) = (Some(ids.len() as u64), Some(written as u64));
    Ok(Response { tokens_in: read, tokens_out: written, first_token: None, token_times: times })
}
