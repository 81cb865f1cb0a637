//! A SentencePiece BPE model as a `tokenizers` BPE.
//!
//! Merge ranks are not stored in such a file: they follow from the scores of the pieces, in the
//! order in which the Hugging Face converter derives them.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{Kind, Model, SPACE, bos_processor, decoder};

/// Published models make at most half a million merges; a file of repetitive pieces could make a hundred times as many as
/// it has bytes.
const MAX_MERGES: usize = 1 << 20;

/// The `tokenizer.json` document of a BPE model.
pub(super) fn document(model: &Model, ids: &HashMap<&str, usize>) -> Result<Value, String> {
    if !model.charsmap.is_empty() {
        return Err("a compiled character map is not supported with BPE".into());
    }
    let vocab: Map<String, Value> =
        model.pieces.iter().enumerate().map(|(id, p)| (p.text.clone(), json!(id))).collect();
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": model.added_tokens(),
        "normalizer": normalizer(model),
        "pre_tokenizer": null,
        "post_processor": bos_processor(model),
        "decoder": decoder(model),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": model.unknown().map(|(_, name)| name),
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
            "byte_fallback": model.byte_fallback, "ignore_merges": false,
            "vocab": vocab, "merges": merges(model, ids)?,
        },
    }))
}

fn normalizer(model: &Model) -> Value {
    let mut steps = Vec::new();
    if model.remove_extra_spaces {
        steps.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
        steps.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}));
    }
    if model.dummy_prefix {
        let prefix = if model.escape_spaces { SPACE } else { " " };
        steps.push(json!({"type": "Prepend", "prepend": prefix}));
    }
    if model.escape_spaces {
        steps.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE}));
    }
    if steps.is_empty() {
        return Value::Null;
    }
    json!({"type": "Sequence", "normalizers": steps})
}

/// Every split of a piece into two pieces is a merge; the better the piece's score, the earlier.
fn merges<'m>(
    model: &'m Model,
    ids: &HashMap<&str, usize>,
) -> Result<Vec<(&'m str, &'m str)>, String> {
    let joins = |text: &str| {
        ids.get(text).copied().filter(|&id| {
            matches!(model.pieces[id].kind, Kind::Normal | Kind::UserDefined | Kind::Unused)
        })
    };
    let mut all = Vec::new();
    for piece in model.pieces.iter().filter(|p| p.kind == Kind::Normal) {
        let mut of_piece: Vec<_> = (1..piece.text.len())
            .filter(|&cut| piece.text.is_char_boundary(cut))
            .filter_map(|cut| {
                let (left, right) = piece.text.split_at(cut);
                Some(((joins(left)?, joins(right)?), left, right))
            })
            .collect();
        if all.len() + of_piece.len() > MAX_MERGES {
            return Err(format!("its pieces make more than {MAX_MERGES} merges"));
        }
        of_piece.sort_by_key(|(pair, _, _)| *pair);
        all.extend(of_piece.into_iter().map(|(_, left, right)| (piece.score, left, right)));
    }
    let length = |s: &str| s.chars().count();
    all.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then_with(|| length(b.1).cmp(&length(a.1)))
            .then_with(|| length(b.2).cmp(&length(a.2)))
    });
    Ok(all.into_iter().map(|(_, left, right)| (left, right)).collect())
}
