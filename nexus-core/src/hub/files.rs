//! Which files of a repository belong to a model, and which are left where they are.

use super::{ModelName, hub_error};
use crate::Result;
use serde::Deserialize;
use std::collections::BTreeMap;

pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
pub(super) const ADAPTER: &str = "adapter_model.safetensors";
pub(super) const ADAPTER_CONFIG: &str = "adapter_config.json";
pub(super) const CONFIG: &str = "config.json";

/// The files beside the weights, each read by some part of this crate.
pub(super) const SMALL: &[&str] = &[
    CONFIG,
    ADAPTER_CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
];

/// The endings of files that run code when they are read, as far as they are used for weights.
const PICKLED: &[&str] = &[".bin", ".pt", ".pth", ".ckpt", ".pkl"];

/// Checks the names that a server lists: none may lead out of its folder.
pub(super) fn check_names(model: &ModelName, names: &[String]) -> Result<()> {
    for name in names {
        let inside = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        let drive = name.as_bytes().get(1) == Some(&b':');
        if !inside || drive || name.contains(|c: char| c == '\\' || c.is_control()) {
            return Err(hub_error(
                model.to_string(),
                format!("the server lists the file {name:?}, which is not a plain path; refused"),
            ));
        }
    }
    Ok(())
}

/// The files to fetch, in this order; an index among them asks for its shards afterwards. The weights come last, so that
/// a folder with weights is one that was fetched to the end.
pub(super) fn select(model: &ModelName, names: &[String]) -> Result<Vec<String>> {
    let there = |wanted: &str| names.iter().any(|name| name == wanted);
    let mut chosen: Vec<String> =
        SMALL.iter().filter(|name| there(name)).map(|name| name.to_string()).collect();
    let before = chosen.len();
    if there(ADAPTER) {
        chosen.push(ADAPTER.into());
    }
    // The loader reads the single file when there are both.
    if let Some(weights) = [SINGLE, INDEX].into_iter().find(|name| there(name)) {
        chosen.push(weights.into());
    }
    if chosen.len() == before {
        let other = |name: &&String| name.ends_with(".safetensors") && !name.contains('/');
        chosen.extend(names.iter().filter(other).cloned());
    }
    if chosen.len() > before {
        return Ok(chosen);
    }
    let pickled = names.iter().find(|name| PICKLED.iter().any(|end| name.ends_with(end)));
    Err(hub_error(
        model.to_string(),
        match pickled {
            Some(name) => format!(
                "holds only pickled weights ({name}), which can run code when they are read and are never \
                 fetched; convert them to safetensors, or name a revision that has {SINGLE}"
            ),
            None => format!("holds no weights: neither {SINGLE} nor {INDEX} nor {ADAPTER}"),
        },
    ))
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The shards that an index names, each once.
pub(super) fn shards(model: &ModelName, index: &[u8]) -> Result<Vec<String>> {
    let index: Index = serde_json::from_slice(index)
        .map_err(|why| hub_error(model.to_string(), format!("{INDEX} is not an index: {why}")))?;
    let mut shards: Vec<String> = index.weight_map.into_values().collect();
    shards.sort();
    shards.dedup();
    check_names(model, &shards)?;
    match shards.iter().find(|name| name.contains('/') || !name.ends_with(".safetensors")) {
        None => Ok(shards),
        Some(name) => Err(hub_error(
            model.to_string(),
            format!("{INDEX} names the shard {name:?}, which is not a safetensors file beside it"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Result<Vec<String>> {
        let model = ModelName::parse("org/name").unwrap();
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        check_names(&model, &names)?;
        select(&model, &names)
    }

    #[test]
    fn the_single_file_is_preferred_to_shards_and_sub_folders_are_left_out() {
        let names = ["README.md", "model-00001-of-00001.safetensors", INDEX, SINGLE, CONFIG];
        assert_eq!(chosen(&names).unwrap(), [CONFIG, SINGLE]);
        let names = ["onnx/model.safetensors", INDEX, CONFIG, "pytorch_model.bin"];
        assert_eq!(chosen(&names).unwrap(), [CONFIG, INDEX]);
        assert_eq!(chosen(&[ADAPTER, ADAPTER_CONFIG]).unwrap(), [ADAPTER_CONFIG, ADAPTER]);
        assert_eq!(chosen(&["other.safetensors", CONFIG]).unwrap(), [CONFIG, "other.safetensors"]);
    }

    #[test]
    fn pickled_weights_and_paths_out_of_the_folder_are_refused() {
        let error = chosen(&[CONFIG, "pytorch_model.bin"]).unwrap_err().to_string();
        assert!(error.contains("pickled"), "{error}");
        for name in ["../x.safetensors", "/x", "a//b", "a\\b", "C:x", "a/./b", "x\n"] {
            assert!(chosen(&[SINGLE, name]).is_err(), "{name}");
        }
    }
}
