//! The special tokens of a tokenizer: by role, and those that only a list names.

use std::sync::Arc;

use tokenizers::AddedToken;
use tokenizers::processors::PostProcessorWrapper;

use super::tokenizer::guarded;
use super::{ChatTemplate, Tokenizer};
use crate::{Error, Result};

impl Tokenizer {
    /// Names the special tokens; `None` keeps what is set. A token that the vocabulary lacks is
    /// added to it, as transformers does.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where a name is empty.
    pub fn with_special(
        mut self,
        bos: Option<&str>,
        eos: Option<&str>,
        pad: Option<&str>,
    ) -> Result<Self> {
        if let Some(name) = bos {
            self.bos = Some(self.set_special("bos_token", name)?);
        }
        if let Some(name) = eos {
            let id = self.set_special("eos_token", name)?;
            self.eos.retain(|&other| other != id);
            self.eos.insert(0, id);
        }
        if let Some(name) = pad {
            self.pad = Some(self.set_special("pad_token", name)?);
        }
        if let Some(template) = &self.template {
            self.template = Some(ChatTemplate::new(template.source(), &self.special)?);
        }
        Ok(self)
    }

    /// Adds those of the tokens that the vocabulary lacks; each is then one token wherever it stands in a text. Their ids
    /// follow the largest one in this order: a model needs [`vocab_size`](Self::vocab_size) rows for them, see
    /// [`resize_vocabulary`](crate::model::resize_vocabulary).
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where a token is empty.
    pub fn with_added_tokens<'a>(
        mut self,
        tokens: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let tokens: Vec<_> =
            tokens.into_iter().map(|text| (None, AddedToken::from(text, false))).collect();
        if tokens.iter().any(|(_, token)| token.content.is_empty()) {
            return Err(Error::Tokenizer { why: "an added token is empty".into() });
        }
        self.add_tokens(tokens)?;
        Ok(self)
    }

    /// The token for what the vocabulary lacks.
    pub fn unk(&self) -> Option<u32> {
        self.special_id("unk_token")
    }

    /// The token that separates two texts.
    pub fn sep(&self) -> Option<u32> {
        self.special_id("sep_token")
    }

    /// The token whose state stands for the whole sequence.
    pub fn cls(&self) -> Option<u32> {
        self.special_id("cls_token")
    }

    /// The token that hides another one.
    pub fn mask(&self) -> Option<u32> {
        self.special_id("mask_token")
    }

    fn special_id(&self, role: &str) -> Option<u32> {
        self.token_id(self.special.get(role)?)
    }

    /// Records a special token's name and gives its id; adds it to the vocabulary where needed.
    pub(super) fn set_special(&mut self, role: &str, name: &str) -> Result<u32> {
        let missing = || Error::Tokenizer { why: format!("{role} = {name:?} cannot be added") };
        if !self.inner.get_added_vocabulary().is_special_token(name) {
            // Marked as special, so that decoding can skip it; what else is set for it stays.
            let known = self.token_id(name);
            let known = known.and_then(|id| self.inner.get_added_tokens_decoder().remove(&id));
            let token = known.unwrap_or_else(|| AddedToken::from(name, true).normalized(false));
            let token = token.special(true);
            let inner = Arc::make_mut(&mut self.inner);
            guarded(|| inner.add_special_tokens([token]))?;
        }
        let id = self.token_id(name).ok_or_else(missing)?;
        self.size = self.size.max(id as usize + 1);
        self.special.insert(role.to_owned(), name.to_owned());
        Ok(id)
    }

    pub(super) fn set_post(&mut self, post: PostProcessorWrapper) {
        self.post = Some(post);
    }

    /// Fills roles that no name was given for.
    pub(super) fn set_ids(&mut self, bos: Option<u32>, eos: &[u32], pad: Option<u32>) {
        self.bos = self.bos.or(bos);
        self.pad = self.pad.or(pad);
        for &id in eos {
            if !self.eos.contains(&id) {
                self.eos.push(id);
            }
        }
        for (role, id) in [
            ("bos_token", self.bos),
            ("eos_token", self.eos.first().copied()),
            ("pad_token", self.pad),
        ] {
            if let Some(name) = id.and_then(|id| self.id_to_token(id)) {
                self.special.entry(role.into()).or_insert(name);
            }
        }
    }

    /// Adds those tokens that the vocabulary lacks, in this order. A token that comes with its id
    /// must get this id; what it says besides (white space that it takes along) counts even where
    /// the vocabulary holds it.
    pub(super) fn add_tokens(&mut self, mut tokens: Vec<(Option<u32>, AddedToken)>) -> Result<()> {
        tokens.retain(|(wanted, token)| {
            let id = self.token_id(&token.content);
            id.is_none() || id == *wanted
        });
        let inner = Arc::make_mut(&mut self.inner);
        guarded(|| inner.add_tokens(tokens.iter().map(|(_, token)| token.clone())))?;
        for (wanted, AddedToken { content, .. }) in &tokens {
            let id = self.token_id(content);
            if let Some(wanted) = wanted.filter(|wanted| id != Some(*wanted)) {
                return Err(Error::Tokenizer {
                    why: format!(
                        "tokenizer_config.json gives {content:?} the id {wanted}, which is not the \
                         next one of the vocabulary; use the vocabulary of this model"
                    ),
                });
            }
            self.size = self.size.max(id.map_or(0, |id| id as usize + 1));
        }
        Ok(())
    }
}
