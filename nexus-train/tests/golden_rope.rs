//! Rotary frequencies of every scaling against transformers, published settings included.

use nexus_core::model::{ModelConfig, Position, Spec};
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn frequencies_equal_transformers() {
    let path = format!("{}/tests/golden/rope/expect.json", env!("CARGO_MANIFEST_DIR"));
    let expect: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let rows = expect["rows"].as_object().unwrap();
    assert_eq!(rows.len(), 16);
    for (name, row) in rows {
        let head_dim = row["head_dim"].as_u64().unwrap() as usize;
        let Value::Object(config) = json!({
            "model_type": "llama", "vocab_size": 8, "hidden_size": head_dim,
            "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
            "head_dim": head_dim, "max_position_embeddings": row["max_position_embeddings"],
            "rope_parameters": row["rope_parameters"],
        }) else {
            unreachable!()
        };
        let spec = Spec::from_json(config, Path::new(name)).unwrap();
        let ModelConfig::Decoder(config) = spec.config else { panic!("{name}") };
        let Position::Rotary(rotary) = config.position else { panic!("{name}") };
        let length = row["seq_len"].as_u64().unwrap() as usize;
        let (frequencies, factor) = rotary.frequencies(head_dim, length).unwrap();
        let expected = row["inv_freq"].as_array().unwrap();
        assert_eq!(frequencies.len(), expected.len(), "{name}");
        for (ours, theirs) in frequencies.iter().zip(expected) {
            let theirs = theirs.as_f64().unwrap();
            // The reference computes in f32.
            assert!((ours / theirs - 1.0).abs() < 2e-6, "{name}: {ours} {theirs}");
        }
        assert!((factor - row["attention_factor"].as_f64().unwrap()).abs() < 1e-6, "{name}");
    }
}
