//! Hostile weights: safetensors files and the index of their shards.

mod attack;

use attack::{JSON_WORDS, confined, copy, cut_file, golden, mutate, refuses, survives};
use nexus_core::Result;
use nexus_core::model::Decoder;
use nexus_core::weights::{OwnedTensor, TensorFile, load, write_tensors};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

fn load_model(folder: &Path) -> Result<Decoder> {
    load(folder, &nexus_core::device("flex").unwrap())
}

/// A safetensors file of a header and so many zero bytes.
fn file(header: &[u8], data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, &vec![0; data][..]].concat()
}

#[test]
fn the_memory_is_bounded_at_all() {
    confined("the_memory_is_bounded_at_all", 1024, || {
        let mut block = Vec::<u8>::new();
        assert!(!cfg!(target_os = "linux") || block.try_reserve_exact(2 << 30).is_err());
    });
}

#[test]
fn safetensors_cut_anywhere() {
    confined("safetensors_cut_anywhere", 1024, || {
        let folder = copy(&golden("llama_untied/model"));
        let path = folder.path().join(WEIGHTS);
        cut_file(&path, |cut| {
            refuses(format!("cut at {cut}"), "damaged", || load_model(folder.path()));
        });
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\0").unwrap();
        refuses("a byte too many", "damaged", || load_model(folder.path()));
    });
}

#[test]
fn large_safetensors_cut_at_every_boundary() {
    confined("large_safetensors_cut_at_every_boundary", 1024, || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(WEIGHTS);
        let tensor = || OwnedTensor::f32(&[1.0; 1024], &[32, 32]);
        let tensors = (0..40).map(|i| (format!("layers.{i}.weight"), tensor())).collect();
        write_tensors(&path, &tensors).unwrap();
        TensorFile::open(&path).unwrap();
        cut_file(&path, |cut| {
            refuses(format!("cut at {cut}"), "damaged", || TensorFile::open(&path));
        });
        TensorFile::open(&path).unwrap();
    });
}

#[test]
fn headers_that_contradict_themselves() {
    confined("headers_that_contradict_themselves", 1024, || {
        let tensor = |shape: Value, offsets: Value| json!({"dtype": "F32", "shape": shape, "data_offsets": offsets});
        let good = tensor(json!([2]), json!([0, 8]));
        let (huge, max) = (1u64 << 32, u64::MAX);
        let headers = [
            ("no object", json!([])),
            ("a number", json!(7)),
            ("a list for a tensor", json!({"a": []})),
            ("no dtype", json!({"a": {"shape": [4], "data_offsets": [0, 16]}})),
            (
                "an unknown dtype",
                json!({"a": {"dtype": "F5", "shape": [4], "data_offsets": [0, 16]}}),
            ),
            (
                "a number as dtype",
                json!({"a": {"dtype": 32, "shape": [4], "data_offsets": [0, 16]}}),
            ),
            (
                "metadata that is no text",
                json!({"__metadata__": {"a": 1}, "a": tensor(json!([4]), json!([0, 16]))}),
            ),
            ("the shape of more bytes", json!({"a": tensor(json!([8]), json!([0, 16]))})),
            ("the shape of fewer bytes", json!({"a": tensor(json!([2]), json!([0, 16]))})),
            ("an empty shape", json!({"a": tensor(json!([]), json!([0, 16]))})),
            ("a zero in the shape", json!({"a": tensor(json!([0]), json!([0, 16]))})),
            ("a negative shape", json!({"a": tensor(json!([-4]), json!([0, 16]))})),
            ("half a row", json!({"a": tensor(json!([4.0]), json!([0, 16]))})),
            ("a product that overflows", json!({"a": tensor(json!([huge, huge]), json!([0, 16]))})),
            ("a size that overflows", json!({"a": tensor(json!([1u64 << 62]), json!([0, 0]))})),
            ("all of the address space", json!({"a": tensor(json!([max]), json!([0, max]))})),
            ("offsets behind the end", json!({"a": tensor(json!([huge]), json!([0, 4 * huge]))})),
            ("reversed offsets", json!({"a": tensor(json!([4]), json!([16, 0]))})),
            ("a gap before the first", json!({"a": tensor(json!([2]), json!([8, 16]))})),
            (
                "a gap between",
                json!({"a": tensor(json!([1]), json!([0, 4])), "b": tensor(json!([1]), json!([12, 16]))}),
            ),
            ("an overlap", json!({"a": good, "b": tensor(json!([3]), json!([4, 16]))})),
            (
                "the same bytes twice",
                json!({"a": tensor(json!([4]), json!([0, 16])), "b": tensor(json!([4]), json!([0, 16]))}),
            ),
            ("one offset", json!({"a": tensor(json!([4]), json!([16]))})),
            ("three offsets", json!({"a": tensor(json!([4]), json!([0, 16, 16]))})),
            ("half a byte", json!({"a": {"dtype": "F4", "shape": [31], "data_offsets": [0, 16]}})),
            ("bytes that no tensor has", json!({"a": good})),
            ("no tensor", json!({})),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(WEIGHTS);
        let refuse = |what: &str, bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            refuses(what, "damaged", || TensorFile::open(&path));
        };
        for (what, header) in headers {
            refuse(what, &file(header.to_string().as_bytes(), 16));
        }
        let tensor = r#"{"dtype":"F32","shape":[4],"data_offsets":[0,16]}"#;
        refuse("a tensor twice", &file(format!(r#"{{"a":{tensor},"a":{tensor}}}"#).as_bytes(), 16));
        let twice = r#"{"a":{"dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#;
        refuse("a field twice", &file(twice.as_bytes(), 16));
        refuse("not UTF-8", &file(b"{\"\xff\":1}", 16));
        refuse("text after the header", &file(format!(r#"{{"a":{tensor}}}}}"#).as_bytes(), 16));
        for claim in
            [0, 1, 9, 24, 99_999_999, 100_000_001, 1 << 40, 1 << 63, u64::MAX - 7, u64::MAX]
        {
            let mut bytes = file(format!(r#"{{"a":{tensor}}}"#).as_bytes(), 16);
            bytes[..8].copy_from_slice(&claim.to_le_bytes());
            refuse(&format!("a header of {claim} bytes"), &bytes);
        }
        for open in ["[", "{\"a\":", "{\"a\":{\"shape\":["] {
            refuse("nested deeply", &file(open.repeat(100_000).as_bytes(), 16));
        }
    });
}

#[test]
fn a_million_tensors() {
    confined("a_million_tensors", 1024, || {
        let mut header = String::from("{");
        for i in 0..1_000_000 {
            write!(header, r#""t{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}},"#).unwrap();
        }
        header.pop();
        header.push('}');
        let folder = copy(&golden("llama_untied/model"));
        fs::write(folder.path().join(WEIGHTS), file(header.as_bytes(), 0)).unwrap();
        drop(header);
        refuses("a million tensors", "model.embed_tokens.weight", || load_model(folder.path()));
    });
}

#[test]
fn tensors_of_another_type_or_shape() {
    confined("tensors_of_another_type_or_shape", 1024, || {
        let folder = copy(&golden("llama_untied/model"));
        let path = folder.path().join(WEIGHTS);
        let whole = fs::read(&path).unwrap();
        let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&whole[8..8 + length]).unwrap();
        let name = "model.embed_tokens.weight";
        let (offsets, shape) = (&header[name]["data_offsets"], &header[name]["shape"]);
        let count = shape.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).product::<u64>();
        let dtypes = ["I32", "U32", "F8_E4M3", "BOOL", "I64"].map(|dtype| json!(dtype));
        let shapes = [json!([count]), json!([1, count]), json!([count, 1]), json!([count, 1, 1])];
        let edits = dtypes.map(|v| ("dtype", v)).into_iter().chain(shapes.map(|v| ("shape", v)));
        for (field, value) in edits {
            let mut edited = header.clone();
            edited[name][field] = value.clone();
            fs::write(&path, file(edited.to_string().as_bytes(), 0)).unwrap();
            let mut bytes = fs::read(&path).unwrap();
            bytes.extend(&whole[8 + length..]);
            fs::write(&path, bytes).unwrap();
            let word = if matches!(value.as_str(), Some("I32" | "U32")) || field == "shape" {
                name
            } else {
                "damaged"
            };
            refuses(format!("{field} {value} at {offsets}"), word, || load_model(folder.path()));
        }
    });
}

#[test]
fn indices_that_do_not_fit_their_shards() {
    confined("indices_that_do_not_fit_their_shards", 1024, || {
        let folder = copy(&golden("llama_sharded/model"));
        let path = folder.path().join(INDEX);
        let whole = fs::read(&path).unwrap();
        let index: Value = serde_json::from_slice(&whole).unwrap();
        let refuse = |what: &str, text: &[u8], word: &str| {
            fs::write(&path, text).unwrap();
            refuses(what, word, || load_model(folder.path()));
        };
        let end = whole.iter().rposition(|&byte| byte == b'}').unwrap();
        for cut in 0..end {
            refuse(&format!("cut at {cut}"), &whole[..cut], INDEX);
        }
        fs::create_dir(folder.path().join("folder.safetensors")).unwrap();
        let paths = [
            "../model.safetensors",
            "/etc/passwd",
            "a/b",
            "a/",
            "",
            ".",
            "..",
            "x\0y",
            "./model-00001-of-00004.safetensors",
            "folder.safetensors",
            "config.json",
        ];
        for name in paths {
            let mut edited = index.clone();
            edited["weight_map"]["model.norm.weight"] = name.into();
            let word = if name == "config.json" { "config.json" } else { "shard" };
            refuse(&format!("shard {name:?}"), edited.to_string().as_bytes(), word);
        }
        let norm = "model.norm.weight";
        let edit = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
            let mut edited = index.clone();
            change(edited["weight_map"].as_object_mut().unwrap());
            edited.to_string()
        };
        let other = |map: &serde_json::Map<String, Value>| {
            map.values().find(|shard| **shard != map[norm]).unwrap().clone()
        };
        let wrong_shard = edit(&|map| drop(map.insert(norm.into(), other(map))));
        refuse("the wrong shard", wrong_shard.as_bytes(), norm);
        refuse("a tensor too few", edit(&|map| drop(map.shift_remove(norm))).as_bytes(), norm);
        let too_many = edit(&|map| drop(map.insert("more".into(), map[norm].clone())));
        refuse("a tensor too many", too_many.as_bytes(), "more");
        let twice = index.to_string().replacen(
            r#""weight_map":{"#,
            r#""weight_map":{"model.norm.weight":"x","#,
            1,
        );
        refuse("a tensor twice", twice.as_bytes(), "twice");
        for map in [json!([]), json!(null), json!({}), json!({"a": 1}), json!({"a": ["b"]})] {
            refuse("no map", json!({"weight_map": map}).to_string().as_bytes(), "");
        }
        refuse("nested deeply", "{\"weight_map\":".repeat(100_000).as_bytes(), INDEX);
    });
}

#[test]
fn an_index_of_a_million_tensors() {
    confined("an_index_of_a_million_tensors", 1024, || {
        let folder = copy(&golden("llama_sharded/model"));
        let map: Vec<_> = (0..1_000_000).map(|i| format!(r#""{i}":"{i}.safetensors""#)).collect();
        let text = format!(r#"{{"weight_map":{{{}}}}}"#, map.join(","));
        drop(map);
        fs::write(folder.path().join(INDEX), text).unwrap();
        refuses("a million shards", "shard", || load_model(folder.path()));
    });
}

#[test]
fn mutated_weights() {
    confined("mutated_weights", 1024, || {
        for (case, name) in [("llama_untied", WEIGHTS), ("llama_sharded", INDEX)] {
            let folder = copy(&golden(case).join("model"));
            let path = folder.path().join(name);
            let whole = fs::read(&path).unwrap();
            mutate(&whole, JSON_WORDS, |seed, bytes| {
                fs::write(&path, bytes).unwrap();
                let _ = survives(format!("{name}, mutation {seed}"), || load_model(folder.path()));
            });
        }
    });
}
