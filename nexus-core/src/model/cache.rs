//! Keys and values of the positions that a model has already seen.

use super::pass::Pass;
use burn::tensor::{Int, Tensor, TensorData};
use std::sync::Arc;

/// The cache of a whole model: one entry per layer.
#[derive(Clone, Debug)]
pub struct Cache {
    pub(crate) layers: Vec<LayerCache>,
    /// Number of positions seen so far, padding included.
    pub(crate) length: usize,
    /// Number of padding tokens in front of each row; `None` when there are none.
    pub(crate) padding: Option<Vec<usize>>,
    /// Which adapter each row uses.
    pub(crate) pass: Pass,
}

/// Keys and values of one layer, `[B, S, K*head_dim]`; with a window, only what the window can still reach.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerCache {
    entries: Option<(Tensor<3>, Tensor<3>)>,
    window: Option<usize>,
    /// Number of positions that no window reaches any more.
    dropped: usize,
}

/// What a layer knows of all positions that it can still see.
pub(crate) struct Seen {
    /// `[B, S, K*head_dim]`.
    pub(crate) key: Tensor<3>,
    /// `[B, S, K*head_dim]`.
    pub(crate) value: Tensor<3>,
    /// The position of the first of the S.
    pub(crate) first: usize,
}

impl Cache {
    /// An empty cache for layers with these windows and rows with this padding.
    pub(crate) fn new(windows: &[Option<usize>], padding: Option<Vec<usize>>) -> Self {
        let layer = |&window| LayerCache { window, ..LayerCache::default() };
        Self {
            layers: windows.iter().map(layer).collect(),
            length: 0,
            padding,
            pass: Pass::inference(),
        }
    }

    /// Uses these adapters of a mixed model, one for each row; see [`mix`](crate::adapter::mix).
    pub fn with_adapters(mut self, rows: &[Option<usize>]) -> Self {
        self.pass = Pass::inference().with_adapters(rows);
        self
    }

    /// Number of positions seen so far, padding included.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing has been seen yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Goes on with these rows of the batch, in this order; a row may occur several times, and may be left out.
    ///
    /// # Panics
    /// When a row is not below B.
    pub fn reorder(&mut self, rows: &[usize]) {
        if let Some(padding) = &mut self.padding {
            *padding = rows.iter().map(|&row| padding[row]).collect();
        }
        if let Some(adapters) = self.pass.adapters() {
            let adapters: Vec<_> = rows.iter().map(|&row| adapters[row]).collect();
            self.pass = Pass::inference().with_adapters(adapters);
        }
        for layer in &mut self.layers {
            layer.reorder(rows);
        }
    }

    /// The half-open range of positions that exist in each row after `length` positions.
    pub(crate) fn keys(&self, length: usize) -> Option<Arc<Vec<(usize, usize)>>> {
        let padding = self.padding.as_ref()?;
        Some(Arc::new(padding.iter().map(|&padding| (padding.min(length), length)).collect()))
    }
}

impl LayerCache {
    /// Goes on with these rows of the batch, in this order.
    pub(crate) fn reorder(&mut self, rows: &[usize]) {
        if let Some((key, value)) = &mut self.entries {
            *key = select_entries(key.clone(), rows);
            *value = select_entries(value.clone(), rows);
        }
    }

    /// Appends the new positions and gives all of them back for this pass.
    pub(crate) fn extend(&mut self, key: Tensor<3>, value: Tensor<3>) -> Seen {
        let (key, value) = match self.entries.take() {
            Some((k, v)) => (Tensor::cat(vec![k, key], 1), Tensor::cat(vec![v, value], 1)),
            None => (key, value),
        };
        let first = self.dropped;
        let length = key.dims()[1];
        // The next token sees itself and `window - 1` earlier ones.
        let kept = self.window.map_or(length, |window| length.min(window.saturating_sub(1)));
        self.dropped += length - kept;
        self.entries = (kept > 0).then(|| {
            (
                key.clone().narrow(1, length - kept, kept),
                value.clone().narrow(1, length - kept, kept),
            )
        });
        Seen { key, value, first }
    }
}

/// These entries of a batch `[B, S, D]`.
pub(super) fn select_entries(x: Tensor<3>, rows: &[usize]) -> Tensor<3> {
    let device = x.device();
    let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
    let count = rows.len();
    let rows: Tensor<1, Int> = Tensor::from_data(TensorData::new(rows, [count]), &device);
    x.select(0, rows)
}
