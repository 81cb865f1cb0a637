//! Models, adapters, data and the seams of Nexus.

pub mod adapter;
pub mod data;
pub mod error;
pub mod model;
pub mod weights;

pub use error::{Error, Result};
