//! What every training program does around its run.

use crate::{DeviceArgs, Failure};
use nexus_core::data::Tokenizer;
use nexus_core::model::Model;
use nexus_core::observe::Observer;
use nexus_core::report::{RunReport, SCHEMA_VERSION, comparison_table};
use nexus_core::weights::{StoredDtype, save, save_adapted};
use nexus_train::{JsonlLog, Method, ProgressBar, RunConfig, last_checkpoint};
use std::path::{Path, PathBuf};

/// A progress bar and, with `log`, a line of JSON per step.
pub fn observers(log: Option<&PathBuf>) -> Vec<Box<dyn Observer>> {
    let mut observers: Vec<Box<dyn Observer>> = vec![Box::new(ProgressBar::new())];
    if let Some(path) = log {
        observers.push(Box::new(JsonlLog::new(path)));
    }
    observers
}

/// The checkpoint in `out` to go on from. A folder with checkpoints of another run is not written over.
///
/// # Errors
/// When there is a checkpoint but no `resume`, or the other way round.
pub fn checkpoint(out: &Path, resume: bool) -> Result<Option<PathBuf>, Failure> {
    match (last_checkpoint(out)?, resume) {
        (None, true) => {
            Err(format!("{} holds no checkpoint; leave out --resume", out.display()).into())
        }
        (Some(found), false) => Err(format!(
            "{} is from an earlier run; add --resume to go on with it, or choose another --out",
            found.display()
        )
        .into()),
        (found, _) => Ok(found),
    }
}

/// The folder that `out` lies in; it is created.
///
/// # Errors
/// When it cannot be created.
pub fn beside(out: &Path) -> Result<PathBuf, Failure> {
    let folder = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)
        .map_err(|why| format!("cannot create {}: {why}", folder.display()))?;
    Ok(folder.into())
}

/// Writes what a run trained into `out`: the adapter with what its head needs, or the whole model, and the tokenizer.
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
        Method::Lora => save_adapted(model, base, out)?,
        Method::Full | Method::Head => save(model, out, StoredDtype::F32)?,
    }
    Ok(tokenizer.save(out)?)
}

/// A report of a run with nothing measured yet.
///
/// # Errors
/// When the settings cannot be written as JSON.
pub fn new_report(
    title: &str,
    base: &str,
    device: &DeviceArgs,
    config: &RunConfig,
) -> Result<RunReport, Failure> {
    Ok(RunReport {
        schema_version: SCHEMA_VERSION,
        title: format!("{title} {base}"),
        nexus_version: env!("CARGO_PKG_VERSION").into(),
        device: device.name().into(),
        threads: rayon::current_num_threads(),
        base_model: base.into(),
        classes: Vec::new(),
        data: Vec::new(),
        config: serde_json::to_value(config)?,
        train: None,
        before: Vec::new(),
        after: Vec::new(),
    })
}

/// Writes the report into `out` and prints it: as JSON, or what it measured.
///
/// # Errors
/// When a file cannot be written.
pub fn finish(report: &RunReport, out: &Path, json: bool) -> Result<(), Failure> {
    report.save(out)?;
    if json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    if !report.after.is_empty() {
        println!("{}", comparison_table(&report.before, &report.after));
    } else if let Some(train) = &report.train {
        println!("final loss {:.4}", train.final_loss);
    }
    println!("wrote {}", out.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_only_when_asked_to_and_only_where_there_is_one() {
        let out = tempfile::tempdir().unwrap();
        assert_eq!(checkpoint(out.path(), false).unwrap(), None);
        let error = checkpoint(out.path(), true).unwrap_err().to_string();
        assert!(error.contains("holds no checkpoint"), "{error}");
        for step in [9, 10] {
            std::fs::create_dir(out.path().join(format!("checkpoint-{step}"))).unwrap();
        }
        assert!(checkpoint(out.path(), true).unwrap().unwrap().ends_with("checkpoint-10"));
        let error = checkpoint(out.path(), false).unwrap_err().to_string();
        assert!(error.contains("--resume") && error.contains("checkpoint-10"), "{error}");
    }

    #[test]
    fn what_is_beside_a_folder_is_in_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        assert_eq!(beside(&runs.join("one")).unwrap(), runs);
        assert!(runs.is_dir());
        assert_eq!(beside(Path::new("one")).unwrap(), Path::new("."));
    }
}
