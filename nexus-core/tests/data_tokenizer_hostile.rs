//! Damaged and contradicting tokenizer files: an error that names the file, never a panic.

use std::path::Path;

use nexus_core::data::Tokenizer;

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

fn load(files: &[(&str, &[u8])]) -> Result<Tokenizer, String> {
    Tokenizer::load(folder(files).path()).map_err(|e| e.to_string())
}

#[track_caller]
fn refused(files: &[(&str, &[u8])], why: &str) {
    let error = load(files).unwrap_err();
    assert!(error.contains(why), "{error}");
}

const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\nc\n";

#[test]
fn damaged_vocab_txt() {
    let tokenizer = load(&[("vocab.txt", VOCAB.as_bytes())]).unwrap();
    assert_eq!(tokenizer.encode("ab c d", true).unwrap(), [2, 5, 6, 7, 1, 3]);
    let windows = VOCAB.replace('\n', "\r\n");
    assert_eq!(load(&[("vocab.txt", windows.as_bytes())]).unwrap().vocab_size(), 8);

    refused(&[("vocab.txt", b"[UNK]\n\xff\n")], "utf-8");
    refused(&[("vocab.txt", b"")], "[UNK]");
    refused(&[("vocab.txt", b"[PAD]\n[CLS]\n[SEP]\na\n")], "unk_token \"[UNK]\"");
    refused(&[("vocab.txt", b"[UNK]\n[SEP]\na\n")], "cls_token \"[CLS]\"");
    let twice = format!("{VOCAB}a\n");
    refused(&[("vocab.txt", twice.as_bytes())], "line 9: the token \"a\" occurs twice");
    let vocab = ("vocab.txt", VOCAB.as_bytes());
    let config = |text: &'static str| ("tokenizer_config.json", text.as_bytes());
    refused(&[vocab, config(r#"{"tokenizer_class": "EsmTokenizer"}"#)], "EsmTokenizer");
    refused(&[vocab, config(r#"{"unk_token": "<unk>"}"#)], "<unk>");
    refused(&[vocab, config(r#"{"unk_token": null}"#)], "unk_token");
}

#[test]
fn listed_tokens_get_the_ids_that_they_had() {
    let vocab = ("vocab.txt", VOCAB.as_bytes());
    let config = |id: u32| {
        format!(
            r#"{{"added_tokens_decoder": {{"{id}": {{"content": "<y>", "special": true}},
                "8": {{"content": "<x>"}}, "0": {{"content": "[PAD]", "special": true, "lstrip":
                true}}}},
                "extra_special_tokens": ["<z>", "[CLS]"]}}"#
        )
    };
    let good = load(&[vocab, ("tokenizer_config.json", config(9).as_bytes())]).unwrap();
    assert_eq!(["<x>", "<y>", "<z>"].map(|t| good.token_id(t)), [8, 9, 10].map(Some));
    assert_eq!(good.vocab_size(), 11);
    let spaced = good.encode_with_offsets("a [PAD]", false).unwrap();
    assert_eq!(spaced, [(5, (0, 1)), (0, (1, 7))]);
    assert_eq!(good.decode(&[8, 9, 10], true).unwrap(), "<x>");
    refused(&[vocab, ("tokenizer_config.json", config(20).as_bytes())], "\"<y>\" the id 20");
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

fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
    let body = [&message(1, text.as_bytes())[..], &[0x15], &score.to_le_bytes(), &[0x18, kind]];
    message(1, &body.concat())
}

/// A unigram model with T5's special tokens; `score` is that of the piece "a".
fn unigram(score: f32, charsmap: &[u8]) -> Vec<u8> {
    [
        piece("<pad>", 0.0, 3),
        piece("</s>", 0.0, 3),
        piece("<unk>", 0.0, 2),
        piece("\u{2581}", -1.0, 1),
        piece("a", score, 1),
        // { model_type: unigram, bos: none, eos: 1, pad: 0 }
        message(2, &[0x18, 1, 0xc8, 2, 0x7f, 0xd0, 2, 1, 0xd8, 2, 0]),
        message(3, &if charsmap.is_empty() { Vec::new() } else { message(2, charsmap) }),
    ]
    .concat()
}

#[test]
fn damaged_unigram_models() {
    let whole = unigram(-2.0, b"");
    let of = |bytes: &[u8]| load(&[("spiece.model", bytes)]);
    let tokenizer = of(&whole).unwrap();
    assert_eq!(tokenizer.encode("a <extra_id_0>x", true).unwrap(), [3, 4, 104, 3, 2, 1]);
    for end in 0..whole.len() {
        assert!(of(&whole[..end]).is_err(), "cut at {end}");
        let mut damaged = whole.clone();
        damaged[end] ^= 0xff;
        if let Ok(tokenizer) = of(&damaged) {
            let _ = tokenizer.encode("a b", true);
        }
    }
    for score in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        refused(&[("spiece.model", &unigram(score, b""))], "score of piece 4");
    }
    refused(&[("spiece.model", &message(3, b""))], "no pieces");
    refused(&[("spiece.model", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a")], "cut short");
    let without_unknown = [piece("a", 0.0, 1), message(2, b""), message(3, b"")].concat();
    refused(&[("spiece.model", &without_unknown)], "unknown");
    let text = "x".repeat(240);
    let large: Vec<u8> = (0..18_000).flat_map(|i| piece(&format!("{text}{i}"), 0.0, 1)).collect();
    refused(&[("spiece.model", &[large, whole.clone()].concat())], "4 MiB");
    for extra in ["-1", "1e3", "\"9\"", "18446744073709551615", "2000000"] {
        let config = format!(r#"{{"extra_ids": {extra}}}"#);
        let files = [("spiece.model", &whole[..]), ("tokenizer_config.json", config.as_bytes())];
        refused(&files, "extra_ids");
    }
}

#[test]
fn damaged_character_maps() {
    // A trie of one block: the root, "b" as its child, and a value, which stands for "a".
    let mut trie = [0u32; 256];
    trie[0] = 1 << 10;
    trie[1 ^ usize::from(b'b')] = 2 << 10 | 1 << 8 | u32::from(b'b');
    trie[1 ^ usize::from(b'b') ^ 2] = 1 << 31;
    let map = |trie: &[u32], replacements: &[u8]| {
        let units: Vec<u8> = trie.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        [&(units.len() as u32).to_le_bytes()[..], &units, replacements].concat()
    };
    let of = |map: &[u8]| load(&[("spiece.model", &unigram(-2.0, map))]);
    let tokenizer = of(&map(&trie, b"a\0")).unwrap();
    assert_eq!(tokenizer.encode("ab", true).unwrap(), [3, 4, 4, 1]);

    let leaf = 1 ^ usize::from(b'b');
    let change = |index: usize, unit: u32| {
        let mut changed = trie;
        changed[index] = unit;
        map(&changed, b"a\0")
    };
    for bytes in [
        b"x".to_vec(),
        u32::MAX.to_le_bytes().to_vec(),
        map(&[], b"a\0"),
        map(&trie[..200], b"a\0"),
        map(&trie, b"\xff\0"),
        map(&trie, "x".repeat(300).as_bytes()),
        // Nodes and values that point outside.
        change(0, 1 << 20),
        change(0, 1 << 31),
        change(leaf, 1 << 22 | u32::from(b'b')),
        change(leaf ^ 2, 1 << 31 | 77),
    ] {
        let error = of(&bytes).unwrap_err();
        assert!(error.contains("character map is damaged"), "{error}");
    }
}

/// A `tokenizer.json` may name what it does not hold; only encoding shows it.
#[test]
fn contradicting_tokenizer_json() {
    let json = r#"{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "decoder": null, "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0},
        "continuing_subword_prefix": "@", "max_input_chars_per_word": 100}, "post_processor":
        {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "B", "type_id": 300}}], "special_tokens": {}}}"#;
    let dir = folder(&[("tokenizer.json", json.as_bytes())]);
    if let Ok(tokenizer) = Tokenizer::load(dir.path()) {
        assert!(tokenizer.encode("a", true).is_err());
        assert!(tokenizer.encode_pair("a", "b", true).is_err());
    }
}

#[test]
fn cut_t5_model() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/tokenizers/t5/spiece.model");
    let Ok(whole) = std::fs::read(&path) else {
        println!("skipped: no file {}", path.display());
        return;
    };
    for part in 0..50 {
        let end = whole.len() * part / 50;
        assert!(load(&[("spiece.model", &whole[..end])]).is_err(), "cut at {end}");
    }
}
