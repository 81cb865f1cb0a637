//! `embed`: the vectors of the library, as JSON and as a table.

mod programs;

use nexus_core::data::Tokenizer;
use nexus_core::embed::{EmbedOptions, Pooling, embed_texts};
use nexus_core::model::Encoder;
use nexus_core::weights::load;
use programs::{lines, program, random_bert};
use serde_json::Value;
use std::path::Path;

const TEXTS: [&str; 4] = ["the cat sat on a mat", "a dog", "bird", "the cat sat"];

/// f32 printed as decimal digits and read again, computed on one thread and on several.
const SAME: f32 = 1e-6;

fn embed(folder: &Path, extra: &[&str]) -> Vec<Vec<f32>> {
    let model = ["--model", folder.to_str().unwrap(), "--json"];
    let texts = TEXTS.iter().flat_map(|text| ["--text", text]);
    let args: Vec<&str> = model.into_iter().chain(texts).chain(extra.iter().copied()).collect();
    let out = program("embed", &args, "").ok();
    let vectors = out.lines().zip(TEXTS).map(|(line, text)| {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["text"], text);
        let values = line["embedding"].as_array().unwrap();
        values.iter().map(|value| value.as_f64().unwrap() as f32).collect()
    });
    let vectors: Vec<Vec<f32>> = vectors.collect();
    assert_eq!((vectors.len(), out.lines().count()), (TEXTS.len(), TEXTS.len()));
    vectors
}

fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn norms(vectors: &[Vec<f32>]) -> Vec<f32> {
    vectors.iter().map(|vector| vector.iter().map(|x| x * x).sum::<f32>().sqrt()).collect()
}

#[test]
fn vectors_are_those_of_the_library() {
    let folder = tempfile::tempdir().unwrap();
    random_bert(folder.path());
    let model: Encoder = load(folder.path(), &nexus_core::device("flex").unwrap()).unwrap();
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let poolings = [("mean", Pooling::Mean), ("cls", Pooling::First), ("pooler", Pooling::Pooler)];
    let mut normalized = Vec::new();
    for (name, pooling) in poolings {
        let options = EmbedOptions { pooling, ..EmbedOptions::default() };
        let expected = embed_texts(&model, &tokenizer, &TEXTS, &options).unwrap();
        let found = embed(folder.path(), &["--pooling", name]);
        assert!(distance(&found, &expected) < SAME, "{name}");
        assert!(norms(&found).iter().all(|norm| (norm - 1.0).abs() < SAME), "{name}: {found:?}");
        let raw = embed(folder.path(), &["--pooling", name, "--no-normalize"]);
        let lengths = norms(&raw);
        assert!(lengths.iter().all(|norm| (norm - 1.0).abs() > 1e-3), "{name}: {lengths:?}");
        let divided = raw.iter().zip(&lengths).map(|(v, n)| v.iter().map(|x| x / n).collect());
        assert!(distance(&divided.collect::<Vec<_>>(), &found) < SAME, "{name}");
        normalized.push(found);
    }
    assert_eq!(embed(folder.path(), &[]), normalized[0], "the mean is the default");
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        assert!(distance(&normalized[a], &normalized[b]) > 0.01, "{a} and {b}");
    }
    // Other batches, the same vectors; a cut text, another vector.
    let single = embed(folder.path(), &["--batch-size", "1"]);
    assert!(distance(&single, &normalized[0]) < SAME);
    let cut = embed(folder.path(), &["--max-length", "5"]);
    assert!(distance(&cut[..1], &normalized[0][..1]) > 0.01);
    assert!(distance(&cut[2..], &single[2..]) < SAME, "these are no longer than that");
}

#[test]
fn the_table_shows_the_cosine_of_every_pair() {
    let folder = tempfile::tempdir().unwrap();
    random_bert(folder.path());
    let vectors = embed(folder.path(), &[]);
    let file = lines(folder.path(), "texts.txt", &[TEXTS[0], "", TEXTS[1], "  ", TEXTS[2]]);
    let args = ["--model", folder.path().to_str().unwrap(), "--file", &file];
    let table = program("embed", &args, "").ok();
    let pairs = [(0, 1), (0, 2), (1, 2)];
    assert_eq!(table.lines().count(), pairs.len());
    for (line, (a, b)) in table.lines().zip(pairs) {
        let cosine: f32 = vectors[a].iter().zip(&vectors[b]).map(|(a, b)| a * b).sum();
        assert_eq!(line, format!("{cosine:7.4}  {}  |  {}", TEXTS[a], TEXTS[b]));
    }
}

#[test]
fn wrong_input_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    random_bert(folder.path());
    let model = folder.path().to_str().unwrap();
    let error = |args: &[&str]| program("embed", args, "").error();
    assert!(error(&["--model", model]).contains("--text"));
    assert!(error(&["--model", model, "--file", "absent.txt"]).contains("absent.txt"));
    let text = ["--model", model, "--text", "a cat"];
    assert!(error(&[&text[..], &["--batch-size", "0"]].concat()).contains("batch_size"));
    assert!(error(&[&text[..], &["--max-length", "2"]].concat()).contains("max_length"));
    // A decoder has no sentence vectors.
    let decoder = tempfile::tempdir().unwrap();
    programs::random_model(decoder.path());
    let decoder = decoder.path().to_str().unwrap();
    assert!(error(&["--model", decoder, "--text", "a"]).contains("model_type"));
}
