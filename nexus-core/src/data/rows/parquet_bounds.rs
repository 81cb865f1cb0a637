//! What a Parquet file asks for, checked before the Parquet reader allocates it.
//!
//! The reader trusts the sizes in page headers (up to 2 GiB for a page of a few bytes) and walks the schema by recursion.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::thrift::{Compact, I32, LIST, STRUCT};

/// Published schemas have less than ten levels and some thousand columns.
const MAX_SCHEMA_DEPTH: usize = 32;
const MAX_SCHEMA_ELEMENTS: u64 = 1 << 16;
/// The description of a file with a million pages takes about as much.
const MAX_FOOTER_BYTES: u64 = 64 << 20;
/// Writers aim at 1 MiB; one value may be a whole document, and some count only after 1,024 values.
const MAX_PAGE_BYTES: i64 = 256 << 20;
/// Writers aim at 20,000 rows; the reader allocates some bytes for each value.
const MAX_PAGE_VALUES: i64 = 1 << 24;
/// No stream of gzip, and none of snappy, gets larger than this many times its own length.
const MAX_RATIO: i64 = 1100;

/// Checks the schema in the footer.
pub(super) fn check_schema(file: &File) -> Result<(), String> {
    let mut file = BufReader::new(file);
    let footer = (|| {
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::End(-8))?;
        let mut tail = [0; 8];
        file.read_exact(&mut tail)?;
        let [a, b, c, d, ..] = tail;
        let footer = u64::from(u32::from_le_bytes([a, b, c, d]));
        file.seek(SeekFrom::End(-8 - footer as i64))?;
        Ok::<_, io::Error>((footer, length))
    })();
    let (footer, length) = footer.map_err(|_| "the file is cut off")?;
    if footer > MAX_FOOTER_BYTES.min(length) {
        return Err(format!("its footer claims {footer} bytes"));
    }
    let mut depths = Depths(Vec::new());
    let mut schema = Ok(());
    Compact(file.take(footer))
        .fields(|footer, number, kind| {
            if (number, kind) != (2, LIST) {
                return Ok(false);
            }
            let (count, kind) = footer.list()?;
            if count > MAX_SCHEMA_ELEMENTS || kind != STRUCT {
                schema = Err(format!("its schema has {count} elements"));
                return Err(io::ErrorKind::InvalidData.into());
            }
            for _ in 0..count {
                let mut children = 0;
                footer.fields(|element, number, kind| {
                    let counts = (number, kind) == (5, I32);
                    if counts {
                        children = element.integer()?;
                    }
                    Ok(counts)
                })?;
                if depths.add(children) > MAX_SCHEMA_DEPTH {
                    schema = Err(format!("its schema is deeper than {MAX_SCHEMA_DEPTH} levels"));
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
            Ok(true)
        })
        .map_err(|_| schema.err().unwrap_or_else(|| "its footer is damaged".into()))
}

/// How many children the open groups still lack, outermost first.
struct Depths(Vec<i64>);

impl Depths {
    /// Adds the next element and gives the number of groups that are open.
    fn add(&mut self, children: i64) -> usize {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        if let Some(last) = self.0.last_mut() {
            *last -= 1;
        }
        if children > 0 {
            self.0.push(children);
        }
        self.0.len()
    }
}

/// Checks the header of every page of the columns that `wanted` accepts by name.
pub(super) fn check_pages(
    file: &File,
    metadata: &ParquetMetaData,
    wanted: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let length = file.metadata().map_err(|e| e.to_string())?.len();
    let mut file = BufReader::new(file);
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    for column in columns {
        let name = column.column_path().parts().first().map_or("", String::as_str);
        if wanted(name) {
            check_column(&mut file, length, column)
                .map_err(|why| format!("column {name:?}: {why}"))?;
        }
    }
    Ok(())
}

fn check_column(
    file: &mut BufReader<&File>,
    length: u64,
    column: &ColumnChunkMetaData,
) -> Result<(), String> {
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let (start, size) = (u64::try_from(start), u64::try_from(column.compressed_size()));
    let (Ok(mut at), Ok(size)) = (start, size) else {
        return Err("its place in the file is negative".into());
    };
    let end = at.checked_add(size).filter(|&end| end <= length);
    let end = end.ok_or("it reaches beyond the end of the file")?;
    // The reader, too, stops after the last value.
    let mut values = 0;
    while at < end && values < column.num_values() {
        let mut page = Page::default();
        let header = file.seek(SeekFrom::Start(at)).and_then(|_| {
            let mut header = Compact(file.by_ref().take(end - at));
            page.read(&mut header)?;
            Ok(header.0.limit())
        });
        let left = header.map_err(|_| format!("the page at byte {at} is damaged"))?;
        at = end - left
            + page.check(column.compression(), left).ok_or_else(|| {
                let Page { compressed, size, values, .. } = page;
                format!(
                    "the page at byte {at} claims {values} values in {size} bytes, stored in \
                 {compressed}; the file is damaged, or its pages must be written smaller"
                )
            })?;
        values += page.data_values;
    }
    Ok(())
}

/// The sizes in a page header.
#[derive(Default)]
struct Page {
    /// Bytes in memory.
    size: i64,
    /// Bytes in the file.
    compressed: i64,
    /// Values of a page of data or of a dictionary.
    values: i64,
    /// Values of a page of data.
    data_values: i64,
    dictionary: bool,
}

impl Page {
    fn read<R: Read>(&mut self, header: &mut Compact<R>) -> io::Result<()> {
        header.fields(|header, number, kind| {
            match (number, kind) {
                (2, I32) => self.size = header.integer()?,
                (3, I32) => self.compressed = header.integer()?,
                (5 | 7 | 8, STRUCT) => {
                    header.fields(|inner, number, kind| {
                        let counts = (number, kind) == (1, I32);
                        if counts {
                            self.values = inner.integer()?;
                        }
                        Ok(counts)
                    })?;
                    self.dictionary |= number == 7;
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        self.data_values = if self.dictionary { 0 } else { self.values.max(0) };
        Ok(())
    }

    /// The bytes that the page takes in the file, unless a size is impossible.
    fn check(&self, codec: Compression, left: u64) -> Option<u64> {
        let Self { size, compressed, values, dictionary, .. } = *self;
        let stored = u64::try_from(compressed).ok().filter(|&bytes| bytes <= left)?;
        let limit = match codec {
            Compression::UNCOMPRESSED => compressed,
            _ => MAX_PAGE_BYTES.min((compressed + 64) * MAX_RATIO),
        };
        // A value of a dictionary takes a byte at least, and much more in memory.
        let most = if dictionary { size } else { MAX_PAGE_VALUES };
        ((0..=limit).contains(&size) && (0..=most).contains(&values)).then_some(stored)
    }
}
