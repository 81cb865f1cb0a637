//! Writes the log-probability that a model gives each token of each line.

use burn::tensor::Device;
use clap::Parser;
use nexus_core::data::{Tokenizer, read_json_lines};
use nexus_core::model::{Decoder, Pass, ids_tensor};
use nexus_eval::encode_prompt;
use nexus_examples::{DeviceArgs, Failure, ModelArgs, progress, run};
use serde::Serialize;
use serde_json::{Map, Value};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Writes the log-probability that a model gives each token of each line.
///
/// Example:
///   echo '{"text": "A firewall filters traffic."}' > lines.jsonl
///   cargo run --release --example score -- --model runs/base --input lines.jsonl
///
/// Each line of the input is {"text": "..."} or {"input_ids": [..]}; a model without a tokenizer takes the second only.
/// For each, one line is printed: {"input_ids": [..], "logprobs": [..]}, the natural logarithm of the probability of each
/// token after the first.
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// File with one JSON object a line
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Also print the logits of every position under "logits", as a list per position: large
    #[arg(long)]
    logits: bool,
    /// Changes nothing: the output is JSON lines in any case
    #[arg(long = "json")]
    _json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

enum Line {
    Ids(Vec<u32>),
    Text(String),
}

#[derive(Serialize)]
struct Score {
    input_ids: Vec<u32>,
    logprobs: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logits: Option<Vec<Vec<f32>>>,
}

/// Logits that are held at a time when they are not wanted themselves.
const CHUNK: usize = 1 << 23;

fn main() -> ExitCode {
    let args = Args::parse();
    run(|| score(&args))
}

fn score(args: &Args) -> Result<(), Failure> {
    // The input first: it is read in no time, and may be wrong.
    let lines = read_json_lines(&args.input, line)?;
    let device = args.device.open()?;
    let model = args.model.load_model(&device)?;
    let has_text = lines.iter().any(|(_, line)| matches!(line, Line::Text(_)));
    let tokenizer = has_text.then(|| args.model.load_tokenizer(&model)).transpose()?;
    let mut bar = progress("scoring");
    let mut out = BufWriter::new(std::io::stdout().lock());
    for (i, (number, line)) in lines.iter().enumerate() {
        bar(i, lines.len());
        let score = ids(line, tokenizer.as_ref())
            .and_then(|ids| of_line(&model, ids, args.logits, &device));
        let score = score.map_err(|why| format!("{}:{number}: {why}", args.input.display()))?;
        serde_json::to_writer(&mut out, &score).map_err(std::io::Error::from)?;
        writeln!(out)?;
        out.flush()?;
    }
    bar(lines.len(), lines.len());
    Ok(())
}

fn line(mut object: Map<String, Value>) -> Result<Line, String> {
    match (object.remove("input_ids"), object.remove("text")) {
        (Some(ids), None) => serde_json::from_value(ids)
            .map(Line::Ids)
            .map_err(|_| "\"input_ids\" must be a list of token ids".into()),
        (None, Some(Value::String(text))) => Ok(Line::Text(text)),
        _ => Err("expected {\"input_ids\": [..]} or {\"text\": \"...\"}".into()),
    }
}

fn ids(line: &Line, tokenizer: Option<&Tokenizer>) -> Result<Vec<u32>, Failure> {
    match (line, tokenizer) {
        (Line::Ids(ids), _) => Ok(ids.clone()),
        (Line::Text(text), Some(tokenizer)) => Ok(encode_prompt(tokenizer, text)?),
        (Line::Text(_), None) => Err("the model has no tokenizer".into()),
    }
}

fn of_line(
    model: &Decoder,
    ids: Vec<u32>,
    with_logits: bool,
    device: &Device,
) -> Result<Score, Failure> {
    let vocabulary = model.config().vocab_size;
    if ids.is_empty() {
        return Err("there are no tokens".into());
    }
    if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
        return Err(format!("token id {id} is outside the vocabulary of {vocabulary}").into());
    }
    let values: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let hidden = model.hidden(ids_tensor(&values, [1, ids.len()], device), &Pass::inference())?;
    let [_, time, width] = hidden.dims();
    let hidden = hidden.reshape([time, width]);
    let mut logprobs = Vec::with_capacity(time - 1);
    let mut logits = with_logits.then(Vec::new);
    let chunk = (CHUNK / vocabulary).max(1);
    for start in (0..time).step_by(chunk) {
        let rows = hidden.clone().slice([start..time.min(start + chunk), 0..width]);
        let values = model.logits(rows, &Pass::inference()).into_data();
        let values: Vec<f32> = values.iter::<f32>().collect();
        for (i, row) in values.chunks(vocabulary).enumerate() {
            if let Some(&next) = ids.get(start + i + 1) {
                logprobs.push(log_probability(row, next as usize)?);
            }
            logits.iter_mut().for_each(|logits| logits.push(row.to_vec()));
        }
    }
    Ok(Score { input_ids: ids, logprobs, logits })
}

/// `log p(token)` of logits `[V]`.
fn log_probability(logits: &[f32], token: usize) -> Result<f64, Failure> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - largest).exp()).sum();
    let value = f64::from(logits[token] - largest) - sum.ln();
    match value.is_finite() {
        true => Ok(value),
        false => Err("a probability is not finite; the model's weights may be damaged".into()),
    }
}
