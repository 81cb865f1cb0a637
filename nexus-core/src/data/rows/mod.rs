//! Data files into rows of named values, one row at a time.

mod csv;
mod json;
mod parquet;
mod parquet_bounds;
mod thrift;

use std::path::Path;

use serde_json::{Map, Value};

pub(super) use self::json::JsonRows;
use super::record_stream::read_whole_text;
use crate::{Error, Result};

/// The most bytes that one record may take. More is refused before it is held in memory.
const MAX_ROW_BYTES: usize = 16 << 20;

/// The most JSON values of one record: a parsed value takes up to a hundred times its text.
pub(in crate::data) const MAX_ROW_VALUES: usize = 1 << 20;

/// One row of a data file.
pub(in crate::data) struct Row {
    /// The value of each column.
    pub(super) values: Map<String, Value>,
    /// Its line, or in Parquet its row, counted from 1.
    pub(super) line: usize,
    /// About how many bytes it holds.
    pub(super) bytes: usize,
}

/// An open data file.
pub(super) enum Rows {
    Json(JsonRows),
    Csv(Box<csv::CsvRows>),
    Parquet(Box<parquet::ParquetRows>),
    /// A whole text file, which is one row.
    Text(Option<Row>),
}

impl Rows {
    /// Opens a file by its extension.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        Ok(match extension.as_deref() {
            Some("jsonl" | "json" | "ndjson") => Self::Json(JsonRows::open(path)?),
            Some("csv") => Self::Csv(Box::new(csv::CsvRows::open(path, b',')?)),
            Some("tsv") => Self::Csv(Box::new(csv::CsvRows::open(path, b'\t')?)),
            Some("parquet") => Self::Parquet(Box::new(parquet::ParquetRows::open(path)?)),
            Some("txt") => {
                let text = read_whole_text(path)?;
                let bytes = text.len();
                let values = Map::from_iter([("text".to_owned(), Value::String(text))]);
                Self::Text(Some(Row { values, line: 1, bytes }))
            }
            _ => {
                let why = "the extension must be .jsonl, .json, .csv, .tsv, .parquet or .txt";
                return Err(Error::format(path, why));
            }
        })
    }

    /// The columns, where the file names them once for all rows.
    pub(super) fn columns(&self) -> Option<&[String]> {
        match self {
            Self::Json(_) | Self::Text(_) => None,
            Self::Csv(rows) => Some(rows.columns()),
            Self::Parquet(rows) => Some(rows.columns()),
        }
    }

    /// Reads only the given columns of a file that has [`columns`](Self::columns); those in `text`
    /// must hold text.
    pub(super) fn select(&mut self, columns: &[&str], text: &[&str]) -> Result<()> {
        match self {
            Self::Json(_) | Self::Text(_) => Ok(()),
            Self::Csv(rows) => rows.select(columns),
            Self::Parquet(rows) => rows.select(columns, text),
        }
    }

    /// The next row; `None` after the last.
    pub(super) fn next_row(&mut self) -> Result<Option<Row>> {
        match self {
            Self::Json(rows) => rows.next_row(),
            Self::Csv(rows) => rows.next_row(),
            Self::Parquet(rows) => rows.next_row(),
            Self::Text(row) => Ok(row.take()),
        }
    }
}
