//! Models that Nexus trained, in full and with an adapter.

use crate::case::{Case, MODELS, device};
use crate::comparison::Comparison;
use crate::outputs::{Inputs, Outputs};
use crate::python::{agrees, python};
use nexus_core::adapter::{AdapterConfig, Modules, attach, merge_and_unload, train_all};
use nexus_core::model::{Decoder, Encoder, EncoderDecoder};
use nexus_core::stage::{TrainData, Trainer};
use nexus_core::weights::{StoredDtype, load};
use nexus_train::{
    CausalLm, MaskedLm, Objective, Seq2Seq, SequenceClassification, Sft, TokenClassification,
    TrainConfig,
};
use std::path::Path;

/// Five steps, large enough to change every logit.
pub(crate) fn train<M: Outputs, O: Objective<M> + 'static>(
    model: M,
    objective: O,
    inputs: &Inputs,
) -> M {
    let config = TrainConfig {
        max_steps: Some(5),
        batch_size: inputs.examples.len(),
        learning_rate: 2e-2,
        ..TrainConfig::default()
    };
    let data = TrainData { train: &inputs.examples, valid: None, pad_id: 0 };
    Sft::with_objective(config, objective).train(model, &data, &mut ()).unwrap().model
}

/// The golden model, trained in full, with an adapter, and with the adapter merged.
fn write<M: Outputs, O: Objective<M> + Clone + 'static>(
    root: &Path,
    name: &str,
    golden: &str,
    class: &'static str,
    objective: O,
    adapter: &AdapterConfig,
) {
    let mut case = Case::open(golden);
    let base: M = load(&case.folder.join("model"), &device()).unwrap();
    let mut comparison = Comparison::new(root, name, class, &mut case);
    comparison.model("base", &base, StoredDtype::F32);
    let full = train(train_all(base.clone()), objective.clone(), &comparison.inputs);
    comparison.model("full", &full, StoredDtype::F32);
    let adapted = train(attach(base, adapter, 11).unwrap(), objective, &comparison.inputs);
    comparison.adapter("adapter", &adapted);
    comparison.model("merged", &merge_and_unload(adapted), StoredDtype::F32);
    comparison.write();
}

fn all_linear() -> AdapterConfig {
    AdapterConfig { r: 4, lora_alpha: 16.0, ..AdapterConfig::default() }
}

#[test]
fn decoders() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, golden: &str, adapter: &AdapterConfig| {
        let class = "AutoModelForCausalLM";
        write::<Decoder, _>(folder.path(), name, golden, class, CausalLm, adapter);
    };
    for name in MODELS {
        write(name, name, &all_linear());
    }
    let mut patterns = AdapterConfig {
        target_modules: Some(Modules::Pattern(r".*\.(q_proj|down_proj)".into())),
        use_rslora: true,
        modules_to_save: Some(vec!["lm_head".into()]),
        ..all_linear()
    };
    patterns.rank_pattern.insert(r"layers\.1\..*q_proj".into(), 2);
    patterns.alpha_pattern.insert("down_proj".into(), 3.5);
    write("llama_patterns", "llama_untied", &patterns);
    let names = Modules::Names(vec!["c_attn".into(), "mlp.c_proj".into()]);
    let names = AdapterConfig { target_modules: Some(names), ..all_linear() };
    write("gpt2_names", "gpt2", &names);
    agrees(&python, "check.py", folder.path(), MODELS.len() + 2);
}

#[test]
fn classifiers_of_sequences() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let class = "AutoModelForSequenceClassification";
    let objective = SequenceClassification::new;
    let encoders = [
        "bert_classes",
        "bert_multi",
        "bert_regression",
        "bert_regression_three",
        "roberta_classes",
        "distilbert_classes",
    ];
    let decoders = ["llama_classes", "gpt2_classes"];
    let (path, adapter) = (folder.path(), all_linear());
    for name in encoders {
        write::<Encoder, _>(path, name, name, class, objective(), &adapter);
    }
    for name in decoders {
        write::<Decoder, _>(path, name, name, class, objective(), &adapter);
    }
    agrees(&python, "check.py", path, encoders.len() + decoders.len());
}

#[test]
fn encoders_with_a_head_per_token() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (path, adapter) = (folder.path(), all_linear());
    let name = "bert_tokens";
    let (class, objective) = ("AutoModelForTokenClassification", TokenClassification::new());
    write::<Encoder, _>(path, name, name, class, objective, &adapter);
    let masked = ["bert_masked", "roberta_masked", "distilbert_masked"];
    for name in masked {
        let (class, objective) = ("AutoModelForMaskedLM", MaskedLm::with_given_labels());
        write::<Encoder, _>(path, name, name, class, objective, &adapter);
    }
    agrees(&python, "check.py", path, 1 + masked.len());
}

#[test]
fn encoder_decoders() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    // ReLU with a tied head, and gated with a head of its own.
    let names = ["t5_relu", "t5_gated"];
    for name in names {
        let (path, class) = (folder.path(), "AutoModelForSeq2SeqLM");
        write::<EncoderDecoder, _>(path, name, name, class, Seq2Seq::new(), &all_linear());
    }
    agrees(&python, "check.py", folder.path(), names.len());
}
