//! Adapters with a classification head come back with their classes, on a base that has none.

use burn::tensor::Device;
use nexus_core::adapter::{AdapterConfig, attach, merge_and_unload};
use nexus_core::data::{Example, Problem, collate};
use nexus_core::model::{
    Classes, Classify, Decoder, Encoder, Head, Model, Pass, RandomSource, Spec, TokenBatch,
};
use nexus_core::weights::{
    Headed, StoredDtype, load, load_adapted, load_with_head, read_spec, save, save_adapted,
};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Merging rounds each weight once; logits are of the order 1.
const MERGED: f32 = 1e-5;

fn device() -> Device {
    nexus_core::device("flex").unwrap()
}

fn base<M: Model>(config: Value, folder: &Path) {
    let Value::Object(config) = config else { unreachable!() };
    let spec = Arc::new(Spec::from_json(config, Path::new("config.json")).unwrap());
    let model = M::build(&mut RandomSource::new(3, &device()), spec).unwrap();
    save(&model, folder, StoredDtype::F32).unwrap();
}

fn bert(architecture: &str) -> Value {
    json!({
        "model_type": "bert", "architectures": [architecture], "vocab_size": 20,
        "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 12, "hidden_dropout_prob": 0.0,
        "initializer_range": 0.5,
    })
}

fn llama() -> Value {
    json!({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 20,
        "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 12,
        "initializer_range": 0.5,
    })
}

fn head() -> Head {
    let names = ["anger", "fear", "joy"].map(String::from).to_vec();
    Head::Sequence(Classes { names, problem: Problem::MultiLabel })
}

fn logits<M: Classify>(model: &M) -> Vec<f32> {
    let rows = [Example::new(vec![3, 7, 9], vec![]), Example::new(vec![5, 1], vec![])];
    let tokens = TokenBatch::new(&collate(&rows, 0), &device());
    model.class_logits(&tokens, &Pass::inference()).unwrap().into_data().iter::<f32>().collect()
}

/// An adapter over a fresh head, saved into `folder`, and its logits.
fn trained<M: Classify>(base: &Path, folder: &Path, whole: &[String], seed: u64) -> Vec<f32> {
    let Headed { model, fresh } = load_with_head::<M>(base, &device(), head(), seed).unwrap();
    assert!(!fresh.is_empty());
    let config =
        AdapterConfig { r: 2, modules_to_save: Some(whole.to_vec()), ..AdapterConfig::default() };
    let model = attach(model, &config, seed).unwrap();
    fs::create_dir_all(folder).unwrap();
    save_adapted(&model, "base", folder).unwrap();
    logits(&model)
}

fn comes_back<M: Classify>(config: Value, whole: &[String]) {
    let dir = tempfile::tempdir().unwrap();
    let (from, adapter, merged) =
        (dir.path().join("base"), dir.path().join("adapter"), dir.path().join("merged"));
    for folder in [&from, &merged] {
        fs::create_dir(folder).unwrap();
    }
    base::<M>(config, &from);
    let expected = trained::<M>(&from, &adapter, whole, 11);
    assert_eq!(read_spec(&adapter).unwrap().head, head());
    let back: M = load_adapted(&from, &adapter, &device()).unwrap();
    assert_eq!(logits(&back), expected);
    save(&merge_and_unload(back), &merged, StoredDtype::F32).unwrap();
    let merged: M = load(&merged, &device()).unwrap();
    assert_eq!(merged.spec().head, head());
    let close = |(a, b): (f32, f32)| (a - b).abs() < MERGED;
    assert!(logits(&merged).into_iter().zip(expected).all(close));
}

#[test]
fn a_classifier_is_its_base_and_its_adapters_folder() {
    comes_back::<Encoder>(bert("BertModel"), &[]);
    comes_back::<Encoder>(bert("BertForMaskedLM"), &["bert.pooler.dense".into()]);
    comes_back::<Decoder>(llama(), &[]);
}

#[test]
fn a_new_pooler_that_the_adapter_lacks_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (from, adapter) = (dir.path().join("base"), dir.path().join("adapter"));
    fs::create_dir(&from).unwrap();
    base::<Encoder>(bert("BertForMaskedLM"), &from);
    let Headed { fresh, .. } = load_with_head::<Encoder>(&from, &device(), head(), 1).unwrap();
    assert_eq!(fresh, ["classifier", "bert.pooler.dense"]);
    trained::<Encoder>(&from, &adapter, &[], 1);
    let error = load_adapted::<Encoder>(&from, &adapter, &device()).unwrap_err().to_string();
    assert!(error.contains("bert.pooler.dense") && error.contains("modules_to_save"), "{error}");
}

#[test]
fn another_base_is_refused_and_an_earlier_head_does_not_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (from, other, adapter) =
        (dir.path().join("base"), dir.path().join("other"), dir.path().join("adapter"));
    for folder in [&from, &other] {
        fs::create_dir(folder).unwrap();
    }
    base::<Decoder>(llama(), &from);
    let mut deeper = llama();
    deeper["num_hidden_layers"] = json!(2);
    base::<Decoder>(deeper, &other);
    trained::<Decoder>(&from, &adapter, &[], 1);
    let error = load_adapted::<Decoder>(&other, &adapter, &device()).unwrap_err().to_string();
    assert!(error.contains("another base"), "{error}");

    // The same folder then gets the adapter of a language model.
    let model = load::<Decoder>(&from, &device()).unwrap();
    let model = attach(model, &AdapterConfig { r: 2, ..AdapterConfig::default() }, 1).unwrap();
    save_adapted(&model, "base", &adapter).unwrap();
    assert!(!adapter.join("config.json").exists());
    let back: Decoder = load_adapted(&from, &adapter, &device()).unwrap();
    assert_eq!(back.spec().head, Head::Language);
}
