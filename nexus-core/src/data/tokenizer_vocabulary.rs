//! Builds the tokenizer of a model folder from whichever vocabulary files it holds.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Tokenizer;
use super::sentencepiece::{self, Style, check_stored};
use super::tokenizer_folder::{Family, Folder, ROLES, read};
use crate::json::{Unique, check_values};
use crate::{Error, Result};

const MAX_TOKENIZER_BYTES: u64 = 256 << 20;
const MAX_VOCABULARY_BYTES: u64 = 32 << 20;
/// Tokens of the vocabularies that are lists; the largest published one holds half a million.
const MAX_TOKENS: usize = 1 << 20;
/// Values of a tokenizer.json: the largest published one holds two million (a token is one value, a merge three), and
/// parsing takes a few hundred bytes for each.
const MAX_TOKENIZER_VALUES: usize = 1 << 22;
/// Published T5 tokenizers have at most 300.
const MAX_EXTRA_IDS: usize = 1 << 14;
const ADVICE: &str =
    "convert it to tokenizer.json with transformers' AutoTokenizer.save_pretrained";

/// What is looked at of a `tokenizer.json` before the tokenizers crate parses it.
#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    normalizer: Value,
}

/// Special tokens by role that the vocabulary's file itself names.
type Defaults = Vec<(&'static str, String)>;

/// The tokenizer of `tokenizer.json`, or else of the model's original files.
pub(super) fn vocabulary(folder: &mut Folder<'_>) -> Result<(Tokenizer, Defaults)> {
    let dir = folder.dir;
    if let Some((path, bytes)) = read(dir, "tokenizer.json", MAX_TOKENIZER_BYTES)? {
        check_values(&bytes, MAX_TOKENIZER_VALUES).map_err(|e| Error::format(&path, e))?;
        let stored: Stored = serde_json::from_slice(&bytes)
            .map_err(|e| Error::format(&path, format!("not a tokenizer: {e}")))?;
        check_stored(&stored.normalizer).map_err(|e| Error::format(&path, e))?;
        return Ok((build(&path, bytes)?, Vec::new()));
    }
    if let Some((path, bytes)) = read(dir, "tokenizer.model", MAX_VOCABULARY_BYTES)? {
        let style = if folder.family == Some(Family::T5) { t5(folder)? } else { Style::Bos };
        return pieces(&path, &bytes, style);
    }
    if let Some((path, bytes)) = read(dir, "spiece.model", MAX_VOCABULARY_BYTES)? {
        folder.expect(Family::T5, &path)?;
        return pieces(&path, &bytes, t5(folder)?);
    }
    if let Some((path, bytes)) = read(dir, "vocab.json", MAX_TOKENIZER_BYTES)?
        && let Some((merges_path, merges)) = read(dir, "merges.txt", MAX_TOKENIZER_BYTES)?
    {
        check_values(&bytes, MAX_TOKENS).map_err(|e| Error::format(&path, e))?;
        let Unique(vocab): Unique<Map<String, Value>> =
            serde_json::from_slice(&bytes).map_err(|e| Error::format(&path, e))?;
        let merges = String::from_utf8(merges).map_err(|e| Error::format(&merges_path, e))?;
        return byte_level(folder, &path, vocab, &merges);
    }
    if let Some((path, bytes)) = read(dir, "vocab.txt", MAX_VOCABULARY_BYTES)? {
        folder.expect(Family::Bert, &path)?;
        return Ok((word_piece(folder, &path, bytes)?, Vec::new()));
    }
    Err(Error::Tokenizer {
        why: format!(
            "{} holds none of tokenizer.json, tokenizer.model, spiece.model, vocab.json with \
             merges.txt, vocab.txt",
            dir.display()
        ),
    })
}

fn t5(folder: &Folder<'_>) -> Result<Style> {
    let extra_ids = match folder.config.get("extra_ids") {
        None | Some(Value::Null) => Some(100),
        Some(value) => value.as_u64().and_then(|v| usize::try_from(v).ok()),
    };
    let extra_ids = extra_ids.filter(|&ids| ids <= MAX_EXTRA_IDS).ok_or_else(|| {
        let why = format!("extra_ids must be a whole number up to {MAX_EXTRA_IDS}");
        Error::format(folder.dir.join("tokenizer_config.json"), why)
    })?;
    Ok(Style::T5 { extra_ids })
}

fn pieces(path: &Path, bytes: &[u8], style: Style) -> Result<(Tokenizer, Defaults)> {
    let converted = sentencepiece::convert(path, bytes, style)?;
    Ok((build(path, converted.json.to_string().into())?, converted.special))
}

/// The byte-level BPE of GPT-2 or RoBERTa from its original two files.
fn byte_level(
    folder: &Folder<'_>,
    path: &Path,
    vocab: Map<String, Value>,
    merges: &str,
) -> Result<(Tokenizer, Defaults)> {
    let merges: Vec<&str> =
        merges.lines().filter(|l| !l.starts_with("#version") && !l.is_empty()).collect();
    if merges.len() > MAX_TOKENS {
        let why =
            format!("merges.txt holds {} merges, at most {MAX_TOKENS} are read", merges.len());
        return Err(Error::format(path, why));
    }
    let prefix = folder.flag("add_prefix_space", false);
    let level = json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true,
                       "use_regex": true});
    let mut post = level.clone();
    let mut added = Vec::new();
    let mut defaults = Vec::new();
    if folder.family == Some(Family::Roberta) {
        added = folder.added_tokens(&vocab);
        post = json!({
            "type": "RobertaProcessing", "trim_offsets": folder.flag("trim_offsets", true),
            "add_prefix_space": prefix, "sep": folder.known("sep_token", path, &vocab)?,
            "cls": folder.known("cls_token", path, &vocab)?,
        });
    } else if let Some(id) = vocab.get("<|endoftext|>") {
        added.push(added_token("<|endoftext|>", id, false));
        defaults = ["bos_token", "eos_token"].map(|r| (r, "<|endoftext|>".to_owned())).to_vec();
    }
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": level, "post_processor": post, "decoder": level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false, "vocab": vocab, "merges": merges,
        },
    });
    Ok((build(path, json.to_string().into())?, defaults))
}

/// The WordPiece of BERT from its `vocab.txt`: one token a line, its id the line's number.
fn word_piece(folder: &Folder<'_>, path: &Path, bytes: Vec<u8>) -> Result<Tokenizer> {
    let text = String::from_utf8(bytes).map_err(|e| Error::format(path, e))?;
    let mut vocab = Map::new();
    for (id, token) in text.lines().enumerate() {
        if id == MAX_TOKENS {
            let why = format!("more than {MAX_TOKENS} tokens; is it a vocabulary?");
            return Err(Error::format(path, why));
        }
        if vocab.insert(token.to_owned(), json!(id)).is_some() {
            let why = format!("line {}: the token {token:?} occurs twice", id + 1);
            return Err(Error::format(path, why));
        }
    }
    let unk = folder.known("unk_token", path, &vocab)?.0;
    let (sep, sep_id) = folder.known("sep_token", path, &vocab)?;
    let (cls, cls_id) = folder.known("cls_token", path, &vocab)?;
    let special = |text: &str, kind: u8| json!({"SpecialToken": {"id": text, "type_id": kind}});
    let sequence = |id: &str, kind: u8| json!({"Sequence": {"id": id, "type_id": kind}});
    let first = [special(&cls, 0), sequence("A", 0), special(&sep, 0)];
    let pair = [&first[..], &[sequence("B", 1), special(&sep, 1)]].concat();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": folder.added_tokens(&vocab),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": folder.flag("tokenize_chinese_chars", true),
            // Null: accents are stripped where letters are lowered.
            "strip_accents": folder.config.get("strip_accents").and_then(Value::as_bool),
            "lowercase": folder.flag("do_lower_case", true),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": first, "pair": pair,
            "special_tokens": {
                &cls: {"id": cls, "ids": [cls_id], "tokens": [cls]},
                &sep: {"id": sep, "ids": [sep_id], "tokens": [sep]},
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": unk, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        },
    });
    build(path, json.to_string().into())
}

fn added_token(text: &str, id: &Value, lstrip: bool) -> Value {
    json!({
        "id": id, "content": text, "single_word": false, "lstrip": lstrip, "rstrip": false,
        "normalized": false, "special": true,
    })
}

impl Folder<'_> {
    fn flag(&self, key: &str, default: bool) -> bool {
        self.config.get(key).and_then(Value::as_bool).unwrap_or(default)
    }

    /// Refuses files that only a tokenizer of `family` reads as this module does.
    fn expect(&mut self, family: Family, path: &Path) -> Result<()> {
        if let Some(class) = self.class.as_ref().filter(|_| self.family != Some(family)) {
            let why = format!("the files of a {class} are not read as they are; {ADVICE}");
            return Err(Error::format(path, why));
        }
        self.family = Some(family);
        Ok(())
    }

    /// The special tokens that `vocab` holds, in the order of their ids.
    fn added_tokens(&self, vocab: &Map<String, Value>) -> Vec<Value> {
        let mut by_id = BTreeMap::new();
        for role in ROLES {
            let Some(name) = self.name(role) else { continue };
            let Some(id) = vocab.get(&name) else { continue };
            // RoBERTa's mask takes the space before it.
            let lstrip = self.family == Some(Family::Roberta) && role == "mask_token";
            by_id.entry(id.as_u64()).or_insert_with(|| added_token(&name, id, lstrip));
        }
        by_id.into_values().collect()
    }

    /// The text and the id of a special token that the vocabulary must hold.
    fn known(
        &self,
        role: &str,
        path: &Path,
        vocab: &Map<String, Value>,
    ) -> Result<(String, Value)> {
        let name = self.name(role).unwrap_or_default();
        let id = vocab.get(&name).cloned().ok_or_else(|| {
            let why = format!(
                "it lacks the {role} {name:?}; name the right one in tokenizer_config.json"
            );
            Error::format(path, why)
        })?;
        Ok((name, id))
    }
}

/// Parses a `tokenizer.json`.
///
/// The parser of the tokenizers crate indexes by what a damaged file says (a merge that is longer
/// than every token, for one) and would panic; such a file is an error like any other.
fn build(path: &Path, json: Vec<u8>) -> Result<Tokenizer> {
    match catch_unwind(|| tokenizers::Tokenizer::from_bytes(json)) {
        Ok(Ok(tokenizer)) => Ok(Tokenizer::from_tokenizer(tokenizer)),
        Ok(Err(e)) => Err(Error::format(path, format!("not a tokenizer: {e}"))),
        Err(_) => Err(Error::format(path, "not a tokenizer: its tables contradict each other")),
    }
}
