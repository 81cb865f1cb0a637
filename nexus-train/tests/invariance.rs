//! A run's result depends on what it computes, not on how it is cut up: accumulation, resume, dropout masks.

mod tiny;

use nexus_core::data::ExampleSource;
use nexus_core::model::Decoder;
use nexus_core::stage::{TrainData, Trainer};
use nexus_train::{Sft, TrainConfig, last_checkpoint};
use std::path::Path;
use tiny::{Trace, examples, full, lora, values};

fn config() -> TrainConfig {
    TrainConfig {
        max_steps: Some(20),
        batch_size: 2,
        grad_accumulation: 2,
        learning_rate: 5e-3,
        warmup_steps: 3,
        weight_decay: 0.1,
        ..TrainConfig::default()
    }
}

#[test]
fn accumulation_does_not_change_the_trajectory() {
    let data = examples(29);
    let train = TrainData { train: &data, valid: None, pad_id: 0 };
    for model in [full(), lora(0.0)] {
        let mut runs = Vec::new();
        for (batch_size, grad_accumulation) in [(8, 1), (1, 8), (2, 4)] {
            let config = TrainConfig { batch_size, grad_accumulation, ..config() };
            let mut trace = Trace::default();
            Sft::new(config).train(model.clone(), &train, &mut trace).unwrap();
            runs.push(trace.steps);
        }
        for run in &runs[1..] {
            for (a, b) in runs[0].iter().zip(run) {
                assert_eq!((a.tokens, a.trained_tokens), (b.tokens, b.trained_tokens));
                assert!((a.loss - b.loss).abs() < 1e-5, "step {}: {} {}", a.step, a.loss, b.loss);
            }
        }
        // The data has 29 records: every fourth step is an incomplete one, so its weighting is covered too.
        assert!(
            runs[0].iter().map(|s| s.trained_tokens).min()
                < runs[0].iter().map(|s| s.trained_tokens).max()
        );
    }
}

fn run(model: Decoder, out: &Path, resume: bool, stop_after: Option<usize>) -> (Decoder, Trace) {
    // 10 steps per epoch, so that step 11 is in the middle of the second epoch.
    let data = examples(38);
    let valid = examples(5);
    let mut trainer =
        Sft::new(TrainConfig { save_steps: Some(100), eval_steps: Some(7), ..config() })
            .checkpoints_in(out);
    if resume {
        trainer = trainer.resume_from(last_checkpoint(out).unwrap().unwrap());
    }
    let mut trace = Trace { stop_after, ..Trace::default() };
    let valid = Some(&valid as &dyn ExampleSource);
    let data = TrainData { train: &data, valid, pad_id: 0 };
    let trained = trainer.train(model, &data, &mut trace).unwrap();
    (trained.model, trace)
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() {
    for model in [full as fn() -> Decoder, || lora(0.1)] {
        let folder = tempfile::tempdir().unwrap();
        let (whole, trace) = run(model(), &folder.path().join("whole"), false, None);
        let parts = folder.path().join("parts");
        let (_, first) = run(model(), &parts, false, Some(11));
        assert_eq!(first.steps.len(), 11);
        let (resumed, second) = run(model(), &parts, true, None);
        assert_eq!(second.steps.len(), 9);
        let losses = |steps: &[nexus_core::observe::StepStats]| -> Vec<(usize, f64, f64, f64)> {
            steps.iter().map(|s| (s.step, s.loss, s.grad_norm, s.learning_rate)).collect()
        };
        let both: Vec<_> = first.steps.iter().chain(&second.steps).cloned().collect();
        assert_eq!(losses(&trace.steps), losses(&both));
        assert_eq!(values(&whole), values(&resumed));
    }
}

#[test]
fn a_run_repeats_itself_and_follows_its_seed() {
    let data = examples(38);
    let data = TrainData { train: &data, valid: None, pad_id: 0 };
    let run = |seed| {
        let config = TrainConfig { seed, max_steps: Some(5), ..config() };
        let trained = Sft::new(config).train(lora(0.2), &data, &mut ()).unwrap();
        values(&trained.model)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn one_step_moves_every_lora_b_and_nothing_of_the_base() {
    let data = examples(8);
    let data = TrainData { train: &data, valid: None, pad_id: 0 };
    let before = lora(0.0);
    let config = TrainConfig { max_steps: Some(1), warmup_steps: 0, ..config() };
    let after = Sft::new(config).train(before.clone(), &data, &mut ()).unwrap().model;
    let (before, after) = (values(&before), values(&after));
    assert_eq!(before.len(), after.len());
    let mut moved = 0;
    for (path, old) in &before {
        let new = &after[path];
        if path.ends_with("adapter.b") {
            assert!(old.iter().all(|v| *v == 0.0) && new.iter().any(|v| *v != 0.0), "{path}");
            moved += 1;
        } else if !path.contains(".adapter.") {
            assert_eq!(old, new, "{path} is frozen");
        }
    }
    assert_eq!(moved, 14);
}

#[test]
fn a_fresh_adapter_leaves_every_output_as_it_is() {
    let ids: Vec<i32> = (0..24).map(|i| i * 5 % 61).collect();
    let logits = |model: &Decoder| -> Vec<f32> {
        let ids = nexus_core::model::ids_tensor(&ids, [2, 12], &tiny::device());
        let pass = nexus_core::model::Pass::inference();
        let hidden = model.hidden(ids, &pass).unwrap().reshape([24, 32]);
        model.logits(hidden, &pass).into_data().iter::<f32>().collect()
    };
    assert_eq!(logits(&tiny::model()), logits(&lora(0.0)));
}
