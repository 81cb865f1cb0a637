//! Data files, encoded record by record.

use crate::Failure;
use clap::Args;
use nexus_core::data::{
    Columns, Encode, Example, ExampleFile, ExampleSource, FromRow, RecordStream, encode_to_disk,
};
use nexus_core::report::DataFile;
use std::path::{Path, PathBuf};

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

/// Reads and encodes data files record by record, so that neither records nor examples need to fit into memory, and
/// remembers which files it read.
#[derive(Debug)]
pub struct DataReader {
    columns: Columns,
    /// Where the encoded examples are kept, in files without names.
    folder: PathBuf,
    /// The files so far, for the report.
    pub files: Vec<DataFile>,
}

impl DataReader {
    /// A reader that keeps encoded examples in `folder`, which must exist.
    pub fn new(columns: Columns, folder: impl Into<PathBuf>) -> Self {
        Self { columns, folder: folder.into(), files: Vec::new() }
    }

    /// The examples of a file (.jsonl, .json, .csv, .parquet or .txt); says on stderr what was cut or dropped.
    ///
    /// # Errors
    /// When the file cannot be read, a record is malformed, nothing of it would be trained, or the folder is full.
    pub fn read<T: FromRow + Sync>(
        &mut self,
        path: &Path,
        encoder: &impl Encode<T>,
    ) -> Result<ExampleFile, Failure> {
        let records = RecordStream::<T>::open(path, &self.columns)?;
        let encoded = encode_to_disk(records, encoder, &self.folder)?;
        if encoded.truncated + encoded.untrainable > 0 {
            eprintln!(
                "note: {}: {} record(s) cut at --max-length, {} dropped because nothing of them is trained",
                path.display(),
                encoded.truncated,
                encoded.untrainable
            );
        }
        self.files.push(DataFile::hash(path, encoded.records)?);
        Ok(encoded.examples)
    }

    /// As [`read`](Self::read), where there is a file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_some<T: FromRow + Sync>(
        &mut self,
        path: Option<&PathBuf>,
        encoder: &impl Encode<T>,
    ) -> Result<Option<ExampleFile>, Failure> {
        path.map(|path| self.read(path, encoder)).transpose()
    }
}

/// All examples of a source in memory, for evaluation.
///
/// # Errors
/// When an example cannot be read.
pub fn in_memory(source: &dyn ExampleSource) -> Result<Vec<Example>, Failure> {
    Ok((0..source.len()).map(|i| source.get(i)).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_core::data::{EncodeOptions, Record, TextEncoder, Tokenizer};

    #[test]
    fn files_are_read_once_and_kept_where_the_caller_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let text = "the cat sat on the mat";
        std::fs::write(&path, format!("{{\"text\": \"{}\"}}\n", [text; 9].join(". "))).unwrap();
        let tokenizer = Tokenizer::train_bpe([text.to_string()].into_iter(), 270, &["<end>"]);
        let tokenizer = tokenizer.unwrap().with_special(None, Some("<end>"), None).unwrap();
        let options = EncodeOptions { max_length: 16, ..EncodeOptions::default() };
        let encoder = TextEncoder { tokenizer, options };
        let mut reader = DataReader::new(Columns::new(), folder.path());
        let examples = reader.read::<Record>(&path, &encoder).unwrap();
        // One record in several pieces.
        assert!(examples.len() > 1);
        assert_eq!(reader.files.len(), 1);
        assert_eq!(reader.files[0].records, 1);
        assert!(reader.read_some::<Record>(None, &encoder).unwrap().is_none());
        assert_eq!(reader.files.len(), 1);
        // The examples have no name, and are nowhere else.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let mut elsewhere = DataReader::new(Columns::new(), folder.path().join("missing"));
        let error = elsewhere.read::<Record>(&path, &encoder).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
    }
}
