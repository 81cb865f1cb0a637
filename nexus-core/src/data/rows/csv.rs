//! CSV files with a header; every value is text.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::{MAX_ROW_BYTES, Row};
use crate::{Error, Result};

/// More fields than this are not a table of records.
const MAX_FIELDS: usize = 1 << 16;

pub(in crate::data) struct CsvRows {
    path: PathBuf,
    file: BufReader<File>,
    parser: Reader,
    columns: Vec<String>,
    /// The places of the columns that are read.
    selected: Vec<usize>,
    /// The line that is read next, counted from 1.
    line: usize,
    /// The fields of one record, one after the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl CsvRows {
    pub(super) fn open(path: &Path, delimiter: u8) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let mut rows = Self {
            path: path.into(),
            file: BufReader::with_capacity(1 << 16, file),
            parser: ReaderBuilder::new().delimiter(delimiter).build(),
            columns: Vec::new(),
            selected: Vec::new(),
            line: 1,
            text: vec![0; 1 << 12],
            ends: vec![0; 1 << 6],
        };
        if rows.buffer()?.starts_with(b"\xef\xbb\xbf") {
            rows.file.consume(3);
        }
        if let Some((line, fields)) = rows.read_record()? {
            let name = |i| rows.field(i, line).map(str::to_owned);
            rows.columns = (0..fields).map(name).collect::<Result<_>>()?;
        }
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
                let why = format!("the header names {name:?} twice; rename one of the columns");
                return Err(self.fail(1, why));
            }
        }
        Ok(())
    }

    pub(super) fn next_row(&mut self) -> Result<Option<Row>> {
        let Some((line, fields)) = self.read_record()? else { return Ok(None) };
        if fields != self.columns.len() {
            let why = format!(
                "the record has {fields} fields, the header {}; fields with delimiters, quotes or \
                 line ends must stand in quotes",
                self.columns.len()
            );
            return Err(self.fail(line, why));
        }
        let value = |&i: &usize| {
            Ok((self.columns[i].clone(), Value::String(self.field(i, line)?.to_owned())))
        };
        let values: Map<_, _> = self.selected.iter().map(value).collect::<Result<_>>()?;
        Ok(Some(Row { values, line, bytes: self.ends[fields - 1] }))
    }

    /// Reads the next record that is not an empty line and gives its line and number of fields.
    fn read_record(&mut self) -> Result<Option<(usize, usize)>> {
        // The parser skips line ends before a record as well, but not for the count of lines.
        loop {
            let buffer = self.buffer()?;
            let blank = buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            let (is_end, is_blank) = (buffer.is_empty(), blank == buffer.len());
            self.consume(blank)?;
            match (is_end, is_blank) {
                (true, _) => return Ok(None),
                (false, true) => {}
                (false, false) => break,
            }
        }
        let line = self.line;
        let (mut length, mut fields) = (0, 0);
        loop {
            let input = self.file.fill_buf().map_err(Error::io("read", &self.path))?;
            let (text, ends) = (&mut self.text[length..], &mut self.ends[fields..]);
            let (result, read, written, ended) = self.parser.read_record(input, text, ends);
            self.consume(read)?;
            length += written;
            fields += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record => return Ok(Some((line, fields))),
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::OutputFull if self.text.len() < MAX_ROW_BYTES => {
                    self.text.resize(self.text.len() * 2, 0);
                }
                ReadRecordResult::OutputFull => {
                    let why = "the record is over 16 MiB; is a quote left open?";
                    return Err(self.fail(line, why.into()));
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < MAX_FIELDS => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    let why = format!("the record has over {MAX_FIELDS} fields");
                    return Err(self.fail(line, why));
                }
            }
        }
    }

    /// A field of the record that was read last.
    fn field(&self, i: usize, line: usize) -> Result<&str> {
        let begin = if i == 0 { 0 } else { self.ends[i - 1] };
        std::str::from_utf8(&self.text[begin..self.ends[i]])
            .map_err(|_| self.fail(line, "not UTF-8; convert the file to UTF-8".into()))
    }

    fn buffer(&mut self) -> Result<&[u8]> {
        self.file.fill_buf().map_err(Error::io("read", &self.path))
    }

    /// Moves on by bytes that are in the buffer, counting lines.
    fn consume(&mut self, bytes: usize) -> Result<()> {
        let lines = self.buffer()?.iter().take(bytes).filter(|&&b| b == b'\n').count();
        self.line += lines;
        self.file.consume(bytes);
        Ok(())
    }

    fn fail(&self, line: usize, why: String) -> Error {
        Error::Data { path: self.path.clone(), line, why }
    }
}
