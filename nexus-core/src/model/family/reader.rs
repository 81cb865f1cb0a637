//! Typed access to the fields of a `config.json`.

use super::super::config::{Activation, MAX_LAYERS};
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::path::Path;

/// Reads fields and says which file and field is at fault.
#[derive(Clone, Copy, Debug)]
pub struct ConfigReader<'a> {
    json: &'a Map<String, Value>,
    path: &'a Path,
}

impl<'a> ConfigReader<'a> {
    /// A reader over `json`, which came from `path`.
    pub fn new(json: &'a Map<String, Value>, path: &'a Path) -> Self {
        Self { json, path }
    }

    /// The first of `architectures`, unless there is none.
    ///
    /// # Errors
    /// [`Error::Format`] when the field is not a list of texts.
    pub fn architecture(&self) -> Result<Option<&'a str>> {
        let Some(list) = self.value("architectures") else { return Ok(None) };
        let Value::Array(list) = list else {
            return Err(self.wrong("architectures", "a list of class names"));
        };
        list.first()
            .map(|first| {
                first.as_str().ok_or_else(|| self.wrong("architectures", "a list of class names"))
            })
            .transpose()
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.json.len()
    }

    /// Whether there is no field at all.
    pub fn is_empty(&self) -> bool {
        self.json.is_empty()
    }

    /// The field, unless it is absent or null.
    pub fn value(&self, field: &str) -> Option<&'a Value> {
        self.json.get(field).filter(|value| !value.is_null())
    }

    /// A reader over an object field, unless it is absent or null.
    ///
    /// # Errors
    /// [`Error::Format`] when the field is not an object.
    pub fn object(&self, field: &str) -> Result<Option<ConfigReader<'a>>> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::Object(json)) => Ok(Some(ConfigReader { json, path: self.path })),
            Some(_) => Err(self.wrong(field, "an object")),
        }
    }

    /// A text field.
    ///
    /// # Errors
    /// [`Error::Format`] when the field is missing or not a text.
    pub fn text(&self, field: &str) -> Result<&'a str> {
        self.optional_text(field)?.ok_or_else(|| self.wrong(field, "a text"))
    }

    /// A text field that may be absent.
    ///
    /// # Errors
    /// [`Error::Format`] when the field is not a text.
    pub fn optional_text(&self, field: &str) -> Result<Option<&'a str>> {
        self.value(field)
            .map(|value| value.as_str().ok_or_else(|| self.wrong(field, "a text")))
            .transpose()
    }

    /// A count.
    ///
    /// # Errors
    /// [`Error::Format`] when the field is missing or not a whole number from 0 to 2^32.
    pub fn size(&self, field: &str) -> Result<usize> {
        self.optional_size(field)?.ok_or_else(|| self.wrong(field, "a whole number"))
    }

    /// A count that may be absent.
    ///
    /// # Errors
    /// [`Error::Format`] when the field is not a whole number from 0 to 2^32.
    pub fn optional_size(&self, field: &str) -> Result<Option<usize>> {
        self.value(field)
            .map(|value| {
                value
                    .as_u64()
                    .filter(|&n| n <= 1 << 32)
                    .map(|n| n as usize)
                    .ok_or_else(|| self.wrong(field, "a whole number from 0 to 2^32"))
            })
            .transpose()
    }

    /// A number of layers, bounded before anything is allocated per layer.
    ///
    /// # Errors
    /// [`Error::Format`] when the field is missing or above 4096.
    pub fn layers(&self, field: &str) -> Result<usize> {
        let layers = self.size(field)?;
        match layers > MAX_LAYERS {
            true => Err(self.wrong(field, &format!("at most {MAX_LAYERS} layers"))),
            false => Ok(layers),
        }
    }

    /// A number, or `default` when the field is absent.
    ///
    /// # Errors
    /// [`Error::Format`] when the field is not a number.
    pub fn number(&self, field: &str, default: f64) -> Result<f64> {
        self.value(field).map_or(Ok(default), |value| {
            value.as_f64().ok_or_else(|| self.wrong(field, "a number"))
        })
    }

    /// A flag, or `default` when the field is absent.
    ///
    /// # Errors
    /// [`Error::Format`] when the field is not true or false.
    pub fn flag(&self, field: &str, default: bool) -> Result<bool> {
        self.value(field).map_or(Ok(default), |value| {
            value.as_bool().ok_or_else(|| self.wrong(field, "true or false"))
        })
    }

    /// A non-linearity by its name in transformers, or the one named `default` when the field is absent.
    ///
    /// # Errors
    /// [`Error::Format`] for a name that is not known.
    pub fn activation(&self, field: &str, default: &str) -> Result<Activation> {
        activation(self.optional_text(field)?.unwrap_or(default)).ok_or_else(|| {
            self.wrong(field, "one of gelu, gelu_new, gelu_pytorch_tanh, relu, silu, swish")
        })
    }

    /// Refuses a flag that the decoder does not implement.
    ///
    /// # Errors
    /// [`Error::Format`] when the field is true.
    pub fn refuse(&self, field: &str) -> Result<()> {
        match self.flag(field, false)? {
            true => Err(Error::format(self.path, format!("{field} = true is not supported"))),
            false => Ok(()),
        }
    }

    /// An error about `field`.
    pub fn wrong(&self, field: &str, expected: &str) -> Error {
        let found = match self.json.get(field) {
            None => "missing".to_string(),
            Some(value) => {
                let text = value.to_string();
                text.chars().take(60).collect()
            }
        };
        Error::format(self.path, format!("field '{field}': expected {expected}, found {found}"))
    }
}

/// A non-linearity by its name in transformers.
pub(super) fn activation(name: &str) -> Option<Activation> {
    Some(match name {
        "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
        "gelu" => Activation::Gelu,
        "relu" => Activation::Relu,
        "silu" | "swish" => Activation::Silu,
        _ => return None,
    })
}
