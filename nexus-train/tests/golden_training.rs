//! Loss, every gradient and ten AdamW steps against transformers and PEFT.

mod case;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use case::{Case, MODELS, device};
use nexus_core::adapter::{load_adapter, parameter_name, train_all};
use nexus_core::data::Example;
use nexus_core::model::{Decoder, Pass, Spec, ids_tensor};
use nexus_core::observe::{Observer, StepStats};
use nexus_core::stage::{TrainData, Trainer};
use nexus_train::{ScheduleKind, Sft, TrainConfig};

/// Loss and ten losses: f32 on both sides; the reference itself moves by up to 1.1e-5 when run in f64.
const LOSS: f64 = 1e-4;
/// Relative to the largest gradient of the parameter; f32 on both sides.
const GRADIENT: f32 = 1e-4;
/// Gradient norms over ten steps; the reference moves by up to 5.9e-5 when run in f64, on norms of about 3.
const NORM: f64 = 2e-4;

struct Gradient {
    name: String,
    values: Vec<f32>,
    shape: Vec<usize>,
}

struct Collect<'a> {
    spec: &'a Spec,
    path: Vec<String>,
    gradients: burn::tensor::Gradients,
    found: Vec<Gradient>,
    untouched: Vec<String>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = parameter_name(self.spec, &self.path.join("."));
        match param.val().grad(&self.gradients) {
            Some(gradient) => {
                let shape = gradient.dims().to_vec();
                let values = gradient.into_data().iter::<f32>().collect();
                self.found.push(Gradient { name, values, shape });
            }
            None => self.untouched.push(name),
        }
    }
}

/// Loss and all gradients of one batch.
fn gradients(model: Decoder, case: &mut Case) -> (f64, Vec<Gradient>, Vec<String>) {
    let (shape, ids, labels) = case.batch();
    let model = model.valid().train();
    let device = model.devices()[0].clone();
    let sum =
        model.loss_sum(ids_tensor(&ids, shape, &device), &labels, &Pass::training(0)).unwrap();
    let loss = sum.sum / sum.tokens as f64;
    let gradients = loss.backward();
    let spec = model.spec().clone();
    let mut collect =
        Collect { spec: &spec, path: vec![], gradients, found: vec![], untouched: vec![] };
    model.visit(&mut collect);
    (f64::from(loss.into_scalar::<f32>()), collect.found, collect.untouched)
}

/// Compares with the reference, which holds some matrices transposed.
fn assert_gradients(case: &mut Case, found: Vec<Gradient>, prefix: &str, what: &str) {
    for Gradient { name, values: ours, shape } in found {
        let key = format!("{prefix}.{name}");
        let (theirs, their_shape) = case.expect.read_f32(&key).unwrap();
        // Square matrices carry no hint in their shape, so both orders are tried there.
        let straight = shape == their_shape;
        let error = |transposed: bool| {
            let at = |i: usize| match (transposed, &shape[..]) {
                (true, &[rows, columns]) => theirs[(i % columns) * rows + i / columns],
                _ => theirs[i],
            };
            let largest = theirs.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let worst = (0..ours.len()).map(|i| (ours[i] - at(i)).abs()).fold(0.0, f32::max);
            // GPT-2's key bias has no gradient at all but rounding, about 1e-8.
            worst / largest.max(1e-3)
        };
        let transposable = shape.iter().rev().eq(their_shape.iter()) && shape.len() == 2;
        assert!(straight || transposable, "{what}: {name}: {shape:?} and {their_shape:?}");
        let mut best = f32::INFINITY;
        if straight {
            best = best.min(error(false));
        }
        if transposable {
            best = best.min(error(true));
        }
        assert!(best < GRADIENT, "{what}: gradient of {name} is off by {best}");
    }
}

#[test]
fn loss_and_every_gradient_equal_transformers() {
    for name in MODELS {
        let mut case = Case::open(name);
        let model = train_all(case.load(&device()));
        let (loss, found, untouched) = gradients(model, &mut case);
        let expected = case.json["loss"].as_f64().unwrap();
        assert!((loss - expected).abs() < LOSS, "{name}: loss {loss}, expected {expected}");
        assert!(untouched.is_empty(), "{name}: no gradient for {untouched:?}");
        let references = case.expect.names().filter(|key| key.starts_with("grad.")).count();
        assert_eq!(found.len(), references, "{name}: number of parameters");
        assert_gradients(&mut case, found, "grad", name);
    }
}

#[test]
fn adapter_gradients_equal_peft_and_nothing_else_has_any() {
    for name in MODELS {
        let mut case = Case::open(name);
        let model = load_adapter(case.load(&device()), &case.folder.join("adapter")).unwrap();
        let (loss, found, untouched) = gradients(model, &mut case);
        let expected = case.json["adapter_loss"].as_f64().unwrap();
        assert!((loss - expected).abs() < LOSS, "{name}: loss {loss}, expected {expected}");
        assert!(found.iter().all(|gradient| gradient.name.contains(".lora_")), "{name}");
        assert!(untouched.iter().all(|name| !name.contains(".lora_")), "{name}");
        assert_gradients(&mut case, found, "adapter_grad", name);
    }
}

#[derive(Default)]
struct Trace {
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
fn ten_steps(model: Decoder, case: &mut Case) -> Trace {
    let ([rows, columns], ids, labels) = case.batch();
    let examples: Vec<Example> = (0..rows)
        .map(|row| {
            let ids = ids[row * columns..][..columns].iter().map(|&id| id as u32);
            Example::new(ids.collect(), labels[row * columns..][..columns].to_vec())
        })
        .collect();
    let adamw = &case.json["adamw"];
    let config = TrainConfig {
        max_steps: Some(10),
        batch_size: rows,
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
    Sft::new(config).train(model, &data, &mut trace).unwrap();
    trace
}

fn assert_trajectory(case: &Case, trace: &Trace, kind: &str) {
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

#[test]
fn ten_full_steps_equal_pytorch() {
    for name in MODELS {
        let mut case = Case::open(name);
        let model = train_all(case.load(&device()));
        let trace = ten_steps(model, &mut case);
        assert_trajectory(&case, &trace, "full");
    }
}

#[test]
fn ten_lora_steps_equal_peft() {
    for name in MODELS {
        let mut case = Case::open(name);
        let model = load_adapter(case.load(&device()), &case.folder.join("adapter")).unwrap();
        let trace = ten_steps(model, &mut case);
        assert_trajectory(&case, &trace, "lora");
    }
}
