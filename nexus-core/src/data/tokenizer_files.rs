//! Reads the tokenizer files of a Hugging Face model folder.

use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::models::ModelWrapper;

use super::Tokenizer;
use super::tokenizer_folder::{Family, Folder, MAX_CONFIG_BYTES, ROLES, read, read_object};
use super::tokenizer_vocabulary::vocabulary;
use crate::{Error, Result};

/// See [`Tokenizer::load`].
pub(super) fn load(dir: &Path) -> Result<Tokenizer> {
    let mut folder = Folder::read(dir)?;
    let (mut tokenizer, defaults) = vocabulary(&mut folder)?;
    if let ModelWrapper::WordPiece(_) = tokenizer.inner.get_model() {
        folder.family = folder.family.or(Some(Family::Bert));
    }
    tokenizer.add_tokens(folder.listed_tokens())?;
    let name = |role: &str| {
        let in_file = defaults.iter().find(|(r, _)| *r == role).map(|(_, name)| name.clone());
        // A default of the class is not added to a vocabulary that lacks it.
        let of_class = || folder.name(role).filter(|name| tokenizer.token_id(name).is_some());
        folder.given_name(role).or(in_file).or_else(of_class)
    };
    let names = ROLES.map(name);
    let [bos, eos, pad, ..] = names.each_ref().map(Option::as_deref);
    tokenizer = tokenizer.with_special(bos, eos, pad)?;
    for (role, text) in ROLES.iter().zip(&names).skip(3) {
        if let Some(text) = text {
            tokenizer.set_special(role, text)?;
        }
    }
    let config = &folder.config;
    ids_from_configs(dir, &mut tokenizer, eos.is_some())?;
    explicit_bos_eos(&mut tokenizer, config)?;
    let template = template_source(dir, config)?;
    tokenizer.set_config(folder.config);
    match template {
        Some(source) => tokenizer.with_chat_template(&source).map_err(|e| Error::Format {
            path: dir.into(),
            why: format!("{e}; a chat_template.jinja in this folder takes its place"),
        }),
        None => Ok(tokenizer),
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
