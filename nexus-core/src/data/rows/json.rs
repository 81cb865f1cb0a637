//! JSON objects, one a line or as the elements of one array.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{MAX_ROW_BYTES, MAX_ROW_VALUES, Row};
use crate::json::{Unique, check_values};
use crate::{Error, Result};

/// The objects of a JSON file. An array is never held as a whole: the end of each element is found
/// by counting brackets, and only that element is parsed.
pub(in crate::data) struct JsonRows {
    path: PathBuf,
    reader: BufReader<File>,
    /// The line that is read next, counted from 1.
    line: usize,
    layout: Layout,
    /// The text of one object.
    text: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum Layout {
    /// One object a line.
    Lines,
    /// An array, of which no element is read yet.
    ArrayStart,
    /// An array, after an element.
    Array,
    /// After the end of an array.
    End,
}

impl JsonRows {
    /// Opens a file; the first character other than white space tells an array from lines.
    pub(in crate::data) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let mut rows = Self {
            path: path.into(),
            reader: BufReader::with_capacity(1 << 16, file),
            line: 1,
            layout: Layout::Lines,
            text: Vec::new(),
        };
        if rows.buffer()?.starts_with(b"\xef\xbb\xbf") {
            rows.reader.consume(3);
        }
        if rows.peek()? == Some(b'[') {
            rows.reader.consume(1);
            rows.layout = Layout::ArrayStart;
        }
        Ok(rows)
    }

    /// The next object; `None` after the last.
    pub(in crate::data) fn next_row(&mut self) -> Result<Option<Row>> {
        let line = match self.layout {
            Layout::Lines => self.read_line()?,
            _ => self.read_element()?,
        };
        let Some(line) = line else { return Ok(None) };
        check_values(&self.text, MAX_ROW_VALUES).map_err(|why| self.fail(line, why))?;
        let object = serde_json::from_slice::<Unique<Map<String, Value>>>(&self.text);
        let Unique(values) = object.map_err(|e| {
            // The parser counts lines within this object.
            let (at, what) = (e.line().max(1), e.to_string());
            let what = what.split(" at line ").next().unwrap_or_default();
            let form = match self.layout {
                Layout::Lines => "each line must be one JSON object",
                _ => "each element of the array must be a JSON object",
            };
            self.fail(line + at - 1, format!("column {}: {what}; {form}", e.column()))
        })?;
        Ok(Some(Row { values, line, bytes: self.text.len() }))
    }

    /// Reads the next line that is not empty into `text` and gives its number.
    fn read_line(&mut self) -> Result<Option<usize>> {
        loop {
            self.text.clear();
            let limited = (&mut self.reader).take(MAX_ROW_BYTES as u64 + 1);
            let read = { limited }.read_until(b'\n', &mut self.text);
            if read.map_err(Error::io("read", &self.path))? == 0 {
                return Ok(None);
            }
            let line = self.line;
            self.line += 1;
            if self.text.len() > MAX_ROW_BYTES {
                return Err(self.fail(line, "the line is over 16 MiB; split the record".into()));
            }
            if !self.check_utf8(line)?.trim().is_empty() {
                return Ok(Some(line));
            }
        }
    }

    /// Reads the next element of an array into `text` and gives the line on which it begins.
    fn read_element(&mut self) -> Result<Option<usize>> {
        if self.layout == Layout::End {
            return Ok(None);
        }
        let mut next = self.peek()?;
        match next {
            Some(b']') => {
                self.reader.consume(1);
                self.layout = Layout::End;
                return match self.peek()? {
                    None => Ok(None),
                    Some(_) => {
                        let why = "there is more after the end of the array; keep one array only";
                        Err(self.fail(self.line, why.into()))
                    }
                };
            }
            Some(b',') if self.layout == Layout::Array => {
                self.reader.consume(1);
                next = self.peek()?;
            }
            Some(_) if self.layout == Layout::Array => {
                let why = "expected `,` or `]` after an element of the array";
                return Err(self.fail(self.line, why.into()));
            }
            _ => {}
        }
        let line = self.line;
        match next {
            Some(b'{') => {}
            Some(_) => {
                let why = "each element of the array must be a JSON object";
                return Err(self.fail(line, why.into()));
            }
            None => return Err(self.cut_off()),
        }
        self.layout = Layout::Array;
        self.read_object(line)?;
        self.line += self.text.iter().filter(|&&b| b == b'\n').count();
        self.check_utf8(line)?;
        Ok(Some(line))
    }

    /// Reads up to the bracket that closes the object at the cursor.
    fn read_object(&mut self, line: usize) -> Result<()> {
        self.text.clear();
        let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
        loop {
            let buffer = self.reader.fill_buf().map_err(Error::io("read", &self.path))?;
            if buffer.is_empty() {
                return Err(self.cut_off());
            }
            let end = buffer.iter().position(|&byte| {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if in_string => escaped = true,
                    b'"' => in_string = !in_string,
                    b'{' | b'[' if !in_string => depth += 1,
                    b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
                    _ => {}
                }
                depth == 0
            });
            let taken = end.map_or(buffer.len(), |at| at + 1);
            self.text.extend_from_slice(&buffer[..taken]);
            self.reader.consume(taken);
            if self.text.len() > MAX_ROW_BYTES {
                return Err(self.fail(line, "the element is over 16 MiB; split the record".into()));
            }
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// The next byte that is not white space, left unread.
    fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            let buffer = self.buffer()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let blank = buffer.iter().take_while(|b| b.is_ascii_whitespace()).count();
            let lines = buffer[..blank].iter().filter(|&&b| b == b'\n').count();
            let next = buffer.get(blank).copied();
            self.line += lines;
            self.reader.consume(blank);
            if next.is_some() {
                return Ok(next);
            }
        }
    }

    fn buffer(&mut self) -> Result<&[u8]> {
        self.reader.fill_buf().map_err(Error::io("read", &self.path))
    }

    fn check_utf8(&self, line: usize) -> Result<&str> {
        std::str::from_utf8(&self.text)
            .map_err(|_| self.fail(line, "not UTF-8; convert the file to UTF-8".into()))
    }

    fn cut_off(&self) -> Error {
        self.fail(self.line, "the array does not end; the file is cut off".into())
    }

    fn fail(&self, line: usize, why: String) -> Error {
        Error::Data { path: self.path.clone(), line, why }
    }
}
