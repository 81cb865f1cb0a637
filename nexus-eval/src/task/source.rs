//! Texts, targets and choices of documents: fields, templates or fixed values.

use super::keys::Keys;
use super::literal::literal;
use super::yaml::{Node, Place, Yaml};
use crate::Result;
use nexus_core::data::{RecordTemplate, python_str};
use serde_json::{Map, Value};
use std::path::Path;

/// A document: a row of the data.
pub(super) type Row = Map<String, Value>;

/// Where a value of a document comes from, as a task file says it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    place: Place,
    key: &'static str,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// The name of a field, or else a template. The template is kept from the first use on.
    Text(String, Option<Box<RecordTemplate>>),
    Fixed(Value),
}

/// The sources of a task.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    pub(super) text: Option<Source>,
    pub(super) choice: Option<Source>,
    pub(super) target: Option<Source>,
    /// `gen_prefix`, the beginning of the answer.
    pub(super) prefix: Option<Source>,
}

/// What `doc_to_text` gives.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Text {
    Plain(String),
    /// The place of the right one of several contexts, which `doc_to_choice` gives.
    Place(usize),
}

impl Sources {
    pub(super) fn read(keys: &mut Keys) -> Result<Self> {
        let mut source = |key| keys.take(key).map(|node| Source::read(&node, key)).transpose();
        Ok(Self {
            text: source("doc_to_text")?,
            choice: source("doc_to_choice")?,
            target: source("doc_to_target")?,
            prefix: source("gen_prefix")?,
        })
    }

    /// With what is missing taken from `others`.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            text: self.text.or(others.text),
            choice: self.choice.or(others.choice),
            target: self.target.or(others.target),
            prefix: self.prefix.or(others.prefix),
        }
    }

    /// With every template compiled, where the documents have `fields`.
    pub(super) fn compile(mut self, fields: &[String]) -> Result<Self> {
        let Self { text, choice, target, prefix } = &mut self;
        for source in [text, choice, target, prefix].into_iter().flatten() {
            source.compile(fields)?;
        }
        Ok(self)
    }
}

impl Source {
    fn read(node: &Node, key: &'static str) -> Result<Self> {
        let what = match (&node.value, key) {
            (Yaml::Scalar(Value::String(text)), _) => What::Text(text.clone(), None),
            (Yaml::Scalar(value @ Value::Number(_)), "doc_to_target") if value.is_i64() => {
                What::Fixed(value.clone())
            }
            (Yaml::List(_), "doc_to_choice" | "doc_to_target") => What::Fixed(node.json()),
            // As the harness, which takes the values.
            (Yaml::Map(entries), "doc_to_choice") => {
                What::Fixed(entries.iter().map(|(_, value)| value.json()).collect())
            }
            _ => {
                let forms = match key {
                    "doc_to_text" | "gen_prefix" => "a field or a template",
                    "doc_to_choice" => "a list of texts, a field or a template",
                    _ => "a field, a template, a list, or the index of the right choice",
                };
                return Err(node.place.error(format!("{key:?} must be {forms}")));
            }
        };
        Ok(Self { place: node.place.clone(), key, what })
    }

    /// `description`, compiled.
    pub(super) fn description(path: &Path, text: &str, fields: &[String]) -> Result<Self> {
        let place = Place { path: path.into(), line: 1 };
        let mut source = Self { place, key: "description", what: What::Text(text.into(), None) };
        source.compile(fields)?;
        Ok(source)
    }

    fn compile(&mut self, fields: &[String]) -> Result<()> {
        if let What::Text(text, template @ None) = &mut self.what
            && !fields.contains(text)
        {
            let compiled = RecordTemplate::new(text);
            let compiled =
                compiled.map_err(|why| self.place.error(format!("{}: {why}", self.key)))?;
            *template = Some(Box::new(compiled));
        }
        Ok(())
    }

    /// The value for a document. What a template prints is a text.
    fn value(&self, row: &Row) -> Result<(Value, bool)> {
        match &self.what {
            What::Fixed(value) => Ok((value.clone(), false)),
            What::Text(_, Some(template)) => {
                let text = template.render(row);
                let text = text.map_err(|why| self.place.error(format!("{}: {why}", self.key)))?;
                Ok((text.into(), true))
            }
            What::Text(field, None) => match row.get(field) {
                Some(value) => Ok((value.clone(), false)),
                None => Err(self.place.error(format!("{}: there is no field {field:?}", self.key))),
            },
        }
    }

    /// A text.
    pub(super) fn text(&self, row: &Row) -> Result<String> {
        match self.value(row)?.0 {
            Value::String(text) => Ok(text),
            other => Err(self.place.error(format!(
                "{} gives {}, not a text; print it with a template",
                self.key,
                python_str(&other)
            ))),
        }
    }

    /// `doc_to_text` where there are `choices`: a text, or digits or a number, which are a place among them.
    pub(super) fn text_or_place(&self, row: &Row, choices: &[String]) -> Result<Text> {
        let (value, printed) = self.value(row)?;
        let place = match &value {
            Value::String(text) if printed && is_digits(text) => literal(text),
            Value::String(_) => return Ok(Text::Plain(self.text(row)?)),
            number => Some(number.clone()),
        };
        let place = place.as_ref().and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
        place.filter(|&at| at < choices.len()).map(Text::Place).ok_or_else(|| {
            let (found, count) = (python_str(&value), choices.len());
            self.place.error(format!(
                "doc_to_text gives {found}, neither a text nor the place of one of the {count} contexts of doc_to_choice"
            ))
        })
    }

    /// `doc_to_target`: a text, an index, or a list of either. Digits that a template prints are an index where there are
    /// choices; a list that it prints is a list.
    pub(super) fn target(&self, row: &Row, with_choices: bool) -> Result<Value> {
        let (value, printed) = self.value(row)?;
        let Value::String(text) = &value else { return Ok(value) };
        if printed && with_choices && is_digits(text) {
            let index = literal(text).filter(Value::is_i64);
            return index
                .ok_or_else(|| self.place.error(format!("doc_to_target: {text} is no index")));
        }
        let list = printed && text.len() >= 2 && text.starts_with('[') && text.ends_with(']');
        Ok(literal(text).filter(|_| list).unwrap_or(value))
    }

    /// `doc_to_choice`: texts.
    pub(super) fn choices(&self, row: &Row) -> Result<Vec<String>> {
        let (value, printed) = self.value(row)?;
        let list = match &value {
            Value::String(text) if printed => literal(text),
            _ => Some(value.clone()),
        };
        let texts = |items: &Vec<Value>| {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        };
        let texts = list.as_ref().and_then(Value::as_array).and_then(texts);
        texts.ok_or_else(|| {
            let found = python_str(&value);
            self.place.error(format!("doc_to_choice must give a list of texts; it gives {found}"))
        })
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
