//! Models, adapters, data and the seams of Nexus.

pub mod adapter;
pub mod data;
mod device;
pub mod embed;
pub mod error;
pub mod generate;
#[cfg(feature = "hub")]
pub mod hub;
mod json;
pub mod model;
pub mod observe;
pub mod report;
pub mod stage;
pub mod weights;

pub use device::{COMPILED, device};
pub use error::{Error, Result};
