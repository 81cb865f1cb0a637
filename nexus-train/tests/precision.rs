//! Training in bf16: near f32, bit for bit repeatable, frozen weights in half the memory.

mod case;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use case::{Case, device, distance, logits};
use nexus_core::adapter::{load_adapter, merge_and_unload, save_adapter, train_all, unload};
use nexus_core::data::Example;
use nexus_core::model::{Decoder, store_bf16};
use nexus_core::observe::{Observer, StepStats};
use nexus_core::stage::{TrainData, Trainer};
use nexus_train::{Precision, Sft, TrainConfig};

#[derive(Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn on_step(&mut self, step: &StepStats) -> nexus_core::Result<()> {
        self.0.push(step.loss);
        Ok(())
    }
}

fn examples(name: &str) -> Vec<Example> {
    let ([_, columns], ids, labels) = Case::open(name).batch();
    let rows = ids.chunks(columns).zip(labels.chunks(columns));
    rows.map(|(ids, labels)| {
        Example::new(ids.iter().map(|&id| id as u32).collect(), labels.to_vec())
    })
    .collect()
}

fn train(model: Decoder, examples: &[Example], precision: Precision) -> (Decoder, Vec<f64>) {
    let config = TrainConfig {
        max_steps: Some(10),
        batch_size: examples.len(),
        learning_rate: 1e-2,
        precision,
        ..TrainConfig::default()
    };
    let mut losses = Losses::default();
    let examples = examples.to_vec();
    let data = TrainData { train: &examples, valid: None, pad_id: 0 };
    let trained = Sft::new(config).train(model, &data, &mut losses).unwrap();
    (trained.model, losses.0)
}

/// What is stored as bf16.
#[derive(Default)]
struct Types {
    path: Vec<String>,
    bf16: Vec<String>,
    f32: Vec<String>,
}

impl ModuleVisitor for Types {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        match param.val().dtype() {
            DType::BF16 => self.bf16.push(path),
            _ => self.f32.push(path),
        }
    }
}

/// bf16 has 8 bits of significand: a product's relative error is about 2^-8, and the losses of these cases, 4 to 5 nats
/// over ten steps at a high rate, stay within two hundredths.
const LOSS: f64 = 0.02;

#[test]
fn full_and_lora_training_in_bf16_follow_those_in_f32() {
    for name in ["llama_untied", "llama_tied", "gpt2"] {
        let case = Case::open(name);
        let examples = examples(name);
        let base = case.load(&device());
        let adapted = || load_adapter(base.clone(), &case.folder.join("adapter")).unwrap();
        for (kind, exact, rounded) in [
            ("full", train_all(base.clone()), train_all(base.clone())),
            ("lora", adapted(), store_bf16(adapted())),
        ] {
            let (_, expected) = train(exact, &examples, Precision::F32);
            let (model, found) = train(rounded.clone(), &examples, Precision::Bf16);
            for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let error = (found - expected).abs();
                assert!(error < LOSS, "{name} {kind} step {step}: {found}, in f32 {expected}");
                assert!(error > 0.0, "{name} {kind} step {step}: nothing was rounded");
            }
            let (again, losses) = train(rounded, &examples, Precision::Bf16);
            assert_eq!(losses, found, "{name} {kind}: the losses differ from run to run");
            let ids = Case::open(name).ids(&device());
            assert_eq!(logits(&again, ids.clone()), logits(&model, ids), "{name} {kind}");
        }
    }
}

#[test]
fn only_frozen_matrices_are_stored_as_bf16() {
    let case = Case::open("llama_untied");
    let full = store_bf16(train_all(case.load(&device())));
    let mut types = Types::default();
    full.visit(&mut types);
    assert!(types.bf16.is_empty(), "{:?}", types.bf16);

    let adapter = case.folder.join("adapter");
    let model = store_bf16(load_adapter(case.load(&device()), &adapter).unwrap());
    let mut types = Types::default();
    model.visit(&mut types);
    assert!(types.bf16.contains(&"embedding.weight".to_string()));
    assert!(types.bf16.contains(&"blocks.0.attention.inputs.query.weight".to_string()));
    let adapted = |path: &&String| path.contains(".adapter.");
    assert!(types.f32.iter().all(|path| path.contains("norm") || path.contains(".adapter.")));
    assert!(
        types.f32.iter().filter(adapted).count() > 0 && !types.bf16.iter().any(|p| adapted(&p))
    );
}

#[test]
fn an_adapter_over_a_bf16_base_is_saved_and_merged_in_f32() {
    let mut case = Case::open("llama_untied");
    let adapter = case.folder.join("adapter");
    let exact = load_adapter(case.load(&device()), &adapter).unwrap();
    let stored = store_bf16(exact.clone());
    let folder = tempfile::tempdir().unwrap();
    save_adapter(&stored, "model", folder.path()).unwrap();
    let file = "adapter_model.safetensors";
    let read = |folder: &std::path::Path| std::fs::read(folder.join(file)).unwrap();
    assert!(read(folder.path()) == read(&adapter));

    let ids = case.ids(&device());
    let before = logits(&stored, ids.clone());
    let merged = merge_and_unload(stored.clone());
    // The base is that of bf16, its sums with the adapter are not rounded again: logits of size 10 move by the rounding
    // of the activations, 2^-9 each.
    assert!(distance(&logits(&merged, ids.clone()), &before) < 0.2);
    assert!(distance(&logits(&exact, ids.clone()), &before) < 0.3);
    let base = unload(stored);
    assert!(distance(&logits(&base, ids), &before) > 0.1, "the adapter has no effect");
}
