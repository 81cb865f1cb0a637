//! What Nexus trains and saves loads in transformers and PEFT with the same logits.
//!
//! Needs a Python with both: `.venv` at the workspace root, or the one that NEXUS_PYTHON names.

mod case;

use case::{Case, MODELS, device, logits};
use nexus_core::adapter::{AdapterConfig, Modules, attach, merge_and_unload, save_adapter};
use nexus_core::data::Example;
use nexus_core::stage::{TrainData, Trainer};
use nexus_core::weights::{OwnedTensor, StoredDtype, save, write_tensors};
use nexus_train::{Sft, TrainConfig};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let python = std::env::var_os("NEXUS_PYTHON").map_or(venv, PathBuf::from);
    let works = Command::new(&python).args(["-c", "import peft, transformers"]).output();
    works.is_ok_and(|out| out.status.success()).then_some(python)
}

/// Attaches a fresh adapter, trains it for five steps, and writes everything that check.py compares.
fn write(name: &str, config: &AdapterConfig, folder: &Path) {
    let mut case = Case::open(name);
    let ([rows, columns], ids, _) = case.batch();
    let examples: Vec<Example> = ids
        .chunks(columns)
        .map(|row| Example::new(row.iter().map(|&id| id as u32).collect(), row.to_vec()))
        .collect();
    let model = attach(case.load(&device()), config, 11).unwrap();
    let train = TrainConfig {
        max_steps: Some(5),
        batch_size: rows,
        learning_rate: 2e-2,
        ..TrainConfig::default()
    };
    let data = TrainData { train: &examples, valid: None, pad_id: 0 };
    let model = Sft::new(train).train(model, &data, &mut ()).unwrap().model;

    for part in ["base", "adapter", "merged"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
    }
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(case.folder.join("model").join(file), folder.join("base").join(file))
            .unwrap();
    }
    let shape = [rows, columns, model.config().vocab_size];
    let adapter = logits(&model, case.ids(&device()));
    save_adapter(&model, "base", &folder.join("adapter")).unwrap();
    let merged = merge_and_unload(model);
    save(&merged, &folder.join("merged"), StoredDtype::F32).unwrap();
    let merged = logits(&merged, case.ids(&device()));
    let ids: Vec<f32> = ids.iter().map(|&id| id as f32).collect();
    let tensors = BTreeMap::from([
        ("ids".to_string(), OwnedTensor::f32(&ids, &[rows, columns])),
        ("adapter".to_string(), OwnedTensor::f32(&adapter, &shape)),
        ("merged".to_string(), OwnedTensor::f32(&merged, &shape)),
    ]);
    write_tensors(&folder.join("logits.safetensors"), &tensors).unwrap();
}

#[test]
fn adapters_and_merged_folders_of_ours_work_in_peft_and_transformers() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with transformers and peft");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let all_linear = AdapterConfig { r: 4, lora_alpha: 16.0, ..AdapterConfig::default() };
    for name in MODELS {
        write(name, &all_linear, &folder.path().join(name));
    }
    let mut patterns = AdapterConfig {
        target_modules: Some(Modules::Pattern(r".*\.(q_proj|down_proj)".into())),
        use_rslora: true,
        modules_to_save: Some(vec!["lm_head".into()]),
        layers_to_transform: None,
        ..all_linear.clone()
    };
    patterns.rank_pattern.insert(r"layers\.1\..*q_proj".into(), 2);
    patterns.alpha_pattern.insert("down_proj".into(), 3.5);
    write("llama_untied", &patterns, &folder.path().join("llama_patterns"));
    let names = AdapterConfig {
        target_modules: Some(Modules::Names(vec!["c_attn".into(), "mlp.c_proj".into()])),
        ..all_linear
    };
    write("gpt2", &names, &folder.path().join("gpt2_names"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/check.py");
    let out = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(out.status.success(), "{}\n{}", text(&out.stdout), text(&out.stderr));
    println!("{}", text(&out.stdout));
}
