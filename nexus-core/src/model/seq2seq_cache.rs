//! What an encoder-decoder remembers while it writes answers.

use super::cache::LayerCache;
use burn::tensor::{Int, Tensor};

/// The cache of all answers of a batch: one entry per block of the decoder.
#[derive(Clone, Debug)]
pub struct Seq2SeqCache {
    pub(crate) layers: Vec<Seq2SeqLayerCache>,
    /// Number of answer tokens seen so far.
    pub(crate) length: usize,
}

/// Keys and values of one block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seq2SeqLayerCache {
    /// Of the answer, growing.
    pub(crate) answer: LayerCache,
    /// Of the source, computed once.
    pub(crate) memory: Option<(Tensor<3>, Tensor<3>)>,
}

impl Seq2SeqCache {
    pub(crate) fn new(layers: usize) -> Self {
        Self { layers: vec![Seq2SeqLayerCache::default(); layers], length: 0 }
    }

    /// Number of answer tokens seen so far.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing has been seen yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Goes on with these rows of the batch, in this order; a row may occur several times.
    ///
    /// Sources keep their rows: `rows` may only exchange answers of the same source.
    pub fn reorder(&mut self, rows: &Tensor<1, Int>) {
        for layer in &mut self.layers {
            layer.answer.reorder(rows);
        }
    }
}
