//! Text from a model: sampling and the generation loop.

mod run;
mod sample;
mod text;

pub use run::{Finish, Generation, generate};
pub use sample::{Sampler, SamplingConfig};
pub use text::{TextGeneration, generate_text};
