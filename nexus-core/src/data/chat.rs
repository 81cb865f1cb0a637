//! Conversations as text: messages, chat templates, and the text that the assistant writes.

use std::collections::BTreeMap;
use std::ops::Range;

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{generation, jinja};
use crate::{Error, Result};

/// The name under which the template is registered; error messages of the engine show it.
const NAME: &str = "chat_template";

/// The ChatML template, for a model that has no template of its own.
///
/// Never used unless the caller chooses it ([`ChatTemplate::chatml`]): a model that was not trained
/// with it needs its end marker among the tokens that stop generation.
pub const CHATML: &str = "\
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\n' }}
{%- if message['role'] == 'assistant' %}
{%- generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}
{%- else %}
{{- message['content'] + '<|im_end|>' }}
{%- endif %}
{{- '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\n' }}
{%- endif %}";

/// One message of a conversation, as in OpenAI's and Hugging Face's chat formats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, `tool`; templates may know others.
    pub role: String,
    /// A string, a list of content parts, or null beside `tool_calls`.
    #[serde(default)]
    pub content: Json,
    /// All other keys, in their order; `"weight": 0` excludes an assistant message from training.
    #[serde(flatten)]
    pub extra: Map<String, Json>,
}

impl Message {
    /// A message with text content and no further keys.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: Json::String(content.into()), extra: Map::new() }
    }

    /// Whether this is an assistant message that is trained on: its `weight`, if any, is not 0.
    pub fn is_trained(&self) -> bool {
        let weight = self.extra.get("weight").and_then(Json::as_f64);
        self.role == "assistant" && weight != Some(0.0)
    }
}

/// A piece of a rendered conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The text; never empty.
    pub text: String,
    /// Whether the assistant writes it, so that it is trained on.
    pub trained: bool,
}

/// A compiled Jinja chat template, rendered as transformers' `apply_chat_template` does.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    source: String,
    special: BTreeMap<String, String>,
    env: Environment<'static>,
    /// The number of `{% generation %}` blocks in the source.
    generation_blocks: usize,
}

impl ChatTemplate {
    /// Compiles `source`. `special` gives the template's variables, such as `bos_token` and
    /// `eos_token`.
    ///
    /// # Errors
    /// [`Error::Format`] with the place of a syntax error.
    pub fn new(source: &str, special: &BTreeMap<String, String>) -> Result<Self> {
        let (translated, generation_blocks) = generation::translate(source);
        let compile = || {
            let mut env = jinja::environment()?;
            env.add_template_owned(NAME, translated)?;
            Ok(env)
        };
        let env = compile().map_err(|e| failed(&e))?;
        Ok(Self { source: source.to_owned(), special: special.clone(), env, generation_blocks })
    }

    /// The built-in [`CHATML`] template.
    ///
    /// # Errors
    /// None in practice; the signature is that of [`new`](Self::new).
    pub fn chatml() -> Result<Self> {
        Self::new(CHATML, &BTreeMap::new())
    }

    /// The template's source, as given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation. `tools` is a list of JSON schemas; with `add_generation_prompt`
    /// the text ends where the assistant's next message begins.
    ///
    /// # Errors
    /// [`Error::Format`] where the template fails, raises an exception, or exceeds its budget of
    /// work or output.
    pub fn render(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
        add_generation_prompt: bool,
    ) -> Result<String> {
        self.render_marked(messages, tools, add_generation_prompt, None)
    }

    /// The text of a conversation, cut where the assistant's text begins and ends.
    ///
    /// A template with `{% generation %}` blocks says itself what the assistant writes. For others
    /// the text of message `i` is what `messages[..=i]` adds to `messages[..i]` with a generation
    /// prompt. Messages that are not [trained](Message::is_trained) yield untrained text.
    ///
    /// # Errors
    /// [`Error::Format`] as for [`render`](Self::render), and where the trained text cannot be
    /// told from the rest; the remedy is a template with generation blocks.
    pub fn render_segments(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
    ) -> Result<Vec<Segment>> {
        let (text, spans) = match self.generation_blocks {
            0 => self.spans_by_prefix(messages, tools)?,
            _ => self.spans_by_blocks(messages, tools)?,
        };
        Ok(segments(&text, &spans))
    }

    fn render_marked(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
        add_generation_prompt: bool,
        marks: Option<&[String; 2]>,
    ) -> Result<String> {
        let special = Value::from(Serde(&self.special));
        let call = context! {
            messages => Value::from(Serde(messages)),
            tools => Value::from(Serde(tools)),
            documents => Value::from(()),
            add_generation_prompt => add_generation_prompt,
        };
        let marks = Value::from_pairs(
            [jinja::OPEN, jinja::CLOSE].into_iter().zip(marks.into_iter().flatten().cloned()),
        );
        self.env
            .get_template(NAME)
            .and_then(|t| jinja::render(&t, context! { ..call, ..marks, ..special }))
            .map_err(|e| failed(&e))
    }

    fn spans_by_blocks(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
    ) -> Result<(String, Vec<Range<usize>>)> {
        let marks = self.unused_marks(messages, tools);
        let marked = self.render_marked(messages, tools, false, Some(&marks))?;
        let (text, mut spans) = take_marks(&marked, &marks).ok_or_else(|| {
            template_error("its generation blocks do not nest properly in the output".into())
        })?;
        if messages.iter().any(|m| m.role == "assistant" && !m.is_trained()) {
            let of_assistant: Vec<_> = messages.iter().filter(|m| m.role == "assistant").collect();
            if of_assistant.len() != spans.len() {
                return Err(template_error(format!(
                    "a message has \"weight\": 0, which needs one generation block per assistant \
                     message; it gave {} for {} messages",
                    spans.len(),
                    of_assistant.len()
                )));
            }
            let mut trained = of_assistant.iter().map(|m| m.is_trained());
            spans.retain(|_| trained.next() == Some(true));
        }
        Ok((text, spans))
    }

    fn spans_by_prefix(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
    ) -> Result<(String, Vec<Range<usize>>)> {
        let text = self.render(messages, tools, false)?;
        let mut spans = Vec::new();
        for (i, _) in messages.iter().enumerate().filter(|(_, m)| m.is_trained()) {
            let before = self.render(&messages[..i], tools, true)?;
            let with = match i + 1 == messages.len() {
                true => text.clone(),
                false => self.render(&messages[..=i], tools, false)?,
            };
            let end = spans.last().map_or(0, |s: &Range<usize>| s.end);
            if !with.starts_with(&before) || !text.starts_with(&with) || before.len() < end {
                return Err(template_error(format!(
                    "it renders message {} differently when other messages follow, so the \
                     assistant's text cannot be told from the rest; put {{% generation %}} and \
                     {{% endgeneration %}} around the assistant's text in the template, or train \
                     on all text (loss mask `all`)",
                    i + 1
                )));
            }
            spans.push(before.len()..with.len());
        }
        Ok((text, spans))
    }

    /// Two marks that occur in nothing that the template can print.
    fn unused_marks(&self, messages: &[Message], tools: Option<&Json>) -> [String; 2] {
        let inputs = serde_json::to_string(&(messages, tools, &self.special)).unwrap_or_default();
        let free = |mark: &String| !inputs.contains(mark) && !self.source.contains(mark);
        let mut n = 0usize;
        loop {
            let marks = ["<", ">"].map(|side| format!("\u{e000}{side}{n}\u{e001}"));
            if marks.iter().all(free) {
                return marks;
            }
            n += 1;
        }
    }
}

/// Removes the marks; returns the text and the outermost marked ranges of it.
fn take_marks(marked: &str, [open, close]: &[String; 2]) -> Option<(String, Vec<Range<usize>>)> {
    let (mut text, mut spans) = (String::with_capacity(marked.len()), Vec::new());
    let (mut depth, mut start, mut rest) = (0usize, 0, marked);
    while let Some(at) = rest.find('\u{e000}') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix(open.as_str()) {
            if depth == 0 {
                start = text.len();
            }
            depth += 1;
            rest = after;
        } else if let Some(after) = rest.strip_prefix(close.as_str()) {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                spans.push(start..text.len());
            }
            rest = after;
        } else {
            text.push('\u{e000}');
            rest = &rest['\u{e000}'.len_utf8()..];
        }
    }
    text.push_str(rest);
    (depth == 0).then_some((text, spans))
}

fn segments(text: &str, spans: &[Range<usize>]) -> Vec<Segment> {
    let mut all = Vec::new();
    let mut push = |range: Range<usize>, trained| {
        if !range.is_empty() {
            all.push(Segment { text: text[range].to_owned(), trained });
        }
    };
    let mut at = 0;
    for span in spans {
        push(at..span.start, false);
        push(span.clone(), true);
        at = span.end;
    }
    push(at..text.len(), false);
    all
}

fn template_error(why: String) -> Error {
    Error::format("chat template", why)
}

/// The engine's message, its line, and the causes below it.
fn failed(error: &minijinja::Error) -> Error {
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        why.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    template_error(why)
}
