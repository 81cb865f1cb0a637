//! Models for the tests, and what their probabilities are by the longest way round.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use burn::tensor::Device;
use nexus_core::data::Tokenizer;
use nexus_core::model::{Decoder, Model, Pass, RandomSource, Spec, ids_tensor};
use nexus_core::weights::TensorFile;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub fn device() -> Device {
    let name = std::env::var("NEXUS_TEST_DEVICE").unwrap_or_else(|_| "flex".into());
    nexus_core::device(&name).unwrap()
}

pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../nexus-train/tests/golden").join(name)
}

/// A golden model, written by transformers.
pub fn golden(name: &str) -> Decoder {
    nexus_core::weights::load(&folder(name).join("model"), &device()).unwrap()
}

/// The tensors and numbers that transformers expects of it.
pub fn expected(name: &str) -> (TensorFile, Value) {
    let tensors = TensorFile::open(&folder(name).join("expect.safetensors")).unwrap();
    let json = std::fs::read_to_string(folder(name).join("expect.json")).unwrap();
    (tensors, serde_json::from_str(&json).unwrap())
}

/// A small random model for texts of [`tokenizer`].
pub fn random(vocabulary: usize) -> Decoder {
    let Value::Object(config) = json!({
        "model_type": "llama", "vocab_size": vocabulary, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu",
        "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "tie_word_embeddings": false, "initializer_range": 0.4,
    }) else {
        unreachable!()
    };
    let spec = Arc::new(Spec::from_json(config, Path::new("config.json")).unwrap());
    Decoder::build(&mut RandomSource::new(7, &device()), spec).unwrap()
}

pub fn tokenizer() -> Tokenizer {
    let texts = ["the cat sat on the mat. which animal sat? a cat, a dog, a bird.".to_string()];
    Tokenizer::train_bpe(texts.into_iter(), 290, &[]).unwrap()
}

/// `log p` of each target, from one unpadded pass over all tokens but the last and a log-softmax in f64.
pub fn log_probabilities(model: &Decoder, context: &[u32], targets: &[u32]) -> Vec<f64> {
    let mut ids: Vec<i32> = context.iter().chain(targets).map(|&id| id as i32).collect();
    ids.pop();
    let hidden =
        model.hidden(ids_tensor(&ids, [1, ids.len()], &device()), &Pass::inference()).unwrap();
    let [_, time, width] = hidden.dims();
    let logits = model.logits(hidden.reshape([time, width]), &Pass::inference()).into_data();
    let logits: Vec<f32> = logits.iter::<f32>().collect();
    let rows = logits.chunks(model.config().vocab_size).skip(context.len() - 1);
    rows.zip(targets).map(|(row, &target)| log_softmax(row, target as usize)).collect()
}

pub fn log_softmax(logits: &[f32], target: usize) -> f64 {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - largest).exp()).sum();
    f64::from(logits[target] - largest) - sum.ln()
}

pub fn close(found: f64, expected: f64, tolerance: f64) {
    let distance = (found - expected).abs() / expected.abs().max(1.0);
    assert!(distance < tolerance, "{found} is not {expected}");
}
