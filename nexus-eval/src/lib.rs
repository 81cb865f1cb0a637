//! Evaluation of language models and classifiers: perplexity, multiple choice, exact match, classification; latency,
//! throughput, memory and energy ([`performance`]); metrics, alerts and drift in service ([`monitor`]).
//!
//! Each task implements [`Evaluator`](nexus_core::stage::Evaluator) and gives an
//! [`EvalReport`](nexus_core::report::EvalReport) whose measures carry standard errors. Definitions follow
//! lm-evaluation-harness (<https://github.com/EleutherAI/lm-evaluation-harness>); each type lists where it deviates.
//! [`task`] runs the harness's own task files.
//!
//! ```text
//! data file -> Document | Example | Question | Prompt -> rows of tokens -> model -> outcomes -> EvalReport
//! EvalReport, scores by example -> quality (checks, grades, comparisons) -> report | leaderboard
//! ```
//!
//! The parts that need no model: [`metrics`] of predictions, [`stats`] of samples, [`ab`] tests.

pub mod ab;
mod choice;
mod classification;
mod exact_match;
pub mod leaderboard;
mod likelihood;
pub mod metrics;
pub mod monitor;
pub mod performance;
mod perplexity;
mod prompt;
pub mod quality;
pub mod report;
pub mod stats;
pub mod task;
mod windows;

pub use choice::{Choice, ChoiceOptions, ChoiceOutcome, Question};
pub use classification::{Classification, ClassificationOutcome, class_logits};
pub use exact_match::{ExactMatch, ExactMatchOptions, ExactMatchOutcome, Prompt};
pub use likelihood::{Progress, ScoreOptions};
pub use nexus_core::{Error, Result};
pub use perplexity::{Document, ExamplePerplexity, Perplexity};
pub use prompt::{encode_pair, encode_prompt, prefix_token};
pub use windows::{Window, rolling_windows, rolling_windows_with_context};
