//! A SentencePiece unigram model (Kudo 2018, arXiv:1804.10959) as a `tokenizers` Unigram.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{MAX_PIECES, Model, SPACE, Style, added_token, bos_processor, charsmap, decoder};

/// The pieces of published models hold 2 MiB of text or less. The search tree takes up to 350 bytes
/// of memory for each byte that it is built from, so the bound is 1.5 GiB of memory.
const MAX_TEXT_BYTES: usize = 4 << 20;

/// The `tokenizer.json` document of a unigram model.
pub(super) fn document(
    model: &Model,
    ids: &HashMap<&str, usize>,
    style: Style,
) -> Result<Value, String> {
    let (unknown, _) = model.unknown().ok_or("no piece is of the type \"unknown\"")?;
    if !model.escape_spaces {
        return Err("pieces with unescaped spaces are not supported".into());
    }
    if model.pieces.iter().map(|p| p.text.len()).sum::<usize>() > MAX_TEXT_BYTES {
        return Err(format!("the pieces hold more than {} MiB", MAX_TEXT_BYTES >> 20));
    }
    if let Some(id) = model.pieces.iter().position(|p| !p.score.is_finite()) {
        return Err(format!("the score of piece {id} is not a finite number"));
    }
    // From f32 to f64 a score is exact, and JSON keeps it.
    let mut vocab: Vec<(String, f64)> =
        model.pieces.iter().map(|p| (p.text.clone(), f64::from(p.score))).collect();
    let mut added = model.added_tokens();
    let scheme = if model.dummy_prefix { "always" } else { "never" };
    let metaspace = json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme,
                           "split": true});
    let charsmap =
        (!model.charsmap.is_empty()).then(|| charsmap::normalizer(model.charsmap)).transpose()?;
    let mut normalizers: Vec<Value> = charsmap.into_iter().collect();
    let (pre_tokenizer, post_processor) = match style {
        Style::Bos => {
            if model.remove_extra_spaces {
                normalizers
                    .push(json!({"type": "Strip", "strip_left": false, "strip_right": true}));
                normalizers.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"},
                                        "content": SPACE}));
            }
            (metaspace.clone(), bos_processor(model))
        }
        Style::T5 { extra_ids } => {
            if extra_ids > MAX_PIECES - vocab.len() {
                return Err(format!("extra_ids {extra_ids}: at most {MAX_PIECES} ids in all"));
            }
            // The largest id is that of <extra_id_0>. A file may hold them itself.
            for index in (0..extra_ids).rev() {
                let token = format!("<extra_id_{index}>");
                let id = ids.get(token.as_str()).copied().unwrap_or(vocab.len());
                added.push(added_token(id, &token, true));
                if id == vocab.len() {
                    vocab.push((token, 0.0));
                }
            }
            let split = json!({"type": "WhitespaceSplit"});
            let both = json!({"type": "Sequence", "pretokenizers": [split, metaspace]});
            (both, eos_processor(model)?)
        }
    };
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added,
        "normalizer": match normalizers.is_empty() {
            true => Value::Null,
            false => json!({"type": "Sequence", "normalizers": normalizers}),
        },
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": if model.byte_fallback { decoder(model) } else { metaspace },
        "model": {
            "type": "Unigram", "unk_id": unknown, "vocab": vocab,
            "byte_fallback": model.byte_fallback,
        },
    }))
}

fn eos_processor(model: &Model) -> Result<Value, String> {
    let (text, id) =
        model.name(model.eos).zip(model.eos).ok_or("it names no piece that ends a sequence")?;
    let end = json!({"SpecialToken": {"id": text, "type_id": 0}});
    let sequence = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
    Ok(json!({
        "type": "TemplateProcessing",
        "single": [sequence("A"), end],
        "pair": [sequence("A"), end, sequence("B"), end],
        "special_tokens": {&text: {"id": text, "ids": [id], "tokens": [text]}},
    }))
}
