//! Models, adapters, data and the seams of Nexus.

pub mod data;
pub mod error;

pub use error::{Error, Result};
