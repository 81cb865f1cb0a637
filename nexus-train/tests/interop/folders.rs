//! Folders that were written in another form than they were read: another head, several files, fewer bits.

use crate::case::{Case, device};
use crate::comparison::Comparison;
use crate::outputs::Outputs;
use crate::python::{agrees, python};
use crate::trained::train;
use nexus_core::adapter::train_all;
use nexus_core::data::{Example, Target};
use nexus_core::model::{Classes, Classify, Decoder, Encoder, EncoderDecoder, Head, Model};
use nexus_core::weights::{SaveOptions, StoredDtype, load, load_with_head};
use nexus_train::SequenceClassification;
use nexus_train::{Objective, TokenClassification};
use std::path::Path;

const NAMES: [&str; 3] = ["low", "middle", "high"];

fn classes() -> Classes {
    Classes::single_label(NAMES)
}

/// A golden model without this head gets it, and is trained for it.
fn with_head<M: Outputs, O: Objective<M> + 'static>(
    root: &Path,
    (golden, class, head): (&str, &'static str, Head),
    objective: O,
    label: impl Fn(usize, &mut Example),
) {
    let mut case = Case::open(golden);
    let mut comparison = Comparison::new(root, &format!("{golden}_{class}"), class, &mut case);
    for (row, example) in comparison.inputs.examples.iter_mut().enumerate() {
        label(row, example);
    }
    let folder = case.folder.join("model");
    let model: M = load_with_head(&folder, &device(), head, 5).unwrap().model;
    comparison.model("base", &model, StoredDtype::F32);
    let model = train(train_all(model), objective, &comparison.inputs);
    comparison.model("full", &model, StoredDtype::F32);
    comparison.pad();
    comparison.write();
}

#[test]
fn a_language_head_of_its_own_is_left_out_under_another_head() {
    for golden in ["llama_untied", "qwen2"] {
        let folder = Case::open(golden).folder.join("model");
        let head = Head::Sequence(classes());
        let model: Decoder = load_with_head(&folder, &device(), head.clone(), 5).unwrap().model;
        assert_eq!(model.spec().head, head, "{golden}");
    }
}

#[test]
fn a_new_head_on_a_base_without_it() {
    let Some(python) = python() else { return };
    fn sequence<M: Outputs + Classify>(root: &Path, golden: &str) {
        let class = "AutoModelForSequenceClassification";
        let head = Head::Sequence(classes());
        with_head::<M, _>(root, (golden, class, head), SequenceClassification::new(), |row, e| {
            e.target = Target::Class((row % NAMES.len()) as u32);
            e.labels.clear();
        });
    }
    let folder = tempfile::tempdir().unwrap();
    let encoders =
        ["bert_features", "bert_masked", "bert_classes", "roberta_masked", "distilbert_masked"];
    for golden in encoders {
        sequence::<Encoder>(folder.path(), golden);
    }
    let decoders = ["gpt2", "llama_untied", "llama_tied", "mistral", "qwen2"];
    for golden in decoders {
        sequence::<Decoder>(folder.path(), golden);
    }
    let tokens = ["bert_features", "roberta_masked", "distilbert_classes"];
    for golden in tokens {
        let case = (golden, "AutoModelForTokenClassification", Head::Tokens(classes()));
        with_head::<Encoder, _>(folder.path(), case, TokenClassification::new(), |row, e| {
            e.labels = (0..e.ids.len()).map(|i| ((row + i) % NAMES.len()) as i32).collect();
            e.target = Target::default();
        });
    }
    let cases = encoders.len() + decoders.len() + tokens.len();
    agrees(&python, "check.py", folder.path(), cases);
}

/// What is left of a model without its head. A pooler that was never trained is not there, as in the folders of
/// sentence encoders; DistilBERT has none.
#[test]
fn features() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("bert_features", true),
        ("bert_masked", false),
        ("bert_classes", true),
        ("roberta_masked", false),
        ("distilbert_masked", true),
        ("distilbert_classes", true),
    ];
    for (golden, complete) in cases {
        let mut case = Case::open(golden);
        let source = case.folder.join("model");
        let model: Encoder = load_with_head(&source, &device(), Head::Features, 5).unwrap().model;
        let mut comparison = Comparison::new(folder.path(), golden, "AutoModel", &mut case);
        comparison.model("features", &model, StoredDtype::F32);
        if !complete {
            comparison.lacks("pooler.");
        }
        comparison.write();
    }
    agrees(&python, "check.py", folder.path(), cases.len());
}

/// Several files, and half the bits.
fn rewritten<M: Outputs>(root: &Path, golden: &str, class: &'static str) {
    let mut case = Case::open(golden);
    let model: M = load(&case.folder.join("model"), &device()).unwrap();
    let mut comparison = Comparison::new(root, golden, class, &mut case);
    let shards = SaveOptions { dtype: StoredDtype::F32, max_shard_bytes: 6000 };
    let halves = SaveOptions { dtype: StoredDtype::Bf16, ..shards };
    for (name, options, dtype) in [
        ("shards", shards, "float32"),
        ("bf16", StoredDtype::Bf16.into(), "bfloat16"),
        ("bf16_shards", halves, "bfloat16"),
    ] {
        let folder = comparison.model(name, &model, options);
        let files = std::fs::read_dir(&folder).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().ends_with(".safetensors")
        });
        assert_eq!(files.count() > 1, name.ends_with("shards"), "{golden} {name}");
        let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
        assert!(config.contains(&format!("\"dtype\": \"{dtype}\"")), "{golden} {name}: {config}");
    }
    comparison.write();
}

#[test]
fn several_files_and_fewer_bits() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    rewritten::<Decoder>(path, "llama_untied", "AutoModelForCausalLM");
    rewritten::<Decoder>(path, "gpt2", "AutoModelForCausalLM");
    rewritten::<Decoder>(path, "llama_classes", "AutoModelForSequenceClassification");
    rewritten::<Encoder>(path, "bert_classes", "AutoModelForSequenceClassification");
    rewritten::<Encoder>(path, "roberta_masked", "AutoModelForMaskedLM");
    rewritten::<Encoder>(path, "distilbert_masked", "AutoModelForMaskedLM");
    rewritten::<EncoderDecoder>(path, "t5_relu", "AutoModelForSeq2SeqLM");
    rewritten::<EncoderDecoder>(path, "t5_gated", "AutoModelForSeq2SeqLM");
    agrees(&python, "check.py", path, 8);
}
