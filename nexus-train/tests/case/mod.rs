//! Reads the golden cases, which `golden/export.py` of each case wrote with PyTorch, transformers and PEFT.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod gradients;
pub mod steps;

use burn::tensor::{Device, Int, Tensor};
use nexus_core::data::{Example, Target};
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

    /// The key of a gradient: adapters keep whole modules under the prefix of their files.
    pub fn gradient_key(&self, prefix: &str, name: &str) -> String {
        let inside = format!("{prefix}.base_model.model.{name}");
        match self.expect.shape(&inside) {
            Some(_) => inside,
            None => format!("{prefix}.{name}"),
        }
    }

    /// The batch as examples without padding.
    pub fn examples(&mut self) -> Vec<Example> {
        let mut whole = |key: &str| self.expect.read_i64(key).ok().map(|(values, _)| values);
        let (ids, mask) = (whole("input_ids").unwrap(), whole("attention_mask").unwrap());
        let (types, labels) = (whole("token_type_ids"), whole("labels"));
        let values = self.expect.read_f32("label_values").ok();
        let rows = self.expect.shape("input_ids").unwrap()[0];
        let columns = ids.len() / rows;
        (0..rows)
            .map(|row| {
                let length = mask[row * columns..][..columns].iter().sum::<i64>() as usize;
                let part = |all: &[i64]| all[row * columns..][..length].to_vec();
                let ids = part(&ids).into_iter().map(|id| id as u32).collect();
                let mut example = Example { ids, ..Example::default() };
                if let Some(types) = &types {
                    example.types = part(types).into_iter().map(|kind| kind as u8).collect();
                }
                match &labels {
                    Some(labels) if labels.len() == rows => {
                        example.target = Target::Class(labels[row] as u32);
                    }
                    Some(labels) => {
                        let width = labels.len() / rows;
                        let labels = labels[row * width..][..width].iter();
                        example.labels = labels.map(|&label| label as i32).collect();
                        // An encoder's labels belong to its tokens, an answer's are its own.
                        if width == columns && self.json["objective"] != "seq2seq_lm" {
                            example.labels.truncate(length);
                        }
                    }
                    None => {}
                }
                if let Some((values, _)) = &values {
                    let width = values.len() / rows;
                    example.target = Target::Values(values[row * width..][..width].to_vec());
                }
                example
            })
            .collect()
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
