//! The Jinja environment in which Hugging Face renders chat templates, rebuilt on minijinja.
//!
//! A template is a program from a downloaded file: it has no access to files or other templates,
//! and a budget ([`FUEL`], [`MAX_OUTPUT`]) for the work that it does and the text that it makes.

use std::fmt::Write as _;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Template};
use minijinja_contrib::pycompat;

use super::generation;
use super::strftime::strftime_utc_now;

/// About one unit per instruction and per 64 bytes made: well under a second, and some thousand
/// times what published templates need for a long conversation.
const FUEL: u64 = 20_000_000;
/// In bytes; several times the context of any model.
const MAX_OUTPUT: usize = 64 << 20;

/// Context variables that hold the text to put around each generation block, when wanted.
pub(crate) const OPEN: &str = "__generation_open";
pub(crate) const CLOSE: &str = "__generation_close";

/// An environment with the globals, filters and whitespace rules of transformers' chat templates.
///
/// Deviations: `strftime_now` is UTC, not local time.
pub(crate) fn environment() -> Result<Environment<'static>, Error> {
    let mut env = Environment::new();
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    env.set_fuel(Some(FUEL));
    env.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Bool | ValueKind::None | ValueKind::Seq | ValueKind::Map => {
            let mut text = String::new();
            python_repr(value, &mut text)?;
            charge(state, text.len())?;
            out.write_str(&text).map_err(Error::from)
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    env.set_unknown_method_callback(methods);
    env.add_filter("tojson", tojson);
    env.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    env.add_function("strftime_now", |format: &str| strftime_utc_now(format));
    env.add_function(generation::FUNCTION, |state: &mut State, kwargs: Kwargs| {
        let caller: Value = kwargs.get("caller")?;
        let text = caller.call(state, &[])?;
        let mark = |name| state.lookup(name).filter(|v| !v.is_undefined());
        Ok::<_, Error>(match (mark(OPEN), mark(CLOSE)) {
            (Some(open), Some(close)) => Value::from(format!("{open}{text}{close}")),
            _ => text,
        })
    });
    Ok(env)
}

/// Renders into a string of bounded length.
pub(crate) fn render(template: &Template<'_, '_>, context: Value) -> Result<String, Error> {
    let mut out = Capped(Vec::new());
    template.render_captured_to(context, &mut out)?;
    String::from_utf8(out.0).map_err(|e| Error::new(ErrorKind::WriteFailure, e.to_string()))
}

struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::other(format!("the output exceeds {MAX_OUTPUT} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn charge(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(bytes as u64 / 64)
}

/// Python string methods that pycompat lacks, then pycompat.
fn methods(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let affix = |args: &[Value]| args.first().and_then(Value::as_str).map(str::to_owned);
    match (value.as_str(), name, affix(args)) {
        (Some(s), "removeprefix", Some(p)) => Ok(s.strip_prefix(p.as_str()).unwrap_or(s).into()),
        (Some(s), "removesuffix", Some(p)) => Ok(s.strip_suffix(p.as_str()).unwrap_or(s).into()),
        _ => pycompat::unknown_method_callback(state, value, name, args),
    }
}

/// `json.dumps` as transformers calls it: no HTML escapes, and the separators of Python.
fn tojson(
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
fn python_float(f: f64) -> String {
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
fn python_repr(value: &Value, out: &mut String) -> Result<(), Error> {
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
        _ => {
            let _ = write!(out, "{value}");
        }
    }
    Ok(())
}
