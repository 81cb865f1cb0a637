//! Hostile tokenizer folders.

mod attack;

use attack::{JSON_WORDS, confined, each_field, mutate, refuses, survives};
use nexus_core::data::Tokenizer;
use nexus_core::{Error, Result};
use serde_json::{Value, json};
use std::fmt::Display;
use std::fs;
use std::path::Path;

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

/// Loads a tokenizer and, where that succeeds, uses it.
fn survives_use(what: impl Display, dir: &Path) -> Result<()> {
    survives(what, || {
        let tokenizer = Tokenizer::load(dir)?;
        for text in ["", "ab a  b </s>x", "a\u{0}\u{202e}\u{1f600}"] {
            let _ = tokenizer.encode(text, true).and_then(|ids| tokenizer.decode(&ids, false));
            let _ = tokenizer.encode_pair(text, "b", true);
        }
        let _ = tokenizer.decode(&[0, 4, u32::MAX], true);
        Ok(())
    })
}

fn bpe() -> Value {
    let special = |id: &str, type_id: u8| json!({"SpecialToken": {"id": id, "type_id": type_id}});
    let sequence = |id: &str, type_id: u8| json!({"Sequence": {"id": id, "type_id": type_id}});
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 4, "pad_type_id": 0, "pad_token": "</s>"},
        "added_tokens": [{"id": 4, "content": "</s>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": " +"}, "content": " "}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\s"}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]},
        "post_processor": {"type": "TemplateProcessing", "single": [sequence("A", 0), special("</s>", 0)],
            "pair": [sequence("A", 0), special("</s>", 0), sequence("B", 1), special("</s>", 1)],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [4], "tokens": ["</s>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {"a": 0, "b": 1, "ab": 2, "\u{120}": 3, "</s>": 4}, "merges": [["a", "b"]]},
    })
}

fn unigram_json() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true},
        "post_processor": null,
        "decoder": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true},
        "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": false,
            "vocab": [["<unk>", 0.0], ["a", -1.0], ["b", -2.5], ["\u{2581}a", -0.5]]},
    })
}

#[test]
fn every_field_of_a_tokenizer() {
    confined("every_field_of_a_tokenizer", 1024, || {
        for document in [bpe(), unigram_json()] {
            let dir = folder(&[]);
            let path = dir.path().join("tokenizer.json");
            fs::write(&path, document.to_string()).unwrap();
            survives_use("unchanged", dir.path()).unwrap();
            each_field(&document, &mut |name, edited| {
                fs::write(&path, edited.to_string()).unwrap();
                let _ = survives_use(name, dir.path());
            });
        }
    });
}

#[test]
fn tokenizers_cut_and_mutated() {
    confined("tokenizers_cut_and_mutated", 1024, || {
        for document in [bpe(), unigram_json()] {
            let dir = folder(&[]);
            let path = dir.path().join("tokenizer.json");
            let text = document.to_string().into_bytes();
            for cut in 0..text.len() {
                fs::write(&path, &text[..cut]).unwrap();
                refuses(format!("cut at {cut}"), "tokenizer.json", || Tokenizer::load(dir.path()));
            }
            mutate(&text, JSON_WORDS, |seed, bytes| {
                fs::write(&path, bytes).unwrap();
                let _ = survives_use(format!("mutation {seed}"), dir.path());
            });
        }
    });
}

#[test]
fn tokenizers_that_ask_for_too_much() {
    confined("tokenizers_that_ask_for_too_much", 1536, || {
        let dir = folder(&[]);
        let refuse = |what: &str, name: &str, text: &[u8], word: &str| {
            fs::write(dir.path().join(name), text).unwrap();
            refuses(what, word, || Tokenizer::load(dir.path()));
            fs::remove_file(dir.path().join(name)).unwrap();
        };
        for open in ["[", "{\"model\":", "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["]
        {
            refuse(
                "nested deeply",
                "tokenizer.json",
                open.repeat(100_000).as_bytes(),
                "tokenizer.json",
            );
        }
        let wide = format!("{{\"model\": {{\"vocab\": [{}0]}}}}", "0,".repeat(20_000_000));
        refuse("many values", "tokenizer.json", wide.as_bytes(), "values");
        drop(wide);
        let mut document = bpe();
        document["pre_tokenizer"] = json!({"type": "Split", "pattern": {"Regex": r"(\w{1000}){1000}"},
            "behavior": "Isolated", "invert": false});
        refuse(
            "a large pattern",
            "tokenizer.json",
            document.to_string().as_bytes(),
            "tokenizer.json",
        );
        // A trie of 4 GiB.
        document = bpe();
        document["normalizer"] = json!({"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": "/////wAA"}]});
        let text = document.to_string();
        refuse("a character map", "tokenizer.json", text.as_bytes(), "character map");
        let lines = "[UNK]\n[SEP]\n[CLS]\n".to_string()
            + &(0..3_000_000).map(|i| format!("{i:x}\n")).collect::<String>();
        refuse("many tokens", "vocab.txt", lines.as_bytes(), "tokens");
        refuse("empty tokens", "vocab.txt", &vec![b'\n'; 30 << 20], "vocab.txt");
        refuse("33 MiB", "vocab.txt", &vec![b'a'; 33 << 20], "MiB");
        let lines = "a b\n".repeat(3_000_000);
        fs::write(dir.path().join("merges.txt"), lines).unwrap();
        refuse("many merges", "vocab.json", br#"{"a":0,"b":1,"ab":2}"#, "merges");
        refuse("a token twice", "vocab.json", br#"{"a":0,"a":1}"#, "twice");
    });
}

fn message(field: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    let mut length = body.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    [&out, body].concat()
}

fn piece(text: &str, kind: u8) -> Vec<u8> {
    let body = [&message(1, text.as_bytes())[..], &[0x15], &(-1f32).to_le_bytes(), &[0x18, kind]];
    message(1, &body.concat())
}

/// A SentencePiece model of a type: 1 is unigram, 2 is BPE.
fn sentencepiece(kind: u8, pieces: &[Vec<u8>]) -> Vec<u8> {
    let special = [piece("<unk>", 2), piece("<s>", 3), piece("</s>", 3), piece("\u{2581}", 1)];
    let trainer = message(2, &[0x18, kind, 0xc8, 2, 1, 0xd0, 2, 2]);
    [special.concat(), pieces.concat(), trainer, message(3, b"")].concat()
}

#[test]
fn sentencepiece_models() {
    confined("sentencepiece_models", 1024, || {
        for kind in [1, 2] {
            let dir = folder(&[]);
            let path = dir.path().join("tokenizer.model");
            let whole = sentencepiece(kind, &["a", "b", "ab"].map(|text| piece(text, 1)));
            fs::write(&path, &whole).unwrap();
            survives_use("unchanged", dir.path()).unwrap();
            for cut in 0..whole.len() {
                fs::write(&path, &whole[..cut]).unwrap();
                refuses(format!("cut at {cut}"), "tokenizer.model", || Tokenizer::load(dir.path()));
            }
            mutate(&whole, &[b"\xff\xff\xff\xff\x0f", b"\x0a", b"\x00"], |seed, bytes| {
                fs::write(&path, bytes).unwrap();
                let _ = survives_use(format!("type {kind}, mutation {seed}"), dir.path());
            });
        }
        // Of each piece, every split into two pieces is a merge.
        let text =
            |i: usize, n: usize| char::from_u32(0x4e00 + i as u32).unwrap().to_string().repeat(n);
        let pieces: Vec<_> =
            (0..2000).flat_map(|i| (1..=85).map(move |n| piece(&text(i, n), 1))).collect();
        let dir = folder(&[("tokenizer.model", &sentencepiece(2, &pieces))]);
        refuses("repetitive pieces", "merges", || Tokenizer::load(dir.path()));
    });
}

#[test]
fn configurations_of_tokenizers() {
    confined("configurations_of_tokenizers", 1024, || {
        let config = json!({
            "added_tokens_decoder": {"4": {"content": "</s>", "lstrip": false, "special": true}},
            "add_bos_token": true, "add_eos_token": true, "eos_token": "</s>", "bos_token": {"content": "a"},
            "pad_token": "</s>", "extra_special_tokens": ["b"], "model_max_length": 8, "extra_ids": 3,
            "tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": true, "unk_token": "a",
            "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}",
        });
        let json = bpe().to_string().into_bytes();
        let vocab = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n</s>\nb\n".to_vec();
        let pieces = sentencepiece(1, &["a", "b", "ab"].map(|text| piece(text, 1)));
        for (name, content) in
            [("tokenizer.json", json), ("vocab.txt", vocab), ("spiece.model", pieces)]
        {
            let dir = folder(&[(name, &content)]);
            for file in
                ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"]
            {
                let path = dir.path().join(file);
                each_field(&config, &mut |field, edited| {
                    fs::write(&path, edited.to_string()).unwrap();
                    let _ = survives_use(format!("{name} with {file}: {field}"), dir.path());
                });
                fs::remove_file(path).unwrap();
            }
        }
        let dir = folder(&[("tokenizer.json", bpe().to_string().as_bytes())]);
        let path = dir.path().join("tokenizer_config.json");
        mutate(config.to_string().as_bytes(), JSON_WORDS, |seed, bytes| {
            fs::write(&path, bytes).unwrap();
            let _ = survives_use(format!("tokenizer_config.json, mutation {seed}"), dir.path());
        });
        for text in [&b"[[[["[..], b"{\"a\":1,\"a\":1}", &b"{\"a\":".repeat(100_000), b"\xff", b""]
        {
            fs::write(&path, text).unwrap();
            let error = Tokenizer::load(dir.path()).err();
            assert!(matches!(error, Some(Error::Format { .. })), "{error:?}");
        }
    });
}

#[test]
fn mutated_word_lists() {
    confined("mutated_word_lists", 1024, || {
        let vocab = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\nc\n";
        let dir = folder(&[]);
        let path = dir.path().join("vocab.txt");
        mutate(vocab, &[b"\n", b"\r\n", b"##", b"[SEP]", b"\xff"], |seed, bytes| {
            fs::write(&path, bytes).unwrap();
            let _ = survives_use(format!("vocab.txt, mutation {seed}"), dir.path());
        });
        fs::remove_file(path).unwrap();
        fs::write(dir.path().join("vocab.json"), r#"{"a":0,"b":1,"ab":2,"<|endoftext|>":3}"#)
            .unwrap();
        let path = dir.path().join("merges.txt");
        mutate(b"#version: 0.2\na b\nab a\n", &[b"\n", b" ", b"\xff"], |seed, bytes| {
            fs::write(&path, bytes).unwrap();
            let _ = survives_use(format!("merges.txt, mutation {seed}"), dir.path());
        });
    });
}
