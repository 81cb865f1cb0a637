//! Text from token ids, one id at a time.

use super::Tokenizer;
use crate::Result;

/// A UTF-8 character spans at most four byte tokens; more pending tokens can only be invalid bytes.
const MAX_PENDING: usize = 16;

/// Decodes a stream of token ids and emits only complete characters.
///
/// A token may hold part of a character (byte-level BPE, byte fallback), and what a token means may
/// depend on the one before it (leading spaces), so each piece of text is the difference between
/// two decodings that share their left context.
#[derive(Debug)]
pub struct DecodeStream<'t> {
    tokenizer: &'t Tokenizer,
    skip_special: bool,
    ids: Vec<u32>,
    /// How many of `ids` have been emitted: they are the left context.
    emitted: usize,
}

impl<'t> DecodeStream<'t> {
    pub(super) fn new(tokenizer: &'t Tokenizer, skip_special: bool) -> Self {
        Self { tokenizer, skip_special, ids: Vec::new(), emitted: 0 }
    }

    /// Takes one id; returns the text that it completes, if any.
    ///
    /// # Errors
    /// [`Error::Tokenizer`](crate::Error::Tokenizer) where the decoder fails.
    pub fn push(&mut self, id: u32) -> Result<Option<String>> {
        self.ids.push(id);
        self.emit(false)
    }

    /// Returns what is pending at the end of the stream; bytes that never became a character are
    /// replaced by U+FFFD.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(&mut self) -> Result<Option<String>> {
        let text = self.emit(true)?;
        self.ids.clear();
        self.emitted = 0;
        Ok(text)
    }

    fn emit(&mut self, last: bool) -> Result<Option<String>> {
        let pending = self.ids.len() - self.emitted;
        if pending == 0 {
            return Ok(None);
        }
        let context = self.decode(0..self.emitted)?;
        let all = self.decode(0..self.ids.len())?;
        let fresh = match all.strip_prefix(&context) {
            Some(fresh) => fresh.to_owned(),
            // An invalid byte can change how the bytes before it decode; what is out stays out.
            None => self.decode(self.emitted..self.ids.len())?,
        };
        if fresh.is_empty() || (fresh.ends_with('\u{fffd}') && !last && pending < MAX_PENDING) {
            // Tokens without text of their own (skipped specials) must not pile up as context.
            if fresh.is_empty() && pending >= MAX_PENDING {
                self.ids.drain(self.emitted..);
            }
            return Ok(None);
        }
        self.ids.drain(..self.emitted);
        self.emitted = self.ids.len();
        Ok(Some(fresh))
    }

    fn decode(&self, range: std::ops::Range<usize>) -> Result<String> {
        self.tokenizer.decode_as_is(&self.ids[range], self.skip_special)
    }
}
