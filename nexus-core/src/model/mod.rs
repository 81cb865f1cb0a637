//! The decoder and its parts.

mod attention;
mod cache;
mod config;
mod decoder;
mod family;
mod loss;
mod mlp;
mod norm;
mod pass;
mod projection;
mod rotary;
mod source;

pub use cache::Cache;
pub use config::{Activation, AttentionBias, DecoderConfig, MlpKind, NormKind, Position};
pub use decoder::{Decoder, ids_tensor};
pub(crate) use family::split_path;
pub use family::{ConfigReader, Family, MODEL_TYPES, Spec, StoredAs};
pub use loss::LossSum;
pub use pass::Pass;
pub use projection::{AdapterState, LowRank, LowRankSettings, Projection};
pub use rotary::{RotaryConfig, RotaryScaling};
pub(crate) use source::unit;
pub use source::{Init, ParameterSource, RandomSource};
