//! Loss, every gradient and ten AdamW steps against transformers and PEFT.

mod case;

use burn::module::Module;
use case::{Case, MODELS, device, gradients, steps};
use nexus_core::adapter::{load_adapter, train_all};
use nexus_core::data::Example;
use nexus_core::model::{Decoder, Pass, ids_tensor};
use nexus_train::CausalLm;

/// Loss and all gradients of one batch.
fn loss_and_gradients(
    model: Decoder,
    case: &mut Case,
) -> (f64, Vec<gradients::Gradient>, Vec<String>) {
    let (shape, ids, labels) = case.batch();
    let model = model.valid().train();
    let device = model.devices()[0].clone();
    let sum =
        model.loss_sum(ids_tensor(&ids, shape, &device), &labels, &Pass::training(0)).unwrap();
    let loss = sum.sum / sum.tokens as f64;
    let (found, untouched) = gradients::collect(&model, &loss);
    (f64::from(loss.into_scalar::<f32>()), found, untouched)
}

#[test]
fn loss_and_every_gradient_equal_transformers() {
    for name in MODELS {
        let mut case = Case::open(name);
        let model = train_all(case.load(&device()));
        let (loss, found, untouched) = loss_and_gradients(model, &mut case);
        let expected = case.json["loss"].as_f64().unwrap();
        assert!((loss - expected).abs() < steps::LOSS, "{name}: loss {loss}, expected {expected}");
        assert!(untouched.is_empty(), "{name}: no gradient for {untouched:?}");
        let references = case.expect.names().filter(|key| key.starts_with("grad.")).count();
        assert_eq!(found.len(), references, "{name}: number of parameters");
        gradients::assert_equal(&mut case, found, "grad", name);
    }
}

#[test]
fn adapter_gradients_equal_peft_and_nothing_else_has_any() {
    for name in MODELS {
        let mut case = Case::open(name);
        let model = load_adapter(case.load(&device()), &case.folder.join("adapter")).unwrap();
        let (loss, found, untouched) = loss_and_gradients(model, &mut case);
        let expected = case.json["adapter_loss"].as_f64().unwrap();
        assert!((loss - expected).abs() < steps::LOSS, "{name}: loss {loss}, expected {expected}");
        assert!(found.iter().all(|gradient| gradient.name.contains(".lora_")), "{name}");
        assert!(untouched.iter().all(|name| !name.contains(".lora_")), "{name}");
        gradients::assert_equal(&mut case, found, "adapter_grad", name);
    }
}

/// Ten steps on the same batch, through the trainer itself.
fn ten_steps(model: Decoder, case: &mut Case) -> steps::Trace {
    let ([rows, columns], ids, labels) = case.batch();
    let examples: Vec<Example> = (0..rows)
        .map(|row| {
            let ids = ids[row * columns..][..columns].iter().map(|&id| id as u32);
            Example::new(ids.collect(), labels[row * columns..][..columns].to_vec())
        })
        .collect();
    steps::ten(case, model, CausalLm, examples)
}

#[test]
fn ten_full_steps_equal_pytorch() {
    for name in MODELS {
        let mut case = Case::open(name);
        let model = train_all(case.load(&device()));
        let trace = ten_steps(model, &mut case);
        steps::assert_equal(&case, &trace, "full");
    }
}

#[test]
fn ten_lora_steps_equal_peft() {
    for name in MODELS {
        let mut case = Case::open(name);
        let model = load_adapter(case.load(&device()), &case.folder.join("adapter")).unwrap();
        let trace = ten_steps(model, &mut case);
        steps::assert_equal(&case, &trace, "lora");
    }
}
