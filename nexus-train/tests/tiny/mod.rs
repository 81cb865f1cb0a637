//! A small random decoder and records of unequal length.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use burn::tensor::Device;
use nexus_core::adapter::{AdapterConfig, attach, train_all};
use nexus_core::data::{Example, IGNORED};
use nexus_core::model::{Decoder, Model, RandomSource, Spec};
use nexus_core::observe::{Observer, StepStats};
use nexus_core::weights::parameters;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub fn device() -> Device {
    let name = std::env::var("NEXUS_TEST_DEVICE").unwrap_or_else(|_| "flex".into());
    nexus_core::device(&name).unwrap()
}

/// Two layers of width 32, grouped queries, untied head.
pub fn model() -> Decoder {
    let json = json!({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 61,
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
        "initializer_range": 0.1,
    });
    let serde_json::Value::Object(json) = json else { unreachable!() };
    let spec = Spec::from_json(json, Path::new("tiny")).unwrap();
    Decoder::build(&mut RandomSource::new(7, &device()), Arc::new(spec)).unwrap()
}

pub fn full() -> Decoder {
    train_all(model())
}

pub fn lora(dropout: f64) -> Decoder {
    let config =
        AdapterConfig { r: 4, lora_dropout: dropout, use_rslora: true, ..AdapterConfig::default() };
    attach(model(), &config, 3).unwrap()
}

/// Records of 4 to 23 tokens; the first third of each is a prompt.
pub fn examples(count: usize) -> Vec<Example> {
    let mut state = 12345u64;
    let mut next = |n: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % n
    };
    (0..count)
        .map(|_| {
            let length = 4 + next(20) as usize;
            let ids: Vec<u32> = (0..length).map(|_| next(61) as u32).collect();
            let label = |(i, &id): (usize, &u32)| if i < length / 3 { IGNORED } else { id as i32 };
            let labels = ids.iter().enumerate().map(label).collect();
            Example::new(ids, labels)
        })
        .collect()
}

/// All parameters by path.
pub fn values(model: &Decoder) -> BTreeMap<String, Vec<f32>> {
    parameters(model).into_iter().map(|p| (p.path.clone(), p.values())).collect()
}

/// Remembers every step, and asks to stop after `stop_after`.
#[derive(Default)]
pub struct Trace {
    pub steps: Vec<StepStats>,
    pub stop_after: Option<usize>,
}

impl Observer for Trace {
    fn on_step(&mut self, step: &StepStats) -> nexus_core::Result<()> {
        self.steps.push(step.clone());
        Ok(())
    }

    fn wants_stop(&self) -> bool {
        self.stop_after.is_some_and(|stop| self.steps.last().is_some_and(|s| s.step >= stop))
    }
}
