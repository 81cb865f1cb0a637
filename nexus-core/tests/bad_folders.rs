//! Damaged and mismatched model and adapter folders: one clear error each, naming the place.

use nexus_core::Error;
use nexus_core::adapter::load_adapter;
use nexus_core::model::Decoder;
use nexus_core::weights::{OwnedTensor, TensorFile, load, write_tensors};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn golden(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../nexus-train/tests/golden").join(case)
}

/// A copy of a golden folder that a test may damage.
fn copy(folder: &Path) -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), target.path().join(entry.file_name())).unwrap();
    }
    target
}

fn model() -> tempfile::TempDir {
    copy(&golden("llama_untied/model"))
}

fn edit_config(folder: &Path, edit: impl FnOnce(&mut Value)) {
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut config);
    fs::write(path, config.to_string()).unwrap();
}

fn load_error(folder: &Path) -> String {
    let device = nexus_core::device("flex").unwrap();
    load::<Decoder>(folder, &device).unwrap_err().to_string()
}

fn assert_error(folder: &Path, words: &[&str]) {
    let error = load_error(folder);
    for word in words {
        assert!(error.contains(word), "'{word}' is not in: {error}");
    }
}

#[test]
fn missing_files_are_named() {
    assert_error(Path::new("/nonexistent/model"), &["no such folder", "config.json"]);
    let folder = model();
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert_error(folder.path(), &["model.safetensors"]);
    let folder = model();
    fs::remove_file(folder.path().join("config.json")).unwrap();
    assert_error(folder.path(), &["config.json"]);
}

/// Shortens a file byte by byte; what is loaded from `folder` must name the file at every length.
fn assert_error_at_every_length(folder: &Path, name: &str) {
    let file = fs::OpenOptions::new().write(true).open(folder.join(name)).unwrap();
    for length in (0..file.metadata().unwrap().len()).rev() {
        file.set_len(length).unwrap();
        assert_error(folder, &[name, "damaged"]);
    }
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    assert_error_at_every_length(model().path(), "model.safetensors");
    let shards = copy(&golden("llama_sharded/model"));
    assert_error_at_every_length(shards.path(), "model-00004-of-00004.safetensors");
}

#[test]
fn a_header_that_claims_more_than_the_file_is_refused() {
    let folder = model();
    let path = folder.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    for claim in [u64::MAX, 1 << 40, 99_999_999, bytes.len() as u64] {
        let mut damaged = bytes.clone();
        damaged[..8].copy_from_slice(&claim.to_le_bytes());
        fs::write(&path, damaged).unwrap();
        assert_error(folder.path(), &["damaged"]);
    }
    // Offsets that point behind the end.
    let text = String::from_utf8_lossy(&bytes[8..]).into_owned();
    let header = &text[..text.find("}}").unwrap() + 2];
    let mut entries: Value = serde_json::from_str(header).unwrap();
    entries["model.norm.weight"]["data_offsets"] = json!([0, 1u64 << 50]);
    let header = entries.to_string();
    let mut damaged = (header.len() as u64).to_le_bytes().to_vec();
    damaged.extend(header.bytes());
    damaged.extend([0; 4096]);
    fs::write(&path, damaged).unwrap();
    assert_error(folder.path(), &["damaged"]);
}

#[test]
fn shards_and_index_must_belong_together() {
    let source = golden("llama_sharded/model");
    let index = "model.safetensors.index.json";
    let shard = |folder: &Path| -> PathBuf {
        let index: Value = serde_json::from_slice(&fs::read(folder.join(index)).unwrap()).unwrap();
        let map = index["weight_map"].as_object().unwrap();
        folder.join(map["model.norm.weight"].as_str().unwrap())
    };
    let folder = copy(&source);
    let gone = shard(folder.path());
    fs::remove_file(&gone).unwrap();
    let name = gone.file_name().unwrap().to_string_lossy().into_owned();
    assert_error(folder.path(), &[&name, "missing"]);

    let folder = copy(&source);
    let mut edited: Value =
        serde_json::from_slice(&fs::read(folder.path().join(index)).unwrap()).unwrap();
    edited["weight_map"]["model.norm.weight"] = "../elsewhere.safetensors".into();
    fs::write(folder.path().join(index), edited.to_string()).unwrap();
    assert_error(folder.path(), &["../elsewhere.safetensors", "not a plain file name"]);

    let folder = copy(&source);
    edited["weight_map"].as_object_mut().unwrap().remove("model.norm.weight");
    fs::write(folder.path().join(index), edited.to_string()).unwrap();
    assert_error(folder.path(), &["model.norm.weight"]);
}

#[test]
fn wrong_shapes_and_keys_are_named() {
    let folder = model();
    edit_config(folder.path(), |config| config["hidden_size"] = 32.into());
    assert_error(folder.path(), &["model.embed_tokens.weight", "[64, 32]", "[64, 24]"]);

    let folder = model();
    edit_config(folder.path(), |config| config["num_hidden_layers"] = 3.into());
    assert_error(folder.path(), &["model.layers.2.input_layernorm.weight", "no such key"]);

    let folder = model();
    edit_config(folder.path(), |config| config["num_hidden_layers"] = 1.into());
    assert_error(folder.path(), &["model.layers.1.", "belong to no part"]);

    let folder = model();
    edit_config(folder.path(), |config| config["tie_word_embeddings"] = true.into());
    assert_error(folder.path(), &["lm_head.weight", "tie_word_embeddings"]);
}

#[test]
fn unknown_architectures_and_impossible_sizes_are_refused() {
    let cases: [(&str, Value, &str); 9] = [
        ("model_type", "mamba".into(), "mamba"),
        ("hidden_size", (1u64 << 40).into(), "hidden_size"),
        ("hidden_size", (-1).into(), "hidden_size"),
        ("num_hidden_layers", 100_000.into(), "num_hidden_layers"),
        ("num_key_value_heads", 3.into(), "num_key_value_heads"),
        ("head_dim", 5.into(), "head_dim"),
        ("vocab_size", 0.into(), "vocab_size"),
        ("hidden_act", "nonsense".into(), "hidden_act"),
        ("rope_parameters", json!({"rope_type": "warp", "rope_theta": 1e4}), "rope_type"),
    ];
    for (field, value, word) in cases {
        let folder = model();
        edit_config(folder.path(), |config| config[field] = value);
        assert_error(folder.path(), &[word]);
    }
    let folder = model();
    fs::write(folder.path().join("config.json"), "[1, 2").unwrap();
    assert_error(folder.path(), &["config.json"]);
    fs::write(folder.path().join("config.json"), "[".repeat(100_000)).unwrap();
    assert_error(folder.path(), &["config.json"]);
}

fn adapter_error(folder: &Path) -> String {
    let device = nexus_core::device("flex").unwrap();
    let model: Decoder = load(&golden("llama_untied/model"), &device).unwrap();
    load_adapter(model, folder).unwrap_err().to_string()
}

#[test]
fn adapters_that_do_not_fit_are_refused() {
    let error = adapter_error(&golden("gpt2/adapter"));
    assert!(error.contains("no key") && error.contains("another base"), "{error}");

    // One tensor too many, one too few, one of another shape.
    let source = golden("llama_untied/adapter");
    let weights = "adapter_model.safetensors";
    let edit = |change: &dyn Fn(&mut BTreeMap<String, OwnedTensor>)| {
        let folder = copy(&source);
        let mut file = TensorFile::open(&source.join(weights)).unwrap();
        let names: Vec<String> = file.names().map(str::to_string).collect();
        let mut tensors = BTreeMap::new();
        for name in names {
            let (values, shape) = file.read_f32(&name).unwrap();
            tensors.insert(name, OwnedTensor::f32(&values, &shape));
        }
        change(&mut tensors);
        write_tensors(&folder.path().join(weights), &tensors).unwrap();
        adapter_error(folder.path())
    };
    let key = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    let one = || OwnedTensor::f32(&[1.0], &[1, 1]);
    let error = edit(&|tensors| {
        tensors.insert("base_model.model.model.layers.9.mlp.up_proj.lora_A.weight".into(), one());
    });
    assert!(error.contains("layers.9") && error.contains("no module takes"), "{error}");
    let error = edit(&|tensors| {
        tensors.remove(key);
    });
    assert!(error.contains(key) && error.contains("no such key"), "{error}");
    let error = edit(&|tensors| {
        tensors.insert(key.into(), one());
    });
    assert!(error.contains(key) && error.contains("[4, 24]"), "{error}");

    let folder = copy(&source);
    fs::remove_file(folder.path().join(weights)).unwrap();
    assert!(adapter_error(folder.path()).contains(weights));
}

/// An adapter whose tensors have the right names and other shapes: of another width, of another rank, of two adapters.
#[test]
fn two_adapters_with_clashing_shapes() {
    let device = nexus_core::device("flex").unwrap();
    let base = |case: &str| -> Decoder { load(&golden(case).join("model"), &device).unwrap() };
    let mismatch = |model: Decoder, folder: &Path| match load_adapter(model, folder).unwrap_err() {
        Error::Weights { key, expected, found } => (key, expected, found),
        other => panic!("{other}"),
    };
    let names = |tensor: &str, expected: &str, found: &str| {
        let key = format!("base_model.model.model.layers.0.self_attn.{tensor}.weight");
        (key, format!("shape {expected}"), format!("shape {found}"))
    };
    // Of other widths: 8 heads of 4, 4 heads of 8 and 6 heads of 4 on 24 columns.
    let (untied, mistral) = (golden("llama_untied/adapter"), golden("mistral/adapter"));
    let error = mismatch(base("llama_untied"), &mistral);
    assert_eq!(error, names("q_proj.lora_B", "[32, 4]", "[24, 4]"));
    let error = mismatch(base("mistral"), &untied);
    assert_eq!(error, names("q_proj.lora_B", "[24, 4]", "[32, 4]"));

    // The configuration of one rank beside the tensors of another.
    let folder = copy(&untied);
    let path = folder.path().join("adapter_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["r"] = 2.into();
    fs::write(&path, config.to_string()).unwrap();
    let error = mismatch(base("llama_untied"), folder.path());
    assert_eq!(error, names("q_proj.lora_A", "[2, 24]", "[4, 24]"));
    config["r"] = 4.into();
    config["rank_pattern"] = json!({"layers.0.self_attn.o_proj": 3});
    fs::write(&path, config.to_string()).unwrap();
    let error = mismatch(base("llama_untied"), folder.path());
    assert_eq!(error, names("o_proj.lora_A", "[3, 32]", "[4, 32]"));

    // A of one adapter with B of the other.
    let folder = copy(&untied);
    let weights = "adapter_model.safetensors";
    let mut tensors = BTreeMap::new();
    for (source, part) in [(&untied, "lora_A"), (&mistral, "lora_B")] {
        let mut file = TensorFile::open(&source.join(weights)).unwrap();
        let names: Vec<String> = file.names().map(str::to_string).collect();
        for name in names.into_iter().filter(|name| name.contains(part)) {
            let (values, shape) = file.read_f32(&name).unwrap();
            tensors.insert(name, OwnedTensor::f32(&values, &shape));
        }
    }
    write_tensors(&folder.path().join(weights), &tensors).unwrap();
    let error = mismatch(base("llama_untied"), folder.path());
    assert_eq!(error, names("q_proj.lora_B", "[32, 4]", "[24, 4]"));
}

#[test]
fn adapter_variants_that_would_be_ignored_are_refused() {
    for (field, value) in [
        ("lora_bias", json!(true)),
        ("bias", json!("all")),
        ("peft_type", json!("IA3")),
        ("layer_replication", json!([[0, 2]])),
        ("r", json!(0)),
        ("lora_dropout", json!(1.0)),
        ("target_modules", json!("(?=x)")),
        ("target_modules", Value::Null),
    ] {
        let folder = copy(&golden("llama_untied/adapter"));
        let path = folder.path().join("adapter_config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config[field] = value;
        fs::write(&path, config.to_string()).unwrap();
        let error = adapter_error(folder.path());
        assert!(error.contains(field), "{field}: {error}");
    }
}
