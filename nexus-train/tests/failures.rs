//! Runs that cannot go on: the error names the place and nothing that was good is lost.

mod tiny;

use nexus_core::Error;
use nexus_core::data::{Example, ExampleSource, IGNORED};
use nexus_core::observe::{Observer, StepStats};
use nexus_core::stage::{TrainData, Trainer};
use nexus_train::{Sft, TrainConfig, last_checkpoint};
use std::path::Path;
use std::process::Command;
use tiny::{examples, full, lora};

fn config() -> TrainConfig {
    TrainConfig { max_steps: Some(12), batch_size: 4, save_steps: Some(3), ..Default::default() }
}

#[test]
fn a_diverging_run_names_step_and_tensor_and_keeps_the_last_good_checkpoint() {
    let out = tempfile::tempdir().unwrap();
    let examples = examples(40);
    let train = TrainData { train: &examples, valid: None, pad_id: 0 };
    let run = |learning_rate, max_steps| {
        let config = TrainConfig { learning_rate, max_steps: Some(max_steps), ..config() };
        let mut trainer = Sft::new(config).checkpoints_in(out.path());
        if let Some(last) = last_checkpoint(out.path()).unwrap() {
            trainer = trainer.resume_from(last);
        }
        trainer.train(full(), &train, &mut ()).map(|trained| trained.report)
    };
    run(1e-3, 6).unwrap();
    // The weights leave the range of f32 at once.
    let error = run(1e38, 12).unwrap_err();
    assert!(matches!(error, Error::NonFinite { step: 7.., .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("step ") && text.contains("not finite"), "{text}");
    assert!(last_checkpoint(out.path()).unwrap().unwrap().ends_with("checkpoint-6"));
    assert_eq!(run(1e-3, 12).unwrap().steps, 12);
}

#[test]
fn a_step_without_trained_tokens_is_an_error() {
    let example = Example::new(vec![1, 2, 3], vec![IGNORED; 3]);
    let examples = vec![example];
    let train = TrainData { train: &examples, valid: None, pad_id: 0 };
    let config = TrainConfig { max_steps: Some(1), ..TrainConfig::default() };
    let error = Sft::new(config).train(full(), &train, &mut ()).unwrap_err().to_string();
    assert!(error.contains("no trained token"), "{error}");
}

#[test]
fn ids_outside_the_vocabulary_are_refused() {
    let examples = vec![Example::new(vec![1, 61], vec![1, 61])];
    let train = TrainData { train: &examples, valid: None, pad_id: 0 };
    let config = TrainConfig { max_steps: Some(1), ..TrainConfig::default() };
    let error = Sft::new(config).train(full(), &train, &mut ()).unwrap_err().to_string();
    assert!(error.contains("token id 61"), "{error}");
}

#[test]
fn a_frozen_model_and_missing_folders_are_refused_before_the_first_step() {
    use burn::module::Module;
    let examples = examples(4);
    let train = TrainData { train: &examples, valid: None, pad_id: 0 };
    let plain = TrainConfig { max_steps: Some(1), ..TrainConfig::default() };
    let error = Sft::new(plain.clone()).train(full().no_grad(), &train, &mut ()).unwrap_err();
    assert!(error.to_string().contains("no parameter is trainable"), "{error}");
    let saving = TrainConfig { save_steps: Some(1), ..plain.clone() };
    let error = Sft::new(saving).train(full(), &train, &mut ()).unwrap_err().to_string();
    assert!(error.starts_with("save_steps"), "{error}");
    let evaluating = TrainConfig { eval_steps: Some(1), ..plain };
    let error = Sft::new(evaluating).train(full(), &train, &mut ()).unwrap_err().to_string();
    assert!(error.starts_with("eval_steps"), "{error}");
}

#[test]
fn a_damaged_or_foreign_checkpoint_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let examples = examples(40);
    let train = TrainData { train: &examples, valid: None, pad_id: 0 };
    Sft::new(config()).checkpoints_in(out.path()).train(lora(0.0), &train, &mut ()).unwrap();
    let last = last_checkpoint(out.path()).unwrap().unwrap();
    assert!(last.ends_with("checkpoint-12"), "numeric, not lexical: {}", last.display());
    let resume = |config: TrainConfig| {
        Sft::new(config)
            .checkpoints_in(out.path())
            .resume_from(&last)
            .train(lora(0.0), &train, &mut ())
            .map(|trained| trained.report)
            .unwrap_err()
            .to_string()
    };
    let error = resume(TrainConfig { seed: 7, ..config() });
    assert!(error.contains("rng_state.json") && error.contains("seed"), "{error}");
    let path = last.join("optimizer.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = resume(config());
    assert!(error.contains("optimizer.safetensors") && error.contains("damaged"), "{error}");
}

#[test]
fn the_limit_on_checkpoints_never_removes_the_best() {
    struct Best(usize);
    impl Observer for Best {
        fn on_evaluation(&mut self, e: &nexus_core::observe::Evaluation) -> nexus_core::Result<()> {
            if e.best {
                self.0 = e.step;
            }
            Ok(())
        }
    }
    let out = tempfile::tempdir().unwrap();
    let examples = examples(40);
    // Noise against noise: the held-out loss soon rises, so the best is an early one.
    let valid = tiny::examples(12).split_off(6);
    let valid = Some(&valid as &dyn ExampleSource);
    let train = TrainData { train: &examples, valid, pad_id: 0 };
    let config = TrainConfig {
        max_steps: Some(15),
        eval_steps: Some(3),
        save_total_limit: Some(2),
        learning_rate: 0.05,
        load_best_model_at_end: true,
        ..config()
    };
    let mut best = Best(0);
    let trained =
        Sft::new(config).checkpoints_in(out.path()).train(full(), &train, &mut best).unwrap();
    assert_eq!(trained.report.best_step, Some(best.0));
    assert!(out.path().join(format!("checkpoint-{}", best.0)).is_dir());
    assert!(out.path().join("checkpoint-15").is_dir());
    let kept = std::fs::read_dir(out.path()).unwrap().count();
    assert!(kept <= 2, "{kept}");
}

#[test]
fn early_stopping_counts_evaluations_without_improvement() {
    let examples = examples(16);
    let valid = Some(&examples as &dyn ExampleSource);
    let train = TrainData { train: &examples, valid, pad_id: 0 };
    let config = TrainConfig {
        max_steps: Some(50),
        eval_steps: Some(1),
        save_steps: None,
        early_stopping_patience: Some(3),
        // No step gains this much after the first evaluation, which sets the mark.
        early_stopping_threshold: 100.0,
        ..config()
    };
    let report = Sft::new(config).train(full(), &train, &mut ()).unwrap().report;
    assert_eq!(report.steps, 4);
    assert!(report.stopped_early.unwrap().contains("eval_loss"));
}

/// Fails the run from outside, as a full log disk would.
struct FailAt(usize);

impl Observer for FailAt {
    fn on_step(&mut self, step: &StepStats) -> nexus_core::Result<()> {
        match step.step == self.0 {
            true => Err(Error::Refused("observer failed".into())),
            false => Ok(()),
        }
    }
}

#[test]
fn an_observers_error_ends_the_run() {
    let examples = examples(8);
    let train = TrainData { train: &examples, valid: None, pad_id: 0 };
    let config = TrainConfig { save_steps: None, ..config() };
    let error = Sft::new(config).train(lora(0.0), &train, &mut FailAt(2)).unwrap_err();
    assert_eq!(error.to_string(), "observer failed");
}

/// A small file system, where this process may mount one.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &options, "none"]).arg(path);
        mount.output().is_ok_and(|out| out.status.success()).then_some(Self(path))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).output();
    }
}

#[test]
fn a_full_disk_leaves_the_previous_checkpoint_intact() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), "400k") else {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    };
    let examples = examples(40);
    let train = TrainData { train: &examples, valid: None, pad_id: 0 };
    // One checkpoint of the full model is about 260 KB: the second does not fit.
    let error = Sft::new(config())
        .checkpoints_in(disk.0)
        .train(full(), &train, &mut ())
        .map(|trained| trained.report)
        .unwrap_err();
    assert!(matches!(error, Error::Io { .. }) || error.to_string().contains("space"), "{error}");
    let names: Vec<_> = std::fs::read_dir(disk.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, ["checkpoint-3"], "{error}");
    // And the run can go on from it elsewhere.
    let elsewhere = tempfile::tempdir().unwrap();
    Sft::new(TrainConfig { max_steps: Some(6), ..config() })
        .checkpoints_in(elsewhere.path())
        .resume_from(disk.0.join("checkpoint-3"))
        .train(full(), &train, &mut ())
        .unwrap();
}
