//! What a run remembers: its state, the best evaluation, sums for the report.

use crate::checkpoint;
use crate::config::{TrainConfig, TrainPlan};
use crate::state::TrainerState;
use nexus_core::model::Model;
use nexus_core::observe::{Evaluation, StepStats};
use nexus_core::report::TrainReport;
use nexus_core::weights::parameters;
use nexus_core::{Error, Result};
use serde_json::Map;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The progress of a run.
#[derive(Debug)]
pub(crate) struct Progress {
    state: TrainerState,
    unimproved: usize,
    /// Losses since the last log entry.
    unlogged: Vec<f64>,
    /// Parameters without embeddings, for the estimate of operations.
    body_parameters: usize,
    steps_here: usize,
    loss_sum: f64,
    final_loss: f64,
    tokens: usize,
    step_seconds: f64,
}

impl Progress {
    pub(crate) fn new(plan: &TrainPlan) -> Self {
        let config = &plan.config;
        // HF's defaults where the run has none.
        let state = TrainerState {
            best_global_step: None,
            best_metric: None,
            best_model_checkpoint: None,
            epoch: 0.0,
            eval_steps: config.eval_steps.unwrap_or(500),
            global_step: 0,
            is_hyper_param_search: false,
            is_local_process_zero: true,
            is_world_process_zero: true,
            log_history: Vec::new(),
            logging_steps: config.logging_steps,
            max_steps: plan.max_steps,
            num_input_tokens_seen: 0,
            num_train_epochs: plan.max_steps.div_ceil(plan.steps_per_epoch),
            save_steps: config.save_steps.unwrap_or(500),
            stateful_callbacks: Map::new(),
            total_flos: 0.0,
            train_batch_size: config.batch_size,
            trial_name: None,
            trial_params: None,
        };
        Self::from_state(state)
    }

    pub(crate) fn resume(plan: &TrainPlan, state: TrainerState) -> Self {
        let fresh = Self::new(plan).state;
        Self::from_state(TrainerState {
            max_steps: fresh.max_steps,
            num_train_epochs: fresh.num_train_epochs,
            eval_steps: fresh.eval_steps,
            save_steps: fresh.save_steps,
            logging_steps: fresh.logging_steps,
            ..state
        })
    }

    fn from_state(state: TrainerState) -> Self {
        let unimproved = state.unimproved();
        Self {
            state,
            unimproved,
            unlogged: Vec::new(),
            body_parameters: 0,
            steps_here: 0,
            loss_sum: 0.0,
            final_loss: f64::NAN,
            tokens: 0,
            step_seconds: 0.0,
        }
    }

    pub(crate) fn count_parameters(&mut self, model: &impl Model) {
        self.body_parameters = parameters(model)
            .iter()
            .filter(|parameter| {
                !matches!(parameter.path.as_str(), "embedding.weight" | "positions.weight")
            })
            .map(|parameter| parameter.shape.iter().product::<usize>())
            .sum();
    }

    pub(crate) fn step(&self) -> usize {
        self.state.global_step
    }

    pub(crate) fn state(&self) -> &TrainerState {
        &self.state
    }

    pub(crate) fn unimproved(&self) -> usize {
        self.unimproved
    }

    pub(crate) fn record_step(&mut self, step: &StepStats) {
        let state = &mut self.state;
        state.global_step = step.step;
        state.epoch = step.epoch;
        state.num_input_tokens_seen += step.tokens;
        state.total_flos += 6.0 * step.tokens as f64 * self.body_parameters as f64;
        self.unlogged.push(step.loss);
        if step.step.is_multiple_of(state.logging_steps) {
            let mean = self.unlogged.iter().sum::<f64>() / self.unlogged.len() as f64;
            state.log_loss(step, mean);
            self.unlogged.clear();
        }
        self.steps_here += 1;
        self.loss_sum += step.loss;
        self.final_loss = step.loss;
        self.tokens += step.tokens;
        self.step_seconds += step.seconds;
    }

    /// Decides whether the evaluation is the best and notes it.
    pub(crate) fn record_evaluation(
        &mut self,
        plan: &TrainPlan,
        evaluation: &mut Evaluation,
        batches: usize,
        out: Option<&Path>,
    ) -> Result<()> {
        let config = &plan.config;
        let name = &config.metric_for_best_model;
        let Some((_, value)) = evaluation.metrics.iter().find(|(metric, _)| metric == name) else {
            let known: Vec<&str> = evaluation.metrics.iter().map(|(m, _)| m.as_str()).collect();
            let allowed = format!("one of {}", known.join(", "));
            return Err(Error::config("metric_for_best_model", name, allowed));
        };
        let gain = self.state.best_metric.map(|best| match config.greater_is_better() {
            true => value - best,
            false => best - value,
        });
        // NaN is never best: every comparison with it is false.
        evaluation.best = value.is_finite() && gain.is_none_or(|gain| gain > 0.0);
        let improved =
            value.is_finite() && gain.is_none_or(|gain| gain > config.early_stopping_threshold);
        self.unimproved = if improved { 0 } else { self.unimproved + 1 };
        if evaluation.best {
            self.state.best_metric = Some(*value);
            self.state.best_global_step = Some(evaluation.step);
            let folder = out.map(|out| checkpoint::folder(out, evaluation.step));
            self.state.best_model_checkpoint = folder.map(|path| path.display().to_string());
        }
        self.state.log_evaluation(evaluation, batches);
        Ok(())
    }

    pub(crate) fn patience_exhausted(&self, config: &TrainConfig) -> bool {
        config.early_stopping_patience.is_some_and(|patience| self.unimproved >= patience)
    }

    pub(crate) fn prepare_save(&mut self, config: &TrainConfig, ends: bool) {
        let patience = config.early_stopping_patience.map(|p| (p, config.early_stopping_threshold));
        self.state.set_callbacks(patience, self.unimproved, ends);
    }

    pub(crate) fn best_checkpoint(&self) -> Option<PathBuf> {
        self.state.best_model_checkpoint.as_ref().map(PathBuf::from)
    }

    pub(crate) fn report(&self, stopped_early: Option<String>, elapsed: Duration) -> TrainReport {
        TrainReport {
            steps: self.state.global_step,
            epochs: self.state.epoch,
            final_loss: self.final_loss,
            mean_loss: self.loss_sum / self.steps_here as f64,
            tokens: self.tokens,
            seconds: elapsed.as_secs_f64(),
            tokens_per_second: self.tokens as f64 / self.step_seconds.max(1e-9),
            best_step: self.state.best_global_step,
            best_metric: self.state.best_metric,
            stopped_early,
            ..TrainReport::default()
        }
    }
}
