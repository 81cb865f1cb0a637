//! Plain text into examples for masked language models.

use super::encode_task::check_length;
use super::{Encode, Example, Pieces, Record, Tokenizer};
use crate::{Error, Result};

/// Encodes texts for a masked language model, which learns from both sides of a token.
///
/// A long text is cut into consecutive pieces, each with the special tokens of the tokenizer around it. The examples
/// have no labels yet: which tokens are hidden is drawn anew in every step, by the objective.
#[derive(Clone, Debug)]
pub struct MaskedTextEncoder {
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    /// The most tokens of one example, special tokens included.
    pub max_length: usize,
}

impl Encode<Record> for MaskedTextEncoder {
    fn check(&self) -> Result<()> {
        check_length("max_length", self.max_length, &self.tokenizer, false)
    }

    fn encode(&self, record: &Record) -> Result<Pieces> {
        let Record::Text { text } = record else {
            let why = "a masked language model learns from {\"text\"} records; join prompt and answer into one text";
            return Err(Error::Refused(why.into()));
        };
        let ids = self.tokenizer.encode(text, false)?;
        let room = self.max_length.saturating_sub(self.tokenizer.special_count(false)).max(1);
        let example =
            |piece: &[u32]| Ok(Example::new(self.tokenizer.wrap_pair(piece, None)?.0, Vec::new()));
        let examples = ids.chunks(room).map(example).collect::<Result<_>>()?;
        // Any of them may be hidden.
        Ok(Pieces { examples, trained: ids.len(), truncated: false })
    }
}
