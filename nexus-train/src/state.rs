//! `trainer_state.json`, exactly as transformers' `Trainer` writes it.

use nexus_core::observe::{Evaluation, StepStats};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The progress of a run, in Hugging Face's form (keys sorted, indent 2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Step of the best evaluation.
    pub best_global_step: Option<usize>,
    /// Its metric.
    pub best_metric: Option<f64>,
    /// Its checkpoint.
    pub best_model_checkpoint: Option<String>,
    /// Passes over the data.
    pub epoch: f64,
    /// Steps between evaluations.
    pub eval_steps: usize,
    /// Steps done.
    pub global_step: usize,
    /// Always false.
    pub is_hyper_param_search: bool,
    /// Always true: one process.
    pub is_local_process_zero: bool,
    /// Always true: one process.
    pub is_world_process_zero: bool,
    /// What was logged, oldest first.
    pub log_history: Vec<Map<String, Value>>,
    /// Steps between entries of the loss.
    pub logging_steps: usize,
    /// Steps in all.
    pub max_steps: usize,
    /// Tokens processed.
    pub num_input_tokens_seen: usize,
    /// Passes over the data in all.
    pub num_train_epochs: usize,
    /// Steps between checkpoints.
    pub save_steps: usize,
    /// State of callbacks: early stopping and the loop's control.
    pub stateful_callbacks: Map<String, Value>,
    /// Floating-point operations, estimated as 6 x tokens x parameters without embeddings.
    pub total_flos: f64,
    /// Records per micro-batch.
    pub train_batch_size: usize,
    /// Always null.
    pub trial_name: Option<String>,
    /// Always null.
    pub trial_params: Option<Value>,
}

impl TrainerState {
    /// Appends an entry for the mean loss since the last entry.
    pub(crate) fn log_loss(&mut self, step: &StepStats, mean_loss: f64) {
        self.log(json!({
            "epoch": step.epoch,
            "grad_norm": step.grad_norm,
            "learning_rate": step.learning_rate,
            "loss": mean_loss,
            "step": step.step,
        }));
    }

    /// Appends an entry for an evaluation.
    pub(crate) fn log_evaluation(&mut self, evaluation: &Evaluation, batches: usize) {
        let per_second = |n: usize| n as f64 / evaluation.seconds.max(1e-9);
        let mut entry = Map::new();
        entry.insert("epoch".into(), evaluation.epoch.into());
        for (name, value) in &evaluation.metrics {
            entry.insert(name.clone(), (*value).into());
        }
        entry.insert("eval_runtime".into(), evaluation.seconds.into());
        entry.insert("eval_samples_per_second".into(), per_second(evaluation.examples).into());
        entry.insert("eval_steps_per_second".into(), per_second(batches).into());
        entry.insert("step".into(), evaluation.step.into());
        self.log(Value::Object(entry));
    }

    fn log(&mut self, entry: Value) {
        if let Value::Object(mut entry) = entry {
            entry.sort_keys();
            self.log_history.push(entry);
        }
    }

    /// The callbacks' part: how many evaluations brought no improvement, and whether the run ends here.
    pub(crate) fn set_callbacks(
        &mut self,
        patience: Option<(usize, f64)>,
        unimproved: usize,
        ends: bool,
    ) {
        let mut callbacks = Map::new();
        if let Some((patience, threshold)) = patience {
            let early_stopping = json!({
                "args": {
                    "early_stopping_patience": patience,
                    "early_stopping_threshold": threshold,
                },
                "attributes": { "early_stopping_patience_counter": unimproved },
            });
            callbacks.insert("EarlyStoppingCallback".into(), early_stopping);
        }
        let control = json!({
            "args": {
                "should_epoch_stop": false,
                "should_evaluate": false,
                "should_log": false,
                "should_save": true,
                "should_training_stop": ends,
            },
            "attributes": {},
        });
        callbacks.insert("TrainerControl".into(), control);
        self.stateful_callbacks = callbacks;
    }

    /// How many evaluations brought no improvement.
    pub(crate) fn unimproved(&self) -> usize {
        self.stateful_callbacks
            .get("EarlyStoppingCallback")
            .and_then(|callback| callback["attributes"]["early_stopping_patience_counter"].as_u64())
            .unwrap_or(0) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_transformers_are_read_and_written_alike() {
        for checkpoint in ["checkpoint-10", "checkpoint-20"] {
            let path = format!(
                "{}/tests/golden/trainer_state/{checkpoint}/trainer_state.json",
                env!("CARGO_MANIFEST_DIR")
            );
            let theirs = std::fs::read_to_string(path).unwrap();
            let state: TrainerState = serde_json::from_str(&theirs).unwrap();
            let ours = serde_json::to_string_pretty(&state).unwrap() + "\n";
            assert_eq!(ours.lines().count(), theirs.lines().count());
            for (ours, theirs) in ours.lines().zip(theirs.lines()) {
                // Python writes 5e-05 where Rust writes 0.00005; everything else is the same text.
                let number = |line: &str| -> Option<f64> {
                    line.rsplit(": ").next()?.trim_end_matches(',').parse().ok()
                };
                let key = |line: &str| line.split(": ").next().map(str::to_string);
                let same_number = number(ours).is_some() && number(ours) == number(theirs);
                assert!(
                    ours == theirs || (same_number && key(ours) == key(theirs)),
                    "{ours} {theirs}"
                );
            }
        }
    }
}
