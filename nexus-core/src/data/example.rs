//! Token ids with their labels, the unit that models are trained on.

use crate::model::{ModelConfig, Spec};

/// The label of a token that no loss is computed for.
pub const IGNORED: i32 = -100;

/// Token ids and what is to be learned from them.
///
/// | objective | `labels` | `target` |
/// |---|---|---|
/// | causal language model | `[T]`: the token's id or [`IGNORED`], not shifted | `Unset` |
/// | masked language model | `[T]`: the original id where masked, else [`IGNORED`]; empty before masking | `Unset` |
/// | token classification | `[T]`: the class or [`IGNORED`] | `Unset` |
/// | sequence to sequence | `[U]`: the ids of the answer, its end token included | `Unset` |
/// | sequence classification | empty | `Class`, or `Values` for several labels and regression |
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// The token ids `[T]`.
    pub ids: Vec<u32>,
    /// The token types `[T]`: 0 for the first text, 1 for the second; empty when all are 0.
    pub types: Vec<u8>,
    /// One label per token, or the tokens of an answer.
    pub labels: Vec<i32>,
    /// What the whole sequence stands for.
    pub target: Target,
}

/// What a whole sequence stands for.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Target {
    /// Nothing: the labels of the tokens are learned.
    #[default]
    Unset,
    /// One class of C.
    Class(u32),
    /// `[C]`: 1 or 0 per label (several labels), or values (regression).
    Values(Vec<f32>),
}

impl Example {
    /// Token ids with one label per token.
    pub fn new(ids: Vec<u32>, labels: Vec<i32>) -> Self {
        Self { ids, labels, ..Self::default() }
    }

    /// Checks that a model can read the tokens: there is one, and each id and each type has an embedding.
    ///
    /// # Errors
    /// What is wrong and how to repair it.
    pub fn check(&self, spec: &Spec) -> Result<(), String> {
        if self.ids.is_empty() {
            return Err("it has no token; drop the record, or give it a text".into());
        }
        check_ids(&self.ids, spec)?;
        let ModelConfig::Encoder(config) = &spec.config else { return Ok(()) };
        // Models without token types do not read them.
        let known = |kind: &u8| config.token_types == 0 || usize::from(*kind) < config.token_types;
        match self.types.iter().find(|kind| !known(kind)) {
            None => Ok(()),
            Some(kind) => Err(format!(
                "token type {kind} is outside the model's {} (type_vocab_size); the model does not tell two texts \
                 apart, so join them into one",
                config.token_types
            )),
        }
    }

    /// Checks that every label that is not [`IGNORED`] is a token that the model knows.
    ///
    /// # Errors
    /// What is wrong and how to repair it.
    pub fn check_token_labels(&self, spec: &Spec) -> Result<(), String> {
        let labels = self.labels.iter().filter(|&&label| label != IGNORED);
        labels.map(|&label| label as u32).try_for_each(|label| check_ids(&[label], spec))
    }

    /// Checks that there are as many labels as tokens.
    ///
    /// # Errors
    /// How many of each there are.
    pub fn check_label_count(&self) -> Result<(), String> {
        match (self.labels.len(), self.ids.len()) {
            (labels, tokens) if labels == tokens => Ok(()),
            (labels, tokens) => Err(format!("{labels} labels for {tokens} tokens")),
        }
    }

    /// The number of labels that are not [`IGNORED`].
    pub fn labelled_tokens(&self) -> usize {
        self.labels.iter().filter(|&&label| label != IGNORED).count()
    }

    /// The number of labels that a causal loss counts. Position 0 is never predicted, so its label
    /// does not count.
    pub fn trained_tokens(&self) -> usize {
        self.labels.iter().skip(1).filter(|&&l| l != IGNORED).count()
    }
}

fn check_ids(ids: &[u32], spec: &Spec) -> Result<(), String> {
    let vocabulary = spec.vocab_size();
    match ids.iter().find(|&&id| id as usize >= vocabulary) {
        None => Ok(()),
        Some(id) => Err(format!(
            "token id {id} is outside the model's vocabulary of {vocabulary}; \
             was the data encoded with another tokenizer?"
        )),
    }
}

/// Joins examples and cuts the result into pieces of `length` (at least 1) tokens; the last piece
/// may be shorter. For pretraining, where documents may share a row.
pub fn pack_wrapped(examples: &[Example], length: usize) -> Vec<Example> {
    let all = Example::new(
        examples.iter().flat_map(|e| e.ids.iter().copied()).collect(),
        examples.iter().flat_map(|e| e.labels.iter().copied()).collect(),
    );
    cut(&all, length.max(1)).collect()
}

/// Consecutive pieces of `length` tokens; the last may be shorter.
pub(super) fn cut(example: &Example, length: usize) -> impl Iterator<Item = Example> {
    let pieces = example.ids.chunks(length).zip(example.labels.chunks(length));
    pieces.map(|(ids, labels)| Example::new(ids.to_vec(), labels.to_vec()))
}
