//! Pairs of texts, words that are split already, and the special tokens around them.

use tokenizers::{Encoding, PostProcessor, Token};

use super::Tokenizer;
use super::tokenizer::guarded;
use crate::{Error, Result};

impl Tokenizer {
    /// Encodes two texts as one sequence: the ids `[T]` and the token types `[T]` (0 for the first
    /// text, 1 for the second, where the model tells them apart), not truncated. With
    /// `add_special`, the special tokens stand as the tokenizer's post-processor puts them.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_pair(
        &self,
        first: &str,
        second: &str,
        add_special: bool,
    ) -> Result<(Vec<u32>, Vec<u8>)> {
        let encode = |text: &str| guarded(|| self.inner.encode_fast(text, false));
        ids_and_types(&self.join(encode(first)?, Some(encode(second)?), add_special)?)
    }

    /// Encodes words that are split already: each token with the index of its word, or `None` for
    /// a special token that was added. A word that encodes to no token is skipped.
    ///
    /// Each word is encoded by itself, so a byte-level tokenizer sees no space between two words
    /// unless it is set to add one (`add_prefix_space`).
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_words(
        &self,
        words: &[String],
        add_special: bool,
    ) -> Result<Vec<(u32, Option<usize>)>> {
        // The fast encoding drops the indices of the words.
        let encoding = guarded(|| self.inner.encode(words, false))?;
        let joined = self.join(encoding, None, add_special)?;
        let words = joined.get_word_ids().iter().map(|word| word.map(|word| word as usize));
        Ok(joined.get_ids().iter().copied().zip(words).collect())
    }

    /// How many special tokens are put around one text, or around a pair of texts.
    pub fn special_count(&self, pair: bool) -> usize {
        self.post.as_ref().map_or(0, |post| post.added_tokens(pair))
    }

    /// Puts the special tokens around ids that were encoded without them, and perhaps truncated:
    /// the ids `[T]` and the token types `[T]`.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn wrap_pair(&self, first: &[u32], second: Option<&[u32]>) -> Result<(Vec<u32>, Vec<u8>)> {
        let encoding = |ids: &[u32]| {
            let token = |&id: &u32| Token::new(id, String::new(), (0, 0));
            Encoding::from_tokens(ids.iter().map(token).collect(), 0)
        };
        ids_and_types(&self.join(encoding(first), second.map(encoding), true)?)
    }

    /// One sequence of one or two encodings.
    pub(super) fn join(
        &self,
        first: Encoding,
        second: Option<Encoding>,
        add_special: bool,
    ) -> Result<Encoding> {
        if let Some(post) = &self.post {
            return guarded(|| post.process(first, second, add_special));
        }
        let mut joined = first;
        if let Some(mut second) = second {
            second.set_type_ids(vec![1; second.len()]);
            joined.merge_with(second, false);
        }
        Ok(joined)
    }
}

fn ids_and_types(encoding: &Encoding) -> Result<(Vec<u32>, Vec<u8>)> {
    let types = encoding.get_type_ids().iter().map(|&kind| {
        u8::try_from(kind).map_err(|_| Error::Tokenizer {
            why: format!("its post-processor gives the token type {kind}; 0 to 255 are allowed"),
        })
    });
    Ok((encoding.get_ids().to_vec(), types.collect::<Result<_>>()?))
}
