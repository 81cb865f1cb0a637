//! `export`: a merged adapter, fewer bits and several files give the model that they are made of.

mod programs;

use nexus_core::adapter::load_adapter;
use nexus_core::data::{Example, Tokenizer, collate};
use nexus_core::model::{Classify, Decoder, Encoder, EncoderDecoder, Pass, TokenBatch, ids_tensor};
use nexus_core::weights::load;
use programs::{golden, lines, program, random_model_of};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// `x W + s (x A) B` against `x (W + s A B)`: another order of f32 sums, on logits of size about 10.
const MERGED: f32 = 1e-4;

/// bf16 keeps 8 bits, so each weight is off by up to 2^-9 of itself; through two layers, a share of the largest logit.
const HALVED: f32 = 0.02;

fn device() -> burn::tensor::Device {
    nexus_core::device("flex").unwrap()
}

fn values<const D: usize>(tensor: burn::tensor::Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn decoder_logits(model: &Decoder) -> Vec<f32> {
    let ids: Vec<i32> = (0..24).map(|i| (7 * i + 3) % 60).collect();
    let hidden = model.hidden(ids_tensor(&ids, [2, 12], &device()), &Pass::inference()).unwrap();
    values(model.logits(hidden.flatten(0, 1), &Pass::inference()))
}

fn tokens() -> TokenBatch {
    let rows = [vec![3, 9, 14, 30, 8], vec![17, 4, 5]].map(|ids| Example::new(ids, Vec::new()));
    TokenBatch::new(&collate(&rows, 0), &device())
}

fn encoder_logits(model: &Encoder) -> Vec<f32> {
    values(model.class_logits(&tokens(), &Pass::inference()).unwrap())
}

fn answer_logits(model: &EncoderDecoder) -> Vec<f32> {
    let pass = Pass::inference();
    let memory = model.encode(&tokens(), &pass).unwrap();
    let hidden = model.decode(ids_tensor(&[0, 5, 9, 0, 7, 8], [2, 3], &device()), &memory, &pass);
    values(model.logits(hidden.flatten(0, 1), &pass))
}

/// The largest difference, and the largest value.
fn compare(a: &[f32], b: &[f32]) -> (f32, f32) {
    assert_eq!(a.len(), b.len());
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    (apart, a.iter().fold(0.0, |most: f32, x| most.max(x.abs())))
}

fn export(model: &Path, adapter: &Path, out: &Path, extra: &[&str]) {
    let [model, adapter, out] = [model, adapter, out].map(|path| path.to_str().unwrap());
    let args = ["--model", model, "--adapter", adapter, "--out", out];
    let said = program("export", &[&args[..], extra].concat(), "").ok();
    assert_eq!(said, format!("wrote {out}\n"));
}

/// The names of the safetensors files in a folder, and their bytes in all.
fn files(folder: &Path) -> (Vec<String>, u64) {
    let (mut names, mut bytes) = (Vec::new(), 0);
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".safetensors") {
            bytes += entry.metadata().unwrap().len();
            names.push(name);
        }
    }
    names.sort();
    (names, bytes)
}

#[test]
fn a_trained_adapter_merged_halved_and_split() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("model")).unwrap();
    // About 2.2 MB in f32.
    random_model_of(&path("model"), 256);
    let text = "{\"prompt\": \"a cat?\", \"completion\": \" sat on the mat\"}";
    let data = lines(folder.path(), "train.jsonl", &[text; 4]);
    let (model, adapter) = (path("model"), path("adapter"));
    let files_of = ["--model", model.to_str().unwrap(), "--train", &data, "--out"];
    let settings = [adapter.to_str().unwrap(), "--max-steps", "5", "--learning-rate", "1e-2"];
    program("finetune", &[&files_of[..], &settings].concat(), "").ok();

    let base: Decoder = load(&model, &device()).unwrap();
    let untrained = decoder_logits(&base);
    let expected = decoder_logits(&load_adapter(base, &adapter).unwrap());
    let (effect, largest) = compare(&expected, &untrained);
    assert!(effect > 0.1, "the adapter does something: {effect}");

    let forms: [(&str, &[&str], f32, usize); 4] = [
        ("f32", &[], MERGED, 1),
        ("f32_split", &["--max-shard-size", "1"], MERGED, 3),
        ("bf16", &["--dtype", "bf16"], HALVED * largest, 1),
        ("bf16_split", &["--dtype", "bf16", "--max-shard-size", "1"], HALVED * largest, 2),
    ];
    let mut sizes = Vec::new();
    for (name, flags, tolerance, least) in forms {
        let out = path(name);
        export(&model, &adapter, &out, flags);
        let (apart, _) = compare(&decoder_logits(&load(&out, &device()).unwrap()), &expected);
        assert!(apart < tolerance, "{name}: {apart}, allowed {tolerance}");
        assert!(apart < 0.5 * effect, "{name}: nearer to the adapter than to the base");
        let (names, bytes) = files(&out);
        assert!(names.len() >= least && (names.len() == 1) == (least == 1), "{name}: {names:?}");
        assert_eq!(out.join("model.safetensors.index.json").is_file(), least > 1, "{name}");
        sizes.push(bytes);
        let config = fs::read_to_string(out.join("config.json")).unwrap();
        serde_json::from_str::<Value>(&config).unwrap();
        let tokenizer = Tokenizer::load(&out).unwrap();
        let original = Tokenizer::load(&model).unwrap();
        let ids = |tokenizer: &Tokenizer| tokenizer.encode("the cat sat", true).unwrap();
        assert_eq!(ids(&tokenizer), ids(&original));
    }
    let ratio = sizes[0] as f64 / sizes[2] as f64;
    assert!((1.9..2.0).contains(&ratio), "half the bits: {ratio}");

    // What is there already is not written over.
    let out = path("f32");
    let args = ["--model", model.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let before = fs::read(out.join("model.safetensors")).unwrap();
    assert!(program("export", &args, "").error().contains("exists already"));
    assert_eq!(fs::read(out.join("model.safetensors")).unwrap(), before);
}

#[test]
fn encoders_and_encoder_decoders_too() {
    let folder = tempfile::tempdir().unwrap();
    let merged = |case: &str| {
        let out = folder.path().join(case);
        let case = golden(case);
        let args = [case.join("model"), case.join("adapter"), out.clone()];
        let [model, adapter, path] = args.each_ref().map(|path| path.to_str().unwrap());
        let ended = program("export", &["--model", model, "--adapter", adapter, "--out", path], "");
        // These folders have no tokenizer, which is said and is no failure.
        assert!(ended.stderr.starts_with("note: no tokenizer"), "{}", ended.stderr);
        ended.ok();
        out
    };
    fn check<M: nexus_core::model::Model>(case: &str, out: &Path, logits: impl Fn(&M) -> Vec<f32>) {
        let base: M = load(&golden(case).join("model"), &device()).unwrap();
        let untrained = logits(&base);
        let adapted = logits(&load_adapter(base, &golden(case).join("adapter")).unwrap());
        let exported: M = load(out, &device()).unwrap();
        let (apart, _) = compare(&logits(&exported), &adapted);
        let (effect, _) = compare(&untrained, &adapted);
        assert!(apart < MERGED && effect > 100.0 * MERGED, "{case}: {apart}, effect {effect}");
    }
    check::<Encoder>("bert_classes", &merged("bert_classes"), encoder_logits);
    check::<EncoderDecoder>("t5_relu", &merged("t5_relu"), answer_logits);
}

#[test]
fn an_adapter_of_another_model_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let case = golden("llama_untied/model");
    let (model, out_text) = (case.to_str().unwrap(), out.to_str().unwrap());
    for (adapter, word) in [
        (golden("gpt2/adapter"), "another base"),
        (golden("mistral/adapter"), "q_proj.lora_B"),
        (folder.path().join("absent"), "absent"),
    ] {
        let adapter = adapter.to_str().unwrap();
        let args = ["--model", model, "--adapter", adapter, "--out", out_text];
        let error = program("export", &args, "").error();
        assert!(error.contains(word), "{word:?} is not in: {error}");
        assert!(!out.exists(), "nothing is written: {error}");
    }
}
