//! Which final states a caller of a model needs.

use super::network::select_tokens;
use super::packing::Packing;
use super::pass::Pass;
use burn::tensor::Tensor;

/// All states, or those of some tokens.
///
/// Behind the attention of the last block, every token goes its own way. So that block computes what follows, three
/// quarters of its work, for the tokens that are needed: the first of each text for a classifier, the answer of a prompt
/// with an answer. Not where a pass has an adapter for each sequence, which goes by equal lengths.
pub(super) struct Wanted {
    /// Numbers of tokens of `[B*T]`, or of `[1, N]` where padding is left out.
    rows: Option<Vec<i32>>,
    /// Whether the last block gives back nothing else.
    early: bool,
}

impl Wanted {
    /// `rows`: numbers of tokens of `[B*T]`; `None` for all.
    pub(super) fn new(rows: Option<&[i32]>, packing: Option<&Packing>, pass: &Pass) -> Self {
        let rows = rows.map(|rows| match packing {
            Some(packing) => packing.rows(rows),
            None => rows.to_vec(),
        });
        let early = pass.adapters().is_none() && rows.as_ref().is_some_and(|rows| !rows.is_empty());
        Self { rows, early }
    }

    /// The tokens that block `i` of `count` gives back; `None` for all.
    pub(super) fn in_block(&self, i: usize, count: usize) -> Option<&[i32]> {
        self.rows.as_deref().filter(|_| self.early && i + 1 == count)
    }

    /// The states in question of those that the last of `count` blocks gave: `[B, T, D]`, or `[1, N, D]`.
    pub(super) fn of(&self, x: Tensor<3>, count: usize, packing: Option<Packing>) -> Tensor<3> {
        match (&self.rows, packing) {
            (Some(_), _) if self.early && count > 0 => x,
            (Some(rows), _) => select_tokens(x, rows),
            (None, Some(packing)) => packing.unpack(x),
            (None, None) => x,
        }
    }
}
