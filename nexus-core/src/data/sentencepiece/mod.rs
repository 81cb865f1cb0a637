//! Reads a SentencePiece model (`tokenizer.model`, `spiece.model`) as a `tokenizers` BPE or Unigram.
//!
//! The file is one protobuf message (`sentencepiece_model.proto`); only the fields that decide how
//! text is encoded are read, by a reader that never allocates more than the file holds.

mod bpe;
mod charsmap;
mod unigram;

pub(super) use charsmap::check_stored;

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};

use super::protobuf::{Wire, fields};
use crate::{Error, Result};

/// Pieces of published models have at most 48 bytes; the bound keeps the search for pieces short.
const MAX_PIECE_BYTES: usize = 256;
const MAX_PIECES: usize = 1 << 20;
/// What stands for a space in the pieces.
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
struct Model<'b> {
    pieces: Vec<Piece>,
    model_type: u64,
    byte_fallback: bool,
    bos: Option<usize>,
    eos: Option<usize>,
    pad: Option<usize>,
    /// A compiled character map; may be empty.
    charsmap: &'b [u8],
    dummy_prefix: bool,
    remove_extra_spaces: bool,
    escape_spaces: bool,
    space_as_suffix: bool,
}

/// A `tokenizer.json` document and the names of the special tokens.
pub(super) struct Converted {
    pub(super) json: Value,
    /// Names by role: `bos_token`, `eos_token`, `pad_token`, `unk_token`.
    pub(super) special: Vec<(&'static str, String)>,
}

/// What the tokenizer class adds to the model in the file.
#[derive(Clone, Copy)]
pub(super) enum Style {
    /// The bos token before a text, where the file has one (LLaMA).
    Bos,
    /// The eos token after each text, and so many `<extra_id_i>` after the vocabulary (T5).
    T5 { extra_ids: usize },
}

/// Converts the bytes of a SentencePiece model into a `tokenizer.json` document.
///
/// # Errors
/// [`Error::Format`] where the bytes are not such a model, or ask for what this reader does not
/// do; the text says which.
pub(super) fn convert(path: &Path, bytes: &[u8], style: Style) -> Result<Converted> {
    let advice = "; convert it to tokenizer.json with transformers' AutoTokenizer.save_pretrained";
    let fail = |why: String| Error::format(path, why);
    let model = parse(bytes).map_err(|why| fail(format!("not a SentencePiece model: {why}")))?;
    let mut ids: HashMap<&str, usize> = HashMap::with_capacity(model.pieces.len());
    for (id, piece) in model.pieces.iter().enumerate() {
        if ids.insert(&piece.text, id).is_some() {
            return Err(fail(format!("piece {id} ({:?}) occurs twice", piece.text)));
        }
    }
    let json = match (model.model_type, style) {
        _ if model.space_as_suffix => Err("whitespace suffixes are not supported".into()),
        (1, style) => unigram::document(&model, &ids, style),
        (2, Style::Bos) => bpe::document(&model, &ids),
        (2, Style::T5 { .. }) => Err("a T5 tokenizer must be a unigram model, this is BPE".into()),
        (other, _) => Err(format!(
            "SentencePiece model type {other} (3 = word, 4 = char) where unigram (1) and BPE (2) \
             are supported"
        )),
    };
    let json = json.map_err(|why| fail(format!("{why}{advice}")))?;
    Ok(Converted { json, special: model.special() })
}

impl Model<'_> {
    fn name(&self, id: Option<usize>) -> Option<String> {
        self.pieces.get(id?).map(|piece| piece.text.clone())
    }

    /// The id and the text of the piece for what is unknown.
    fn unknown(&self) -> Option<(usize, &str)> {
        let id = self.pieces.iter().position(|p| p.kind == Kind::Unknown)?;
        Some((id, &self.pieces[id].text))
    }

    fn special(&self) -> Vec<(&'static str, String)> {
        [
            ("bos_token", self.name(self.bos)),
            ("eos_token", self.name(self.eos)),
            ("pad_token", self.name(self.pad)),
            ("unk_token", self.unknown().map(|(_, text)| text.to_owned())),
        ]
        .into_iter()
        .filter_map(|(role, name)| name.map(|n| (role, n)))
        .collect()
    }

    /// The pieces that are recognised as they stand in a text.
    fn added_tokens(&self) -> Vec<Value> {
        let added = |p: &Piece| matches!(p.kind, Kind::Control | Kind::Unknown | Kind::UserDefined);
        let all = self.pieces.iter().enumerate().filter(|(_, p)| added(p));
        all.map(|(id, p)| added_token(id, &p.text, p.kind != Kind::UserDefined)).collect()
    }
}

fn added_token(id: usize, text: &str, special: bool) -> Value {
    json!({
        "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": special,
    })
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

fn bos_processor(model: &Model) -> Value {
    let Some((text, id)) = model.name(model.bos).zip(model.bos) else { return Value::Null };
    let special = json!({"SpecialToken": {"id": text, "type_id": 0}});
    json!({
        "type": "TemplateProcessing",
        "single": [special, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [
            special, {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": text, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {&text: {"id": text, "ids": [id], "tokens": [text]}},
    })
}

fn parse(bytes: &[u8]) -> Result<Model<'_>, String> {
    let mut model = Model {
        pieces: Vec::new(),
        model_type: 1,
        byte_fallback: false,
        bos: Some(1),
        eos: Some(2),
        pad: None,
        charsmap: &[],
        dummy_prefix: true,
        remove_extra_spaces: true,
        escape_spaces: true,
        space_as_suffix: false,
    };
    // Ids are proto int32: a negative one ("none") arrives as a huge unsigned number.
    let id = |v: u64| usize::try_from(v).ok().filter(|&v| v < MAX_PIECES);
    let mut settings = [false; 2];
    for field in fields(bytes) {
        match field? {
            (1, Wire::Bytes(piece)) => {
                if model.pieces.len() == MAX_PIECES {
                    return Err(format!("more than {MAX_PIECES} pieces"));
                }
                model.pieces.push(parse_piece(piece, model.pieces.len())?);
            }
            (2, Wire::Bytes(trainer)) => {
                settings[0] = true;
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
                settings[1] = true;
                for field in fields(rules) {
                    match field? {
                        (2, Wire::Bytes(map)) => model.charsmap = map,
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
    // They follow the pieces: without them the file may have been cut between two pieces.
    if settings != [true; 2] {
        return Err("it ends before the settings of its trainer and its normalizer".into());
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
