//! BLEU and ROUGE of many sentence pairs, for `benches/compare.sh metrics`: the same pairs as the peer, one JSON line
//! on standard output.

use clap::Parser;
use nexus_eval::metrics::text::{Bleu, BleuOptions, CorpusMetric, Rouge, RougeOptions};
use serde::Deserialize;
use serde_json::{Value, json};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Scores the pairs and prints one JSON line.
///
/// Example: cargo bench -p nexus-benches --bench metrics -- --dir target/compare/metrics --threads 1
#[derive(Parser)]
struct Args {
    /// Folder with pairs.jsonl, as benches/peer/metrics.py prepares it; the scores of each pair are written there
    #[arg(long)]
    dir: PathBuf,
    /// Threads
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Given by cargo bench, without meaning here
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Deserialize)]
struct Pair {
    hypothesis: String,
    reference: String,
}

/// The pairs, side by side.
#[derive(Default)]
struct Pairs {
    hypotheses: Vec<String>,
    references: Vec<[String; 1]>,
}

fn read(path: &Path) -> Result<Pairs, Box<dyn Error>> {
    let mut pairs = Pairs::default();
    for line in BufReader::new(File::open(path)?).lines() {
        let pair: Pair = serde_json::from_str(&line?)?;
        pairs.hypotheses.push(pair.hypothesis);
        pairs.references.push([pair.reference]);
    }
    Ok(pairs)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global()?;
    let Pairs { hypotheses, references } = read(&args.dir.join("pairs.jsonl"))?;

    let start = Instant::now();
    let bleu = Bleu::new(BleuOptions::default())?.corpus(&hypotheses, &references)?;
    let bleu_seconds = start.elapsed().as_secs_f64();

    let start = Instant::now();
    let options = RougeOptions { stemmer: true, ..RougeOptions::default() };
    let rouge = Rouge::new(options.clone())?;
    let segments = rouge.statistics(&hypotheses, &references)?;
    let rouge_seconds = start.elapsed().as_secs_f64();

    let mut file = BufWriter::new(File::create(args.dir.join("rouge-nexus.f64"))?);
    for score in segments.iter().flatten() {
        for value in [score.precision, score.recall, score.fmeasure] {
            file.write_all(&value.to_le_bytes())?;
        }
    }
    file.flush()?;
    let means = options.types.iter().zip(rouge.score(&segments));
    let means = means.map(|(kind, mean)| (kind.to_string(), Value::from(mean.fmeasure)));
    let line = json!({
        "program": "nexus",
        "versions": { "nexus": env!("CARGO_PKG_VERSION") },
        "threads": args.threads,
        "pairs": hypotheses.len(),
        "bleu_seconds": bleu_seconds,
        "rouge_seconds": rouge_seconds,
        "bleu": bleu,
        "rouge": means.collect::<serde_json::Map<String, Value>>(),
    });
    println!("{line}");
    Ok(())
}
