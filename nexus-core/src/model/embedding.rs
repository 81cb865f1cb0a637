//! A table of vectors: tokens, positions, token types.

use super::low_rank::{Adaptable, AdapterState, LowRank};
use super::precision::widened;
use super::source::{Init, ParameterSource};
use crate::Result;
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};
use nexus_kernels::embedding;

/// One vector of width D per row.
#[derive(Module, Debug)]
pub struct Embedding {
    weight: Param<Tensor<2>>,
    adapter: Option<LowRank>,
}

impl Embedding {
    /// Builds the table `path` of `[rows, width]`.
    ///
    /// # Errors
    /// As [`ParameterSource::values`].
    pub(crate) fn build(
        source: &mut impl ParameterSource,
        path: &str,
        shape: [usize; 2],
        init: Init,
    ) -> Result<Self> {
        let weight = source.parameter(&format!("{path}.weight"), shape, init)?;
        Ok(Self { weight, adapter: None })
    }

    /// The rows of `ids: [B, T]`, `[B, T, D]`; an adapter adds `s A[ids] B`.
    pub(crate) fn lookup(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let looked_up = widened(embedding(self.weight.val(), ids.clone()));
        match &self.adapter {
            Some(adapter) if adapter.state() == AdapterState::Active => {
                let rows = embedding(adapter.a(), ids);
                let ([batch, time, width], [_, _, rank]) = (looked_up.dims(), rows.dims());
                let added = adapter.looked_up(rows.reshape([batch * time, rank]));
                looked_up + added.reshape([batch, time, width])
            }
            _ => looked_up,
        }
    }

    /// `count` rows from `first` on, `[1, count, D]`.
    pub(crate) fn rows(&self, first: usize, count: usize) -> Tensor<3> {
        self.weight.val().narrow(0, first, count).unsqueeze()
    }
}

/// Its weight is the table, `[rows, D]`. The adapter has no part in a head that is the same table (as in PEFT), until it
/// is merged.
impl Adaptable for Embedding {
    fn parts(&self) -> (&Param<Tensor<2>>, Option<&LowRank>) {
        (&self.weight, self.adapter.as_ref())
    }

    fn parts_mut(&mut self) -> (&mut Param<Tensor<2>>, &mut Option<LowRank>) {
        (&mut self.weight, &mut self.adapter)
    }
}
