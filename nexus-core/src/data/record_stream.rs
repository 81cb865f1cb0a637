//! Records read one by one, so that a file may be larger than memory.

use std::fs::File;
use std::io::Read;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::rows::{JsonRows, Row, Rows};
use super::{Columns, Record};
use crate::{Error, Result};

/// A text file is one record, encoded at once, which takes some 30 times its size in memory.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// A record and where it stands in its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T = Record> {
    /// The record.
    pub record: T,
    /// Its line, or in Parquet its row, counted from 1.
    pub line: usize,
}

/// A kind of record that is made from the columns of a file or the keys of a JSON object.
pub trait FromRow: Sized {
    /// The sets of columns from which a record can be made. A row must have all columns of exactly
    /// one set; other columns are ignored.
    const SHAPES: &'static [&'static [&'static str]];
    /// The columns that are read as well where a row has them.
    const OPTIONAL: &'static [&'static str];
    /// The columns that must hold text where a file gives its columns types.
    const TEXT: &'static [&'static str];

    /// Makes a record from a row that has the columns `SHAPES[shape]`.
    ///
    /// # Errors
    /// What is wrong with the row, in words.
    fn from_row(shape: usize, row: &mut Map<String, Value>) -> Result<Self, String>;
}

/// The records of a data file, read while it is iterated over; memory holds one record (of
/// Parquet, some pages of the columns that are read), however large the file is.
///
/// The extension tells the format:
///
/// - `.jsonl`, `.ndjson`, `.json`: one JSON object a line, or one array of objects;
/// - `.csv` (commas), `.tsv` (tabs): a header, then one record a row; every value is text;
/// - `.parquet`: uncompressed or compressed with snappy or gzip;
/// - `.txt`: the whole file is one `text`.
///
/// Which record a row is, is known by its columns ([`FromRow::SHAPES`]). After an error the
/// iteration ends.
pub struct RecordStream<T = Record> {
    path: PathBuf,
    rows: Rows,
    columns: Columns,
    /// The shape of every row, where the file names its columns once.
    shape: Option<usize>,
    /// Whether a record was read.
    any: bool,
    ended: bool,
    kind: PhantomData<fn() -> T>,
}

impl<T: FromRow> RecordStream<T> {
    /// Opens a data file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Config`] where `columns` names what `T` does not have;
    /// [`Error::Format`] for another extension or a damaged file, and where a column of a Parquet
    /// file has the wrong type; [`Error::Data`] where the columns of a CSV or Parquet file are
    /// those of no record, or of several.
    pub fn open(path: &Path, columns: &Columns) -> Result<Self> {
        let roles = [T::SHAPES.concat(), T::OPTIONAL.to_vec()].concat();
        columns.check(&roles)?;
        let mut rows = Rows::open(path)?;
        let mut shape = None;
        if let Some(header) = rows.columns() {
            let fail = |why| Error::Data { path: path.into(), line: 1, why };
            let mut found = header.iter().map(|name| (name.clone(), Value::Null)).collect();
            columns.apply(&mut found).map_err(fail)?;
            let at = shape_of::<T>(&found, columns, "columns").map_err(fail)?;
            let is_read = |role: &str| {
                T::SHAPES[at].contains(&role) || T::OPTIONAL.contains(&role) || columns.names(role)
            };
            let found = found.keys().map(String::as_str).filter(|role| is_read(role));
            let (text, names): (Vec<_>, Vec<_>) =
                found.map(|role| (T::TEXT.contains(&role), columns.column(role))).unzip();
            let text: Vec<_> =
                std::iter::zip(&names, text).filter(|(_, t)| *t).map(|(name, _)| *name).collect();
            rows.select(&names, &text)?;
            shape = Some(at);
        }
        let (path, columns) = (path.into(), columns.clone());
        Ok(Self { path, rows, columns, shape, any: false, ended: false, kind: PhantomData })
    }

    /// The file that is read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next records, until there are `records` or they hold more than `bytes`; empty at the
    /// end of the file.
    ///
    /// # Errors
    /// As the iteration.
    pub fn next_chunk(&mut self, records: usize, bytes: usize) -> Result<Vec<Located<T>>> {
        let (mut chunk, mut held) = (Vec::new(), 0);
        while chunk.len() < records && held <= bytes {
            let Some((record, size)) = self.read()? else { break };
            chunk.push(record);
            held += size;
        }
        Ok(chunk)
    }

    /// The next record and about how many bytes it holds.
    fn read(&mut self) -> Result<Option<(Located<T>, usize)>> {
        if self.ended {
            return Ok(None);
        }
        let read = self.read_row();
        self.ended = !matches!(read, Ok(Some(_)));
        read
    }

    fn read_row(&mut self) -> Result<Option<(Located<T>, usize)>> {
        let fail = |line, why: String| Error::Data { path: self.path.clone(), line, why };
        let Some(Row { mut values, line, bytes }) = self.rows.next_row()? else {
            return if self.any { Ok(None) } else { Err(fail(0, NO_RECORD.into())) };
        };
        self.any = true;
        let record = self.columns.apply(&mut values).and_then(|()| {
            let shape =
                self.shape.map_or_else(|| shape_of::<T>(&values, &self.columns, "keys"), Ok);
            T::from_row(shape?, &mut values)
        });
        let record = record.map_err(|why| fail(line, why))?;
        Ok(Some((Located { record, line }, bytes)))
    }
}

impl<T: FromRow> Iterator for RecordStream<T> {
    type Item = Result<Located<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().map(|read| read.map(|(record, _)| record)).transpose()
    }
}

const NO_RECORD: &str = "the file holds no record";

/// Which of the shapes of `T` a row has; `what` says whether it has keys or columns.
fn shape_of<T: FromRow>(
    row: &Map<String, Value>,
    columns: &Columns,
    what: &str,
) -> Result<usize, String> {
    let has = |role: &&str| row.contains_key(*role);
    let mut fit: Vec<usize> =
        (0..T::SHAPES.len()).filter(|&i| T::SHAPES[i].iter().all(has)).collect();
    let named = |&i: &usize| T::SHAPES[i].iter().any(|role| columns.names(role));
    if fit.len() > 1 && fit.iter().any(named) {
        fit.retain(named);
    }
    if let [shape] = fit[..] {
        return Ok(shape);
    }
    let quoted = |names: &[&str]| {
        names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
    };
    let keys = quoted(&row.keys().map(String::as_str).collect::<Vec<_>>());
    let shapes: Vec<_> = T::SHAPES.iter().map(|shape| format!("{{{}}}", quoted(shape))).collect();
    let shapes = shapes.join(" or ");
    if !fit.is_empty() {
        return Err(format!(
            "ambiguous record with the {what} [{keys}]: expected exactly one of {shapes}; drop the \
             others, or name the columns to read"
        ));
    }
    // The shape that lacks least, if the row has any of it.
    let lacking = T::SHAPES.iter().filter(|shape| shape.iter().any(has)).min_by_key(|shape| {
        let present = shape.iter().filter(|role| has(role)).count();
        (shape.len() - present, std::cmp::Reverse(present))
    });
    let missing = lacking.map(|shape| {
        let missing: Vec<_> = shape.iter().copied().filter(|role| !has(role)).collect();
        format!(" without {}", quoted(&missing))
    });
    Err(format!(
        "unknown record with the {what} [{keys}]{}: expected exactly one of {shapes}; other names \
         must be mapped to these",
        missing.unwrap_or_default()
    ))
}

/// Reads all records of a data file, as [`RecordStream`] does.
///
/// # Errors
/// As [`RecordStream`], and where the file holds no record.
pub fn read_records(path: &Path) -> Result<Vec<Located>> {
    RecordStream::open(path, &Columns::new())?.collect()
}

/// Reads all rows of a data file with all of their columns, whatever their names.
///
/// # Errors
/// As [`RecordStream`] but for the shape of records, and where the file holds no record.
pub fn read_rows(path: &Path) -> Result<Vec<Located<Map<String, Value>>>> {
    let mut rows = Rows::open(path)?;
    if let Some(columns) = rows.columns() {
        let columns = columns.to_vec();
        rows.select(&columns.iter().map(String::as_str).collect::<Vec<_>>(), &[])?;
    }
    let mut records = Vec::new();
    while let Some(Row { values, line, .. }) = rows.next_row()? {
        records.push(Located { record: values, line });
    }
    match records.is_empty() {
        true => Err(Error::Data { path: path.into(), line: 0, why: NO_RECORD.into() }),
        false => Ok(records),
    }
}

/// Reads all records of a JSON file, whatever its extension: one object a line, or one array of
/// objects. Empty lines are skipped, a byte order mark is tolerated.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] with the line where a line is not a JSON object, is over 16 MiB,
/// or has an unknown or ambiguous shape, and where the file holds no record.
pub fn read_jsonl(path: &Path) -> Result<Vec<Located>> {
    let records = read_json_lines(path, |mut row| {
        Record::from_row(shape_of::<Record>(&row, &Columns::new(), "keys")?, &mut row)
    })?;
    Ok(records.into_iter().map(|(line, record)| Located { record, line }).collect())
}

/// Reads a file with one JSON object a line, or one array of objects, and gives each, as `parse`
/// understands it, with its line, counted from 1. Empty lines are skipped, a byte order mark is
/// tolerated.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] with the line where a line is not a JSON object, is over 16 MiB
/// or is refused by `parse`, whose text becomes the reason, and where the file holds no object.
pub fn read_json_lines<T>(
    path: &Path,
    mut parse: impl FnMut(Map<String, Value>) -> Result<T, String>,
) -> Result<Vec<(usize, T)>> {
    let fail = |line, why: String| Error::Data { path: path.into(), line, why };
    let mut rows = JsonRows::open(path)?;
    let mut records = Vec::new();
    while let Some(Row { values, line, .. }) = rows.next_row()? {
        records.push((line, parse(values).map_err(|why| fail(line, why))?));
    }
    if records.is_empty() {
        return Err(fail(0, NO_RECORD.into()));
    }
    Ok(records)
}

/// Reads a whole text file as one [`Record::Text`], paragraphs and line ends kept.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] where the file is over 64 MiB, is not UTF-8 or holds only white
/// space.
pub fn read_text(path: &Path) -> Result<Vec<Located>> {
    Ok(vec![Located { record: Record::Text { text: read_whole_text(path)? }, line: 1 }])
}

pub(super) fn read_whole_text(path: &Path) -> Result<String> {
    let fail = |line, why: String| Error::Data { path: path.into(), line, why };
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        return Err(fail(
            0,
            "the file is over 64 MiB; write it as JSON lines, one {\"text\"} a document".into(),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&b| b == b'\n').count();
        fail(line, "not UTF-8; convert the file to UTF-8".into())
    })?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    if text.trim().is_empty() {
        return Err(fail(0, "the file is empty".into()));
    }
    Ok(text)
}
