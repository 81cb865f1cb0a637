//! Token ids with their labels, the unit that models are trained on.

/// The label of a token that no loss is computed for.
pub const IGNORED: i32 = -100;

/// Token ids and labels of the same length; a label is its token's id or [`IGNORED`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// The token ids `[T]`.
    pub ids: Vec<u32>,
    /// The labels `[T]`, not shifted.
    pub labels: Vec<i32>,
}

impl Example {
    /// The number of labels that a causal loss counts. Position 0 is never predicted, so its label
    /// does not count.
    pub fn trained_tokens(&self) -> usize {
        self.labels.iter().skip(1).filter(|&&l| l != IGNORED).count()
    }
}

/// Joins examples and cuts the result into pieces of `length` (at least 1) tokens; the last piece
/// may be shorter. For pretraining, where documents may share a row.
pub fn pack_wrapped(examples: &[Example], length: usize) -> Vec<Example> {
    let all = Example {
        ids: examples.iter().flat_map(|e| e.ids.iter().copied()).collect(),
        labels: examples.iter().flat_map(|e| e.labels.iter().copied()).collect(),
    };
    cut(&all, length.max(1)).collect()
}

/// Consecutive pieces of `length` tokens; the last may be shorter.
pub(super) fn cut(example: &Example, length: usize) -> impl Iterator<Item = Example> {
    let pieces = example.ids.chunks(length).zip(example.labels.chunks(length));
    pieces.map(|(ids, labels)| Example { ids: ids.to_vec(), labels: labels.to_vec() })
}
