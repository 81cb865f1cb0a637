//! Fine-tuning of an encoder for classification, for `benches/compare.sh classify`: the same model, adapter, texts and
//! recipe as the peer, one JSON line on standard output.

use burn::tensor::Device;
use clap::Parser;
use nexus_benches::peak_rss;
use nexus_core::adapter::{load_adapter, train_all};
use nexus_core::data::{Example, Target, collate};
use nexus_core::model::{Classify, Encoder, Pass, TokenBatch};
use nexus_core::observe::{Observer, StepStats};
use nexus_core::stage::{TrainData, Trainer};
use nexus_core::weights::{TensorFile, load};
use nexus_train::{SequenceClassification, Sft, TrainConfig};
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Fine-tunes, measures the test set and prints one JSON line.
///
/// Example: cargo bench -p nexus-benches --bench classify -- --dir target/compare/classify/banking77/seed-1 --method lora
#[derive(Parser)]
struct Args {
    /// Folder with model/, adapter/, train.safetensors, test.safetensors and recipe.json, as benches/peer/classify.py
    /// prepares it
    #[arg(long)]
    dir: PathBuf,
    /// What is trained: lora or full
    #[arg(long)]
    method: String,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Given by cargo bench, without meaning here
    #[arg(long, hide = true)]
    bench: bool,
}

/// What both programs read from recipe.json.
#[derive(Deserialize)]
struct Recipe {
    data: String,
    seed: u64,
    steps: usize,
    warmup_steps: usize,
    batch: usize,
    learning_rate: BTreeMap<String, f64>,
    weight_decay: f64,
    max_grad_norm: f64,
    pad_id: u32,
}

#[derive(Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn on_step(&mut self, step: &StepStats) -> nexus_core::Result<()> {
        self.0.push(step.loss);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global()?;
    let device = nexus_core::device("flex")?;
    let recipe: Recipe =
        serde_json::from_str(&std::fs::read_to_string(args.dir.join("recipe.json"))?)?;
    let model = load::<Encoder>(&args.dir.join("model"), &device)?;
    let model = match args.method.as_str() {
        "lora" => load_adapter(model, &args.dir.join("adapter"))?,
        "full" => train_all(model),
        other => return Err(format!("--method {other}: expected lora or full").into()),
    };
    let learning_rate = recipe.learning_rate.get(&args.method);
    let config = TrainConfig {
        max_steps: Some(recipe.steps),
        batch_size: recipe.batch,
        learning_rate: *learning_rate.ok_or("recipe.json has no learning rate of this method")?,
        warmup_steps: recipe.warmup_steps,
        weight_decay: recipe.weight_decay,
        max_grad_norm: Some(recipe.max_grad_norm),
        // The file holds the rows of all epochs in the order in which the peer sees them too.
        shuffle: false,
        group_by_length: false,
        ..TrainConfig::default()
    };
    let (train, _) = read_examples(&args.dir.join("train.safetensors"))?;
    let (test, targets) = read_examples(&args.dir.join("test.safetensors"))?;

    let mut losses = Losses::default();
    let began = Instant::now();
    let data = TrainData { train: &train, valid: None, pad_id: recipe.pad_id };
    let mut trainer = Sft::with_objective(config, SequenceClassification::new());
    let model = trainer.train(model, &data, &mut losses)?.model;
    let train_seconds = began.elapsed().as_secs_f64();

    let began = Instant::now();
    let predictions = predict(&model, &test, &recipe, &device)?;
    let test_seconds = began.elapsed().as_secs_f64();

    let (accuracy, macro_f1) = scores(&predictions, &targets);
    let line = json!({
        "program": "nexus",
        "versions": { "nexus": env!("CARGO_PKG_VERSION"), "burn": "0.22.1" },
        "data": recipe.data,
        "seed": recipe.seed,
        "method": args.method,
        "threads": args.threads,
        "train_seconds": train_seconds,
        "test_seconds": test_seconds,
        "accuracy": accuracy,
        "macro_f1": macro_f1,
        "losses": losses.0,
        "predictions": predictions,
        "peak_rss_bytes": peak_rss()?,
    });
    println!("{line}");
    Ok(())
}

/// The rows of a file of `ids`, `offsets` and `labels`, as examples and as their classes.
fn read_examples(path: &Path) -> Result<(Vec<Example>, Vec<u32>), Box<dyn Error>> {
    let mut file = TensorFile::open(path)?;
    let (ids, _) = file.read_i64("ids")?;
    let (offsets, _) = file.read_i64("offsets")?;
    let (labels, _) = file.read_i64("labels")?;
    let labels: Vec<u32> = labels.into_iter().map(u32::try_from).collect::<Result<_, _>>()?;
    if offsets.len() != labels.len() + 1 {
        return Err(format!("{}: offsets and labels do not match", path.display()).into());
    }
    let mut examples = Vec::with_capacity(labels.len());
    for (ends, &label) in offsets.windows(2).zip(&labels) {
        let (start, end) = (usize::try_from(ends[0])?, usize::try_from(ends[1])?);
        let row = ids.get(start..end).ok_or("an offset is out of range")?;
        let row = row.iter().map(|&id| u32::try_from(id)).collect::<Result<_, _>>()?;
        examples.push(Example { target: Target::Class(label), ..Example::new(row, Vec::new()) });
    }
    Ok((examples, labels))
}

/// The class of the largest logit of every example.
fn predict(
    model: &Encoder,
    examples: &[Example],
    recipe: &Recipe,
    device: &Device,
) -> Result<Vec<u32>, Box<dyn Error>> {
    let mut predictions = Vec::with_capacity(examples.len());
    for chunk in examples.chunks(recipe.batch) {
        let tokens = TokenBatch::new(&collate(chunk, recipe.pad_id), device);
        let logits = model.class_logits(&tokens, &Pass::inference())?;
        let [_, classes] = logits.dims();
        let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
        for row in logits.chunks(classes) {
            let best = (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            predictions.push(u32::try_from(best.ok_or("no classes")?)?);
        }
    }
    Ok(predictions)
}

/// Accuracy, and the mean F1 of the classes that occur among the predictions or the targets.
fn scores(predictions: &[u32], targets: &[u32]) -> (f64, f64) {
    let count = |values: &[u32], class| values.iter().filter(|&&value| value == class).count();
    let pairs = || predictions.iter().zip(targets).filter(|(p, t)| p == t);
    let classes: BTreeSet<u32> = predictions.iter().chain(targets).copied().collect();
    let f1 = classes.iter().map(|&class| {
        let both = pairs().filter(|&(&p, _)| p == class).count();
        2.0 * both as f64 / (count(predictions, class) + count(targets, class)) as f64
    });
    let macro_f1 = f1.sum::<f64>() / classes.len() as f64;
    (pairs().count() as f64 / targets.len() as f64, macro_f1)
}
