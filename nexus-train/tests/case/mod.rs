//! Reads the golden cases, which `golden/export.py` of each case wrote with PyTorch, transformers and PEFT.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use burn::tensor::{Device, Int, Tensor};
use nexus_core::model::{Decoder, Pass, ids_tensor};
use nexus_core::weights::TensorFile;
use serde_json::Value;
use std::path::PathBuf;

/// Every case with expectations of its own: model, gradients, ten steps.
pub const MODELS: &[&str] = &[
    "gpt2",
    "gpt2_new",
    "llama_untied",
    "llama_tied",
    "llama_linear",
    "llama_dynamic",
    "llama_yarn",
    "llama_llama3",
    "qwen2",
    "mistral",
];

/// One case and its expectations.
pub struct Case {
    pub name: String,
    pub folder: PathBuf,
    pub expect: TensorFile,
    pub json: Value,
}

impl Case {
    pub fn open(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        let expect = TensorFile::open(&folder.join("expect.safetensors")).unwrap();
        let json = std::fs::read_to_string(folder.join("expect.json")).unwrap();
        let json = serde_json::from_str(&json).unwrap();
        Self { name: name.to_string(), folder, expect, json }
    }

    pub fn load(&self, device: &Device) -> Decoder {
        nexus_core::weights::load(&self.folder.join("model"), device).unwrap()
    }

    /// Token ids `[B, T]` and labels.
    pub fn batch(&mut self) -> ([usize; 2], Vec<i32>, Vec<i32>) {
        let (ids, shape) = self.expect.read_i64("input_ids").unwrap();
        let (labels, _) = self.expect.read_i64("labels").unwrap();
        let narrow = |values: Vec<i64>| values.into_iter().map(|v| v as i32).collect();
        ([shape[0], shape[1]], narrow(ids), narrow(labels))
    }

    pub fn ids(&mut self, device: &Device) -> Tensor<2, Int> {
        let (shape, ids, _) = self.batch();
        ids_tensor(&ids, shape, device)
    }

    pub fn numbers(&self, key: &str) -> Vec<f64> {
        self.json[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    }
}

/// All logits of whole sequences, row major `[B, T, V]`.
pub fn logits(model: &Decoder, ids: Tensor<2, Int>) -> Vec<f32> {
    let [batch, time] = ids.dims();
    let hidden = model.hidden(ids, &Pass::inference()).unwrap();
    let width = hidden.dims()[2];
    let rows = hidden.reshape([batch * time, width]);
    model.logits(rows, &Pass::inference()).into_data().iter::<f32>().collect()
}

/// The largest absolute difference.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The device that `NEXUS_TEST_DEVICE` names; `flex` without it.
pub fn device() -> Device {
    let name = std::env::var("NEXUS_TEST_DEVICE").unwrap_or_else(|_| "flex".into());
    nexus_core::device(&name).unwrap()
}
