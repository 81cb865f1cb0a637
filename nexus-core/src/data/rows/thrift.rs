//! Thrift's compact protocol, as far as the footer and the page headers of Parquet need it.
//!
//! Nothing is allocated: numbers are read and everything else is skipped.

use std::io::{self, ErrorKind, Read, Take};

/// The types of a field that are read; the others are skipped.
pub(super) const I32: u8 = 5;
pub(super) const LIST: u8 = 9;
pub(super) const STRUCT: u8 = 12;

/// How deep structs and lists may stand in each other; the format's own go to six.
const MAX_DEPTH: usize = 32;

/// A reader that ends where its source does.
pub(super) struct Compact<R>(pub(super) Take<R>);

impl<R: Read> Compact<R> {
    /// Calls `visit` with the number and the type of each field of a struct. It reads the value, or says false and has
    /// it skipped.
    pub(super) fn fields(
        &mut self,
        mut visit: impl FnMut(&mut Self, i16, u8) -> io::Result<bool>,
    ) -> io::Result<()> {
        let mut number = 0i16;
        while let Some(kind) = self.field(&mut number)? {
            if !visit(self, number, kind)? {
                self.skip(kind, MAX_DEPTH)?;
            }
        }
        Ok(())
    }

    /// The type of the next field, unless the struct ends; `number` becomes its number.
    fn field(&mut self, number: &mut i16) -> io::Result<Option<u8>> {
        let head = self.byte()?;
        let (delta, kind) = (head >> 4, head & 15);
        if kind == 0 {
            return Ok(None);
        }
        *number = match delta {
            0 => i16::try_from(self.integer()?).map_err(|_| damaged())?,
            delta => number.checked_add(i16::from(delta)).ok_or_else(damaged)?,
        };
        Ok(Some(kind))
    }

    /// The number and the type of a list's elements.
    pub(super) fn list(&mut self) -> io::Result<(u64, u8)> {
        let head = self.byte()?;
        Ok(match head >> 4 {
            15 => (self.varint()?, head & 15),
            short => (u64::from(short), head & 15),
        })
    }

    /// A signed number of any width.
    pub(super) fn integer(&mut self) -> io::Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> io::Result<()> {
        let depth = depth.checked_sub(1).ok_or_else(damaged)?;
        match kind {
            // True and false are types without a value.
            1 | 2 => Ok(()),
            3 => self.pass(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.pass(8),
            8 => {
                let length = self.varint()?;
                self.pass(length)
            }
            LIST | 10 => {
                let (count, kind) = self.list()?;
                // In a list, a truth value takes a byte.
                let kind = if matches!(kind, 1 | 2) { 3 } else { kind };
                (0..count).try_for_each(|_| self.skip(kind, depth))
            }
            11 => {
                let count = self.varint()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                (0..count).try_for_each(|_| {
                    self.skip(kinds >> 4, depth)?;
                    self.skip(kinds & 15, depth)
                })
            }
            STRUCT => {
                let mut number = 0;
                while let Some(kind) = self.field(&mut number)? {
                    self.skip(kind, depth)?;
                }
                Ok(())
            }
            _ => Err(damaged()),
        }
    }

    fn pass(&mut self, length: u64) -> io::Result<()> {
        let passed = io::copy(&mut self.0.by_ref().take(length), &mut io::sink())?;
        if passed == length { Ok(()) } else { Err(damaged()) }
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged())
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.0.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

fn damaged() -> io::Error {
    ErrorKind::InvalidData.into()
}
