//! Ten optimizer steps on one batch, compared with those of the reference.

use super::Case;
use nexus_core::data::Example;
use nexus_core::model::Model;
use nexus_core::observe::{Observer, StepStats};
use nexus_core::stage::{TrainData, Trainer};
use nexus_train::{Objective, ScheduleKind, Sft, TrainConfig};

/// Loss and ten losses: f32 on both sides; the reference itself moves by up to 1.1e-5 when run in f64.
pub const LOSS: f64 = 1e-4;
/// Gradient norms over ten steps; the reference moves by up to 5.9e-5 when run in f64, on norms of about 3.
const NORM: f64 = 2e-4;

/// What every step reported.
#[derive(Default)]
pub struct Trace {
    losses: Vec<f64>,
    norms: Vec<f64>,
}

impl Observer for Trace {
    fn on_step(&mut self, step: &StepStats) -> nexus_core::Result<()> {
        self.losses.push(step.loss);
        self.norms.push(step.grad_norm);
        Ok(())
    }
}

/// Ten steps on the same batch, through the trainer itself.
pub fn ten<M: Model>(
    case: &Case,
    model: M,
    objective: impl Objective<M> + 'static,
    examples: Vec<Example>,
) -> Trace {
    let adamw = &case.json["adamw"];
    let config = TrainConfig {
        max_steps: Some(10),
        batch_size: examples.len(),
        learning_rate: adamw["lr"].as_f64().unwrap(),
        adam_beta1: adamw["betas"][0].as_f64().unwrap(),
        adam_beta2: adamw["betas"][1].as_f64().unwrap(),
        adam_epsilon: adamw["eps"].as_f64().unwrap(),
        weight_decay: adamw["weight_decay"].as_f64().unwrap(),
        max_grad_norm: adamw["max_grad_norm"].as_f64(),
        schedule: ScheduleKind::Constant,
        ..TrainConfig::default()
    };
    let mut trace = Trace::default();
    let data = TrainData { train: &examples, valid: None, pad_id: 0 };
    Sft::with_objective(config, objective).train(model, &data, &mut trace).unwrap();
    trace
}

/// Compares with the losses and norms of the reference under `kind`.
pub fn assert_equal(case: &Case, trace: &Trace, kind: &str) {
    let name = &case.name;
    let losses = case.numbers(&format!("{kind}_losses"));
    let norms = case.numbers(&format!("{kind}_grad_norms"));
    assert_eq!(trace.losses.len(), losses.len());
    for step in 0..losses.len() {
        let (loss, norm) = (trace.losses[step], trace.norms[step]);
        let error = (loss - losses[step]).abs();
        assert!(error < LOSS, "{name} {kind} step {step}: loss {loss}, expected {}", losses[step]);
        let error = (norm - norms[step]).abs();
        assert!(
            error < NORM * norms[step].max(1.0),
            "{name} {kind} step {step}: norm {norm}, expected {}",
            norms[step]
        );
    }
}
