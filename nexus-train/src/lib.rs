//! Training of Nexus models: one loop, whatever is trained.

mod adamw;
mod checkpoint;
mod config;
mod jsonl;
mod progress;
mod progress_bar;
mod run;
mod schedule;
mod state;
mod step;
mod trainer;

pub use checkpoint::last_checkpoint;
pub use config::{TrainConfig, TrainPlan};
pub use jsonl::JsonlLog;
pub use progress_bar::ProgressBar;
pub use run::{LoraConfig, Method, Precision, RunConfig};
pub use schedule::{Schedule, ScheduleKind};
pub use state::TrainerState;
pub use trainer::Sft;
