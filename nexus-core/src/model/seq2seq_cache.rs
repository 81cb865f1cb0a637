//! What an encoder-decoder remembers while it writes answers.

use super::cache::{LayerCache, select_entries};
use burn::tensor::Tensor;

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

    /// Goes on with these rows of the batch, in this order; a row may occur several times, and may be left out.
    ///
    /// What is known of the sources stays: it must be the same for row `i` and row `rows[i]`. Where it is not, call
    /// [`reorder_sources`](Self::reorder_sources) too.
    ///
    /// # Panics
    /// When a row is not below B.
    pub fn reorder(&mut self, rows: &[usize]) {
        for layer in &mut self.layers {
            layer.answer.reorder(rows);
        }
    }

    /// Goes on with the sources of these rows; do the same to the [`Memory`](super::Memory).
    ///
    /// # Panics
    /// When a row is not below B.
    pub fn reorder_sources(&mut self, rows: &[usize]) {
        for (key, value) in self.layers.iter_mut().filter_map(|layer| layer.memory.as_mut()) {
            *key = select_entries(key.clone(), rows);
            *value = select_entries(value.clone(), rows);
        }
    }
}
