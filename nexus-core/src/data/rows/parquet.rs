//! Parquet files, row group by row group.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Type as PhysicalType};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row as ParquetRow};
use parquet::schema::types::{Type, TypePtr};
use serde_json::{Map, Number, Value};

use super::parquet_bounds::{check_pages, check_schema};
use super::{MAX_ROW_BYTES, Row};
use crate::{Error, Result};

/// The rows that are decoded ahead of each column: few, as each may be a whole document.
const ROWS_AHEAD: usize = 64;

pub(in crate::data) struct ParquetRows {
    path: PathBuf,
    file: File,
    metadata: ParquetMetaData,
    schema: TypePtr,
    columns: Vec<String>,
    /// `None` while another is put in its place.
    rows: Option<RowIter<'static>>,
    /// The rows read so far.
    read: usize,
}

impl ParquetRows {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let not_parquet = |why| Error::format(path, format!("not Parquet: {why}"));
        check_schema(&file).map_err(not_parquet)?;
        let pages = file.try_clone().map_err(Error::io("read", path))?;
        let reader = guard(|| SerializedFileReader::new(file)).map_err(not_parquet)?;
        check_codecs(path, &reader)?;
        let metadata = reader.metadata().clone();
        let schema = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
        let columns = schema.get_fields().iter().map(|f| f.name().to_owned()).collect();
        let rows = RowIter::from_file_into(Box::new(reader)).with_batch_size(ROWS_AHEAD);
        let (path, rows) = (path.into(), Some(rows));
        Ok(Self { path, file: pages, metadata, schema, columns, rows, read: 0 })
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn select(&mut self, columns: &[&str], text: &[&str]) -> Result<()> {
        let fail = |why: String| Error::format(&self.path, why);
        let mut fields = Vec::with_capacity(columns.len());
        for name in columns {
            let mut named = self.schema.get_fields().iter().filter(|f| f.name() == *name);
            let Some(field) = named.next() else { continue };
            if named.next().is_some() {
                return Err(fail(format!("two columns are named {name:?}; rename one")));
            }
            if text.contains(name) && !is_text(field) {
                let found = describe(field);
                return Err(fail(format!(
                    "the column {name:?} is {found}, but must hold text (BYTE_ARRAY, UTF8)"
                )));
            }
            fields.push(Arc::clone(field));
        }
        check_pages(&self.file, &self.metadata, |name| columns.contains(&name)).map_err(fail)?;
        let projection = Type::group_type_builder(self.schema.name()).with_fields(fields);
        let rows = self.rows.take();
        let rows = guard(|| {
            let projection = projection.build()?;
            rows.map(|rows| rows.project(Some(projection))).transpose()
        });
        let rows = rows.map_err(|why| Error::format(&self.path, why))?;
        self.rows = rows.map(|rows| rows.with_batch_size(ROWS_AHEAD));
        Ok(())
    }

    pub(super) fn next_row(&mut self) -> Result<Option<Row>> {
        let rows = &mut self.rows;
        let row = guard(|| rows.as_mut().and_then(Iterator::next).transpose());
        let line = self.read + 1;
        let fail = |why| Error::Data { path: self.path.clone(), line, why };
        let Some(row) = row.map_err(|why| fail(format!("not readable as Parquet: {why}")))? else {
            return Ok(None);
        };
        self.read = line;
        let mut bytes = 0;
        let values = object(&row, &mut bytes).map_err(fail)?;
        if bytes > MAX_ROW_BYTES {
            return Err(fail("the row is over 16 MiB; split the record".into()));
        }
        Ok(Some(Row { values, line, bytes }))
    }
}

/// Runs a call of the Parquet reader, which panics on some damaged files.
fn guard<T>(call: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("the file is damaged or its schema is not supported".into()),
    }
}

fn check_codecs(path: &Path, reader: &impl FileReader) -> Result<()> {
    let columns = reader.metadata().row_groups().iter().flat_map(|group| group.columns());
    for codec in columns.map(|column| column.compression()) {
        if !matches!(codec, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_))
        {
            return Err(Error::format(
                path,
                format!("compressed with {codec}; write it with snappy, gzip or no compression"),
            ));
        }
    }
    Ok(())
}

fn is_text(field: &Type) -> bool {
    field.is_primitive()
        && field.get_physical_type() == PhysicalType::BYTE_ARRAY
        && matches!(
            field.get_basic_info().converted_type(),
            ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON
        )
}

fn describe(field: &Type) -> String {
    let logical = field.get_basic_info().converted_type();
    match (field.is_primitive(), logical) {
        (true, ConvertedType::NONE) => field.get_physical_type().to_string(),
        (true, logical) => format!("{} ({logical})", field.get_physical_type()),
        (false, ConvertedType::NONE) => "a group of columns".into(),
        (false, logical) => format!("a group ({logical})"),
    }
}

fn object(row: &ParquetRow, bytes: &mut usize) -> Result<Map<String, Value>, String> {
    row.get_column_iter()
        .map(|(name, field)| {
            let value = value(field, bytes).map_err(|why| format!("column {name:?}: {why}"))?;
            Ok((name.clone(), value))
        })
        .collect()
}

/// The JSON value of a field; adds what it takes to `bytes`.
fn value(field: &Field, bytes: &mut usize) -> Result<Value, String> {
    *bytes += size_of::<Value>();
    let float = |value: f64| {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| format!("{value} is not finite"))
    };
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(v) => (*v).into(),
        Field::Byte(v) => (*v).into(),
        Field::Short(v) => (*v).into(),
        Field::Int(v) => (*v).into(),
        Field::Long(v) => (*v).into(),
        Field::UByte(v) => (*v).into(),
        Field::UShort(v) => (*v).into(),
        Field::UInt(v) => (*v).into(),
        Field::ULong(v) => (*v).into(),
        Field::Float16(v) => float(f64::from(*v))?,
        Field::Float(v) => float(f64::from(*v))?,
        Field::Double(v) => float(*v)?,
        Field::Str(text) => {
            *bytes += text.len();
            text.clone().into()
        }
        Field::Group(row) => Value::Object(object(row, bytes)?),
        Field::ListInternal(list) => {
            let values: Result<_, _> = list.elements().iter().map(|f| value(f, bytes)).collect();
            Value::Array(values?)
        }
        other => {
            let debug = format!("{other:?}");
            let kind = debug.split('(').next().unwrap_or_default();
            return Err(format!("{kind} is not supported; expected text, numbers or lists"));
        }
    })
}
