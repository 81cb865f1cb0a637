//! Files of labelled records.

use crate::Failure;
use clap::Args;
use nexus_core::data::{
    Columns, Encode, Example, ExampleFile, ExampleSource, FromRow, RecordStream, encode_to_disk,
};
use nexus_core::report::DataFile;
use std::path::Path;

/// Which columns of the data files hold what.
#[derive(Args, Clone, Debug, Default)]
pub struct ColumnArgs {
    /// Columns whose names differ, such as text=sentence,label=intent
    #[arg(long, value_name = "ROLE=COLUMN,...", value_delimiter = ',')]
    columns: Vec<String>,
}

impl ColumnArgs {
    /// The columns by role.
    ///
    /// # Errors
    /// When an entry is not `role=column`.
    pub fn columns(&self) -> Result<Columns, Failure> {
        let mut columns = Columns::new();
        for entry in &self.columns {
            let Some((role, column)) = entry.split_once('=') else {
                return Err(format!("--columns: '{entry}' is not ROLE=COLUMN").into());
            };
            columns = columns.with(role, column);
        }
        Ok(columns)
    }
}

/// Reads and encodes a data file (.jsonl, .json, .csv or .parquet) record by record, and says on stderr what was cut or
/// dropped. The examples are kept in a temporary file.
///
/// # Errors
/// When the file cannot be read, a record or its label is malformed, or nothing of it would be trained.
pub fn labeled_file<T: FromRow + Sync>(
    path: &Path,
    columns: &Columns,
    encoder: &impl Encode<T>,
) -> Result<(ExampleFile, DataFile), Failure> {
    let records = RecordStream::<T>::open(path, columns)?;
    let encoded = encode_to_disk(records, encoder, &std::env::temp_dir())?;
    if encoded.truncated + encoded.untrainable > 0 {
        eprintln!(
            "note: {}: {} record(s) cut at the maximum length, {} dropped because nothing of them is trained",
            path.display(),
            encoded.truncated,
            encoded.untrainable
        );
    }
    let file = DataFile::hash(path, encoded.examples.len() + encoded.untrainable)?;
    Ok((encoded.examples, file))
}

/// All examples of a source in memory, for evaluation.
///
/// # Errors
/// When an example cannot be read.
pub fn in_memory(source: &dyn ExampleSource) -> Result<Vec<Example>, Failure> {
    Ok((0..source.len()).map(|i| source.get(i)).collect::<Result<_, _>>()?)
}
