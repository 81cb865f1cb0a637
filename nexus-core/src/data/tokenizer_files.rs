//! Reads the tokenizer files of a Hugging Face model folder.

use std::fs::File;
use std::io::Read;
use std::panic::catch_unwind;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Tokenizer, sentencepiece};
use crate::{Error, Result};

const MAX_TOKENIZER_BYTES: u64 = 256 << 20;
const MAX_MODEL_BYTES: u64 = 32 << 20;
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// See [`Tokenizer::load`].
pub(super) fn load(dir: &Path) -> Result<Tokenizer> {
    let (mut tokenizer, defaults) = vocabulary(dir)?;
    let config = read_object(dir, "tokenizer_config.json")?;
    let map = read_object(dir, "special_tokens_map.json")?;

    let default =
        |role: &str| defaults.iter().find(|(r, _)| *r == role).map(|(_, name)| name.clone());
    let name = |role: &str| {
        let set = token_text(config.get(role)).or_else(|| token_text(map.get(role)));
        set.or_else(|| default(role))
    };
    let names = ["bos_token", "eos_token", "pad_token"].map(name);
    let [bos, eos, pad] = names.each_ref().map(Option::as_deref);
    tokenizer = tokenizer.with_special(bos, eos, pad)?;
    for role in ["unk_token", "sep_token", "cls_token", "mask_token"] {
        if let Some(text) = name(role) {
            tokenizer.set_special(role, &text)?;
        }
    }
    ids_from_configs(dir, &mut tokenizer, eos.is_some())?;
    explicit_bos_eos(&mut tokenizer, &config)?;
    match template_source(dir, &config)? {
        Some(source) => tokenizer.with_chat_template(&source).map_err(|e| Error::Format {
            path: dir.into(),
            why: format!("{e}; a chat_template.jinja in this folder takes its place"),
        }),
        None => Ok(tokenizer),
    }
}

/// Special tokens by role that the vocabulary's file itself names.
type Defaults = Vec<(&'static str, String)>;

fn vocabulary(dir: &Path) -> Result<(Tokenizer, Defaults)> {
    if let Some((path, bytes)) = read(dir, "tokenizer.json", MAX_TOKENIZER_BYTES)? {
        return Ok((build(&path, bytes)?, Vec::new()));
    }
    if let Some((path, bytes)) = read(dir, "tokenizer.model", MAX_MODEL_BYTES)? {
        let converted = sentencepiece::convert(&path, &bytes)?;
        return Ok((build(&path, converted.json.to_string().into())?, converted.special));
    }
    if let Some((path, bytes)) = read(dir, "vocab.json", MAX_TOKENIZER_BYTES)?
        && let Some((merges_path, merges)) = read(dir, "merges.txt", MAX_TOKENIZER_BYTES)?
    {
        let vocab: Map<String, Value> =
            serde_json::from_slice(&bytes).map_err(|e| Error::format(&path, e))?;
        let merges = String::from_utf8(merges).map_err(|e| Error::format(&merges_path, e))?;
        return gpt2(&path, vocab, &merges);
    }
    Err(Error::Tokenizer {
        why: format!(
            "{} holds none of tokenizer.json, tokenizer.model, vocab.json with merges.txt",
            dir.display()
        ),
    })
}

/// The byte-level BPE of GPT-2 from its original two files.
fn gpt2(path: &Path, vocab: Map<String, Value>, merges: &str) -> Result<(Tokenizer, Defaults)> {
    let merges: Vec<&str> =
        merges.lines().filter(|l| !l.starts_with("#version") && !l.is_empty()).collect();
    let end = "<|endoftext|>";
    let added: Vec<Value> = vocab
        .get(end)
        .map(|id| {
            json!({
                "id": id, "content": end, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        })
        .into_iter()
        .collect();
    let defaults = match added.is_empty() {
        true => Vec::new(),
        false => ["bos_token", "eos_token"].map(|role| (role, end.to_owned())).to_vec(),
    };
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                       "use_regex": true});
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": level, "post_processor": level, "decoder": level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false, "vocab": vocab, "merges": merges,
        },
    });
    Ok((build(path, json.to_string().into())?, defaults))
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

/// Ids from `generation_config.json`, or else `config.json`. `named`: whether the tokenizer's own
/// files name its eos token.
fn ids_from_configs(dir: &Path, tokenizer: &mut Tokenizer, named: bool) -> Result<()> {
    let files = ["generation_config.json", "config.json"];
    let configs = [read_object(dir, files[0])?, read_object(dir, files[1])?];
    let get =
        |key: &str| configs.iter().zip(files).find_map(|(c, file)| Some((ids(c.get(key)?)?, file)));
    let known = |id: &u32| tokenizer.id_to_token(*id).is_some();
    let first = |key| get(key).and_then(|(ids, _)| ids.first().copied()).filter(known);
    let (bos, pad) = (first("bos_token_id"), first("pad_token_id"));
    let (mut eos, file) = get("eos_token_id").unwrap_or_default();
    let unknown = eos.iter().find(|id| !known(id)).copied();
    if let Some(id) = unknown.filter(|_| !named) {
        return Err(Error::Tokenizer {
            why: format!(
                "{file}: eos_token_id {id} is not in the vocabulary of {} tokens; correct it, or \
                 name the eos_token in tokenizer_config.json",
                tokenizer.vocab_size()
            ),
        });
    }
    eos.retain(known);
    tokenizer.set_ids(bos, &eos, pad);
    Ok(())
}

/// One id or a list of ids; negative ones stand for "none".
fn ids(value: &Value) -> Option<Vec<u32>> {
    let one = |v: &Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
    let all: Vec<u32> = match value {
        Value::Array(list) => list.iter().filter_map(one).collect(),
        single => one(single).into_iter().collect(),
    };
    (!all.is_empty()).then_some(all)
}

/// Obeys `add_bos_token` and `add_eos_token` where they contradict the post-processor: the slow
/// tokenizers that write these flags obey them, and many folders hold only the flags.
fn explicit_bos_eos(tokenizer: &mut Tokenizer, config: &Map<String, Value>) -> Result<()> {
    let (bos, eos) = (tokenizer.bos(), tokenizer.eos().first().copied());
    let around = tokenizer.encode("", true)?;
    let added = [bos, eos].map(|id| id.is_some_and(|id| around.contains(&id)));
    let wanted =
        ["add_bos_token", "add_eos_token"].map(|key| config.get(key).and_then(Value::as_bool));
    let wanted = [wanted[0].unwrap_or(added[0]), wanted[1].unwrap_or(added[1])];
    let only_these = around.iter().all(|id| Some(*id) == bos || Some(*id) == eos);
    if wanted == added || !only_these {
        return Ok(());
    }
    let text = |id: Option<u32>, on: bool| {
        id.filter(|_| on).and_then(|id| Some((id, tokenizer.id_to_token(id)?)))
    };
    let (bos, eos) = (text(bos, wanted[0]), text(eos, wanted[1]));
    let mut single = Vec::new();
    let mut pair = Vec::new();
    for (sequence, type_id) in [("A", 0), ("B", 1)] {
        let special = |t: &Option<(u32, String)>| {
            t.as_ref().map(|(_, text)| json!({"SpecialToken": {"id": text, "type_id": type_id}}))
        };
        pair.extend(special(&bos));
        pair.push(json!({"Sequence": {"id": sequence, "type_id": type_id}}));
        pair.extend(special(&eos));
        if sequence == "A" {
            single = pair.clone();
        }
    }
    let tokens: Map<String, Value> = [bos, eos]
        .into_iter()
        .flatten()
        .map(|(id, text)| (text.clone(), json!({"id": text, "ids": [id], "tokens": [text]})))
        .collect();
    let json = json!({"type": "TemplateProcessing", "single": single, "pair": pair,
                      "special_tokens": tokens});
    let post = serde_json::from_value(json)
        .map_err(|e| Error::Tokenizer { why: format!("add_bos_token, add_eos_token: {e}") })?;
    tokenizer.set_post(post);
    Ok(())
}

fn template_source(dir: &Path, config: &Map<String, Value>) -> Result<Option<String>> {
    if let Some((path, bytes)) = read(dir, "chat_template.jinja", MAX_CONFIG_BYTES)? {
        return String::from_utf8(bytes).map(Some).map_err(|e| Error::format(path, e));
    }
    let sidecar = read_object(dir, "chat_template.json")?;
    match sidecar.get("chat_template").or_else(|| config.get("chat_template")) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(source)) => Ok(Some(source.clone())),
        Some(Value::Array(named)) => {
            let find = |name: &str| named.iter().find(|t| t["name"] == name);
            let only = named.first().filter(|_| named.len() == 1);
            let source = find("default").or(only).and_then(|t| t["template"].as_str());
            source.map(|s| Some(s.to_owned())).ok_or_else(|| {
                let why = "of several chat templates none is named \"default\"; write the one to \
                           use as chat_template.jinja";
                Error::format(dir.join("tokenizer_config.json"), why)
            })
        }
        Some(_) => Err(Error::format(
            dir.join("tokenizer_config.json"),
            "chat_template must be a string or a list of {\"name\", \"template\"}",
        )),
    }
}

/// A special token is written as its text or as `{"content": text, ...}`.
fn token_text(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::Object(token) => token.get("content")?.as_str(),
        other => other.as_str(),
    };
    text.filter(|t| !t.is_empty()).map(str::to_owned)
}

/// An absent file is an empty object.
fn read_object(dir: &Path, name: &str) -> Result<Map<String, Value>> {
    match read(dir, name, MAX_CONFIG_BYTES)? {
        Some((path, bytes)) => serde_json::from_slice(&bytes).map_err(|e| Error::format(path, e)),
        None => Ok(Map::new()),
    }
}

fn read(dir: &Path, name: &str, limit: u64) -> Result<Option<(std::path::PathBuf, Vec<u8>)>> {
    let path = dir.join(name);
    let file = match File::open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(Error::io("read", &path))?,
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::format(path, format!("the file is over {} MiB", limit >> 20)));
    }
    Ok(Some((path, bytes)))
}
