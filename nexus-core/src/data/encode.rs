//! Records into examples, in memory or on disk.

use std::path::Path;

use super::{Example, ExampleFile, ExampleFileWriter, FromRow, Located, RecordStream};
use crate::{Error, Result};

/// Work for a thread: long enough that starting the thread does not matter.
const RECORDS_PER_THREAD: usize = 32;
/// The records, and their bytes, that are encoded together when they come from a stream. Encoding
/// takes some 30 times the size of the text.
const RECORDS_AT_ONCE: usize = 1024;
const BYTES_AT_ONCE: usize = 1 << 20;

/// Turns records of kind `T` into examples.
pub trait Encode<T>: Sync {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting out of range; [`Error::Tokenizer`] where the tokenizer lacks
    /// what is needed.
    fn check(&self) -> Result<()>;

    /// The examples of one record.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] and [`Error::Config`] where no record can be encoded; any other error
    /// is about this record, and is told with its line.
    fn encode(&self, record: &T) -> Result<Pieces>;
}

/// The examples of one record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pieces {
    /// The examples from which something is learned: none, one, or several pieces of a long text.
    pub examples: Vec<Example>,
    /// The tokens, or whole sequences, with a label.
    pub trained: usize,
    /// Whether the record lost a part.
    pub truncated: bool,
}

/// Encoded records, and what became of the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded<S = Vec<Example>> {
    /// The examples, in the records' order; each has at least one label.
    pub examples: S,
    /// The records that were read.
    pub records: usize,
    /// The records that were dropped because nothing of them is trained.
    pub untrainable: usize,
    /// The records that lost a part.
    pub truncated: usize,
    /// The tokens of all examples.
    pub tokens: usize,
    /// The trained tokens of all examples, or the sequences with a target.
    pub trained_tokens: usize,
}

/// Encodes records on all processors; `path` is their file, for error messages.
///
/// # Errors
/// As [`Encode`]; [`Error::Data`] where a record cannot be encoded or nothing of all records is
/// trained.
pub fn encode<T: Sync>(
    records: &[Located<T>],
    encoder: &impl Encode<T>,
    path: &Path,
) -> Result<Encoded> {
    encoder.check()?;
    let mut out = Encoded::<()>::default();
    let mut examples = Vec::new();
    for (located, pieces) in std::iter::zip(records, encode_all(records, encoder)) {
        let pieces = pieces.map_err(|e| at(e, path, located.line))?;
        out.count(&pieces);
        examples.extend(pieces.examples);
    }
    check_any(examples.len(), records.len(), path)?;
    Ok(out.with(examples))
}

/// Encodes the records of a stream into a temporary file in `folder`, so that neither the records
/// nor the examples need to fit into memory. The file is gone when the examples are dropped.
///
/// # Errors
/// As [`RecordStream`] and [`encode`]; [`Error::Io`] where the file cannot be written.
pub fn encode_to_disk<T: FromRow + Sync>(
    mut records: RecordStream<T>,
    encoder: &impl Encode<T>,
    folder: &Path,
) -> Result<Encoded<ExampleFile>> {
    encoder.check()?;
    let mut out = Encoded::<()>::default();
    let mut writer = ExampleFileWriter::create(folder)?;
    loop {
        let chunk = records.next_chunk(RECORDS_AT_ONCE, BYTES_AT_ONCE)?;
        if chunk.is_empty() {
            break;
        }
        for (located, pieces) in std::iter::zip(&chunk, encode_all(&chunk, encoder)) {
            let pieces = pieces.map_err(|e| at(e, records.path(), located.line))?;
            out.count(&pieces);
            for example in &pieces.examples {
                writer.push(example)?;
            }
        }
    }
    check_any(writer.len(), out.records, records.path())?;
    Ok(out.with(writer.finish()?))
}

impl Encoded<()> {
    fn count(&mut self, pieces: &Pieces) {
        self.records += 1;
        self.untrainable += usize::from(pieces.examples.is_empty());
        self.truncated += usize::from(pieces.truncated);
        self.tokens += pieces.examples.iter().map(|e| e.ids.len()).sum::<usize>();
        self.trained_tokens += pieces.trained;
    }

    fn with<S>(self, examples: S) -> Encoded<S> {
        let Self { examples: (), records, untrainable, truncated, tokens, trained_tokens } = self;
        Encoded { examples, records, untrainable, truncated, tokens, trained_tokens }
    }
}

/// Gives an error its place, unless it is about all records.
fn at(error: Error, path: &Path, line: usize) -> Error {
    match error {
        e @ (Error::Tokenizer { .. } | Error::Config { .. }) => e,
        other => Error::Data { path: path.into(), line, why: other.to_string() },
    }
}

fn check_any(examples: usize, records: usize, path: &Path) -> Result<()> {
    let why = match (examples, records) {
        (0, 0) => "there are no records".into(),
        (0, n) => format!(
            "none of the {n} records has a trained token within the maximum length; raise \
             --max-length, shorten the prompts, or train on all text (loss mask `all`)"
        ),
        _ => return Ok(()),
    };
    Err(Error::Data { path: path.into(), line: 0, why })
}

/// Encodes on all processors; one result per record, in their order.
fn encode_all<T: Sync>(records: &[Located<T>], encoder: &impl Encode<T>) -> Vec<Result<Pieces>> {
    let one = |located: &Located<T>| encoder.encode(&located.record);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    if threads == 1 || records.len() < RECORDS_PER_THREAD * 2 {
        return records.iter().map(one).collect();
    }
    // Small chunks, dealt out in turn: records of one kind and length often stand together.
    let chunks: Vec<&[Located<T>]> = records.chunks(RECORDS_PER_THREAD).collect();
    let mut slots: Vec<Vec<Result<Pieces>>> = chunks.iter().map(|_| Vec::new()).collect();
    std::thread::scope(|scope| {
        let mut shares: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
        for (i, work) in std::iter::zip(&chunks, &mut slots).enumerate() {
            shares[i % threads].push(work);
        }
        for share in shares {
            scope.spawn(move || {
                for (chunk, slot) in share {
                    *slot = chunk.iter().map(one).collect();
                }
            });
        }
    });
    slots.into_iter().flatten().collect()
}

/// The label that stands for a token.
pub(super) fn label_of(id: u32) -> Result<i32> {
    i32::try_from(id)
        .map_err(|_| Error::Tokenizer { why: format!("token id {id} exceeds {}", i32::MAX) })
}
