//! How a large checkpoint is split into files, as transformers splits it.

use super::checkpoint::{INDEX, SINGLE};
use crate::{Error, Result};
use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

/// The order in which the classes of transformers register their modules, for those that stand side by side. What is
/// not named follows in the order of the alphabet.
///
/// Deviation: RoBERTa registers its position table last, it stands where BERT's does.
const ORDER: &[&str] = &[
    // Tables, and the modules that models consist of.
    "shared",
    "embeddings",
    "embed_tokens",
    "word_embeddings",
    "position_embeddings",
    "token_type_embeddings",
    "wte",
    "wpe",
    "bert",
    "roberta",
    "distilbert",
    "model",
    "encoder",
    "transformer",
    "decoder",
    "block",
    "layers",
    "h",
    "norm",
    "ln_f",
    "final_layer_norm",
    "pooler",
    // Heads.
    "cls",
    "lm_head",
    "vocab_transform",
    "vocab_layer_norm",
    "vocab_projector",
    "pre_classifier",
    "classifier",
    "score",
    // Inside a block.
    "ln_1",
    "attn",
    "ln_2",
    "self_attn",
    "attention",
    "mlp",
    "intermediate",
    "self",
    "output",
    "input_layernorm",
    "post_attention_layernorm",
    "sa_layer_norm",
    "ffn",
    "output_layer_norm",
    "query",
    "key",
    "value",
    "q",
    "k",
    "v",
    "o",
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
    "q_lin",
    "k_lin",
    "v_lin",
    "out_lin",
    "weight",
    "bias",
    "dense",
];

/// Compares two keys by their places in the state dict of transformers.
pub(super) fn by_state_dict(a: &str, b: &str) -> Ordering {
    parts(a).cmp(parts(b))
}

/// The parts of a key, each with its place in [`ORDER`] and as the index of a block.
fn parts(key: &str) -> impl Iterator<Item = (usize, Option<u32>, &str)> {
    key.split('.').map(|part| {
        let rank = ORDER.iter().position(|name| *name == part).unwrap_or(ORDER.len());
        (rank, part.parse().ok(), part)
    })
}

/// The greedy split of `split_torch_state_dict_into_shards` (huggingface_hub): a file takes tensors in their order while
/// they fit; a tensor above the limit gets a file of its own, which comes before the one that is being filled.
pub(super) fn split<T>(tensors: Vec<T>, size: impl Fn(&T) -> u64, limit: u64) -> Vec<Vec<T>> {
    let mut shards = Vec::new();
    let (mut current, mut held) = (Vec::new(), 0);
    for tensor in tensors {
        let bytes = size(&tensor);
        if bytes > limit {
            shards.push(vec![tensor]);
            continue;
        }
        if held + bytes > limit {
            shards.push(std::mem::take(&mut current));
            held = 0;
        }
        current.push(tensor);
        held += bytes;
    }
    if !current.is_empty() {
        shards.push(current);
    }
    shards
}

/// The name of shard `number`, counted from 1, of `count`.
pub(super) fn shard_name(number: usize, count: usize) -> String {
    format!("model-{number:05}-of-{count:05}.safetensors")
}

/// The files of earlier saves in `folder` that do not belong to a model of `count` files.
pub(super) fn stale_files(folder: &Path, count: usize) -> Result<Vec<PathBuf>> {
    let mut stale = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let stays = match shard_of(name) {
            Some((number, of)) => count > 1 && of == count && (1..=count).contains(&number),
            None if name == SINGLE => count == 1,
            None if name == INDEX => count > 1,
            None => true,
        };
        if !stays && path.is_file() {
            stale.push(path);
        }
    }
    // The single file first: as long as it is there, it is what is loaded.
    stale.sort_by_key(|path| !path.ends_with(SINGLE));
    Ok(stale)
}

/// Number and count of a shard by its name.
fn shard_of(name: &str) -> Option<(usize, usize)> {
    let (number, count) =
        name.strip_prefix("model-")?.strip_suffix(".safetensors")?.split_once("-of-")?;
    let five = |digits: &str| {
        let all = digits.len() == 5 && digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse().ok().filter(|_| all)
    };
    Some((five(number)?, five(count)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_fill_files_in_their_order() {
        let sizes = |limit| split(vec![6, 6, 2, 6, 2, 2], |&size| size, limit);
        assert_eq!(sizes(10), [vec![6], vec![6, 2], vec![6, 2, 2]]);
        assert_eq!(sizes(5), [vec![6], vec![6], vec![6], vec![2, 2], vec![2]]);
        assert_eq!(sizes(100).len(), 1);
    }

    #[test]
    fn keys_stand_as_in_the_state_dict() {
        let orders = [
            "bert.embeddings.token_type_embeddings.weight bert.embeddings.LayerNorm.weight \
             bert.encoder.layer.0.attention.self.query.weight \
             bert.encoder.layer.0.attention.self.query.bias \
             bert.encoder.layer.0.attention.output.dense.weight \
             bert.encoder.layer.0.attention.output.LayerNorm.weight \
             bert.encoder.layer.0.intermediate.dense.weight bert.encoder.layer.0.output.dense.bias \
             bert.encoder.layer.0.output.LayerNorm.weight bert.encoder.layer.2.output.dense.weight \
             bert.encoder.layer.10.output.dense.weight bert.pooler.dense.weight \
             cls.predictions.bias cls.predictions.transform.dense.weight",
            "transformer.wte.weight transformer.wpe.weight transformer.h.0.ln_1.weight \
             transformer.h.0.attn.c_attn.weight transformer.h.0.attn.c_proj.weight \
             transformer.h.0.ln_2.weight transformer.h.0.mlp.c_fc.weight transformer.ln_f.weight \
             score.weight",
            "shared.weight encoder.block.0.layer.0.SelfAttention.q.weight \
             encoder.block.0.layer.0.SelfAttention.o.weight \
             encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight \
             encoder.block.0.layer.0.layer_norm.weight encoder.final_layer_norm.weight \
             decoder.block.0.layer.2.DenseReluDense.wi_1.weight \
             decoder.block.0.layer.2.DenseReluDense.wo.weight lm_head.weight",
            "distilbert.transformer.layer.0.attention.out_lin.weight \
             distilbert.transformer.layer.0.sa_layer_norm.weight \
             distilbert.transformer.layer.0.ffn.lin1.weight \
             distilbert.transformer.layer.0.output_layer_norm.weight vocab_transform.weight \
             vocab_layer_norm.weight vocab_projector.bias",
        ];
        for order in orders {
            let keys: Vec<_> = order.split_whitespace().collect();
            assert!(keys.is_sorted_by(|a, b| by_state_dict(a, b).is_lt()), "{keys:?}");
        }
    }

    #[test]
    fn only_files_of_a_save_are_stale() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            SINGLE,
            INDEX,
            "model-00001-of-00002.safetensors",
            "model-00003-of-00003.safetensors",
            "model-1-of-2.safetensors",
            "notes.safetensors",
        ];
        for name in names {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let stale = |count| {
            let mut files = stale_files(folder.path(), count).unwrap();
            files.sort();
            files.iter().map(|f| f.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        let single: Vec<String> = stale(1);
        assert_eq!(single, [names[2], names[3], INDEX]);
        let sharded: Vec<String> = stale(2);
        assert_eq!(sharded, [names[3], SINGLE]);
    }
}
