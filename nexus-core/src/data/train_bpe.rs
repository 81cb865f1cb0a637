//! Trains a tokenizer of one's own.

use std::collections::HashSet;

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, NormalizerWrapper, TokenizerImpl};

use super::Tokenizer;
use super::tokenizer::failed;
use crate::{Error, Result};

/// The special token of GPT-2, which plays all roles.
const END_OF_TEXT: &str = "<|endoftext|>";

type ByteLevelBpe = TokenizerImpl<BPE, NormalizerWrapper, ByteLevel, ByteLevel, ByteLevel>;

impl Tokenizer {
    /// Trains a byte-level BPE tokenizer as GPT-2's on `texts`, with at most `vocab_size` tokens.
    ///
    /// `special` are special tokens, in the order of their ids from 0. `<|endoftext|>` is added
    /// where it is not among them, and is the bos, eos and pad token
    /// ([`with_special`](Self::with_special) changes that).
    ///
    /// # Errors
    /// [`Error::Config`] where `vocab_size` has no room for the 256 bytes and the special tokens;
    /// [`Error::Tokenizer`] where the trainer fails.
    pub fn train_bpe(
        texts: impl Iterator<Item = String> + Send,
        vocab_size: usize,
        special: &[&str],
    ) -> Result<Self> {
        let mut names: Vec<&str> = special.to_vec();
        if !names.contains(&END_OF_TEXT) {
            names.insert(0, END_OF_TEXT);
        }
        let least = 256 + names.len();
        if vocab_size < least {
            let allowed = format!("at least {least}: 256 bytes and {} specials", names.len());
            return Err(Error::config("vocab_size", vocab_size, allowed));
        }
        let mut trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(vocab_size)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect::<HashSet<_>>())
            .special_tokens(names.iter().map(|n| AddedToken::from(*n, true)).collect())
            .build();
        let level = ByteLevel::new(false, true, true);
        let mut inner = ByteLevelBpe::new(BPE::default());
        inner.with_pre_tokenizer(Some(level));
        inner.with_post_processor(Some(level));
        inner.with_decoder(Some(level));
        inner.train(&mut trainer, texts).map_err(failed)?;
        // Through its own file format, to the type that holds every kind of tokenizer.
        let json = inner.to_string(false).map_err(failed)?;
        let inner = tokenizers::Tokenizer::from_bytes(json).map_err(failed)?;
        Self::from_tokenizer(inner).with_special(
            Some(END_OF_TEXT),
            Some(END_OF_TEXT),
            Some(END_OF_TEXT),
        )
    }
}
