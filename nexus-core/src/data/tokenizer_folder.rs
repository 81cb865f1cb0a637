//! A model folder's files that say which tokenizer it holds.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::{Error, Result, json};

pub(super) const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// The special tokens that have a role, by the keys of `tokenizer_config.json`.
pub(super) const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token"];

/// Tokenizers whose files leave to the class in transformers what it puts around a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Family {
    Bert,
    Roberta,
    T5,
}

impl Family {
    /// By the class of the tokenizer or the type of the model, in lower case.
    fn of(name: &str) -> Option<Self> {
        match name {
            "bert" | "distilbert" | "electra" | "mobilebert" => Some(Self::Bert),
            "roberta" | "longformer" | "bart" | "led" => Some(Self::Roberta),
            "t5" | "mt5" | "umt5" | "longt5" => Some(Self::T5),
            _ => None,
        }
    }

    /// The name of a special token, where no file says another.
    pub(super) fn default_name(self, role: &str) -> Option<&'static str> {
        match (self, role) {
            (Self::Bert, "unk_token") => Some("[UNK]"),
            (Self::Bert, "sep_token") => Some("[SEP]"),
            (Self::Bert, "pad_token") => Some("[PAD]"),
            (Self::Bert, "cls_token") => Some("[CLS]"),
            (Self::Bert, "mask_token") => Some("[MASK]"),
            (Self::Roberta, "bos_token" | "cls_token") => Some("<s>"),
            (Self::Roberta, "sep_token") => Some("</s>"),
            (Self::Roberta, "mask_token") => Some("<mask>"),
            (Self::Roberta | Self::T5, "eos_token") => Some("</s>"),
            (Self::Roberta | Self::T5, "unk_token") => Some("<unk>"),
            (Self::Roberta | Self::T5, "pad_token") => Some("<pad>"),
            _ => None,
        }
    }
}

/// What a folder says about its tokenizer.
pub(super) struct Folder<'d> {
    pub(super) dir: &'d Path,
    /// `tokenizer_config.json`.
    pub(super) config: Map<String, Value>,
    /// `special_tokens_map.json`.
    map: Map<String, Value>,
    /// The tokenizer's class, unless it is one for every tokenizer.
    pub(super) class: Option<String>,
    pub(super) family: Option<Family>,
}

impl<'d> Folder<'d> {
    pub(super) fn read(dir: &'d Path) -> Result<Self> {
        let mut config = read_object(dir, "tokenizer_config.json")?;
        let map = read_object(dir, "special_tokens_map.json")?;
        let model = read_object(dir, "config.json")?;
        let generic = ["PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend"];
        let class = config.get("tokenizer_class").or_else(|| model.get("tokenizer_class"));
        let class = class.and_then(Value::as_str).filter(|c| !generic.contains(c));
        let class = class.map(str::to_owned);
        let name = match &class {
            Some(class) => {
                let class = class.strip_suffix("Fast").unwrap_or(class);
                class.strip_suffix("Tokenizer").unwrap_or(class)
            }
            None => model.get("model_type").and_then(Value::as_str).unwrap_or_default(),
        };
        let name = name.to_lowercase();
        if name == "distilbert" {
            // It reads BERT's files, but its model has no token types.
            let inputs = serde_json::json!(["input_ids", "attention_mask"]);
            config.entry("model_input_names").or_insert(inputs);
        }
        Ok(Self { dir, config, map, family: Family::of(&name), class })
    }

    /// The name that the files give a special token.
    pub(super) fn given_name(&self, role: &str) -> Option<String> {
        token_text(self.config.get(role)).or_else(|| token_text(self.map.get(role)))
    }

    /// The name of a special token: the one given, or else the family's, unless a file says that
    /// there is none.
    pub(super) fn name(&self, role: &str) -> Option<String> {
        let default =
            || self.family?.default_name(role).filter(|_| !self.config.contains_key(role));
        self.given_name(role).or_else(|| default().map(str::to_owned))
    }

    /// The tokens that lists in `tokenizer_config.json` add: `added_tokens_decoder` by id, then
    /// `additional_special_tokens` and `extra_special_tokens`.
    pub(super) fn listed_tokens(&self) -> Vec<(Option<u32>, AddedToken)> {
        let by_id = self.config.get("added_tokens_decoder").and_then(Value::as_object);
        let mut tokens: Vec<_> = by_id
            .into_iter()
            .flatten()
            .filter_map(|(id, token)| Some((Some(id.parse().ok()?), added_token(token, false)?)))
            .collect();
        tokens.sort_by_key(|(id, _)| *id);
        for key in ["additional_special_tokens", "extra_special_tokens"] {
            let all: Vec<&Value> = match self.config.get(key) {
                Some(Value::Array(list)) => list.iter().collect(),
                Some(Value::Object(by_role)) => by_role.values().collect(),
                _ => Vec::new(),
            };
            tokens.extend(all.into_iter().filter_map(|t| Some((None, added_token(t, true)?))));
        }
        tokens
    }
}

/// A token as transformers writes it: its text, or its text with flags.
fn added_token(value: &Value, special: bool) -> Option<AddedToken> {
    let flag = |key: &str| value.get(key).and_then(Value::as_bool);
    let special = flag("special").unwrap_or(special);
    let token = AddedToken::from(token_text(Some(value))?, special)
        .single_word(flag("single_word").unwrap_or(false))
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false))
        .normalized(flag("normalized").unwrap_or(!special));
    Some(token)
}

/// A special token is written as its text or as `{"content": text, ...}`.
pub(super) fn token_text(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::Object(token) => token.get("content")?.as_str(),
        other => other.as_str(),
    };
    text.filter(|t| !t.is_empty()).map(str::to_owned)
}

/// An absent file is an empty object.
pub(super) fn read_object(dir: &Path, name: &str) -> Result<Map<String, Value>> {
    match read(dir, name, MAX_CONFIG_BYTES)? {
        Some((path, bytes)) => json::object(&bytes).map_err(|e| Error::format(path, e)),
        None => Ok(Map::new()),
    }
}

pub(super) fn read(dir: &Path, name: &str, limit: u64) -> Result<Option<(PathBuf, Vec<u8>)>> {
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
