//! Hostile configurations: `config.json` of every family, and adapters.

mod attack;

use attack::{JSON_WORDS, confined, copy, cut_file, each_field, golden, mutate, refuses, survives};
use nexus_core::Result;
use nexus_core::adapter::load_adapter;
use nexus_core::model::Decoder;
use nexus_core::weights::{LoadedModel, load, load_any};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// A folder of each family, and of each form of its configuration.
const FAMILIES: [&str; 9] = [
    "gpt2_classes",
    "llama_untied",
    "llama_yarn",
    "llama_llama3",
    "mistral",
    "qwen2",
    "bert_classes",
    "roberta_classes",
    "t5_gated",
];
const ADAPTER: &str = "adapter_config.json";
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

fn load_model(folder: &Path) -> Result<LoadedModel> {
    load_any(folder, &nexus_core::device("flex").unwrap())
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_field_of_every_family() {
    confined("every_field_of_every_family", 1024, || {
        for case in FAMILIES.into_iter().chain(["distilbert_classes"]) {
            let folder = copy(&golden(case).join("model"));
            let path = folder.path().join("config.json");
            let config = read_json(&path);
            load_model(folder.path()).unwrap();
            each_field(&config, &mut |name, edited| {
                fs::write(&path, edited.to_string()).unwrap();
                let _ = survives(format!("{case}: {name}"), || load_model(folder.path()));
            });
        }
    });
}

#[test]
fn sizes_that_no_model_has() {
    confined("sizes_that_no_model_has", 512, || {
        let fields = [
            ("gpt2", ["n_layer", "n_head", "n_embd", "vocab_size", "n_positions"]),
            (
                "llama_untied",
                [
                    "num_hidden_layers",
                    "num_attention_heads",
                    "hidden_size",
                    "vocab_size",
                    "intermediate_size",
                ],
            ),
            (
                "mistral",
                [
                    "num_hidden_layers",
                    "num_key_value_heads",
                    "hidden_size",
                    "vocab_size",
                    "head_dim",
                ],
            ),
            (
                "qwen2",
                [
                    "num_hidden_layers",
                    "num_attention_heads",
                    "hidden_size",
                    "vocab_size",
                    "intermediate_size",
                ],
            ),
            (
                "bert_masked",
                [
                    "num_hidden_layers",
                    "num_attention_heads",
                    "hidden_size",
                    "vocab_size",
                    "max_position_embeddings",
                ],
            ),
            (
                "roberta_masked",
                [
                    "num_hidden_layers",
                    "num_attention_heads",
                    "hidden_size",
                    "vocab_size",
                    "max_position_embeddings",
                ],
            ),
            (
                "distilbert_masked",
                ["n_layers", "n_heads", "dim", "vocab_size", "max_position_embeddings"],
            ),
            ("t5_gated", ["num_layers", "num_heads", "d_model", "vocab_size", "d_ff"]),
        ];
        for (case, fields) in fields {
            let folder = copy(&golden(case).join("model"));
            let path = folder.path().join("config.json");
            let config = read_json(&path);
            for field in fields {
                // 2^28 is the largest size that passes the checks of the configuration alone.
                for value in [0, 1 << 28, 1_000_000_000, 1 << 32, 1 << 60, u64::MAX] {
                    let mut edited = config.clone();
                    edited[field] = value.into();
                    fs::write(&path, edited.to_string()).unwrap();
                    refuses(format!("{case}: {field} = {value}"), "", || load_model(folder.path()));
                }
            }
        }
    });
}

#[test]
fn configs_that_are_no_configs() {
    confined("configs_that_are_no_configs", 1024, || {
        let folder = copy(&golden("llama_untied/model"));
        let path = folder.path().join("config.json");
        let whole = fs::read_to_string(&path).unwrap();
        let refuse = |what: &str, text: &[u8], word: &str| {
            fs::write(&path, text).unwrap();
            refuses(what, word, || load_model(folder.path()));
        };
        for cut in 0..whole.trim_end().len() {
            refuse(&format!("cut at {cut}"), &whole.as_bytes()[..cut], "config.json");
        }
        let twice = whole.replacen('{', r#"{"hidden_size": 8,"#, 1);
        refuse("a field twice", twice.as_bytes(), "\"hidden_size\" occurs twice");
        for open in ["[", "{\"a\":", "{\"id2label\":["] {
            refuse("nested deeply", open.repeat(100_000).as_bytes(), "config.json");
        }
        let wide = whole.replacen('{', &format!("{{\"x\": [{}0],", "0,".repeat(8_000_000)), 1);
        refuse("many values", wide.as_bytes(), "values");
        refuse("not UTF-8", b"{\"model_type\": \"\xff\"}", "config.json");
        refuse("17 MiB", &vec![b' '; 17 << 20], "larger");
        let labels =
            r#"{"architectures":["LlamaForSequenceClassification"],"num_labels":4294967296,"#;
        refuse("labels", whole.replacen("{", labels, 1).as_bytes(), "");
    });
}

#[test]
fn mutated_configs() {
    confined("mutated_configs", 1024, || {
        for case in ["llama_yarn", "bert_classes"] {
            let folder = copy(&golden(case).join("model"));
            let path = folder.path().join("config.json");
            mutate(&fs::read(&path).unwrap(), JSON_WORDS, |seed, bytes| {
                fs::write(&path, bytes).unwrap();
                let _ = survives(format!("{case}, mutation {seed}"), || load_model(folder.path()));
            });
        }
    });
}

/// Loads the adapter in `folder` onto the model that it was made for.
fn attach(model: &Decoder, folder: &Path) -> Result<Decoder> {
    load_adapter(model.clone(), folder)
}

fn base() -> Decoder {
    load(&golden("llama_untied/model"), &nexus_core::device("flex").unwrap()).unwrap()
}

#[test]
fn every_field_of_an_adapter() {
    confined("every_field_of_an_adapter", 1024, || {
        let (model, folder) = (base(), copy(&golden("llama_untied/adapter")));
        attach(&model, folder.path()).unwrap();
        let path = folder.path().join(ADAPTER);
        let mut config = read_json(&path);
        config["rank_pattern"] = json!({"q_proj": 4});
        config["alpha_pattern"] = json!({"q_proj": 4});
        each_field(&config, &mut |name, edited| {
            fs::write(&path, edited.to_string()).unwrap();
            let _ = survives(name, || attach(&model, folder.path()));
        });
    });
}

#[test]
fn adapters_that_are_no_adapters() {
    confined("adapters_that_are_no_adapters", 1024, || {
        let (model, folder) = (base(), copy(&golden("llama_untied/adapter")));
        let (path, weights) = (folder.path().join(ADAPTER), folder.path().join(ADAPTER_WEIGHTS));
        let whole = fs::read_to_string(&path).unwrap();
        let refuse = |what: &str, text: &str, word: &str| {
            fs::write(&path, text).unwrap();
            refuses(what, word, || attach(&model, folder.path()));
        };
        for cut in 0..whole.trim_end().len() {
            refuse(&format!("cut at {cut}"), &whole[..cut], ADAPTER);
        }
        refuse("a field twice", &whole.replacen('{', r#"{"r": 4,"#, 1), "\"r\" occurs twice");
        refuse("nested deeply", &"[".repeat(100_000), ADAPTER);
        let mut config: Value = serde_json::from_str(&whole).unwrap();
        config["x"] = vec![0; 2_000_000].into();
        refuse("many values", &config.to_string(), "values");

        let mut config: Value = serde_json::from_str(&whole).unwrap();
        for pattern in
            [r"(\w{1000}){1000}", r"(((a{100}){100}){100}){100}", &"(".repeat(100_000), "[", "*"]
        {
            config["target_modules"] = pattern.into();
            refuse(&format!("{pattern:.30}"), &config.to_string(), "target_modules");
        }
        config["target_modules"] = "all-linear".into();
        // Each of them compiles to a megabyte.
        let patterns = (0..2000).map(|i| (format!(r"\w{{30}}{i}"), json!(4)));
        config["rank_pattern"] = Value::Object(patterns.collect());
        refuse("many large patterns", &config.to_string(), "rank_pattern");

        fs::write(&path, &whole).unwrap();
        cut_file(&weights, |cut| {
            refuses(format!("weights cut at {cut}"), "damaged", || attach(&model, folder.path()));
        });
        let key = |i| {
            format!(r#""base_model.model.{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#)
        };
        let header = format!("{{{}}}", (0..1_000_000).map(key).collect::<Vec<_>>().join(","));
        let length = (header.len() as u64).to_le_bytes();
        fs::write(&weights, [&length, header.as_bytes()].concat()).unwrap();
        drop(header);
        refuses("a million tensors", "no key", || attach(&model, folder.path()));
    });
}

#[test]
fn mutated_adapters() {
    confined("mutated_adapters", 1024, || {
        let model = base();
        for name in [ADAPTER, ADAPTER_WEIGHTS] {
            let folder = copy(&golden("llama_untied/adapter"));
            let path = folder.path().join(name);
            mutate(&fs::read(&path).unwrap(), JSON_WORDS, |seed, bytes| {
                fs::write(&path, bytes).unwrap();
                let _ =
                    survives(format!("{name}, mutation {seed}"), || attach(&model, folder.path()));
            });
        }
    });
}
