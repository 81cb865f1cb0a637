//! How a program generates text.

use crate::stop_string;
use clap::Args;
use nexus_core::generate::SamplingConfig;

/// How a program chooses the next token.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// The most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub max_new_tokens: usize,
    /// Divides the logits: 0 takes the likeliest token, larger is more surprising
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub temperature: f64,
    /// Draw from the K likeliest tokens only
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    /// Draw from the likeliest tokens whose probabilities reach P
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub top_p: f64,
    /// Draw from tokens with at least this share of the largest probability
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub min_p: f64,
    /// Above 1, tokens that occurred become less likely
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub repetition_penalty: f64,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Text that ends the generation and is not printed; may be repeated
    #[arg(long, value_name = "TEXT", value_parser = stop_string)]
    pub stop: Vec<String>,
}

impl SamplingArgs {
    /// The settings, not checked yet.
    pub fn config(&self) -> SamplingConfig {
        SamplingConfig {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        }
    }
}
