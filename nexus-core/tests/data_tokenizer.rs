//! Tokenizer folders: special tokens, saving, streaming, and damaged files.

use std::path::Path;

use nexus_core::data::Tokenizer;
use proptest::prelude::*;

fn trained() -> Tokenizer {
    let text = "héllo wörld, the quick brown fox 🦊 jumps over the lazy dog. ".to_owned();
    Tokenizer::train_bpe(std::iter::repeat_n(text, 20), 300, &["<pad>"]).unwrap()
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    trained().save(dir.path()).unwrap();
    std::fs::remove_file(dir.path().join("tokenizer_config.json")).unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

fn load(files: &[(&str, &str)]) -> Result<Tokenizer, String> {
    Tokenizer::load(folder(files).path()).map_err(|e| e.to_string())
}

#[test]
fn trains_and_round_trips() {
    let tokenizer = trained();
    assert_eq!(tokenizer.vocab_size(), 300);
    assert_eq!(tokenizer.token_id("<|endoftext|>"), Some(0));
    assert_eq!(tokenizer.token_id("<pad>"), Some(1));
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.pad()), (Some(0), &[0][..], 0));
    for text in ["", " héllo  wörld\n", "日本 🦙 \u{0}", "the<|endoftext|> dog"] {
        let ids = tokenizer.encode(text, true).unwrap();
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
    }
    assert_eq!(tokenizer.decode(&[0], true).unwrap(), "");
    assert!(Tokenizer::train_bpe(std::iter::empty(), 200, &[]).is_err());
}

#[test]
fn special_tokens_come_from_any_file() {
    let many = load(&[
        (
            "tokenizer_config.json",
            r#"{"eos_token": "<|endoftext|>", "pad_token": {"content": "<pad>"}}"#,
        ),
        ("generation_config.json", r#"{"eos_token_id": [1, 0, 7]}"#),
        ("config.json", r#"{"eos_token_id": 9, "bos_token_id": 5}"#),
    ])
    .unwrap();
    assert_eq!((many.bos(), many.eos(), many.pad()), (Some(5), &[0, 1, 7][..], 1));
    let map = load(&[("special_tokens_map.json", r#"{"eos_token": "<new>"}"#)]).unwrap();
    assert_eq!((map.eos(), map.vocab_size()), (&[300][..], 301));
    assert!(map.check_vocabulary(301).is_ok());
    assert!(map.check_vocabulary(300).unwrap_err().to_string().contains("300"));
    let wrong = load(&[("config.json", r#"{"eos_token_id": 50256}"#)]).unwrap_err();
    assert!(wrong.contains("50256") && wrong.contains("config.json"), "{wrong}");
    let none = load(&[("config.json", r#"{"eos_token_id": null, "pad_token_id": -1}"#)]).unwrap();
    assert!(none.eos().is_empty());
}

#[test]
fn added_tokens_are_one_token_each_and_survive_saving() {
    let tokenizer = trained().with_added_tokens(["<tool>", "naïveté", "the"]).unwrap();
    assert_eq!(tokenizer.token_id("<tool>"), Some(300));
    let ids = tokenizer.encode("call <tool>naïveté", false).unwrap();
    assert_eq!(ids[ids.len() - 2..], [300, 301]);
    let dir = tempfile::tempdir().unwrap();
    tokenizer.save(dir.path()).unwrap();
    let again = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(again.vocab_size(), tokenizer.vocab_size());
    assert_eq!(again.encode("call <tool>naïveté", false).unwrap(), ids);
    assert!(tokenizer.with_added_tokens([""]).is_err());
}

#[test]
fn flags_add_bos_and_eos() {
    let config = r#"{"bos_token": "<pad>", "eos_token": "<|endoftext|>", "add_bos_token": true,
                     "add_eos_token": true}"#;
    let tokenizer = load(&[("tokenizer_config.json", config)]).unwrap();
    let ids = tokenizer.encode("dog", true).unwrap();
    assert_eq!((ids[0], *ids.last().unwrap()), (1, 0));
    assert_eq!(tokenizer.encode("dog", false).unwrap(), ids[1..ids.len() - 1]);
    let dir = tempfile::tempdir().unwrap();
    tokenizer.save(dir.path()).unwrap();
    assert_eq!(Tokenizer::load(dir.path()).unwrap().encode("dog", true).unwrap(), ids);
}

#[test]
fn chat_templates_from_any_file() {
    let of = |files: &[(&str, &str)]| {
        load(files).map(|t| t.chat_template().map(|t| t.source().to_owned()))
    };
    let inline = ("tokenizer_config.json", r#"{"chat_template": "inline"}"#);
    let listed =
        r#"{"chat_template": [{"name": "a", "template": "A"}, {"name": "b", "template": "B"}]}"#;
    assert_eq!(of(&[]).unwrap(), None);
    assert_eq!(of(&[inline]).unwrap().unwrap(), "inline");
    assert_eq!(of(&[inline, ("chat_template.jinja", "file")]).unwrap().unwrap(), "file");
    assert!(of(&[("tokenizer_config.json", listed)]).unwrap_err().contains("default"));
    assert!(
        of(&[("chat_template.jinja", "{% if %}")]).unwrap_err().contains("chat_template.jinja")
    );
}

#[test]
fn damaged_folders_are_errors() {
    let empty = tempfile::tempdir().unwrap();
    let error = Tokenizer::load(empty.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
    // A merge that is longer than every token.
    let merges = r#"{"version": "1.0", "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null, "model": {"type": "BPE",
        "vocab": {"ab": 0, "cd": 1}, "merges": [["ab", "cd"]]}}"#;
    for content in ["", "{}", "[1", "{\"model\": 1}", merges, &"[".repeat(100_000)] {
        assert!(load(&[("tokenizer.json", content)]).is_err());
    }
    for content in ["[]", "{", "5"] {
        assert!(load(&[("tokenizer_config.json", content)]).is_err());
    }
    let folder = folder(&[]);
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    for bytes in [&b""[..], b"\x0a", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xff\xff"] {
        std::fs::write(folder.path().join("tokenizer.model"), bytes).unwrap();
        assert!(Tokenizer::load(folder.path()).is_err());
    }
}

/// A SentencePiece BPE model of three control pieces, the bytes and two letters.
fn sentencepiece() -> Vec<u8> {
    let mut file = Vec::new();
    let mut piece = |text: &str, score: f32, kind: u8| {
        let mut body = vec![0x0a, text.len() as u8];
        body.extend(text.as_bytes());
        body.push(0x15);
        body.extend(score.to_le_bytes());
        body.extend([0x18, kind]);
        file.extend([0x0a, body.len() as u8]);
        file.extend(body);
    };
    piece("<unk>", 0.0, 2);
    piece("<s>", 0.0, 3);
    piece("</s>", 0.0, 3);
    for byte in 0..=255u8 {
        piece(&format!("<0x{byte:02X}>"), 0.0, 6);
    }
    for (i, text) in ["ab", "\u{2581}ab", "a", "b", "\u{2581}"].iter().enumerate() {
        piece(text, -(i as f32), 1);
    }
    // trainer_spec { model_type: BPE, byte_fallback: true }, normalizer_spec { no clean-up }
    file.extend([0x12, 5, 0x18, 2, 0x98, 0x02, 1]);
    file.extend([0x1a, 2, 0x20, 0]);
    file
}

fn load_model(dir: &Path, bytes: &[u8]) -> Result<Tokenizer, String> {
    std::fs::write(dir.join("tokenizer.model"), bytes).unwrap();
    Tokenizer::load(dir).map_err(|e| e.to_string())
}

#[test]
fn sentencepiece_models() {
    let dir = tempfile::tempdir().unwrap();
    let whole = sentencepiece();
    let tokenizer = load_model(dir.path(), &whole).unwrap();
    assert_eq!(tokenizer.encode("ab é", true).unwrap(), [1, 260, 263, 3 + 0xc3, 3 + 0xa9]);
    assert_eq!(tokenizer.decode(&[1, 260, 263, 3 + 0xc3, 3 + 0xa9], true).unwrap(), "ab é");
    // Cut short or damaged anywhere: an error or another tokenizer, never a panic.
    for end in (0..whole.len()).step_by(7) {
        let _ = load_model(dir.path(), &whole[..end]);
        let mut damaged = whole.clone();
        damaged[end] ^= 0xff;
        let _ = load_model(dir.path(), &damaged);
    }
    let word = [&whole[..whole.len() - 11], &[0x12, 2, 0x18, 3, 0x1a, 0]].concat();
    let word = load_model(dir.path(), &word).unwrap_err();
    assert!(word.contains("type 3") && word.contains("tokenizer.json"), "{word}");
    let twice = [&whole[..], &whole[..30]].concat();
    assert!(load_model(dir.path(), &twice).is_err());
}

proptest! {
    #[test]
    fn streams_emit_the_same_text(text in "\\PC{0,40}") {
        let tokenizer = trained();
        let ids = tokenizer.encode(&text, false).unwrap();
        let mut stream = tokenizer.decode_stream(false);
        let mut out = String::new();
        for id in ids {
            if let Some(piece) = stream.push(id).unwrap() {
                prop_assert!(!piece.is_empty());
                out.push_str(&piece);
            }
        }
        out.extend(stream.finish().unwrap());
        prop_assert_eq!(out, text);
    }

    #[test]
    fn streams_survive_any_ids(ids in prop::collection::vec(0u32..400, 0..60)) {
        let tokenizer = trained();
        let mut stream = tokenizer.decode_stream(true);
        for id in ids {
            stream.push(id).unwrap();
        }
        stream.finish().unwrap();
    }
}
