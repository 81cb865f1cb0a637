//! Records with labels, and pairs of a source and its target.

use serde_json::{Map, Value};

use super::record::{take, take_list};
use super::rows::MAX_ROW_VALUES;
use super::{FromRow, Label};
use crate::json::check_values;

/// A text, or a pair of texts, with its label: `{"text", "label"}` or
/// `{"text_a", "text_b", "label"}`. A list of labels may be written as JSON text.
#[derive(Clone, Debug, PartialEq)]
pub struct LabeledText {
    /// The text, or the first of a pair.
    pub text: String,
    /// The second of a pair.
    pub pair: Option<String>,
    /// What the text stands for.
    pub label: Label,
}

/// Words with a tag each: `{"tokens", "tags"}`. Either list may be written as JSON text.
#[derive(Clone, Debug, PartialEq)]
pub struct TaggedWords {
    /// The words.
    pub words: Vec<String>,
    /// One tag per word.
    pub tags: Vec<Label>,
}

/// A text and the text to produce from it: `{"source", "target"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTarget {
    /// What is given.
    pub source: String,
    /// What is to be produced.
    pub target: String,
}

/// Records that have labels.
pub trait Labeled {
    /// All labels of the record.
    fn labels(&self) -> &[Label];
}

impl FromRow for LabeledText {
    const SHAPES: &'static [&'static [&'static str]] =
        &[&["text", "label"], &["text_a", "text_b", "label"]];
    const OPTIONAL: &'static [&'static str] = &[];
    const TEXT: &'static [&'static str] = &["text", "text_a", "text_b"];

    fn from_row(shape: usize, row: &mut Map<String, Value>) -> Result<Self, String> {
        let (text, pair) = match shape {
            0 => (take(row, "text")?, None),
            _ => (take(row, "text_a")?, Some(take(row, "text_b")?)),
        };
        let mut label = row.remove("label").unwrap_or_default();
        // Files without lists hold them as JSON text.
        if let Value::String(text) = &label
            && check_values(text.as_bytes(), MAX_ROW_VALUES).is_ok()
            && let Ok(list @ Value::Array(_)) = serde_json::from_str(text)
        {
            label = list;
        }
        let label = Label::try_from(label).map_err(|why| format!("\"label\": {why}"))?;
        Ok(Self { text, pair, label })
    }
}

impl Labeled for LabeledText {
    fn labels(&self) -> &[Label] {
        match &self.label {
            Label::List(labels) => labels,
            one => std::slice::from_ref(one),
        }
    }
}

impl FromRow for TaggedWords {
    const SHAPES: &'static [&'static [&'static str]] = &[&["tokens", "tags"]];
    const OPTIONAL: &'static [&'static str] = &[];
    const TEXT: &'static [&'static str] = &[];

    fn from_row(_shape: usize, row: &mut Map<String, Value>) -> Result<Self, String> {
        let words: Vec<String> = take_list(row, "tokens")?;
        let tags = take_list::<Value>(row, "tags")?.into_iter().map(Label::try_from);
        let tags: Vec<Label> =
            tags.collect::<Result<_, _>>().map_err(|why| format!("\"tags\": {why}"))?;
        if words.is_empty() {
            return Err("\"tokens\" is empty; drop the record".into());
        }
        if words.len() != tags.len() {
            return Err(format!(
                "there are {} tokens but {} tags; each token needs one tag",
                words.len(),
                tags.len()
            ));
        }
        Ok(Self { words, tags })
    }
}

impl Labeled for TaggedWords {
    fn labels(&self) -> &[Label] {
        &self.tags
    }
}

impl FromRow for SourceTarget {
    const SHAPES: &'static [&'static [&'static str]] = &[&["source", "target"]];
    const OPTIONAL: &'static [&'static str] = &[];
    const TEXT: &'static [&'static str] = &["source", "target"];

    fn from_row(_shape: usize, row: &mut Map<String, Value>) -> Result<Self, String> {
        Ok(Self { source: take(row, "source")?, target: take(row, "target")? })
    }
}
