//! Token ids with their labels, the unit that models are trained on.

/// The label of a token that no loss is computed for.
pub const IGNORED: i32 = -100;

/// Token ids and what is to be learned from them.
///
/// | objective | `labels` | `target` |
/// |---|---|---|
/// | causal language model | `[T]`: the token's id or [`IGNORED`], not shifted | `Unset` |
/// | masked language model | `[T]`: the original id where masked, else [`IGNORED`] | `Unset` |
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

    /// The number of labels that a causal loss counts. Position 0 is never predicted, so its label
    /// does not count.
    pub fn trained_tokens(&self) -> usize {
        self.labels.iter().skip(1).filter(|&&l| l != IGNORED).count()
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
