//! What every training program does around its run.

use crate::Failure;
use nexus_core::adapter::save_adapter;
use nexus_core::data::Tokenizer;
use nexus_core::model::Model;
use nexus_core::observe::Observer;
use nexus_core::weights::{StoredDtype, save};
use nexus_train::{JsonlLog, Method, ProgressBar};
use std::path::{Path, PathBuf};

/// A progress bar and, with `log`, a line of JSON per step.
pub fn observers(log: Option<&PathBuf>) -> Vec<Box<dyn Observer>> {
    let mut observers: Vec<Box<dyn Observer>> = vec![Box::new(ProgressBar::new())];
    if let Some(path) = log {
        observers.push(Box::new(JsonlLog::new(path)));
    }
    observers
}

/// Writes what a run trained into `out`: the adapter, or the whole model, and the tokenizer.
///
/// # Errors
/// When a file cannot be written.
pub fn save_trained(
    method: Method,
    model: &impl Model,
    base: &str,
    tokenizer: &Tokenizer,
    out: &Path,
) -> Result<(), Failure> {
    std::fs::create_dir_all(out)?;
    match method {
        Method::Lora => save_adapter(model, base, out)?,
        Method::Full | Method::Head => save(model, out, StoredDtype::F32)?,
    }
    Ok(tokenizer.save(out)?)
}
