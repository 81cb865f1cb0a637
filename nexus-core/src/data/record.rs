//! Records for language models: text, prompt and completion, or a conversation.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::rows::MAX_ROW_VALUES;
use super::{FromRow, Message};
use crate::json::check_values;

/// One training example of a language model before tokenization. Its shape is known by its keys
/// (or columns):
///
/// - `{"text"}`: [`Record::Text`];
/// - `{"prompt", "completion"}`: strings give [`Record::Completion`]; lists of messages give
///   [`Record::Chat`] in which only the completion's messages are trained;
/// - `{"messages", "tools"?}`: [`Record::Chat`];
/// - `{"instruction", "input"?, "output", "system"?}`: [`Record::Completion`] in the wording of
///   Stanford Alpaca; `system` replaces its first paragraph;
/// - `{"conversations": [{"from", "value"}], "system"?, "tools"?}` (ShareGPT): [`Record::Chat`].
///
/// Other keys are ignored. A list may be written as JSON text, as CSV files must do.
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

impl FromRow for Record {
    const SHAPES: &'static [&'static [&'static str]] = &[
        &["text"],
        &["prompt", "completion"],
        &["messages"],
        &["instruction", "output"],
        &["conversations"],
    ];
    const OPTIONAL: &'static [&'static str] = &["input", "system", "tools", "history"];
    const TEXT: &'static [&'static str] = &["text", "instruction", "output", "input", "system"];

    fn from_row(shape: usize, row: &mut Map<String, Value>) -> Result<Self, String> {
        match Self::SHAPES[shape][0] {
            "text" => Ok(Self::Text { text: take(row, "text")? }),
            "prompt" if row.get("prompt").is_some_and(Value::is_array) => {
                let mut messages: Vec<Message> = take(row, "prompt")?;
                for message in messages.iter_mut().filter(|m| m.role == "assistant") {
                    message.extra.insert("weight".into(), 0.into());
                }
                messages.extend(take::<Vec<Message>>(row, "completion")?);
                chat(messages, row)
            }
            "prompt" => Ok(Self::Completion {
                prompt: take(row, "prompt")?,
                completion: take(row, "completion")?,
            }),
            "messages" => {
                let messages = take_list(row, "messages")?;
                chat(messages, row)
            }
            "instruction" => alpaca(row),
            _ => sharegpt(row),
        }
    }
}

/// Removes a key and gives it its type, or says what the key should hold.
pub(super) fn take<T: DeserializeOwned>(
    object: &mut Map<String, Value>,
    key: &str,
) -> Result<T, String> {
    let value = object.remove(key).unwrap_or_default();
    serde_json::from_value(value).map_err(|e| format!("{key:?}: {e}"))
}

/// As [`take`] for a list, which may be written as JSON text.
pub(super) fn take_list<T: DeserializeOwned>(
    object: &mut Map<String, Value>,
    key: &str,
) -> Result<Vec<T>, String> {
    match object.get(key) {
        Some(Value::String(text)) => {
            check_values(text.as_bytes(), MAX_ROW_VALUES).map_err(|e| format!("{key:?}: {e}"))?;
            serde_json::from_str(text).map_err(|e| format!("{key:?}: not a JSON list: {e}"))
        }
        _ => take(object, key),
    }
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
            check_values(s.as_bytes(), MAX_ROW_VALUES).map_err(|e| format!("\"tools\": {e}"))?;
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
    let empty = |v: &Value| match v {
        Value::Array(turns) => turns.is_empty(),
        Value::String(text) => matches!(text.trim(), "" | "[]"),
        other => other.is_null(),
    };
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
    let turns: Vec<Turn> = take_list(object, "conversations")?;
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
