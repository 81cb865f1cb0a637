//! Evaluation of language models and classifiers: perplexity, multiple choice, exact match, classification; latency,
//! throughput, memory and energy ([`performance`]); metrics, alerts and drift in service ([`monitor`]).
//!
//! Each task implements [`Evaluator`](nexus_core::stage::Evaluator) and gives an
//! [`EvalReport`](nexus_core::report::EvalReport) whose measures carry standard errors. Definitions follow
//! lm-evaluation-harness (<https://github.com/EleutherAI/lm-evaluation-harness>); each type lists where it deviates.
//!
//! ```text
//! data file -> Document | Example | Question | Prompt -> rows of tokens -> model -> outcomes -> EvalReport
//! ```

mod choice;
mod classification;
mod exact_match;
mod likelihood;
pub mod monitor;
pub mod performance;
mod perplexity;
mod prompt;
pub mod stats;
mod windows;

pub use choice::{Choice, ChoiceOptions, ChoiceOutcome, Question};
pub use classification::{Classification, class_logits};
pub use exact_match::{ExactMatch, ExactMatchOptions, ExactMatchOutcome, Prompt};
pub use likelihood::{Progress, ScoreOptions};
pub use nexus_core::{Error, Result};
pub use perplexity::{Document, ExamplePerplexity, Perplexity};
pub use prompt::{encode_pair, encode_prompt, prefix_token};
pub use windows::{Window, rolling_windows};
