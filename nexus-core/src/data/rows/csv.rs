//! CSV files with a header; every value is text.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::{MAX_ROW_BYTES, Row};
use crate::{Error, Result};

/// The most columns: one takes a hundred times its text, and a header is as long as a record may be.
const MAX_COLUMNS: usize = 1 << 14;

pub(in crate::data) struct CsvRows {
    path: PathBuf,
    reader: Reader<Bounded>,
    columns: Vec<String>,
    /// The places of the columns that are read.
    selected: Vec<usize>,
    record: StringRecord,
}

impl CsvRows {
    pub(super) fn open(path: &Path, delimiter: u8) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .buffer_capacity(1 << 16)
            .from_reader(Bounded { file, left: MAX_ROW_BYTES });
        let (path, record) = (path.into(), StringRecord::new());
        let mut rows = Self { path, reader, columns: Vec::new(), selected: Vec::new(), record };
        let header = rows.reader.headers().cloned();
        let header = header.map_err(|e| rows.refuse(e))?;
        if header.len() > MAX_COLUMNS {
            let why = format!("the header names {} columns, at most {MAX_COLUMNS}", header.len());
            return Err(Error::Data { path: rows.path, line: 1, why });
        }
        rows.columns = header.iter().map(str::to_owned).collect();
        rows.selected = (0..rows.columns.len()).collect();
        Ok(rows)
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn select(&mut self, columns: &[&str]) -> Result<()> {
        self.selected.clear();
        for name in columns {
            let mut places = (0..self.columns.len()).filter(|&i| self.columns[i] == *name);
            self.selected.extend(places.next());
            if places.next().is_some() {
                return Err(Error::Data {
                    path: self.path.clone(),
                    line: 1,
                    why: format!("the header names {name:?} twice; rename one of the columns"),
                });
            }
        }
        Ok(())
    }

    pub(super) fn next_row(&mut self) -> Result<Option<Row>> {
        self.reader.get_mut().left = MAX_ROW_BYTES;
        let more = self.reader.read_record(&mut self.record);
        if !more.map_err(|e| self.refuse(e))? {
            return Ok(None);
        }
        let line = self.record.position().map_or(0, |p| p.line() as usize);
        let value = |&i: &usize| {
            let text = self.record.get(i).unwrap_or_default();
            (self.columns[i].clone(), Value::String(text.to_owned()))
        };
        let values: Map<_, _> = self.selected.iter().map(value).collect();
        Ok(Some(Row { values, line, bytes: self.record.as_slice().len() }))
    }

    fn refuse(&self, error: csv::Error) -> Error {
        let line = error.position().unwrap_or(self.reader.position()).line() as usize;
        let why = match error.into_kind() {
            ErrorKind::Io(e) if e.kind() == io::ErrorKind::FileTooLarge => {
                "the record is over 16 MiB; is a quote left open?".into()
            }
            ErrorKind::Io(e) => return Error::io("read", &self.path)(e),
            ErrorKind::Utf8 { .. } => "not UTF-8; convert the file to UTF-8".into(),
            ErrorKind::UnequalLengths { expected_len, len, .. } => format!(
                "the record has {len} fields, the others {expected_len}; fields with commas, \
                 quotes or line ends must stand in quotes"
            ),
            other => format!("not CSV: {other:?}"),
        };
        Error::Data { path: self.path.clone(), line, why }
    }
}

/// A file that fails when one record reads too much: a quote that is never closed would otherwise
/// put the rest of the file into memory.
struct Bounded {
    file: File,
    left: usize,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.left = self.left.checked_sub(read).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}
