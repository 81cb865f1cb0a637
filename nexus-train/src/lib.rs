//! Training of Nexus models: one loop, whatever is trained.
//!
//! ```no_run
//! use nexus_core::data::{EncodeOptions, Tokenizer, encode_records, read_records};
//! use nexus_core::stage::{TrainData, Trainer};
//! use nexus_core::{adapter, weights};
//! use nexus_train::{ProgressBar, Sft, TrainConfig};
//! use std::path::Path;
//!
//! # fn main() -> nexus_core::Result<()> {
//! let device = nexus_core::device("flex")?;
//! let folder = Path::new("my-model");
//! let tokenizer = Tokenizer::load(folder)?;
//! let model = adapter::attach(weights::load(folder, &device)?, &Default::default(), 42)?;
//!
//! let file = Path::new("train.jsonl");
//! let options = EncodeOptions::default();
//! let train = encode_records(&read_records(file)?, &tokenizer, &options, file)?.examples;
//! let data = TrainData { train: &train, valid: None, pad_id: tokenizer.pad() };
//! let trained = Sft::new(TrainConfig::default()).train(model, &data, &mut ProgressBar::new())?;
//! adapter::save_adapter(&trained.model, "my-model", Path::new("my-adapter"))?;
//! # Ok(())
//! # }
//! ```

mod adamw;
mod checkpoint;
mod config;
mod jsonl;
mod objective;
mod progress;
mod progress_bar;
mod run;
mod schedule;
mod state;
mod step;
mod trainer;

pub use checkpoint::last_checkpoint;
pub use config::{Precision, TrainConfig, TrainPlan};
pub use jsonl::JsonlLog;
pub use objective::{
    CausalLm, MaskedLm, Objective, Seq2Seq, SequenceClassification, TokenClassification,
};
pub use progress_bar::ProgressBar;
pub use run::{LoraConfig, Method, RunConfig};
pub use schedule::{Schedule, ScheduleKind};
pub use state::TrainerState;
pub use trainer::Sft;
