//! A table of vectors: tokens, positions, token types.

use super::source::{Init, ParameterSource};
use crate::Result;
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

/// One vector of width D per row.
#[derive(Module, Debug)]
pub struct Embedding {
    weight: Param<Tensor<2>>,
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
        Ok(Self { weight: source.parameter(&format!("{path}.weight"), shape, init)? })
    }

    /// The rows of `ids: [B, T]`, `[B, T, D]`.
    pub(crate) fn lookup(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        burn::tensor::module::embedding(self.weight.val(), ids)
    }

    /// `count` rows from `first` on, `[1, count, D]`.
    pub(crate) fn rows(&self, first: usize, count: usize) -> Tensor<3> {
        self.weight.val().narrow(0, first, count).unsqueeze()
    }

    /// The table, `[rows, D]`.
    pub fn weight(&self) -> Tensor<2> {
        self.weight.val()
    }

    /// `[rows, D]`.
    pub fn dims(&self) -> [usize; 2] {
        self.weight.dims()
    }
}
