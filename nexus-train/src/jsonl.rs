//! A log file with one JSON object per line.

use nexus_core::observe::{Evaluation, Observer, RunStart, StepStats};
use nexus_core::{Error, Result};
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// Writes a line per optimizer step (`step, loss, grad_norm, learning_rate, tokens, seconds`) and per evaluation
/// (`step` and its metrics).
///
/// A resumed run keeps the lines up to the step that it goes on from and drops later ones.
#[derive(Debug)]
pub struct JsonlLog {
    path: PathBuf,
    file: Option<File>,
}

impl JsonlLog {
    /// A log at `path`; the file is opened when the run begins.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), file: None }
    }

    fn write(&mut self, value: &Value) -> Result<()> {
        match &mut self.file {
            Some(file) => writeln!(file, "{value}").map_err(Error::io("write", &self.path)),
            None => Ok(()),
        }
    }
}

impl Observer for JsonlLog {
    fn on_start(&mut self, start: &RunStart) -> Result<()> {
        let kept = match start.first_step {
            0 => String::new(),
            first => match std::fs::read_to_string(&self.path) {
                Ok(text) => lines_up_to(&text, first),
                Err(why) if why.kind() == std::io::ErrorKind::NotFound => String::new(),
                Err(why) => return Err(Error::io("read", &self.path)(why)),
            },
        };
        if let Some(parent) = self.path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        nexus_core::weights::write_file(&self.path, kept.as_bytes())?;
        let file = OpenOptions::new().append(true).open(&self.path);
        self.file = Some(file.map_err(Error::io("open", &self.path))?);
        Ok(())
    }

    fn on_step(&mut self, step: &StepStats) -> Result<()> {
        self.write(&json!({
            "step": step.step,
            "loss": step.loss,
            "grad_norm": step.grad_norm,
            "learning_rate": step.learning_rate,
            "tokens": step.tokens,
            "seconds": step.seconds,
        }))
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> Result<()> {
        let mut line = Map::new();
        line.insert("step".into(), evaluation.step.into());
        line.extend(evaluation.metrics.iter().map(|(name, value)| (name.clone(), (*value).into())));
        self.write(&Value::Object(line))
    }
}

fn lines_up_to(text: &str, last: usize) -> String {
    text.lines()
        .filter(|line| {
            let value: Option<Value> = serde_json::from_str(line).ok();
            value.and_then(|value| value["step"].as_u64()).is_some_and(|step| step <= last as u64)
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::lines_up_to;

    #[test]
    fn a_resumed_log_drops_what_will_be_repeated() {
        let text = "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"eval_loss\":3}\n{\"step\":3}\n{\"ste";
        assert_eq!(lines_up_to(text, 2).lines().count(), 3);
    }
}
