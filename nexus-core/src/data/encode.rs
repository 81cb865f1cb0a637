//! Records into token ids and labels.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::example::cut;
use super::{Example, IGNORED, Located, Record, Tokenizer};
use crate::{Error, Result};

/// Work for a thread: long enough that starting the thread does not matter.
const RECORDS_PER_THREAD: usize = 32;

/// Which text is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossMask {
    /// All text.
    All,
    /// What follows the prompt; of a conversation, the assistant's last text.
    Completion,
    /// All text of the assistant; of a prompt and completion, the completion.
    Assistant,
}

/// What happens to a record that is longer than `max_length`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// Its end is cut off.
    Truncate,
    /// Text is cut into consecutive pieces of `max_length`; other records are truncated, because
    /// their later pieces would lack the prompt.
    #[default]
    Split,
}

/// How records are encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The most tokens of one example; at least 2. Default 1024.
    pub max_length: usize,
    /// Which text is trained. By default (`None`) what is natural for the record: all of a text,
    /// the completion after a prompt, the assistant's part of a conversation.
    pub mask: Option<LossMask>,
    /// What happens to longer records. Default [`Overflow::Split`].
    pub overflow: Overflow,
    /// Whether texts and completions end with an end-of-sequence token. Default true. In a
    /// conversation the chat template writes it.
    pub add_eos: bool,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { max_length: 1024, mask: None, overflow: Overflow::Split, add_eos: true }
    }
}

/// Encoded records, and what became of the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    /// The examples, in the records' order; each has at least one trained token.
    pub examples: Vec<Example>,
    /// The records that were dropped because nothing of them is trained.
    pub untrainable: usize,
    /// The records that lost their end.
    pub truncated: usize,
    /// The tokens of all examples.
    pub tokens: usize,
    /// The trained tokens of all examples.
    pub trained_tokens: usize,
}

/// Encodes records; `path` is their file, for error messages.
///
/// The whole text of a record is encoded at once, so that tokens do not depend on where the mask
/// begins; a token is trained when it overlaps trained text. Raw text gets the special tokens that
/// the tokenizer adds; text from a chat template gets none but its own. A text never begins with
/// two beginning-of-sequence tokens.
///
/// # Errors
/// [`Error::Config`] for a setting out of range; [`Error::Data`] where a record cannot be encoded
/// or no record has a trained token; [`Error::Tokenizer`] where the tokenizer lacks what the
/// records need (an end-of-sequence token, a chat template).
pub fn encode_records(
    records: &[Located],
    tokenizer: &Tokenizer,
    options: &EncodeOptions,
    path: &Path,
) -> Result<Encoded> {
    if options.max_length < 2 {
        return Err(Error::config("max_length", options.max_length, "at least 2 tokens"));
    }
    let fail = |line, why: String| Error::Data { path: path.into(), line, why };
    let mut out = Encoded::default();
    let encoded = encode_all(records, tokenizer, options);
    for (Located { record, line }, example) in std::iter::zip(records, encoded) {
        let example = example.map_err(|e| match e {
            e @ (Error::Tokenizer { .. } | Error::Config { .. }) => e,
            other => fail(*line, other.to_string()),
        })?;
        let split = options.overflow == Overflow::Split && matches!(record, Record::Text { .. });
        if !split && example.ids.len() > options.max_length {
            out.truncated += 1;
        }
        let pieces = if split { usize::MAX } else { 1 };
        let before = out.examples.len();
        let pieces = cut(&example, options.max_length).take(pieces);
        out.examples.extend(pieces.filter(|e| e.trained_tokens() > 0));
        out.untrainable += usize::from(out.examples.len() == before);
    }
    if out.examples.is_empty() {
        return Err(fail(
            0,
            match records.len() {
                0 => "there are no records".into(),
                n => format!(
                    "none of the {n} records has a trained token within {} tokens; raise \
                 --max-length, shorten the prompts, or train on all text (loss mask `all`)",
                    options.max_length
                ),
            },
        ));
    }
    out.tokens = out.examples.iter().map(|e| e.ids.len()).sum();
    out.trained_tokens = out.examples.iter().map(Example::trained_tokens).sum();
    Ok(out)
}

/// Encodes on all processors; one result per record, in their order.
fn encode_all(
    records: &[Located],
    tokenizer: &Tokenizer,
    options: &EncodeOptions,
) -> Vec<Result<Example>> {
    let one = |located: &Located| encode_record(&located.record, tokenizer, options);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    if threads == 1 || records.len() < RECORDS_PER_THREAD * 2 {
        return records.iter().map(one).collect();
    }
    // Small chunks, dealt out in turn: records of one kind and length often stand together.
    let chunks: Vec<&[Located]> = records.chunks(RECORDS_PER_THREAD).collect();
    let mut slots: Vec<Vec<Result<Example>>> = chunks.iter().map(|_| Vec::new()).collect();
    std::thread::scope(|scope| {
        let mut shares: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
        for (i, work) in std::iter::zip(&chunks, &mut slots).enumerate() {
            shares[i % threads].push(work);
        }
        for share in shares {
            scope.spawn(move || {
                for (chunk, slot) in share {
                    *slot = chunk.iter().map(one).collect();
                }
            });
        }
    });
    slots.into_iter().flatten().collect()
}

fn encode_record(
    record: &Record,
    tokenizer: &Tokenizer,
    options: &EncodeOptions,
) -> Result<Example> {
    match record {
        Record::Text { text } => {
            if let Some(mask @ (LossMask::Completion | LossMask::Assistant)) = options.mask {
                let value = format!("{mask:?}").to_lowercase();
                return Err(Error::config("mask", value, "all, as a text has no prompt"));
            }
            encode_raw(text, None, tokenizer, options)
        }
        Record::Completion { prompt, completion } => {
            let text = format!("{prompt}{completion}");
            let trained = match options.mask {
                Some(LossMask::All) => None,
                _ => Some(prompt.len()..text.len()),
            };
            encode_raw(&text, trained, tokenizer, options)
        }
        Record::Chat { messages, tools } => {
            let template = tokenizer.chat_template().ok_or_else(|| Error::Tokenizer {
                why: "the model has no chat template, which conversations need; put a \
                      chat_template.jinja into its folder or choose one (ChatTemplate::chatml)"
                    .into(),
            })?;
            let mut text = String::new();
            let mut trained = Vec::new();
            if options.mask == Some(LossMask::All) {
                text = template.render(messages, tools.as_ref(), false)?;
                trained.push(0..text.len());
            } else {
                for segment in template.render_segments(messages, tools.as_ref())? {
                    let start = text.len();
                    text.push_str(&segment.text);
                    if segment.trained {
                        trained.push(start..text.len());
                    }
                }
                if options.mask == Some(LossMask::Completion) {
                    trained.drain(..trained.len().saturating_sub(1));
                }
            }
            encode_text(&text, &trained, false, tokenizer)
        }
    }
}

/// Encodes text that no template wrote; `trained` is `None` where all of it is trained.
fn encode_raw(
    text: &str,
    trained: Option<Range<usize>>,
    tokenizer: &Tokenizer,
    options: &EncodeOptions,
) -> Result<Example> {
    let mut example = match trained {
        None => {
            let mut example = encode_text(text, &[], true, tokenizer)?;
            example.labels = labels(&example.ids)?;
            example
        }
        Some(span) => encode_text(text, &[span], true, tokenizer)?,
    };
    if options.add_eos {
        let Some(&eos) = tokenizer.eos().first() else {
            return Err(Error::Tokenizer {
                why: "it has no end-of-sequence token, which texts must end with; name one in \
                      tokenizer_config.json (\"eos_token\") or turn add_eos off"
                    .into(),
            });
        };
        match example.ids.last().zip(example.labels.last_mut()) {
            // The stop is trained like any other, whoever wrote it.
            Some((last, label)) if tokenizer.eos().contains(last) => *label = label_of(*last)?,
            _ => {
                example.ids.push(eos);
                example.labels.push(label_of(eos)?);
            }
        }
    }
    Ok(example)
}

/// Encodes text; a token is trained when it ends after the start of a trained range and starts
/// before its end.
fn encode_text(
    text: &str,
    trained: &[Range<usize>],
    add_special: bool,
    tokenizer: &Tokenizer,
) -> Result<Example> {
    let mut tokens = tokenizer.encode_with_offsets(text, add_special)?;
    if let [first, second, ..] = tokens.as_slice()
        && Some(first.0) == tokenizer.bos()
        && first.0 == second.0
    {
        tokens.remove(0);
    }
    let mut example = Example::default();
    let mut from = 0;
    for (id, (start, end)) in tokens {
        // Tokens and ranges are both in order: ranges that end before this token are done with.
        while trained.get(from).is_some_and(|range| range.end <= start) {
            from += 1;
        }
        let hit = trained.get(from).is_some_and(|range| end > range.start && start < range.end);
        example.ids.push(id);
        example.labels.push(if hit { label_of(id)? } else { IGNORED });
    }
    Ok(example)
}

fn labels(ids: &[u32]) -> Result<Vec<i32>> {
    ids.iter().map(|&id| label_of(id)).collect()
}

fn label_of(id: u32) -> Result<i32> {
    i32::try_from(id)
        .map_err(|_| Error::Tokenizer { why: format!("token id {id} exceeds {}", i32::MAX) })
}
