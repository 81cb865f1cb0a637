//! Reads a SentencePiece BPE model (`tokenizer.model`) as a `tokenizers` BPE.
//!
//! The file is one protobuf message (`sentencepiece_model.proto`); only the fields that decide how
//! text is encoded are read, by a reader that never allocates more than the file holds. Merge
//! ranks are not stored in such a file: they follow from the scores of the pieces, in the order in
//! which the Hugging Face converter derives them.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::protobuf::{Wire, fields};
use crate::{Error, Result};

/// Pieces of published models have at most 48 bytes; the bound keeps the search for merges short.
const MAX_PIECE_BYTES: usize = 256;
const MAX_PIECES: usize = 1 << 20;
const SPACE: &str = "\u{2581}";

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

struct Piece {
    text: String,
    score: f32,
    kind: Kind,
}

/// What is read of the file; the initial values are the proto's defaults.
struct Model {
    pieces: Vec<Piece>,
    model_type: u64,
    byte_fallback: bool,
    bos: Option<usize>,
    eos: Option<usize>,
    pad: Option<usize>,
    charsmap: bool,
    dummy_prefix: bool,
    remove_extra_spaces: bool,
    escape_spaces: bool,
    space_as_suffix: bool,
}

/// A `tokenizer.json` document and the names of the special tokens.
pub(crate) struct Converted {
    pub(crate) json: Value,
    /// Names by role: `bos_token`, `eos_token`, `pad_token`, `unk_token`.
    pub(crate) special: Vec<(&'static str, String)>,
}

/// Converts the bytes of a SentencePiece BPE model into a `tokenizer.json` document.
///
/// # Errors
/// [`Error::Format`] where the bytes are not such a model, or need a normalisation that this
/// reader does not do; the text says which.
pub(crate) fn convert(path: &Path, bytes: &[u8]) -> Result<Converted> {
    let fail = |why: String| Error::format(path, why);
    let model = parse(bytes).map_err(|why| fail(format!("not a SentencePiece model: {why}")))?;
    let advice = "; convert it to tokenizer.json with transformers' AutoTokenizer.save_pretrained";
    if model.model_type != 2 {
        return Err(fail(format!(
            "SentencePiece model type {} (1 = unigram, 3 = word, 4 = char) where BPE (2) is \
             supported{advice}",
            model.model_type
        )));
    }
    if model.charsmap || model.space_as_suffix {
        return Err(fail(format!(
            "a compiled character map or whitespace suffixes are not supported{advice}"
        )));
    }
    let mut ids: HashMap<&str, usize> = HashMap::with_capacity(model.pieces.len());
    for (id, piece) in model.pieces.iter().enumerate() {
        if ids.insert(&piece.text, id).is_some() {
            return Err(fail(format!("piece {id} ({:?}) occurs twice", piece.text)));
        }
    }
    let unknown = model.pieces.iter().find(|p| p.kind == Kind::Unknown);
    let name = |id: Option<usize>| id.and_then(|i| model.pieces.get(i)).map(|p| p.text.clone());
    let special: Vec<(&'static str, String)> = [
        ("bos_token", name(model.bos)),
        ("eos_token", name(model.eos)),
        ("pad_token", name(model.pad)),
        ("unk_token", unknown.map(|p| p.text.clone())),
    ]
    .into_iter()
    .filter_map(|(role, name)| name.map(|n| (role, n)))
    .collect();

    let added: Vec<Value> = model
        .pieces
        .iter()
        .enumerate()
        .filter(|(_, p)| matches!(p.kind, Kind::Control | Kind::Unknown | Kind::UserDefined))
        .map(|(id, p)| {
            json!({
                "id": id, "content": p.text, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": p.kind != Kind::UserDefined,
            })
        })
        .collect();
    let vocab: Map<String, Value> =
        model.pieces.iter().enumerate().map(|(id, p)| (p.text.clone(), json!(id))).collect();
    let bos = name(model.bos).zip(model.bos);
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added,
        "normalizer": normalizer(&model),
        "pre_tokenizer": null,
        "post_processor": bos.map(|(text, id)| bos_processor(&text, id)),
        "decoder": decoder(&model),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown.map(|p| &p.text),
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
            "byte_fallback": model.byte_fallback, "ignore_merges": false,
            "vocab": vocab, "merges": merges(&model, &ids),
        },
    });
    Ok(Converted { json, special })
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

fn decoder(model: &Model) -> Value {
    let mut steps = vec![json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "})];
    if model.byte_fallback {
        steps.push(json!({"type": "ByteFallback"}));
    }
    steps.push(json!({"type": "Fuse"}));
    if model.dummy_prefix {
        steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    json!({"type": "Sequence", "decoders": steps})
}

fn bos_processor(text: &str, id: usize) -> Value {
    let special = json!({"SpecialToken": {"id": text, "type_id": 0}});
    json!({
        "type": "TemplateProcessing",
        "single": [special, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [
            special, {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": text, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {text: {"id": text, "ids": [id], "tokens": [text]}},
    })
}

/// Every split of a piece into two pieces is a merge; the better the piece's score, the earlier.
fn merges<'m>(model: &'m Model, ids: &HashMap<&str, usize>) -> Vec<(&'m str, &'m str)> {
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
        of_piece.sort_by_key(|(pair, _, _)| *pair);
        all.extend(of_piece.into_iter().map(|(_, left, right)| (piece.score, left, right)));
    }
    let length = |s: &str| s.chars().count();
    all.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then_with(|| length(b.1).cmp(&length(a.1)))
            .then_with(|| length(b.2).cmp(&length(a.2)))
    });
    all.into_iter().map(|(_, left, right)| (left, right)).collect()
}

fn parse(bytes: &[u8]) -> Result<Model, String> {
    let mut model = Model {
        pieces: Vec::new(),
        model_type: 1,
        byte_fallback: false,
        bos: Some(1),
        eos: Some(2),
        pad: None,
        charsmap: false,
        dummy_prefix: true,
        remove_extra_spaces: true,
        escape_spaces: true,
        space_as_suffix: false,
    };
    // Ids are proto int32: a negative one ("none") arrives as a huge unsigned number.
    let id = |v: u64| usize::try_from(v).ok().filter(|&v| v < MAX_PIECES);
    for field in fields(bytes) {
        match field? {
            (1, Wire::Bytes(piece)) => {
                if model.pieces.len() == MAX_PIECES {
                    return Err(format!("more than {MAX_PIECES} pieces"));
                }
                model.pieces.push(parse_piece(piece, model.pieces.len())?);
            }
            (2, Wire::Bytes(trainer)) => {
                for field in fields(trainer) {
                    match field? {
                        (3, Wire::Varint(v)) => model.model_type = v,
                        (24, Wire::Varint(v)) => model.space_as_suffix = v != 0,
                        (35, Wire::Varint(v)) => model.byte_fallback = v != 0,
                        (41, Wire::Varint(v)) => model.bos = id(v),
                        (42, Wire::Varint(v)) => model.eos = id(v),
                        (43, Wire::Varint(v)) => model.pad = id(v),
                        _ => {}
                    }
                }
            }
            (3, Wire::Bytes(rules)) => {
                for field in fields(rules) {
                    match field? {
                        (2, Wire::Bytes(map)) => model.charsmap = !map.is_empty(),
                        (3, Wire::Varint(v)) => model.dummy_prefix = v != 0,
                        (4, Wire::Varint(v)) => model.remove_extra_spaces = v != 0,
                        (5, Wire::Varint(v)) => model.escape_spaces = v != 0,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if model.pieces.is_empty() {
        return Err("it holds no pieces".into());
    }
    Ok(model)
}

fn parse_piece(bytes: &[u8], index: usize) -> Result<Piece, String> {
    let (mut text, mut score, mut kind) = ("", 0.0, Kind::Normal);
    for field in fields(bytes) {
        match field? {
            (1, Wire::Bytes(t)) => {
                text = std::str::from_utf8(t).map_err(|e| format!("piece {index}: {e}"))?;
            }
            (2, Wire::Fixed32(v)) => score = f32::from_bits(v),
            (3, Wire::Varint(v)) => {
                kind = match v {
                    1 => Kind::Normal,
                    2 => Kind::Unknown,
                    3 => Kind::Control,
                    4 => Kind::UserDefined,
                    5 => Kind::Unused,
                    6 => Kind::Byte,
                    _ => return Err(format!("piece {index} has the unknown type {v}")),
                };
            }
            _ => {}
        }
    }
    if text.is_empty() || text.len() > MAX_PIECE_BYTES {
        return Err(format!("piece {index} has {} bytes (1 to {MAX_PIECE_BYTES})", text.len()));
    }
    Ok(Piece { text: text.to_owned(), score, kind })
}
