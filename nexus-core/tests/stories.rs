//! A real trained model: stories260K continues its golden text exactly.

use nexus_core::generate::{SamplingConfig, generate};
use nexus_core::weights::{OwnedTensor, TensorFile, load, write_tensors};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The Hugging Face name of a tensor in GGUF's names.
fn hugging_face(name: &str) -> String {
    let inner = |name: &str| match name {
        "attn_q.weight" => "self_attn.q_proj.weight",
        "attn_k.weight" => "self_attn.k_proj.weight",
        "attn_v.weight" => "self_attn.v_proj.weight",
        "attn_output.weight" => "self_attn.o_proj.weight",
        "attn_norm.weight" => "input_layernorm.weight",
        "ffn_norm.weight" => "post_attention_layernorm.weight",
        "ffn_gate.weight" => "mlp.gate_proj.weight",
        "ffn_up.weight" => "mlp.up_proj.weight",
        "ffn_down.weight" => "mlp.down_proj.weight",
        other => panic!("unknown tensor {other}"),
    };
    match name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
        Some((block, name)) => format!("model.layers.{block}.{}", inner(name)),
        None => match name {
            "token_embd.weight" => "model.embed_tokens.weight".into(),
            "output_norm.weight" => "model.norm.weight".into(),
            "output.weight" => "lm_head.weight".into(),
            other => panic!("unknown tensor {other}"),
        },
    }
}

/// Rows of interleaved pairs (2i, 2i+1) to half-split order, head by head.
fn half_split(values: &[f32], shape: &[usize], head_dim: usize) -> Vec<f32> {
    let columns = shape[1];
    let row = |i: usize| {
        let (head, within) = (i / head_dim, i % head_dim);
        let half = head_dim / 2;
        let source = if within < half { 2 * within } else { 2 * (within - half) + 1 };
        &values[(head * head_dim + source) * columns..][..columns]
    };
    (0..shape[0]).flat_map(|i| row(i).to_vec()).collect()
}

fn convert(source: &Path, folder: &Path) {
    let text = std::fs::read_to_string(source.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["model_type"] = "llama".into();
    config.as_object_mut().unwrap().remove("rope_style");
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut file = TensorFile::open(&source.join("stories260K-f32.safetensors")).unwrap();
    let names: Vec<String> = file.names().map(str::to_string).collect();
    let mut tensors = BTreeMap::new();
    for name in names {
        let (values, shape) = file.read_f32(&name).unwrap();
        let rotated = name.contains("attn_q") || name.contains("attn_k");
        let values = if rotated { half_split(&values, &shape, 8) } else { values };
        tensors.insert(hugging_face(&name), OwnedTensor::f32(&values, &shape));
    }
    write_tensors(&folder.join("model.safetensors"), &tensors).unwrap();
}

#[test]
fn stories260k_continues_its_golden_text() {
    let source =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/tiny_models/stories260K");
    if !source.is_dir() {
        eprintln!("skipped: {} is absent", source.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    convert(&source, folder.path());
    let device = nexus_core::device("flex").unwrap();
    let model = load(folder.path(), &device).unwrap();
    let text = std::fs::read_to_string(source.join("golden_greedy.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let expected: Vec<u32> = golden["numpy_ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap() as u32)
        .collect();
    let count = expected.len() - 1;
    let found = generate(&model, &[1], &SamplingConfig::default(), count, &[2], &device, |_| {
        Ok(ControlFlow::Continue(()))
    });
    assert_eq!(found.unwrap().ids, expected[1..]);

    let tokens = std::fs::read_to_string(source.join("tok512.json")).unwrap();
    let tokens: Value = serde_json::from_str(&tokens).unwrap();
    let piece = |id: &u32| match tokens["tokens"][*id as usize].as_str().unwrap() {
        "<0x0A>" => "\n".to_string(),
        piece => piece.replace('▁', " "),
    };
    let text: String = expected[1..].iter().map(piece).collect();
    assert_eq!(json!(text.trim_start()), golden["expected_text"]);
}
