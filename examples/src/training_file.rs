//! Training and validation files.

use crate::Failure;
use nexus_core::data::{Example, Tokenizer, encode_records, read_records};
use nexus_core::model::Decoder;
use nexus_core::report::DataFile;
use nexus_train::RunConfig;
use std::path::Path;

/// Reads and encodes a data file for training `model`, and says on stderr what was cut or dropped.
///
/// # Errors
/// When the file cannot be read, a record is malformed, or nothing of it would be trained.
pub fn training_file(
    path: &Path,
    config: &RunConfig,
    model: &Decoder,
    tokenizer: &Tokenizer,
) -> Result<(Vec<Example>, DataFile), Failure> {
    let records = read_records(path)?;
    let encoded = encode_records(&records, tokenizer, &config.encode_options(model), path)?;
    if encoded.truncated + encoded.untrainable > 0 {
        eprintln!(
            "note: {}: {} record(s) cut at --max-length, {} dropped because nothing of them is trained",
            path.display(),
            encoded.truncated,
            encoded.untrainable
        );
    }
    Ok((encoded.examples, DataFile::hash(path, records.len())?))
}
