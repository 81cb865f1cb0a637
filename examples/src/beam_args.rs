//! How a program searches for an answer.

use clap::Args;
use nexus_core::generate::{BeamConfig, GenerationConfig, Search};

/// Beam search and its limits.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Search")]
pub struct BeamArgs {
    /// Hypotheses that are kept while searching; 1 is nearly greedy
    #[arg(long, value_name = "N", default_value_t = 4)]
    num_beams: usize,
    /// Above 0 favours long answers, below 0 short ones
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    length_penalty: f64,
    /// The most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_new_tokens: usize,
    /// The least tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 0)]
    min_new_tokens: usize,
    /// No run of N tokens occurs twice
    #[arg(long, value_name = "N")]
    no_repeat_ngram_size: Option<usize>,
}

impl BeamArgs {
    /// The settings, not checked yet.
    pub fn config(&self) -> GenerationConfig {
        let beams = BeamConfig {
            num_beams: self.num_beams,
            length_penalty: self.length_penalty,
            ..BeamConfig::default()
        };
        GenerationConfig {
            max_new_tokens: self.max_new_tokens,
            min_new_tokens: self.min_new_tokens,
            no_repeat_ngram_size: self.no_repeat_ngram_size,
            search: Search::Beams(beams),
            ..GenerationConfig::default()
        }
    }
}
