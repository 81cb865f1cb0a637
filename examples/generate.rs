//! Continues a text, or holds a conversation, with a model.

use burn::tensor::Device;
use clap::Parser;
use nexus_core::data::{Message, Tokenizer};
use nexus_core::generate::{Finish, TextGeneration, generate_text};
use nexus_core::model::{Decoder, Position};
use nexus_eval::encode_prompt;
use nexus_examples::{DeviceArgs, Failure, ModelArgs, SamplingArgs, run, with_template};
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

/// Continues a text, or holds a conversation, with a model.
///
/// Example:
///   cargo run --release --example generate -- --model runs/base --prompt "A firewall is"
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to continue
    #[arg(long, value_name = "TEXT", required_unless_present = "chat")]
    prompt: Option<String>,
    /// Hold a conversation: a line of stdin is a message
    #[arg(long, conflicts_with_all = ["prompt", "json"])]
    chat: bool,
    /// Chat template in place of the model's own: chatml, or a Jinja file
    #[arg(long, value_name = "NAME|FILE", requires = "chat")]
    template: Option<String>,
    /// Print one JSON object at the end instead of text as it comes
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run(|| generate(&args))
}

fn generate(args: &Args) -> Result<(), Failure> {
    let device = args.device.open()?;
    let (model, mut tokenizer) = args.model.load(&device)?;
    let mut stop = args.sampling.stop.clone();
    let Some(prompt) = &args.prompt else {
        tokenizer = with_template(tokenizer, args.template.as_deref(), &mut stop)?;
        return converse(args, &model, &tokenizer, &stop, &device);
    };
    let ids = encode_prompt(&tokenizer, prompt)?;
    let generation = answer(args, &model, &tokenizer, &ids, &stop, &device)?;
    if args.json {
        let finish = match generation.finish {
            Finish::Eos => "eos",
            Finish::Stop => "stop",
            Finish::Length => "length",
        };
        let TextGeneration { text, tokens, .. } = generation;
        let object = serde_json::json!({
            "prompt": prompt, "text": text, "prompt_tokens": ids.len(), "tokens": tokens, "finish": finish,
        });
        writeln!(std::io::stdout(), "{object}")?;
    }
    Ok(())
}

fn converse(
    args: &Args,
    model: &Decoder,
    tokenizer: &Tokenizer,
    stop: &[String],
    device: &Device,
) -> Result<(), Failure> {
    let template = tokenizer.chat_template().ok_or("the model has no chat template")?;
    let terminal = std::io::stdin().is_terminal();
    let mut messages = Vec::new();
    if terminal {
        eprint!("Write a message and press enter; Ctrl-D ends.\n> ");
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            messages.push(Message::new("user", line));
            let text = template.render(&messages, None, true)?;
            let ids = tokenizer.encode(&text, false)?;
            let generation = answer(args, model, tokenizer, &ids, stop, device)?;
            messages.push(Message::new("assistant", generation.text));
        }
        if terminal {
            eprint!("> ");
        }
    }
    Ok(())
}

/// Generates, and prints the text as it comes unless one JSON object is wanted.
fn answer(
    args: &Args,
    model: &Decoder,
    tokenizer: &Tokenizer,
    ids: &[u32],
    stop: &[String],
    device: &Device,
) -> Result<TextGeneration, Failure> {
    let (tokens, positions) = (ids.len(), model.config().max_positions);
    if matches!(model.config().position, Position::Learned) && tokens >= positions {
        return Err(format!(
            "the text has {tokens} tokens, the model has {positions} positions; shorten it"
        )
        .into());
    }
    let sampling = args.sampling.config();
    let max_new_tokens = args.sampling.max_new_tokens;
    let mut out = std::io::stdout().lock();
    let mut written = Ok(());
    let generation =
        generate_text(model, tokenizer, ids, &sampling, max_new_tokens, stop, device, |piece| {
            if !args.json && written.is_ok() {
                written = write!(out, "{piece}").and_then(|()| out.flush());
            }
        })?;
    written?;
    if !args.json {
        writeln!(out)?;
    }
    Ok(generation)
}
