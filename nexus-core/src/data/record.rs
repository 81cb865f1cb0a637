//! Data files into records: text, prompt and completion, or a conversation.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Message;
use crate::{Error, Result};

/// Longer lines are refused before they are held in memory.
const MAX_LINE_BYTES: usize = 16 << 20;
/// A text file is one record, encoded at once, which takes some 30 times its size in memory.
const MAX_TEXT_BYTES: u64 = 64 << 20;

const SHAPES: &str = "{\"text\"}, {\"prompt\", \"completion\"}, {\"messages\"}, \
                      {\"instruction\", \"output\"} or {\"conversations\"}";

/// One training example before tokenization.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Plain text, trained as a whole.
    Text {
        /// The text.
        text: String,
    },
    /// A prompt and what should follow it; only the completion is trained by default.
    Completion {
        /// The text that is given.
        prompt: String,
        /// The text that follows it directly.
        completion: String,
    },
    /// A conversation; only what the assistant says is trained by default.
    Chat {
        /// The messages in their order.
        messages: Vec<Message>,
        /// The JSON schemas of the tools that the assistant may call.
        tools: Option<Value>,
    },
}

/// A record and where it stands in its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// The record.
    pub record: Record,
    /// Its line, counted from 1.
    pub line: usize,
}

/// Reads a data file by its extension: `.jsonl` and `.json` hold one JSON object a line
/// ([`read_jsonl`]), `.txt` holds text ([`read_text`]).
///
/// # Errors
/// As those two; [`Error::Format`] for another extension.
pub fn read_records(path: &Path) -> Result<Vec<Located>> {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("jsonl" | "json") => read_jsonl(path),
        Some("txt") => read_text(path),
        _ => Err(Error::format(path, "the extension must be .jsonl, .json (JSON lines) or .txt")),
    }
}

/// Reads a whole text file as one [`Record::Text`], paragraphs and line ends kept.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] where the file is over 64 MiB, is not UTF-8 or holds only white
/// space.
pub fn read_text(path: &Path) -> Result<Vec<Located>> {
    let fail = |line, why: String| Error::Data { path: path.into(), line, why };
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        return Err(fail(
            0,
            "the file is over 64 MiB; write it as JSON lines, one {\"text\"} a document".into(),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&b| b == b'\n').count();
        fail(line, "not UTF-8; convert the file to UTF-8".into())
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
    if text.trim().is_empty() {
        return Err(fail(0, "the file is empty".into()));
    }
    Ok(vec![Located { record: Record::Text { text }, line: 1 }])
}

/// Reads a file with one JSON object a line. The shape of each record is known by its keys:
///
/// - `{"text"}`: [`Record::Text`];
/// - `{"prompt", "completion"}`: strings give [`Record::Completion`]; lists of messages give
///   [`Record::Chat`] in which only the completion's messages are trained;
/// - `{"messages", "tools"?}`: [`Record::Chat`];
/// - `{"instruction", "input"?, "output", "system"?}`: [`Record::Completion`] in the wording of
///   Stanford Alpaca; `system` replaces its first paragraph;
/// - `{"conversations": [{"from", "value"}], "system"?, "tools"?}` (ShareGPT): [`Record::Chat`].
///
/// Other keys are ignored, empty lines skipped, a byte order mark tolerated.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] with the line where a line is not a JSON object, is over 16 MiB,
/// or has an unknown or ambiguous shape, and where the file holds no record.
pub fn read_jsonl(path: &Path) -> Result<Vec<Located>> {
    let records = read_json_lines(path, record)?;
    Ok(records.into_iter().map(|(line, record)| Located { record, line }).collect())
}

/// Reads a file with one JSON object a line and gives each, as `parse` understands it, with its line, counted from 1.
/// Empty lines are skipped, a byte order mark is tolerated.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] with the line where a line is not a JSON object, is over 16 MiB or is refused by
/// `parse`, whose text becomes the reason, and where the file holds no object.
pub fn read_json_lines<T>(
    path: &Path,
    mut parse: impl FnMut(Map<String, Value>) -> Result<T, String>,
) -> Result<Vec<(usize, T)>> {
    let fail = |line, why: String| Error::Data { path: path.into(), line, why };
    let mut reader = BufReader::new(File::open(path).map_err(Error::io("read", path))?);
    let (mut records, mut bytes, mut line) = (Vec::new(), Vec::new(), 0);
    loop {
        bytes.clear();
        let limit = MAX_LINE_BYTES as u64 + 1;
        let read = (&mut reader).take(limit).read_until(b'\n', &mut bytes);
        if read.map_err(Error::io("read", path))? == 0 {
            break;
        }
        line += 1;
        if bytes.len() > MAX_LINE_BYTES {
            return Err(fail(line, "the line is over 16 MiB; split the record".into()));
        }
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| fail(line, "not UTF-8; convert the file to UTF-8".into()))?;
        let text = if line == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        if text.trim().is_empty() {
            continue;
        }
        if line == 1 && text.trim_start().starts_with('[') {
            let why = "the file is one JSON array; write one object a line (jq -c '.[]')";
            return Err(fail(line, why.into()));
        }
        let object = serde_json::from_str::<Map<String, Value>>(text).map_err(|e| {
            // The parser counts lines within this one line; only the column says something.
            let what = e.to_string();
            let what = what.split(" at line ").next().unwrap_or_default();
            fail(line, format!("column {}: {what}; each line must be one JSON object", e.column()))
        })?;
        records.push((line, parse(object).map_err(|why| fail(line, why))?));
    }
    if records.is_empty() {
        return Err(fail(0, "the file holds no record".into()));
    }
    Ok(records)
}

fn record(mut object: Map<String, Value>) -> Result<Record, String> {
    let has = |key| object.contains_key(key);
    let shapes = [
        has("text"),
        has("prompt") && has("completion"),
        has("messages"),
        has("instruction") && has("output"),
        has("conversations"),
    ];
    if shapes.iter().filter(|&&s| s).count() != 1 {
        let keys: Vec<_> = object.keys().map(|k| format!("{k:?}")).collect();
        let what = if shapes.contains(&true) { "ambiguous" } else { "unknown" };
        let keys = keys.join(", ");
        return Err(format!(
            "{what} record with the keys [{keys}]: expected exactly one of {SHAPES}"
        ));
    }
    match shapes.iter().position(|&s| s) {
        Some(0) => Ok(Record::Text { text: take(&mut object, "text")? }),
        Some(1) if object["prompt"].is_array() => {
            let mut messages: Vec<Message> = take(&mut object, "prompt")?;
            for message in messages.iter_mut().filter(|m| m.role == "assistant") {
                message.extra.insert("weight".into(), 0.into());
            }
            messages.extend(take::<Vec<Message>>(&mut object, "completion")?);
            chat(messages, &mut object)
        }
        Some(1) => Ok(Record::Completion {
            prompt: take(&mut object, "prompt")?,
            completion: take(&mut object, "completion")?,
        }),
        Some(2) => {
            let messages = take(&mut object, "messages")?;
            chat(messages, &mut object)
        }
        Some(3) => alpaca(&mut object),
        _ => sharegpt(&mut object),
    }
}

/// Removes a key and gives it its type, or says what the key should hold.
fn take<T: DeserializeOwned>(object: &mut Map<String, Value>, key: &str) -> Result<T, String> {
    let value = object.remove(key).unwrap_or_default();
    serde_json::from_value(value).map_err(|e| format!("{key:?}: {e}"))
}

fn chat(messages: Vec<Message>, object: &mut Map<String, Value>) -> Result<Record, String> {
    if messages.is_empty() {
        return Err("the conversation has no messages".into());
    }
    let tools = match object.remove("tools") {
        None | Some(Value::Null) => None,
        // Some data sets store the list as a string, to keep one column type.
        Some(Value::String(s)) if s.trim().is_empty() => None,
        Some(Value::String(s)) => {
            Some(serde_json::from_str(&s).map_err(|e| format!("\"tools\": not JSON: {e}"))?)
        }
        Some(tools) => Some(tools),
    };
    match tools {
        Some(tools) if !tools.is_array() => Err("\"tools\" must be a list".into()),
        tools => Ok(Record::Chat { messages, tools }),
    }
}

/// The prompt of Stanford Alpaca (Taori et al. 2023), with and without input.
fn alpaca(object: &mut Map<String, Value>) -> Result<Record, String> {
    let empty = |v: &Value| matches!(v, Value::Null) || v.as_array().is_some_and(Vec::is_empty);
    if object.get("history").is_some_and(|h| !empty(h)) {
        return Err("\"history\" is not supported; write the turns as {\"messages\"}".into());
    }
    let instruction: String = take(object, "instruction")?;
    let input = take::<Option<String>>(object, "input")?.filter(|s| !s.is_empty());
    let system = take::<Option<String>>(object, "system")?.filter(|s| !s.is_empty());
    let with_input =
        if input.is_some() { ", paired with an input that provides further context" } else { "" };
    let preamble = system.unwrap_or_else(|| {
        format!(
            "Below is an instruction that describes a task{with_input}. Write a response that \
             appropriately completes the request."
        )
    });
    let input = input.map(|i| format!("### Input:\n{i}\n\n")).unwrap_or_default();
    Ok(Record::Completion {
        prompt: format!("{preamble}\n\n### Instruction:\n{instruction}\n\n{input}### Response:\n"),
        completion: take(object, "output")?,
    })
}

#[derive(serde::Deserialize)]
struct Turn {
    from: String,
    value: String,
}

fn sharegpt(object: &mut Map<String, Value>) -> Result<Record, String> {
    let turns: Vec<Turn> = take(object, "conversations")?;
    let system = take::<Option<String>>(object, "system")?.filter(|s| !s.is_empty());
    let mut messages: Vec<Message> =
        system.into_iter().map(|text| Message::new("system", text)).collect();
    for Turn { from, value } in turns {
        let role = match from.as_str() {
            "human" | "user" => "user",
            // A call is text that the assistant writes, kept as it stands in the data.
            "gpt" | "assistant" | "function_call" => "assistant",
            "system" => "system",
            "observation" | "tool" => "tool",
            other => {
                return Err(format!(
                    "\"from\": {other:?} is not one of human, user, gpt, assistant, system, \
                     function_call, observation, tool"
                ));
            }
        };
        messages.push(Message::new(role, value));
    }
    chat(messages, object)
}
