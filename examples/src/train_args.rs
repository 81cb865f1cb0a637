//! The settings of a training run on the command line.

use crate::{DataReader, Failure, beside};
use clap::{Args, ValueEnum};
use nexus_core::adapter::Modules;
use nexus_core::data::Columns;
use nexus_train::{Method, Precision, RunConfig, ScheduleKind};
use std::path::{Path, PathBuf};

/// Settings that replace those of the configuration file.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Training")]
pub struct TrainArgs {
    /// Settings as a TOML file; the flags below win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What is trained [default: lora]
    #[arg(long, value_enum)]
    method: Option<MethodArg>,
    /// Optimizer steps; wins over --epochs
    #[arg(long, value_name = "N")]
    max_steps: Option<usize>,
    /// Passes over the data [default: 3]
    #[arg(long, value_name = "N")]
    epochs: Option<f64>,
    /// Records per micro-batch [default: 8]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Micro-batches per optimizer step [default: 1]
    #[arg(long, value_name = "N")]
    grad_accumulation: Option<usize>,
    /// Longest example in tokens [default: the model's, at most 1024; classify and seq2seq: at most 512]
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Peak learning rate [default: 5e-5]
    #[arg(long, value_name = "X")]
    learning_rate: Option<f64>,
    /// Course of the learning rate [default: linear]
    #[arg(long, value_enum)]
    schedule: Option<ScheduleArg>,
    /// Steps over which the learning rate rises [default: 0]
    #[arg(long, value_name = "N")]
    warmup_steps: Option<usize>,
    /// Decay of matrices and embeddings [default: 0]
    #[arg(long, value_name = "X")]
    weight_decay: Option<f64>,
    /// Rank of the adapters [default: 8]
    #[arg(long, value_name = "N")]
    lora_rank: Option<usize>,
    /// Numerator of the adapters' scale [default: 16]
    #[arg(long, value_name = "X")]
    lora_alpha: Option<f64>,
    /// Dropout before the adapters [default: 0]
    #[arg(long, value_name = "P")]
    lora_dropout: Option<f64>,
    /// Which projections get an adapter: names with commas, a regular expression, or all-linear [default: all-linear]
    #[arg(long, value_name = "NAMES")]
    lora_targets: Option<String>,
    /// Give every output of an adapted projection a magnitude of its own (DoRA)
    #[arg(long)]
    dora: bool,
    /// Number format of the matrix products [default: f32]
    #[arg(long, value_enum)]
    precision: Option<PrecisionArg>,
    /// Seed of initialisation, data order and dropout [default: 42]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Evaluate every N steps
    #[arg(long, value_name = "N")]
    eval_steps: Option<usize>,
    /// Save a checkpoint every N steps
    #[arg(long, value_name = "N")]
    save_steps: Option<usize>,
    /// Go on from the last checkpoint in --out
    #[arg(long)]
    pub resume: bool,
    /// Folder for the encoded data, about two bytes a token [default: the one that --out lies in]
    #[arg(long, value_name = "DIR")]
    spill: Option<PathBuf>,
    /// Write a JSON line per step into this file
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MethodArg {
    Full,
    Lora,
    Head,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScheduleArg {
    Constant,
    Linear,
    Cosine,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PrecisionArg {
    /// 32-bit floating point
    F32,
    /// The large matrix products in bf16, frozen weights too: faster on processors that multiply it, half the memory
    Bf16,
}

impl TrainArgs {
    /// A reader of data files that keeps what it encodes in --spill, or beside `out`.
    ///
    /// # Errors
    /// When the folder beside `out` cannot be created.
    pub fn reader(&self, columns: Columns, out: &Path) -> Result<DataReader, Failure> {
        let folder = match &self.spill {
            Some(folder) => folder.clone(),
            None => beside(out)?,
        };
        Ok(DataReader::new(columns, folder))
    }

    /// The configuration file, or the defaults, with the flags on top.
    ///
    /// # Errors
    /// When the file cannot be read or has unknown keys.
    pub fn run_config(&self) -> Result<RunConfig, Failure> {
        let mut run = match &self.config {
            Some(path) => RunConfig::read(path)?,
            None => RunConfig::default(),
        };
        fn set<T: Clone>(target: &mut T, flag: &Option<T>) {
            if let Some(value) = flag {
                *target = value.clone();
            }
        }
        set(
            &mut run.method,
            &self.method.map(|method| match method {
                MethodArg::Full => Method::Full,
                MethodArg::Lora => Method::Lora,
                MethodArg::Head => Method::Head,
            }),
        );
        run.lora.dora |= self.dora;
        set(
            &mut run.train.precision,
            &self.precision.map(|precision| match precision {
                PrecisionArg::F32 => Precision::F32,
                PrecisionArg::Bf16 => Precision::Bf16,
            }),
        );
        set(
            &mut run.train.schedule,
            &self.schedule.map(|schedule| match schedule {
                ScheduleArg::Constant => ScheduleKind::Constant,
                ScheduleArg::Linear => ScheduleKind::Linear,
                ScheduleArg::Cosine => ScheduleKind::Cosine,
            }),
        );
        run.max_length = self.max_length.or(run.max_length);
        let (train, lora) = (&mut run.train, &mut run.lora);
        train.max_steps = self.max_steps.or(train.max_steps);
        train.eval_steps = self.eval_steps.or(train.eval_steps);
        train.save_steps = self.save_steps.or(train.save_steps);
        set(&mut train.epochs, &self.epochs);
        set(&mut train.batch_size, &self.batch_size);
        set(&mut train.grad_accumulation, &self.grad_accumulation);
        set(&mut train.learning_rate, &self.learning_rate);
        set(&mut train.warmup_steps, &self.warmup_steps);
        set(&mut train.weight_decay, &self.weight_decay);
        set(&mut train.seed, &self.seed);
        set(&mut lora.rank, &self.lora_rank);
        set(&mut lora.alpha, &self.lora_alpha);
        set(&mut lora.dropout, &self.lora_dropout);
        set(&mut lora.targets, &self.lora_targets.as_deref().map(targets));
        Ok(run)
    }
}

/// Names where the text can be nothing else, a pattern otherwise.
fn targets(text: &str) -> Modules {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ',');
    match text != "all-linear" && text.chars().all(plain) {
        true => Modules::Names(text.split(',').map(str::to_string).collect()),
        false => Modules::Pattern(text.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_names_or_a_pattern() {
        assert_eq!(
            targets("q_proj,v_proj"),
            Modules::Names(vec!["q_proj".into(), "v_proj".into()])
        );
        assert_eq!(targets("all-linear"), Modules::Pattern("all-linear".into()));
        assert_eq!(targets(r".*\.0\..*"), Modules::Pattern(r".*\.0\..*".into()));
    }
}
