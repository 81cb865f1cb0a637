//! The Jinja environment in which Hugging Face renders chat templates, rebuilt on minijinja.
//!
//! A template is a program from a downloaded file: it has no access to files or other templates,
//! and a budget ([`FUEL`], [`MAX_OUTPUT`]) for the work that it does and the text that it makes.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Template};
use minijinja_contrib::pycompat;

use super::generation;
use super::python_text::{python_float, python_repr, tojson};
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
    let mut env = python_environment();
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
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

/// Jinja as Python runs it: values print as in Python and have the methods of Python's strings, lists and dictionaries.
pub(super) fn python_environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_fuel(Some(FUEL));
    env.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Bool | ValueKind::None | ValueKind::Seq | ValueKind::Map => {
            let mut text = String::new();
            python_repr(value, &mut text)?;
            charge(state, text.len())?;
            out.write_str(&text).map_err(Error::from)
        }
        ValueKind::Number if !value.is_integer() => {
            out.write_str(&python_float(f64::try_from(value.clone())?)).map_err(Error::from)
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    env.set_unknown_method_callback(methods);
    env.add_filter("tojson", tojson);
    env
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

pub(super) fn charge(state: &State, bytes: usize) -> Result<(), Error> {
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
