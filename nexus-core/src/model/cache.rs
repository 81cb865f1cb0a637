//! Keys and values of the positions that a model has already seen.

use burn::tensor::{Int, Tensor};

/// The cache of a whole model: one entry per layer.
#[derive(Clone, Debug)]
pub struct Cache {
    pub(crate) layers: Vec<LayerCache>,
    /// Number of positions seen so far.
    pub(crate) length: usize,
}

/// Keys and values of one layer, `[B, S, K*head_dim]`; with a window, only what the window can still reach.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerCache {
    entries: Option<(Tensor<3>, Tensor<3>)>,
    window: Option<usize>,
}

impl Cache {
    /// An empty cache for layers with these windows.
    pub(crate) fn new(windows: &[Option<usize>]) -> Self {
        let layers = windows.iter().map(|&window| LayerCache { entries: None, window }).collect();
        Self { layers, length: 0 }
    }

    /// Number of positions seen so far.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing has been seen yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Goes on with these rows of the batch, in this order; a row may occur several times.
    pub fn reorder(&mut self, rows: &Tensor<1, Int>) {
        for layer in &mut self.layers {
            layer.reorder(rows);
        }
    }
}

impl LayerCache {
    /// Goes on with these rows of the batch, in this order.
    pub(crate) fn reorder(&mut self, rows: &Tensor<1, Int>) {
        if let Some((key, value)) = &mut self.entries {
            *key = key.clone().select(0, rows.clone());
            *value = value.clone().select(0, rows.clone());
        }
    }

    /// Appends the new positions and gives all of them back for this pass.
    pub(crate) fn extend(&mut self, key: Tensor<3>, value: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let (key, value) = match self.entries.take() {
            Some((k, v)) => (Tensor::cat(vec![k, key], 1), Tensor::cat(vec![v, value], 1)),
            None => (key, value),
        };
        let length = key.dims()[1];
        // The next token sees itself and `window - 1` earlier ones.
        let kept = self.window.map_or(length, |window| length.min(window.saturating_sub(1)));
        self.entries = (kept > 0).then(|| {
            (
                key.clone().narrow(1, length - kept, kept),
                value.clone().narrow(1, length - kept, kept),
            )
        });
        (key, value)
    }
}
