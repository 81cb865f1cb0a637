//! Text to token ids and back, with the special tokens and the chat template of a model folder.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokenizers::processors::PostProcessorWrapper;

use super::{ChatTemplate, DecodeStream, tokenizer_files};
use crate::{Error, Result};

/// A tokenizer with the ids of its special tokens and its chat template. Cheap to clone.
#[derive(Clone)]
pub struct Tokenizer {
    /// Without post-processor, truncation and padding: a post-processor may trim white space from
    /// the offsets, and the mask needs them whole.
    pub(super) inner: Arc<tokenizers::Tokenizer>,
    pub(super) post: Option<PostProcessorWrapper>,
    /// One more than the largest id.
    pub(super) size: usize,
    pub(super) bos: Option<u32>,
    pub(super) eos: Vec<u32>,
    pub(super) pad: Option<u32>,
    /// The texts of the special tokens by role (`bos_token`, ...).
    pub(super) special: BTreeMap<String, String>,
    pub(super) template: Option<ChatTemplate>,
    /// What of the `tokenizer_config.json` it was loaded with is written again.
    pub(super) config: Arc<Map<String, Value>>,
    /// Whether decoding removes the spaces before punctuation.
    pub(super) clean_up: bool,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("size", &self.size)
            .field("special", &self.special)
            .field("eos", &self.eos)
            .field("chat_template", &self.template.is_some())
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Loads the tokenizer of a model folder: `tokenizer.json`, or else `tokenizer.model`
    /// (SentencePiece BPE or unigram), `spiece.model` (T5), `vocab.json` and `merges.txt` (GPT-2,
    /// RoBERTa), or `vocab.txt` (BERT).
    ///
    /// Special tokens come from `tokenizer_config.json`, `special_tokens_map.json`,
    /// `generation_config.json` and `config.json`; the chat template from `chat_template.jinja` or
    /// else `chat_template.json` or `tokenizer_config.json`. None of these is required.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`] where a file cannot be read; [`Error::Tokenizer`] where
    /// the files contradict each other or none of the forms is there.
    pub fn load(dir: &Path) -> Result<Self> {
        tokenizer_files::load(dir)
    }

    /// Wraps a tokenizer without special tokens and chat template; truncation and padding that it
    /// is set to are turned off.
    pub fn from_tokenizer(mut tokenizer: tokenizers::Tokenizer) -> Self {
        let post = tokenizer.get_post_processor().cloned();
        tokenizer.with_post_processor(None::<PostProcessorWrapper>);
        tokenizer.with_padding(None);
        // Only setting a truncation can fail, not removing it.
        let _ = tokenizer.with_truncation(None);
        let size = tokenizer.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1);
        Self {
            inner: Arc::new(tokenizer),
            post,
            size,
            bos: None,
            eos: Vec::new(),
            pad: None,
            special: BTreeMap::new(),
            template: None,
            config: Arc::default(),
            clean_up: false,
        }
    }

    /// Uses `source` as chat template, with this tokenizer's special tokens as its variables.
    ///
    /// # Errors
    /// As [`ChatTemplate::new`].
    pub fn with_chat_template(mut self, source: &str) -> Result<Self> {
        self.template = Some(ChatTemplate::new(source, &self.special)?);
        Ok(self)
    }

    /// Encodes text; with `add_special`, with the special tokens that the tokenizer puts around a
    /// text. Special tokens that are written out in the text are recognised either way.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the tokenizer fails.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        let encoding = guarded(|| self.inner.encode_fast(text, false))?;
        Ok(self.join(encoding, None, add_special)?.get_ids().to_vec())
    }

    /// Encodes text and gives for each token the range of bytes it stands for, white space
    /// included; an added special token has the empty range at the text's begin or end.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_with_offsets(
        &self,
        text: &str,
        add_special: bool,
    ) -> Result<Vec<(u32, (usize, usize))>> {
        let encoding = guarded(|| self.inner.encode(text, false))?;
        let offsets = encoding.get_offsets().to_vec();
        let processed = self.join(encoding, None, add_special)?;
        let mut own = offsets.into_iter();
        let mut at = (0, 0);
        let added = processed.get_special_tokens_mask();
        Ok(std::iter::zip(processed.get_ids(), added)
            .map(|(&id, &added)| match added {
                0 => {
                    let range = own.next().unwrap_or(at);
                    at = (range.1, range.1);
                    (id, range)
                }
                _ => (id, at),
            })
            .collect())
    }

    /// The text of token ids; ids that the vocabulary lacks are left out. Spaces before
    /// punctuation are removed where `clean_up_tokenization_spaces` of `tokenizer_config.json` asks
    /// for it, except for BPE, as in transformers.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let text = self.decode_as_is(ids, skip_special)?;
        Ok(if self.clean_up { without_spaces(&text) } else { text })
    }

    /// The text of token ids with every space.
    pub(super) fn decode_as_is(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        guarded(|| self.inner.decode(ids, skip_special))
    }

    /// Decodes ids one by one, for text that appears while it is generated; no space is removed.
    pub fn decode_stream(&self, skip_special: bool) -> DecodeStream<'_> {
        DecodeStream::new(self, skip_special)
    }

    /// One more than the largest token id, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.size
    }

    /// The token that begins a sequence.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The tokens that end a sequence; the first is the one to write, each stops generation.
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// The token to pad with: the pad token, or else the first eos token, or else 0.
    pub fn pad(&self) -> u32 {
        self.pad.or(self.eos.first().copied()).unwrap_or(0)
    }

    /// The ids of all special tokens.
    pub fn special_ids(&self) -> Vec<u32> {
        let added = self.inner.get_added_tokens_decoder();
        added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect()
    }

    /// The id of a token, as it is written in the vocabulary.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id, as it is written in the vocabulary.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The model's chat template, if it has one.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// Checks that a model with `model_vocab` embeddings knows every token.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where it does not. (More embeddings than tokens are usual: padding.)
    pub fn check_vocabulary(&self, model_vocab: usize) -> Result<()> {
        if self.size <= model_vocab {
            return Ok(());
        }
        Err(Error::Tokenizer {
            why: format!(
                "its largest id is {}, but the model has {model_vocab} embeddings; use the \
                 tokenizer of this model, or give the model more rows with resize_vocabulary",
                self.size - 1
            ),
        })
    }
}

/// Transformers' `clean_up_tokenization`.
fn without_spaces(text: &str) -> String {
    let spaces = [" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"];
    spaces.iter().fold(text.to_owned(), |text, spaced| text.replace(spaced, spaced.trim()))
}

pub(super) fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Tokenizer { why: error.to_string() }
}

/// Runs the tokenizers crate, which indexes by what its files say: where they contradict each
/// other (a template without its token, a merge without its piece) it panics.
pub(super) fn guarded<T>(run: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err("its tables contradict each other".into()))
        .map_err(failed)
}
