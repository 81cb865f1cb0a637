//! BERT, T5 and RoBERTa from their original files, against transformers (golden/tokenizer/export.py)
//! and the encodings that transformers.js and ggml publish.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nexus_core::data::Tokenizer;
use serde::Deserialize;

type Ids = Vec<u32>;
type Types = Vec<u8>;
type Pair = ((String, String), Ids, Types, Ids, Types);

#[derive(Deserialize)]
struct Cases {
    /// Text, ids, their text, and their text without special tokens and with spaces removed.
    texts: Vec<(String, Ids, String, String)>,
    /// Two texts, ids and types with and without special tokens.
    pairs: Vec<Pair>,
    /// Words, ids and the words that they belong to.
    words: Vec<(Vec<String>, Ids, Vec<Option<usize>>)>,
}

#[derive(Deserialize)]
struct Golden {
    text: String,
    text_pair: Option<String>,
    ids: Ids,
    decoded: Option<String>,
}

/// The external test data, which is not part of the repository.
fn vocabularies() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/tokenizers");
    if root.is_dir() {
        return Some(root);
    }
    println!("skipped: no folder {}", root.display());
    None
}

fn cases(name: &str) -> Cases {
    let all = include_str!("golden/tokenizer/cases.json");
    serde_json::from_str::<BTreeMap<String, Cases>>(all).unwrap().remove(name).unwrap()
}

/// The published encodings of one model, and how many they must be.
fn published(root: &Path, file: &str, model: &str, count: usize) -> Vec<Golden> {
    let text = std::fs::read_to_string(root.join("golden_transformersjs").join(file)).unwrap();
    let mut all: BTreeMap<String, BTreeMap<String, Golden>> = serde_json::from_str(&text).unwrap();
    let goldens: Vec<_> = all.remove(model).unwrap().into_values().collect();
    assert_eq!(goldens.len(), count);
    goldens
}

/// A folder with copies of `files`, and `tokenizer_config.json`.
fn folder(files: &[PathBuf], config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        std::fs::copy(file, dir.path().join(file.file_name().unwrap())).unwrap();
    }
    std::fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    dir
}

fn load(files: &[PathBuf], config: &str) -> Tokenizer {
    Tokenizer::load(folder(files, config).path()).unwrap()
}

/// Saves and loads; golden/tokenizer/reload.py loads the same folder with transformers.
fn saved(tokenizer: &Tokenizer, name: &str) -> (Tokenizer, serde_json::Value) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tokenizers").join(name);
    std::fs::create_dir_all(&dir).unwrap();
    tokenizer.save(&dir).unwrap();
    let config = std::fs::read_to_string(dir.join("tokenizer_config.json")).unwrap();
    (Tokenizer::load(&dir).unwrap(), serde_json::from_str(&config).unwrap())
}

/// Compares every case; prints what differs.
fn check(tokenizer: &Tokenizer, cleaning: &Tokenizer, cases: &Cases) {
    let mut wrong = 0;
    let mut same = |what: &str, ours: String, want: String| {
        if ours != want {
            wrong += 1;
            println!("{what}\n ours {ours}\n want {want}");
        }
    };
    for (text, ids, decoded, clean) in &cases.texts {
        let ours = tokenizer.encode(text, true).unwrap();
        same(&format!("{text:?}"), format!("{ours:?}"), format!("{ids:?}"));
        let offsets = tokenizer.encode_with_offsets(text, true).unwrap();
        assert_eq!(offsets.iter().map(|t| t.0).collect::<Vec<_>>(), ours);
        assert!(offsets.iter().all(|(_, (a, b))| a <= b && *b <= text.len()));
        same(text, tokenizer.decode(ids, false).unwrap(), decoded.clone());
        same(text, cleaning.decode(ids, true).unwrap(), clean.clone());
        let mut stream = tokenizer.decode_stream(false);
        let mut streamed: String = ids.iter().filter_map(|&id| stream.push(id).unwrap()).collect();
        streamed.extend(stream.finish().unwrap());
        same(text, streamed, decoded.clone());
        let inside = tokenizer.encode(text, false).unwrap();
        assert_eq!(inside.len() + tokenizer.special_count(false), ids.len());
        assert_eq!(tokenizer.wrap_pair(&inside, None).unwrap().0, ours);
    }
    for ((first, second), ids, types, bare, bare_types) in &cases.pairs {
        let what = format!("{first:?} {second:?}");
        let ours = tokenizer.encode_pair(first, second, true).unwrap();
        same(&what, format!("{ours:?}"), format!("{:?}", (ids, types)));
        let inside = tokenizer.encode_pair(first, second, false).unwrap();
        same(&what, format!("{inside:?}"), format!("{:?}", (bare, bare_types)));
        assert_eq!(bare.len() + tokenizer.special_count(true), ids.len());
        let each = [first, second].map(|text| tokenizer.encode(text, false).unwrap());
        assert_eq!(tokenizer.wrap_pair(&each[0], Some(&each[1])).unwrap(), ours);
    }
    for (words, ids, of_word) in &cases.words {
        let want: Vec<_> = ids.iter().copied().zip(of_word.iter().copied()).collect();
        let ours = tokenizer.encode_words(words, true).unwrap();
        same(&format!("{words:?}"), format!("{ours:?}"), format!("{want:?}"));
    }
    assert_eq!(wrong, 0);
}

fn check_published(tokenizer: &Tokenizer, goldens: &[Golden]) {
    let mut wrong = 0;
    for golden in goldens {
        let ids = match &golden.text_pair {
            Some(pair) => tokenizer.encode_pair(&golden.text, pair, true).unwrap().0,
            None => tokenizer.encode(&golden.text, true).unwrap(),
        };
        let decoded = tokenizer.decode(&golden.ids, false).unwrap();
        if ids != golden.ids || golden.decoded.as_ref().is_some_and(|want| *want != decoded) {
            wrong += 1;
            println!("{:?}\n ours {ids:?}\n want {:?}", golden.text, golden.ids);
            println!(" ours {decoded:?}\n want {:?}", golden.decoded);
        }
    }
    assert_eq!(wrong, 0, "of {}", goldens.len());
}

const CLEAN: &str = r#"{"clean_up_tokenization_spaces": true}"#;

#[test]
fn bert_from_vocab_txt() {
    let Some(root) = vocabularies() else { return };
    let files = [root.join("bert-base-uncased/vocab.txt")];
    let (tokenizer, cleaning) = (load(&files, "{}"), load(&files, CLEAN));
    assert_eq!(tokenizer.vocab_size(), 30522);
    let ids = [tokenizer.unk(), tokenizer.cls(), tokenizer.sep(), tokenizer.mask()];
    assert_eq!(ids, [100, 101, 102, 103].map(Some));
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.pad()), (None, &[][..], 0));
    check(&tokenizer, &cleaning, &cases("bert"));
    let published_with_json = load(&[root.join("bert-base-uncased/tokenizer.json")], CLEAN);
    let uncased = "Xenova/distilbert-base-uncased-finetuned-sst-2-english";
    for tokenizer in [&cleaning, &published_with_json] {
        let bert = published(&root, "bert.json", "Xenova/bert-base-uncased", 30);
        check_published(tokenizer, &bert);
        check_published(tokenizer, &published(&root, "distilbert.json", uncased, 12));
    }
    let ggml = std::fs::read_to_string(root.join("golden_ggml/bert-bge.json")).unwrap();
    let ggml: Vec<Golden> = serde_json::from_str(&ggml).unwrap();
    assert_eq!(ggml.len(), 47);
    for golden in ggml {
        assert_eq!(tokenizer.encode(&golden.text, false).unwrap(), golden.ids);
    }

    let (again, config) = saved(&tokenizer, "bert");
    check(&again, &saved(&cleaning, "bert_clean").0, &cases("bert"));
    assert_eq!(config["model_input_names"][1], "token_type_ids");
    assert_eq!(again.mask(), Some(103));
}

#[test]
fn distilbert_has_no_types() {
    let Some(root) = vocabularies() else { return };
    let config = r#"{"tokenizer_class": "DistilBertTokenizer", "model_max_length": 512,
        "do_lower_case": false, "padding_side": "left", "extra_special_tokens": []}"#;
    let tokenizer = load(&[root.join("bert-base-uncased/vocab.txt")], config);
    let accents = tokenizer.encode("é É", false).unwrap();
    assert_eq!(accents.len(), 2);
    let (again, config) = saved(&tokenizer, "distilbert");
    assert_eq!(again.encode("é É", false).unwrap(), accents);
    assert_eq!(config["model_max_length"], 512);
    assert_eq!(
        (&config["padding_side"], &config["do_lower_case"]),
        (&"left".into(), &false.into())
    );
    assert_eq!(config["model_input_names"].as_array().unwrap().len(), 2);
}

#[test]
fn t5_from_spiece_model() {
    let Some(root) = vocabularies() else { return };
    let files = [root.join("t5/spiece.model")];
    let (tokenizer, cleaning) = (load(&files, "{}"), load(&files, CLEAN));
    assert_eq!(tokenizer.vocab_size(), 32100);
    assert_eq!(tokenizer.token_id("<extra_id_0>"), Some(32099));
    assert_eq!(tokenizer.token_id("<extra_id_99>"), Some(32000));
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.pad()), (None, &[1][..], 0));
    assert_eq!(tokenizer.unk(), Some(2));
    check(&tokenizer, &cleaning, &cases("t5"));
    for model in ["Xenova/t5-small", "google-t5/t5-small"] {
        check_published(&cleaning, &published(&root, "t5.json", model, 29));
    }
    let (again, config) = saved(&tokenizer, "t5");
    check(&again, &saved(&cleaning, "t5_clean").0, &cases("t5"));
    assert_eq!(config["model_input_names"].as_array().unwrap().len(), 2);

    let few = load(&files, r#"{"extra_ids": 2, "tokenizer_class": "T5TokenizerFast"}"#);
    assert_eq!((few.vocab_size(), few.token_id("<extra_id_1>")), (32002, Some(32000)));
    let other = folder(&files, r#"{"tokenizer_class": "AlbertTokenizer"}"#);
    let error = Tokenizer::load(other.path()).unwrap_err().to_string();
    assert!(error.contains("AlbertTokenizer"), "{error}");
}

/// The same file as `tokenizer.model` of no known class: nothing around the text, which the
/// tokens cover.
#[test]
fn unigram_from_tokenizer_model() {
    let Some(root) = vocabularies() else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(root.join("t5/spiece.model"), dir.path().join("tokenizer.model")).unwrap();
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(tokenizer.vocab_size(), 32000);
    for (text, ids, _, _) in cases("t5").texts {
        // Special tokens split a text, and the spaces beside them are kept by one and not the other.
        if !text.contains(['<', '\u{2028}']) {
            assert_eq!(tokenizer.encode(&text, true).unwrap(), ids[..ids.len() - 1], "{text:?}");
        }
    }
}

#[test]
fn roberta_from_vocab_and_merges() {
    let Some(root) = vocabularies() else { return };
    let merges = root.join("gpt2/merges.txt");
    let vocab = std::fs::read_to_string(root.join("gpt2/vocab.json")).unwrap();
    let mut vocab: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&vocab).unwrap();
    for (i, token) in ["<s>", "<pad>", "</s>", "<unk>", "<mask>"].iter().enumerate() {
        vocab.insert((*token).into(), (50257 + i).into());
    }
    let dir = folder(&[merges], "{}");
    std::fs::write(dir.path().join("config.json"), r#"{"model_type": "roberta"}"#).unwrap();
    let vocab = serde_json::to_string(&vocab).unwrap();
    std::fs::write(dir.path().join("vocab.json"), vocab).unwrap();
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    assert_eq!((tokenizer.cls(), tokenizer.sep()), (Some(50257), Some(50259)));
    assert_eq!((tokenizer.pad(), tokenizer.mask()), (50258, Some(50261)));
    check(&tokenizer, &tokenizer, &cases("roberta"));
    let again = saved(&tokenizer, "roberta").0;
    check(&again, &again, &cases("roberta"));
}
