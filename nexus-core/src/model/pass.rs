//! What one forward pass knows besides its inputs.

use crate::{Error, Result};
use burn::tensor::{Tensor, TensorData};
use nexus_kernels::Precision;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;
use std::sync::Arc;

/// Whether a forward pass trains, with which dropout, in which precision, and with which of several adapters.
///
/// Masks are a pure function of the seed, the layer and the shape: a resumed run draws the masks that the
/// uninterrupted run would have drawn, and no random state has to be carried.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    dropout_seed: Option<u64>,
    adapters: Option<Arc<[Option<usize>]>>,
    precision: Precision,
}

impl Pass {
    /// A pass without dropout: evaluation, generation, and training where every dropout is 0.
    pub fn inference() -> Self {
        Self::default()
    }

    /// A training pass whose dropout masks follow from `seed`; give every micro-batch its own.
    pub fn training(seed: u64) -> Self {
        Self { dropout_seed: Some(seed), ..Self::default() }
    }

    /// Rounds the operands of the large matrix products; f32 without it. Weights that are stored as bf16
    /// ([`store_bf16`](super::store_bf16)) take part in bf16 products either way.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// The precision of the large matrix products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The adapter of each sequence of the batch, by its number in [`mix`](crate::adapter::mix); `None` is the base
    /// alone, and so is a number that the model does not have. Without this a mixed model is its base.
    pub fn with_adapters(mut self, rows: impl Into<Arc<[Option<usize>]>>) -> Self {
        self.adapters = Some(rows.into());
        self
    }

    /// The adapter of each sequence, when they have been given.
    pub(crate) fn adapters(&self) -> Option<&Arc<[Option<usize>]>> {
        self.adapters.as_ref()
    }

    /// Refuses a batch of another size than there are adapters.
    pub(crate) fn check_batch(&self, batch: usize) -> Result<()> {
        match &self.adapters {
            Some(rows) if rows.len() != batch => Err(Error::config(
                "adapters of a batch",
                rows.len(),
                format!("one for each of its {batch} sequences"),
            )),
            _ => Ok(()),
        }
    }

    /// 1 where an inner column of several adapters belongs to that of the row, else 0: `[rows, columns]`, row major.
    /// The rows are the tokens of the sequences, equally many of each. `None` when no adapter is used.
    pub(crate) fn shares_mask(
        &self,
        shares: &[Range<usize>],
        [rows, columns]: [usize; 2],
    ) -> Option<Vec<f32>> {
        let adapters = self.adapters.as_ref().filter(|adapters| !adapters.is_empty())?;
        let each = rows / adapters.len();
        let mut mask = vec![0.0; rows * columns];
        for (row, mask) in mask.chunks_mut(columns.max(1)).enumerate() {
            let adapter = adapters.get(row / each.max(1)).copied().flatten();
            if let Some(share) = adapter.and_then(|adapter| shares.get(adapter)) {
                mask[share.clone()].fill(1.0);
            }
        }
        Some(mask)
    }

    /// Drops elements of hidden states with `probability` while training; `site` separates the places of a model.
    pub(crate) fn dropout(&self, x: Tensor<3>, probability: f64, site: u64) -> Tensor<3> {
        let [batch, time, width] = x.dims();
        // Adapters count their masks from 0.
        let salt = (1 << 32) + site;
        match self.dropout_mask(probability, salt, [batch * time, width]) {
            Some(mask) => {
                let mask = TensorData::new(mask, [batch, time, width]);
                let mask = Tensor::from_data(mask, &x.device());
                x * mask
            }
            None => x,
        }
    }

    /// The mask for one layer, with kept elements already scaled by `1 / (1 - probability)`; `None` when
    /// nothing is dropped. `probability` is resolved to 1/65536.
    pub fn dropout_mask(
        &self,
        probability: f64,
        salt: u64,
        [rows, columns]: [usize; 2],
    ) -> Option<Vec<f32>> {
        let seed = self.dropout_seed?;
        if probability <= 0.0 {
            return None;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(salt);
        let threshold = (probability * 65536.0).round() as u32;
        let kept = (1.0 / (1.0 - probability)) as f32;
        let count = rows * columns;
        let mut mask = Vec::with_capacity(count + 3);
        while mask.len() < count {
            let mut word = rng.next_u64();
            for _ in 0..4 {
                mask.push(if (word & 0xffff) as u32 >= threshold { kept } else { 0.0 });
                word >>= 16;
            }
        }
        mask.truncate(count);
        Some(mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_repeats_and_drops_the_asked_share() {
        let pass = Pass::training(3);
        let mask = pass.dropout_mask(0.25, 1, [100, 101]).unwrap();
        assert_eq!(mask.len(), 10_100);
        assert_eq!(mask, pass.dropout_mask(0.25, 1, [100, 101]).unwrap());
        assert_ne!(mask, pass.dropout_mask(0.25, 2, [100, 101]).unwrap());
        assert_ne!(mask, Pass::training(4).dropout_mask(0.25, 1, [100, 101]).unwrap());
        let dropped = mask.iter().filter(|&&m| m == 0.0).count() as f64 / 10_100.0;
        // Three standard deviations of a binomial share at n = 10,100.
        assert!((dropped - 0.25).abs() < 0.013, "{dropped}");
        assert!(mask.iter().all(|&m| m == 0.0 || (m - 4.0 / 3.0).abs() < 1e-6));
    }

    #[test]
    fn inference_and_zero_probability_have_no_mask() {
        assert!(Pass::inference().dropout_mask(0.5, 0, [2, 2]).is_none());
        assert!(Pass::training(1).dropout_mask(0.0, 0, [2, 2]).is_none());
    }
}
