//! Labelled records into examples for classification, and sources with their targets.

use serde::{Deserialize, Serialize};

use super::encode::label_of;
use super::{
    Encode, Example, IGNORED, LabelMap, LabeledText, Pieces, Problem, SourceTarget, TaggedWords,
    Tokenizer,
};
use crate::{Error, Result};

/// Encodes texts, or pairs of texts, with a label for the whole sequence.
///
/// The special tokens and the token types (0 for the first text, 1 for the second) are those of the
/// tokenizer. A single text loses its end, of a pair the longer text does ("longest first").
#[derive(Clone, Debug)]
pub struct SequenceEncoder {
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    /// The classes; empty for the regression of one value.
    pub labels: LabelMap,
    /// What the labels stand for.
    pub problem: Problem,
    /// The most tokens of one example, special tokens included.
    pub max_length: usize,
}

impl Encode<LabeledText> for SequenceEncoder {
    fn check(&self) -> Result<()> {
        if self.labels.is_empty() && self.problem != Problem::Regression {
            return Err(Error::config("labels", "none", "at least one class"));
        }
        check_length("max_length", self.max_length, &self.tokenizer, true)
    }

    fn encode(&self, record: &LabeledText) -> Result<Pieces> {
        let target = self.labels.target(&record.label, self.problem).map_err(Error::Refused)?;
        let second = record.pair.as_deref();
        let room = self.max_length.saturating_sub(self.tokenizer.special_count(second.is_some()));
        let mut first = self.tokenizer.encode(&record.text, false)?;
        let mut second = second.map(|text| self.tokenizer.encode(text, false)).transpose()?;
        let lengths = (first.len(), second.as_ref().map_or(0, Vec::len));
        let kept = match second {
            Some(_) => longest_first(lengths.0, lengths.1, room),
            None => (lengths.0.min(room), 0),
        };
        first.truncate(kept.0);
        if let Some(second) = &mut second {
            second.truncate(kept.1);
        }
        let (ids, mut types) = self.tokenizer.wrap_pair(&first, second.as_deref())?;
        if ids.is_empty() {
            let why = "the text has no token, and the tokenizer adds none; drop the record";
            return Err(Error::Refused(why.into()));
        }
        if types.iter().all(|&t| t == 0) {
            types.clear();
        }
        let example = Example { ids, types, labels: Vec::new(), target };
        Ok(Pieces { examples: vec![example], trained: 1, truncated: kept != lengths })
    }
}

/// Which tokens of a word carry its tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WordLabels {
    /// The first; the others have no label.
    #[default]
    First,
    /// All. Where the tag begins an entity (`B-X`) and the inside of it is a class (`I-X`), the
    /// tokens after the first get that class, as in transformers' `run_ner.py`.
    All,
}

/// Encodes words with a tag each; special tokens have no label. Long records lose their end.
#[derive(Clone, Debug)]
pub struct TokenEncoder {
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    /// The tags.
    pub labels: LabelMap,
    /// Which tokens of a word carry its tag.
    pub word_labels: WordLabels,
    /// The most tokens of one example, special tokens included.
    pub max_length: usize,
}

impl Encode<TaggedWords> for TokenEncoder {
    fn check(&self) -> Result<()> {
        if self.labels.is_empty() {
            return Err(Error::config("labels", "none", "at least one tag"));
        }
        check_length("max_length", self.max_length, &self.tokenizer, false)
    }

    fn encode(&self, record: &TaggedWords) -> Result<Pieces> {
        let tags = record.tags.iter().map(|tag| self.labels.class(tag));
        let tags: Vec<u32> = tags.collect::<Result<_, _>>().map_err(Error::Refused)?;
        let mut tokens = self.tokenizer.encode_words(&record.words, true)?;
        let truncated = tokens.len() > self.max_length;
        // The last tokens of words go; the special tokens after them stay.
        for at in (0..tokens.len()).rev() {
            if tokens.len() > self.max_length && tokens[at].1.is_some() {
                tokens.remove(at);
            }
        }
        let mut example = Example::default();
        let (mut last, mut trained) = (None, 0);
        for (id, word) in tokens {
            let tag = word.and_then(|word| tags.get(word).copied());
            let label = match (tag, word == last, self.word_labels) {
                (Some(tag), false, _) => label_of(tag)?,
                (Some(tag), true, WordLabels::All) => label_of(self.inside(tag))?,
                _ => IGNORED,
            };
            trained += usize::from(label != IGNORED);
            example.ids.push(id);
            example.labels.push(label);
            last = word;
        }
        let examples = if trained > 0 { vec![example] } else { Vec::new() };
        Ok(Pieces { examples, trained, truncated })
    }
}

impl TokenEncoder {
    /// The tag of the tokens of a word after its first.
    fn inside(&self, tag: u32) -> u32 {
        let entity = self.labels.name(tag).and_then(|name| name.strip_prefix("B-"));
        entity.and_then(|entity| self.labels.id(&format!("I-{entity}"))).unwrap_or(tag)
    }
}

/// Encodes sources and their targets. Both get the special tokens of the tokenizer; the target ends
/// with an end-of-sequence token in any case. Long texts lose their end.
#[derive(Clone, Debug)]
pub struct Seq2SeqEncoder {
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    /// Written before each source, such as T5's `summarize: `.
    pub source_prefix: String,
    /// The most tokens of a source, special tokens included.
    pub max_source_length: usize,
    /// The most tokens of a target, special tokens included.
    pub max_target_length: usize,
}

impl Encode<SourceTarget> for Seq2SeqEncoder {
    fn check(&self) -> Result<()> {
        if self.tokenizer.eos().is_empty() {
            return Err(Error::Tokenizer {
                why: "it has no end-of-sequence token, which targets must end with; name one in \
                      tokenizer_config.json (\"eos_token\")"
                    .into(),
            });
        }
        check_length("max_source_length", self.max_source_length, &self.tokenizer, false)?;
        // One more: the tokenizer may not write the end.
        let target = self.max_target_length.saturating_sub(1);
        check_length("max_target_length", target, &self.tokenizer, false)
    }

    fn encode(&self, record: &SourceTarget) -> Result<Pieces> {
        let source = format!("{}{}", self.source_prefix, record.source);
        let (ids, source_cut) = self.wrapped(&source, self.max_source_length, 0)?;
        let ends = |ids: &[u32]| ids.last().is_some_and(|id| self.tokenizer.eos().contains(id));
        let (mut target, mut target_cut) =
            self.wrapped(&record.target, self.max_target_length, 0)?;
        if !ends(&target) {
            // Room for the end that the tokenizer does not write.
            (target, target_cut) = self.wrapped(&record.target, self.max_target_length, 1)?;
            target.extend(self.tokenizer.eos().first());
        }
        let labels: Vec<i32> = target.into_iter().map(label_of).collect::<Result<_>>()?;
        let (trained, truncated) = (labels.len(), source_cut || target_cut);
        let example = Example::new(ids, labels);
        Ok(Pieces { examples: vec![example], trained, truncated })
    }
}

impl Seq2SeqEncoder {
    /// The tokens of a text within `max_length` less `reserved`, and whether some were cut.
    fn wrapped(&self, text: &str, max_length: usize, reserved: usize) -> Result<(Vec<u32>, bool)> {
        let room = max_length.saturating_sub(self.tokenizer.special_count(false) + reserved);
        let mut ids = self.tokenizer.encode(text, false)?;
        let truncated = ids.len() > room;
        ids.truncate(room);
        Ok((self.tokenizer.wrap_pair(&ids, None)?.0, truncated))
    }
}

/// The lengths of two texts that are cut to `room` tokens together: the longer is cut to the length
/// of the other before both are (as `longest_first` of the tokenizers library).
fn longest_first(first: usize, second: usize, room: usize) -> (usize, usize) {
    if first + second <= room {
        return (first, second);
    }
    let (short, half) = (first.min(second), room / 2);
    let (short, long) = if short <= half { (short, room - short) } else { (half, room - half) };
    if first > second { (long, short) } else { (short, long) }
}

/// Refuses a length without room for one token beside the special tokens.
pub(super) fn check_length(
    field: &str,
    length: usize,
    tokenizer: &Tokenizer,
    pair: bool,
) -> Result<()> {
    let special = tokenizer.special_count(pair);
    if length > special {
        return Ok(());
    }
    Err(Error::config(field, length, format!("more than the {special} special tokens")))
}
