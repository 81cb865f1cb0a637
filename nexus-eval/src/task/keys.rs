//! The keys of a mapping in a task file, each asked for by its name; what nobody asked for is an error.

use super::yaml::{Node, Place, Yaml};
use crate::Result;
use serde_json::Value;

pub(super) struct Keys {
    /// Where the mapping stands.
    pub(super) place: Place,
    entries: Vec<(String, Node)>,
    asked: Vec<&'static str>,
}

impl Keys {
    /// The keys of a mapping; `what` names it.
    pub(super) fn of(node: Node, what: &str) -> Result<Self> {
        match node.value {
            Yaml::Map(entries) => Ok(Self { place: node.place, entries, asked: Vec::new() }),
            _ => Err(node.place.error(format!("{what} must be a mapping of keys to values"))),
        }
    }

    /// The value of a key; `None` where it is absent or null.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Node> {
        self.asked.push(key);
        self.remove(key)
    }

    /// As [`take`](Self::take), of a key that no message offers.
    pub(super) fn remove(&mut self, key: &str) -> Option<Node> {
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        let (_, node) = self.entries.remove(at);
        (!matches!(node.value, Yaml::Scalar(Value::Null))).then_some(node)
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>> {
        self.take(key).map(|node| text(&node, key)).transpose()
    }

    /// A text that is needed.
    pub(super) fn needed_text(&mut self, key: &'static str) -> Result<String> {
        let place = self.place.clone();
        self.text(key)?.ok_or_else(|| place.error(format!("the key {key:?} is missing")))
    }

    /// A text, or a list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Result<Option<Vec<String>>> {
        self.take(key).map(|node| texts(&node, key)).transpose()
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Result<Option<bool>> {
        let Some(node) = self.take(key) else { return Ok(None) };
        match node.value {
            Yaml::Scalar(Value::Bool(value)) => Ok(Some(value)),
            _ => Err(node.place.error(format!("{key:?} must be true or false"))),
        }
    }

    pub(super) fn count(&mut self, key: &'static str) -> Result<Option<usize>> {
        let Some(node) = self.take(key) else { return Ok(None) };
        let value = match &node.value {
            Yaml::Scalar(value) => value.as_u64().and_then(|value| usize::try_from(value).ok()),
            _ => None,
        };
        let why = || node.place.error(format!("{key:?} must be a whole number from 0 on"));
        value.ok_or_else(why).map(Some)
    }

    /// A number, which may be written as a text: `1e-5` is one to YAML 1.1.
    pub(super) fn number(&mut self, key: &'static str) -> Result<Option<f64>> {
        let Some(node) = self.take(key) else { return Ok(None) };
        let value = match &node.value {
            Yaml::Scalar(Value::Number(value)) => value.as_f64(),
            Yaml::Scalar(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let value = value.filter(|value: &f64| value.is_finite());
        value.ok_or_else(|| node.place.error(format!("{key:?} must be a number"))).map(Some)
    }

    /// The entries of a list of mappings.
    pub(super) fn mappings(&mut self, key: &'static str) -> Result<Option<Vec<Self>>> {
        let Some(node) = self.take(key) else { return Ok(None) };
        match node.value {
            Yaml::List(items) if !items.is_empty() => {
                let what = format!("an entry of {key:?}");
                items.into_iter().map(|item| Self::of(item, &what)).collect::<Result<_>>().map(Some)
            }
            _ => Err(node.place.error(format!("{key:?} must be a list of mappings"))),
        }
    }

    /// Refuses what is left over.
    pub(super) fn finish(self, what: &str) -> Result<()> {
        let Some((name, node)) = self.entries.first() else { return Ok(()) };
        let known = self.asked.join(", ");
        Err(node.place.error(format!("unknown key {name:?} of {what}; the keys are {known}")))
    }
}

pub(super) fn text(node: &Node, key: &str) -> Result<String> {
    match &node.value {
        Yaml::Scalar(Value::String(text)) => Ok(text.clone()),
        _ => Err(node.place.error(format!("{key:?} must be a text; put it in quotes"))),
    }
}

pub(super) fn texts(node: &Node, key: &str) -> Result<Vec<String>> {
    match &node.value {
        Yaml::List(items) => items.iter().map(|item| text(item, key)).collect(),
        _ => Ok(vec![text(node, key)?]),
    }
}
