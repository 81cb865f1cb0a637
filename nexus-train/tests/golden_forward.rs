//! Logits against transformers and PEFT: every family, rotary scaling and file layout.

mod case;

use case::{Case, MODELS, device, distance, logits};
use nexus_core::adapter::{load_adapter, merge_and_unload, save_adapter, set_adapter_state};
use nexus_core::model::{AdapterState, Model};
use nexus_core::weights::{OwnedTensor, StoredDtype, TensorFile, write_tensors};
use std::collections::BTreeMap;

/// f32 on both sides: what remains is the order of summation, measured at up to 1e-5 on logits of size 10.
const LOGITS: f32 = 1e-4;

#[test]
fn logits_equal_transformers() {
    for name in MODELS.iter().chain(&["llama_sharded", "llama_bf16"]) {
        let mut case = Case::open(name);
        let model = case.load(&device());
        let found = logits(&model, case.ids(&device()));
        let (expected, _) = case.expect.read_f32("logits").unwrap();
        let distance = distance(&found, &expected);
        assert!(distance < LOGITS, "{name}: {distance}");
    }
}

#[test]
fn older_rope_fields_mean_the_same() {
    let mut case = Case::open("llama_linear");
    let (expected, _) = case.expect.read_f32("logits").unwrap();
    for config in ["config_old.json", "config_old_rope_type.json"] {
        let folder = tempfile::tempdir().unwrap();
        let model = case.folder.join("model");
        std::fs::copy(model.join(config), folder.path().join("config.json")).unwrap();
        let weights = "model.safetensors";
        std::fs::copy(model.join(weights), folder.path().join(weights)).unwrap();
        let model = nexus_core::weights::load(folder.path(), &device()).unwrap();
        let distance = distance(&logits(&model, case.ids(&device())), &expected);
        assert!(distance < LOGITS, "{config}: {distance}");
    }
}

#[test]
fn saved_folders_load_again_with_equal_logits() {
    for name in MODELS {
        let mut case = Case::open(name);
        let model = case.load(&device());
        let folder = tempfile::tempdir().unwrap();
        nexus_core::weights::save(&model, folder.path(), StoredDtype::F32).unwrap();
        let again = nexus_core::weights::load(folder.path(), &device()).unwrap();
        let ids = case.ids(&device());
        assert_eq!(logits(&model, ids.clone()), logits(&again, ids), "{name}");
    }
}

#[test]
fn adapters_of_peft_give_its_logits_merged_and_not() {
    for name in MODELS {
        let mut case = Case::open(name);
        let ids = case.ids(&device());
        let (expected, _) = case.expect.read_f32("adapter_logits").unwrap();
        let (expected_merged, _) = case.expect.read_f32("merged_logits").unwrap();
        let (base, _) = case.expect.read_f32("logits").unwrap();

        let model = load_adapter(case.load(&device()), &case.folder.join("adapter")).unwrap();
        let found = logits(&model, ids.clone());
        assert!(distance(&found, &expected) < LOGITS, "{name}: {}", distance(&found, &expected));
        assert!(distance(&found, &base) > 0.1, "{name}: the adapter has no effect");

        let disabled = set_adapter_state(model.clone(), AdapterState::Disabled);
        assert!(distance(&logits(&disabled, ids.clone()), &base) < LOGITS, "{name}: disabled");

        let merged = set_adapter_state(model.clone(), AdapterState::Merged);
        let merged_logits = logits(&merged, ids.clone());
        assert!(distance(&merged_logits, &expected_merged) < LOGITS, "{name}: merged");
        let unmerged = set_adapter_state(merged, AdapterState::Active);
        assert!(distance(&logits(&unmerged, ids.clone()), &expected) < LOGITS, "{name}: unmerged");

        let plain = merge_and_unload(model);
        assert!(plain.adapter().is_none());
        assert!(distance(&logits(&plain, ids), &expected_merged) < LOGITS, "{name}: unloaded");
    }
}

#[test]
fn patterns_rslora_and_saved_modules_mean_what_peft_means() {
    let mut case = Case::open("llama_untied");
    let (expected, _) = case.expect.read_f32("adapter_rs_logits").unwrap();
    let model = load_adapter(case.load(&device()), &case.folder.join("adapter_rs")).unwrap();
    let ids = case.ids(&device());
    assert!(distance(&logits(&model, ids.clone()), &expected) < LOGITS);

    let mut case = Case::open("gpt2");
    let (expected, _) = case.expect.read_f32("adapter_attn_logits").unwrap();
    let model = load_adapter(case.load(&device()), &case.folder.join("adapter_attn")).unwrap();
    assert!(distance(&logits(&model, case.ids(&device())), &expected) < LOGITS);
}

#[test]
fn a_saved_adapter_has_pefts_keys_and_values() {
    let adapters = MODELS
        .iter()
        .map(|name| (*name, "adapter"))
        .chain([("llama_untied", "adapter_rs"), ("gpt2", "adapter_attn")]);
    for (name, adapter) in adapters {
        let case = Case::open(name);
        let source = case.folder.join(adapter);
        let model = load_adapter(case.load(&device()), &source).unwrap();
        let folder = tempfile::tempdir().unwrap();
        save_adapter(&model, "model", folder.path()).unwrap();
        let weights = "adapter_model.safetensors";
        let read = |folder: &std::path::Path| std::fs::read(folder.join(weights)).unwrap();
        // The same keys, order, shapes, values and metadata: the same bytes.
        assert_eq!(read(&source), read(folder.path()), "{name}/{adapter}");
        let config = |folder: &std::path::Path| -> serde_json::Value {
            let text = std::fs::read_to_string(folder.join("adapter_config.json")).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        let (ours, theirs) = (config(folder.path()), config(&source));
        for (key, value) in theirs.as_object().unwrap() {
            assert_eq!(ours[key], *value, "{name}/{adapter}: {key}");
        }
    }
}

#[test]
fn older_gpt2_files_without_prefix_and_with_buffers_load() {
    let mut case = Case::open("gpt2");
    let (expected, _) = case.expect.read_f32("logits").unwrap();
    let source = case.folder.join("model");
    let mut file = TensorFile::open(&source.join("model.safetensors")).unwrap();
    let names: Vec<String> = file.names().map(str::to_string).collect();
    let mut tensors = BTreeMap::new();
    for name in names {
        let (values, shape) = file.read_f32(&name).unwrap();
        let bare = name.strip_prefix("transformer.").unwrap().to_string();
        tensors.insert(bare, OwnedTensor::f32(&values, &shape));
    }
    // The causal mask that older versions stored as if it were a parameter.
    tensors.insert("h.0.attn.bias".into(), OwnedTensor::f32(&[1.0; 4], &[1, 1, 2, 2]));
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(source.join("config.json"), folder.path().join("config.json")).unwrap();
    write_tensors(&folder.path().join("model.safetensors"), &tensors).unwrap();
    let model = nexus_core::weights::load(folder.path(), &device()).unwrap();
    assert!(distance(&logits(&model, case.ids(&device())), &expected) < LOGITS);
}
