//! Training steps end to end, for `benches/compare.sh train`: the same model, adapter and batches as the peer, one JSON
//! line on standard output.

use clap::Parser;
use nexus_benches::peak_rss;
use nexus_core::adapter::{load_adapter, train_all};
use nexus_core::data::{Example, Target};
use nexus_core::model::{Decoder, Encoder, Model, store_bf16};
use nexus_core::observe::{Observer, StepStats};
use nexus_core::stage::{TrainData, Trainer};
use nexus_core::weights::{TensorFile, load};
use nexus_train::{Precision, ScheduleKind, SequenceClassification, Sft, TrainConfig};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

/// Times training steps and prints one JSON line.
///
/// Example: cargo bench -p nexus-benches --bench train_step -- --dir target/compare/train --method lora
#[derive(Parser)]
struct Args {
    /// Folder with model/, adapter/, batches.safetensors and recipe.json, as benches/peer/train.py prepares it
    #[arg(long)]
    dir: PathBuf,
    /// What is trained: lora or full
    #[arg(long)]
    method: String,
    /// Timed steps
    #[arg(long, default_value_t = 3)]
    steps: usize,
    /// Steps before the timed ones
    #[arg(long, default_value_t = 1)]
    warmup: usize,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// f32 or bf16
    #[arg(long, default_value = "f32")]
    precision: String,
    /// Given by cargo bench, without meaning here
    #[arg(long, hide = true)]
    bench: bool,
}

/// What both programs read from recipe.json.
#[derive(Deserialize)]
struct Recipe {
    learning_rate: BTreeMap<String, f64>,
}

#[derive(Default)]
struct Steps(Vec<StepStats>);

impl Observer for Steps {
    fn on_step(&mut self, step: &StepStats) -> nexus_core::Result<()> {
        self.0.push(step.clone());
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let precision = match args.precision.as_str() {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        other => return Err(format!("--precision {other}: expected f32 or bf16").into()),
    };
    rayon::ThreadPoolBuilder::new()
        .num_threads(args.threads)
        .use_current_thread()
        .build_global()?;
    let recipe: Recipe =
        serde_json::from_str(&std::fs::read_to_string(args.dir.join("recipe.json"))?)?;
    let learning_rate = recipe.learning_rate.get(&args.method);
    let mut batches = TensorFile::open(&args.dir.join("batches.safetensors"))?;
    let (ids, shape) = batches.read_i64("ids")?;
    let [count, rows, columns] = shape[..] else {
        return Err(format!("batches.safetensors: ids of {shape:?}").into());
    };
    // Classes of whole sequences: the model is an encoder.
    let classes = match batches.shape("classes").is_some() {
        true => Some(batches.read_i64("classes")?.0),
        false => None,
    };
    let total = args.warmup + args.steps;
    let examples: Vec<Example> = (0..total * rows)
        .map(|i| {
            let row = i % (count * rows);
            let ids = &ids[row * columns..][..columns];
            let tokens = ids.iter().map(|&id| id as u32).collect();
            match &classes {
                Some(classes) => Example {
                    target: Target::Class(classes[row] as u32),
                    ..Example::new(tokens, Vec::new())
                },
                None => Example::new(tokens, ids.iter().map(|&id| id as i32).collect()),
            }
        })
        .collect();
    let config = TrainConfig {
        max_steps: Some(total),
        batch_size: rows,
        learning_rate: *learning_rate.ok_or("recipe.json has no learning rate of this method")?,
        precision,
        schedule: ScheduleKind::Constant,
        shuffle: false,
        group_by_length: false,
        ..TrainConfig::default()
    };
    let mut steps = Steps::default();
    let data = TrainData { train: &examples, valid: None, pad_id: 0 };
    let method = args.method.as_str();
    let (folder, adapter) = (args.dir.join("model"), args.dir.join("adapter"));
    match classes {
        Some(_) => {
            let model = prepared::<Encoder>(&folder, &adapter, method, precision)?;
            let mut trainer = Sft::with_objective(config, SequenceClassification::new());
            trainer.train(model, &data, &mut steps)?;
        }
        None => {
            let model = prepared::<Decoder>(&folder, &adapter, method, precision)?;
            Sft::new(config).train(model, &data, &mut steps)?;
        }
    }

    let seconds: Vec<f64> = steps.0[args.warmup..].iter().map(|step| step.seconds).collect();
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = match sorted.len() % 2 {
        1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    };
    let tokens = rows * columns;
    let line = json!({
        "program": "nexus",
        "versions": { "nexus": env!("CARGO_PKG_VERSION"), "burn": "0.22.1" },
        "method": args.method,
        "precision": args.precision,
        "threads": args.threads,
        "tokens_per_step": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens as f64 / median,
        "losses": steps.0.iter().map(|step| step.loss).collect::<Vec<_>>(),
        "grad_norms": steps.0.iter().map(|step| step.grad_norm).collect::<Vec<_>>(),
        "peak_rss_bytes": peak_rss()?,
    });
    println!("{line}");
    Ok(())
}

/// The model to train.
fn prepared<M: Model>(
    folder: &Path,
    adapter: &Path,
    method: &str,
    precision: Precision,
) -> Result<M, Box<dyn Error>> {
    let model = load::<M>(folder, &nexus_core::device("flex")?)?;
    let model = match method {
        "lora" => load_adapter(model, adapter)?,
        "full" => train_all(model),
        other => return Err(format!("--method {other}: expected lora or full").into()),
    };
    Ok(match precision {
        Precision::F32 => model,
        Precision::Bf16 => store_bf16(model),
    })
}
