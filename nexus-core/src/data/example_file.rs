//! Examples on disk, for data that does not fit into memory.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{Example, ExampleSource, IGNORED, Target};
use crate::{Error, Result};

/// Examples in a temporary file, read one by one by their place. Memory holds 12 bytes per example.
///
/// The file has no name where the system allows that, and is gone when this is dropped, however the
/// program ends.
#[derive(Debug)]
pub struct ExampleFile {
    folder: PathBuf,
    file: Mutex<File>,
    /// Where each example begins, and where the last ends.
    offsets: Vec<u64>,
    /// The tokens of each example.
    lengths: Vec<u32>,
}

/// Writes an [`ExampleFile`].
#[derive(Debug)]
pub struct ExampleFileWriter {
    folder: PathBuf,
    file: BufWriter<File>,
    offsets: Vec<u64>,
    lengths: Vec<u32>,
    bytes: Vec<u8>,
}

impl ExampleFileWriter {
    /// Creates a temporary file in `folder`, which must have room for about two bytes per token.
    ///
    /// # Errors
    /// [`Error::Io`] where no file can be created there.
    pub fn create(folder: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder);
        let file = file.map_err(Error::io("create a temporary file in", folder))?;
        let file = BufWriter::with_capacity(1 << 18, file);
        let (folder, bytes) = (folder.into(), Vec::new());
        Ok(Self { folder, file, offsets: vec![0], lengths: Vec::new(), bytes })
    }

    /// Adds an example.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be written.
    pub fn push(&mut self, example: &Example) -> Result<()> {
        self.bytes.clear();
        write_example(example, &mut self.bytes);
        let written = self.file.write_all(&self.bytes);
        written.map_err(Error::io("write a temporary file in", &self.folder))?;
        let end = self.offsets.last().copied().unwrap_or(0) + self.bytes.len() as u64;
        self.offsets.push(end);
        self.lengths.push(u32::try_from(example.ids.len()).unwrap_or(u32::MAX));
        Ok(())
    }

    /// The number of examples so far.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The examples, for reading.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be written.
    pub fn finish(self) -> Result<ExampleFile> {
        let Self { folder, file, offsets, lengths, .. } = self;
        let file = file.into_inner().map_err(|e| e.into_error());
        let file = file.map_err(Error::io("write a temporary file in", &folder))?;
        Ok(ExampleFile { folder, file: Mutex::new(file), offsets, lengths })
    }
}

impl ExampleSource for ExampleFile {
    fn len(&self) -> usize {
        self.lengths.len()
    }

    fn length(&self, i: usize) -> usize {
        self.lengths.get(i).map_or(0, |&length| length as usize)
    }

    fn get(&self, i: usize) -> Result<Example> {
        let Some(&[begin, end]) = self.offsets.array_windows().nth(i) else {
            let last = self.lengths.len().saturating_sub(1);
            return Err(Error::config("example", i, format!("an index of at most {last}")));
        };
        let mut bytes = vec![0; (end - begin) as usize];
        // A thread that panicked has at most moved the cursor, which is set here.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(begin)).and_then(|_| file.read_exact(&mut bytes));
        drop(file);
        read.map_err(Error::io("read a temporary file in", &self.folder))?;
        read_example(&mut &bytes[..]).ok_or_else(|| {
            Error::format(&self.folder, "a temporary file of examples was changed; start again")
        })
    }
}

/// How labels are written: as numbers, or as runs of the ids' own and of ignored ones, which is
/// what language models have and takes a few bytes.
const NUMBERS: u64 = 0;
const RUNS: u64 = 1;

const UNSET: u64 = 0;
const CLASS: u64 = 1;
const VALUES: u64 = 2;

/// Every number is a varint (LEB128), labels zigzag; floats are four bytes.
fn write_example(example: &Example, out: &mut Vec<u8>) {
    write_number(example.ids.len() as u64, out);
    example.ids.iter().for_each(|&id| write_number(u64::from(id), out));
    write_number(example.types.len() as u64, out);
    out.extend_from_slice(&example.types);
    match runs(example) {
        Some(runs) => {
            write_number(RUNS, out);
            write_number(runs.len() as u64, out);
            runs.iter().for_each(|&run| write_number(run, out));
        }
        None => {
            write_number(NUMBERS, out);
            write_number(example.labels.len() as u64, out);
            for &label in &example.labels {
                write_number(u64::from(((label << 1) ^ (label >> 31)) as u32), out);
            }
        }
    }
    match &example.target {
        Target::Unset => write_number(UNSET, out),
        Target::Class(class) => {
            write_number(CLASS, out);
            write_number(u64::from(*class), out);
        }
        Target::Values(values) => {
            write_number(VALUES, out);
            write_number(values.len() as u64, out);
            values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        }
    }
}

/// The lengths of the runs of labels, ignored and the ids' own in turn; `None` where a label is
/// neither.
fn runs(example: &Example) -> Option<Vec<u64>> {
    if example.labels.len() != example.ids.len() {
        return None;
    }
    let (mut runs, mut own, mut run) = (Vec::new(), false, 0);
    for (&id, &label) in std::iter::zip(&example.ids, &example.labels) {
        let is_own = i32::try_from(id) == Ok(label);
        if !is_own && label != IGNORED {
            return None;
        }
        if is_own != own {
            runs.push(run);
            (own, run) = (is_own, 0);
        }
        run += 1;
    }
    runs.push(run);
    Some(runs)
}

/// Reads what [`write_example`] wrote; `None` where the bytes are not that.
fn read_example(bytes: &mut &[u8]) -> Option<Example> {
    let count = read_count(bytes)?;
    let ids: Vec<u32> = (0..count).map(|_| read_u32(bytes)).collect::<Option<_>>()?;
    let count = read_count(bytes)?;
    let types = bytes.split_off(..count)?.to_vec();
    let kind = read_number(bytes)?;
    let count = read_count(bytes)?;
    let labels = match kind {
        RUNS => {
            let mut labels = Vec::with_capacity(ids.len());
            for i in 0..count {
                let end = labels.len().checked_add(usize::try_from(read_number(bytes)?).ok()?)?;
                let run = ids.get(labels.len()..end)?;
                labels.extend(run.iter().map(|&id| if i % 2 == 1 { id as i32 } else { IGNORED }));
            }
            labels
        }
        NUMBERS => {
            let label = |n: u32| (n >> 1) as i32 ^ -((n & 1) as i32);
            (0..count).map(|_| read_u32(bytes).map(label)).collect::<Option<_>>()?
        }
        _ => return None,
    };
    let target = match read_number(bytes)? {
        UNSET => Target::Unset,
        CLASS => Target::Class(read_u32(bytes)?),
        VALUES => {
            let count = read_count(bytes)?;
            let values = bytes.split_off(..count.checked_mul(4)?)?;
            let (values, _) = values.as_chunks::<4>();
            Target::Values(values.iter().map(|&v| f32::from_le_bytes(v)).collect())
        }
        _ => return None,
    };
    bytes.is_empty().then_some(Example { ids, types, labels, target })
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn read_u32(bytes: &mut &[u8]) -> Option<u32> {
    u32::try_from(read_number(bytes)?).ok()
}

/// A count of items of at least one byte each, so never more than there are bytes.
fn read_count(bytes: &mut &[u8]) -> Option<usize> {
    let count = usize::try_from(read_number(bytes)?).ok()?;
    (count <= bytes.len()).then_some(count)
}
