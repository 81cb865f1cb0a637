//! Prompts from the fields of a record.

use std::error::Error as _;

use minijinja::UndefinedBehavior;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use serde_json::Map;

use super::jinja::{python_environment, render};
use super::python_text::htmlsafe_json;
use crate::{Error, Result};

const NAME: &str = "template";

/// A Jinja template over the fields of one record, as lm-evaluation-harness renders its tasks' prompts: with the white
/// space of the template as it stands, values printed as Python prints them, and an error for a field that the record
/// does not have.
///
/// A template comes from a file of unknown origin: it reads nothing but the record, and its work and output are bounded
/// as those of a [`ChatTemplate`](super::ChatTemplate).
#[derive(Clone, Debug)]
pub struct RecordTemplate {
    env: minijinja::Environment<'static>,
}

impl RecordTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// [`Error::Format`] where it is not Jinja.
    pub fn new(source: &str) -> Result<Self> {
        let mut env = python_environment();
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        env.set_syntax(syntax.map_err(|e| failed(&e))?);
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.add_filter("tojson", |value: &Value, indent: Option<usize>, options: Kwargs| {
            let indent = match indent {
                None => options.get("indent")?,
                indent => indent,
            };
            options.assert_all_used()?;
            htmlsafe_json(value, indent)
        });
        env.add_template_owned(NAME, source.to_owned()).map_err(|e| failed(&e))?;
        Ok(Self { env })
    }

    /// The text for a record.
    ///
    /// # Errors
    /// [`Error::Format`] where a field is missing or a filter fails, and beyond the bounds.
    pub fn render(&self, record: &Map<String, serde_json::Value>) -> Result<String> {
        let template = self.env.get_template(NAME).map_err(|e| failed(&e))?;
        render(&template, Value::from(Serde(record))).map_err(|e| failed(&e))
    }
}

/// The engine's message and the causes below it.
fn failed(error: &minijinja::Error) -> Error {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        why.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    Error::format(NAME, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{python_json, python_str};
    use serde_json::json;

    fn rendered(source: &str) -> Result<String> {
        let serde_json::Value::Object(record) = json!({
            "q": " What? ", "n": 3, "x": 1e-7, "ok": true, "none": null, "list": ["a'b", "c"],
            "choices": {"text": ["x", "y"]},
        }) else {
            unreachable!()
        };
        RecordTemplate::new(source)?.render(&record)
    }

    #[test]
    fn values_print_as_in_python_and_white_space_stays() {
        for (source, text) in [
            ("{{q.strip()}}\n  {{n}} {{x}} {{ok}} {{none}}\n", "What?\n  3 1e-07 True None\n"),
            ("{{list}}{{choices.text}}", "[\"a'b\", 'c']['x', 'y']"),
            ("{% for c in list %} {{c}}\n{% endfor %}", " a'b\n c\n"),
            ("{{['A','B'][n - 2]}}{{q|trim|lower}}{{list|length}}", "Bwhat?2"),
            ("{{q if missing is defined else 'no'}}", "no"),
            ("{{list|tojson}}", r#"["a\u0027b", "c"]"#),
        ] {
            assert_eq!(rendered(source).unwrap(), text, "{source}");
        }
    }

    #[test]
    fn a_missing_field_and_endless_work_are_errors() {
        let error = rendered("{{question}}").unwrap_err().to_string();
        assert!(error.contains("undefined"), "{error}");
        assert!(rendered("{{q").is_err());
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}";
        assert!(rendered(endless).unwrap_err().to_string().contains("fuel"));
    }

    #[test]
    fn json_and_str_are_those_of_python() {
        let value = json!({"a": [1, 2.0], "é": "x\"y", "e": []});
        let indented = "{\n  \"a\": [\n    1,\n    2.0\n  ],\n  \"é\": \"x\\\"y\",\n  \"e\": []\n}";
        assert_eq!(python_json(&value, Some(2)), indented);
        assert_eq!(python_json(&value, None), r#"{"a": [1, 2.0], "é": "x\"y", "e": []}"#);
        assert_eq!(python_str(&value), r#"{'a': [1, 2.0], 'é': 'x"y', 'e': []}"#);
        assert_eq!(python_str(&json!("a'b")), "a'b");
    }
}
