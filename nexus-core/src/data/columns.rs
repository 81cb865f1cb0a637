//! Which columns of a data file are read as what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// The names of a file's columns (or keys) where they differ from the names that records have:
/// `text = "sentence"` reads the column `sentence` as `text`. What is not named keeps its name.
///
/// Where the columns of a file fit several kinds of record, those with a named column are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Columns(BTreeMap<String, String>);

impl Columns {
    /// Every column keeps its name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads `column` of the file as `role` (`text`, `label`, ...).
    pub fn with(mut self, role: impl Into<String>, column: impl Into<String>) -> Self {
        self.0.insert(role.into(), column.into());
        self
    }

    /// Whether a column was named for `role`.
    pub(super) fn names(&self, role: &str) -> bool {
        self.0.contains_key(role)
    }

    /// The file's column for `role`.
    pub(super) fn column<'a>(&'a self, role: &'a str) -> &'a str {
        self.0.get(role).map_or(role, String::as_str)
    }

    /// Refuses roles that the records do not have, and a column with two roles.
    pub(super) fn check(&self, roles: &[&str]) -> Result<()> {
        for (role, column) in &self.0 {
            let field = || format!("columns.{role}");
            if !roles.contains(&role.as_str()) {
                return Err(Error::config(field(), column, format!("one of {}", roles.join(", "))));
            }
            if self.0.iter().any(|(other, c)| other < role && c == column) {
                return Err(Error::config(field(), column, "a column that has no other role"));
            }
        }
        Ok(())
    }

    /// Gives the named columns of a row the names of their roles.
    pub(super) fn apply(&self, row: &mut Map<String, Value>) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut values = Vec::with_capacity(self.0.len());
        for (role, column) in &self.0 {
            match row.get_mut(column) {
                Some(value) => values.push((role.clone(), value.take())),
                None => {
                    let keys: Vec<_> = row.keys().map(|k| format!("{k:?}")).collect();
                    return Err(format!(
                        "there is no column {column:?}, which is to be read as {role}; the \
                         columns are [{}]",
                        keys.join(", ")
                    ));
                }
            }
        }
        row.retain(|key, _| !self.0.values().any(|column| column == key));
        row.extend(values);
        Ok(())
    }
}
