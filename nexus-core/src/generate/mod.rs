//! Text from a model: sampling, beam search and the generation loop.

mod batch;
mod beam;
mod config;
mod run;
mod sample;
#[cfg(test)]
mod search_tests;
mod step;
mod text;
mod texts;

pub use batch::{
    generate_batch, generate_batch_with_adapters, generate_seq2seq, generate_seq2seq_with_adapters,
};
pub use beam::{BeamConfig, EarlyStopping};
pub use config::{GenerationConfig, Search};
pub use run::{Finish, Generation, generate};
pub use sample::{Sampler, SamplingConfig};
pub use text::{TextGeneration, generate_text, generate_text_batch};
pub use texts::{generate_seq2seq_texts, generate_texts};
