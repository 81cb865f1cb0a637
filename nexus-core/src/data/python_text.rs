//! Values as Python writes them: `json.dumps`, `repr` and floats.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Serde, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::jinja::charge;

/// `json.dumps` as transformers calls it: no HTML escapes, and the separators of Python.
pub(super) fn tojson(
    state: &State,
    value: &Value,
    indent: Option<Value>,
    kw: Kwargs,
) -> Result<String, Error> {
    // transformers' first positional parameter is ensure_ascii; no template passes it by position.
    let indent: Option<Value> = match indent {
        Some(indent) => Some(indent),
        None => kw.get("indent")?,
    };
    let indent = indent.filter(|v| !v.is_none() && !v.is_undefined());
    let separators: Option<Vec<String>> = kw.get("separators")?;
    let style = JsonStyle {
        ascii: kw.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort: kw.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        item: match separators.as_deref() {
            Some([item, _]) => item.clone(),
            _ if indent.is_some() => ",".into(),
            _ => ", ".into(),
        },
        colon: match separators.as_deref() {
            Some([_, colon]) => colon.clone(),
            _ => ": ".into(),
        },
        indent: indent.map(usize::try_from).transpose()?.map(|n| n.min(64)),
    };
    kw.assert_all_used()?;
    let json = serde_json::to_value(value)
        .map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))?;
    let mut out = String::new();
    style.write(&json, 0, &mut out);
    charge(state, out.len())?;
    Ok(out)
}

/// `json.dumps(value, indent=indent, ensure_ascii=False)`.
pub fn python_json(value: &serde_json::Value, indent: Option<usize>) -> String {
    let item = if indent.is_some() { "," } else { ", " };
    let style =
        JsonStyle { ascii: false, sort: false, item: item.into(), colon: ": ".into(), indent };
    let mut out = String::new();
    style.write(value, 0, &mut out);
    out
}

/// What Jinja2's own `tojson` writes: sorted keys, and escapes for what means something to HTML.
pub(super) fn htmlsafe_json(value: &Value, indent: Option<usize>) -> Result<String, Error> {
    let json = serde_json::to_value(value)
        .map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))?;
    let item = if indent.is_some() { "," } else { ", " };
    let indent = indent.map(|n| n.min(64));
    let style =
        JsonStyle { ascii: true, sort: true, item: item.into(), colon: ": ".into(), indent };
    let mut out = String::new();
    style.write(&json, 0, &mut out);
    let escaped = [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\'', "\\u0027")];
    Ok(escaped.iter().fold(out, |text, (c, escape)| text.replace(*c, escape)))
}

/// `str(value)`.
pub fn python_str(value: &serde_json::Value) -> String {
    if let serde_json::Value::String(text) = value {
        return text.clone();
    }
    let mut out = String::new();
    // Fails for values only that JSON does not have.
    let _ = python_repr(&Value::from(Serde(value)), &mut out);
    out
}

struct JsonStyle {
    ascii: bool,
    sort: bool,
    item: String,
    colon: String,
    indent: Option<usize>,
}

impl JsonStyle {
    fn write(&self, value: &serde_json::Value, depth: usize, out: &mut String) {
        use serde_json::Value as Json;
        match value {
            Json::Null => out.push_str("null"),
            Json::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Json::Number(n) => out.push_str(&python_number(n)),
            Json::String(s) => self.string(s, out),
            Json::Array(items) => {
                let items: Vec<_> = items.iter().map(|v| (None, v)).collect();
                self.container(['[', ']'], &items, depth, out);
            }
            Json::Object(map) => {
                let mut items: Vec<_> = map.iter().map(|(k, v)| (Some(k.as_str()), v)).collect();
                if self.sort {
                    items.sort_by_key(|(k, _)| *k);
                }
                self.container(['{', '}'], &items, depth, out);
            }
        }
    }

    fn container(
        &self,
        [open, close]: [char; 2],
        items: &[(Option<&str>, &serde_json::Value)],
        depth: usize,
        out: &mut String,
    ) {
        let line = |depth: usize, out: &mut String| {
            if let Some(width) = self.indent {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', width * depth));
            }
        };
        out.push(open);
        for (i, (key, value)) in items.iter().enumerate() {
            if i > 0 {
                out.push_str(&self.item);
            }
            line(depth + 1, out);
            if let Some(key) = key {
                self.string(key, out);
                out.push_str(&self.colon);
            }
            self.write(value, depth + 1, out);
        }
        if !items.is_empty() {
            line(depth, out);
        }
        out.push(close);
    }

    fn string(&self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if c < ' ' || (self.ascii && c > '~') => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

fn python_number(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(f) if number.is_f64() => python_float(f),
        _ => number.to_string(),
    }
}

/// Rust and Python write the same digits; only the exponent differs (`1e-5`, `1e-05`).
pub(super) fn python_float(f: f64) -> String {
    let text = format!("{f:?}");
    match text.split_once('e') {
        None => text,
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(e) => ('-', e),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
    }
}

/// What Python prints for `{{ value }}`: `True`, `None`, `['a', 1]`, `{'k': 'v'}`.
pub(super) fn python_repr(value: &Value, out: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            out.push(quote);
            for c in text.chars() {
                match c {
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    '\t' => out.push_str("\\t"),
                    '\\' => out.push_str("\\\\"),
                    c if c == quote => {
                        out.push('\\');
                        out.push(c);
                    }
                    c => out.push(c),
                }
            }
            out.push(quote);
        }
        ValueKind::Seq => {
            out.push('[');
            for (i, item) in value.try_iter()?.enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                python_repr(&item, out)?;
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (i, key) in value.try_iter()?.enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                python_repr(&key, out)?;
                out.push_str(": ");
                python_repr(&value.get_item(&key)?, out)?;
            }
            out.push('}');
        }
        ValueKind::Number if !value.is_integer() => {
            out.push_str(&python_float(f64::try_from(value.clone())?));
        }
        _ => {
            let _ = write!(out, "{value}");
        }
    }
    Ok(())
}
