//! Greedy generation and sampling distributions against transformers.

mod case;

use case::{Case, MODELS, device};
use nexus_core::generate::{Sampler, SamplingConfig, generate};
use serde_json::Value;
use std::ops::ControlFlow;

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn greedy_continuations_equal_transformers() {
    for name in MODELS {
        let case = Case::open(name);
        let model = case.load(&device());
        let expect = &case.json["generation"];
        let count = expect["max_new_tokens"].as_u64().unwrap() as usize;
        let penalty = expect["repetition_penalty"].as_f64().unwrap();
        for (key, repetition_penalty) in [("greedy_ids", 1.0), ("greedy_penalty_ids", penalty)] {
            let sampling = SamplingConfig { repetition_penalty, ..SamplingConfig::default() };
            let prompt = ids(&expect["prompt"]);
            let found = generate(&model, &prompt, &sampling, count, &[], &device(), |_| {
                Ok(ControlFlow::Continue(()))
            });
            assert_eq!(found.unwrap().ids, ids(&expect[key]), "{name} {key}");
        }
    }
}

#[test]
fn distributions_equal_transformers() {
    let path = format!("{}/tests/golden/sampling/expect.json", env!("CARGO_MANIFEST_DIR"));
    let expect: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let logits: Vec<f32> =
        expect["logits"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
    let seen = ids(&expect["previous_ids"]);
    let plain = SamplingConfig { temperature: 1.0, ..SamplingConfig::default() };
    let combined = SamplingConfig {
        temperature: 0.7,
        top_k: Some(10),
        top_p: 0.9,
        min_p: 0.05,
        ..plain.clone()
    };
    let cases = [
        ("none", plain.clone()),
        ("temperature_0.7", SamplingConfig { temperature: 0.7, ..plain.clone() }),
        ("top_k_5", SamplingConfig { top_k: Some(5), ..plain.clone() }),
        ("top_p_0.8", SamplingConfig { top_p: 0.8, ..plain.clone() }),
        ("min_p_0.1", SamplingConfig { min_p: 0.1, ..plain.clone() }),
        ("repetition_penalty_1.3", SamplingConfig { repetition_penalty: 1.3, ..plain }),
        ("temperature_0.7_top_k_10_top_p_0.9_min_p_0.05", combined.clone()),
        (
            "repetition_penalty_1.3_temperature_0.7_top_k_10_top_p_0.9_min_p_0.3",
            SamplingConfig { repetition_penalty: 1.3, min_p: 0.3, ..combined },
        ),
    ];
    let keys = expect["probabilities"].as_object().unwrap();
    assert_eq!(keys.len(), cases.len());
    for (name, config) in cases {
        let found = Sampler::new(config).unwrap().probabilities(&logits, &seen).unwrap();
        for (i, p) in keys[name].as_array().unwrap().iter().enumerate() {
            // The reference computes in f32.
            assert!((found[i] - p.as_f64().unwrap()).abs() < 1e-6, "{name}: token {i}");
        }
    }
}
