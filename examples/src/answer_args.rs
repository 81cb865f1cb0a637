//! How answers are generated and compared.

use crate::stop_string;
use clap::Args;
use nexus_eval::ExactMatchOptions;

/// Length, end and comparison of generated answers.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Generated answers")]
pub struct AnswerArgs {
    /// The most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_new_tokens: usize,
    /// Text that ends an answer; may be repeated
    #[arg(long, value_name = "TEXT", default_value = "\\n", value_parser = stop_string)]
    stop: Vec<String>,
    /// Take upper and lower case as the same
    #[arg(long)]
    ignore_case: bool,
    /// Leave out punctuation
    #[arg(long)]
    ignore_punctuation: bool,
}

impl AnswerArgs {
    /// The options of an evaluation by exact match.
    pub fn options(&self) -> ExactMatchOptions {
        ExactMatchOptions {
            max_new_tokens: self.max_new_tokens,
            stop: self.stop.clone(),
            ignore_case: self.ignore_case,
            ignore_punctuation: self.ignore_punctuation,
            ..ExactMatchOptions::default()
        }
    }
}
