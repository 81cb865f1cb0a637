//! Padded sequences without their padding.

use super::network::{ids_tensor, select_tokens};
use super::pass::Pass;
use burn::tensor::{Device, Int, Tensor, TensorData};
use nexus_kernels::attention_packs;
use std::sync::Arc;

/// Which positions of B sequences, padded at the right to T, are tokens: N of them.
///
/// Everything in a transformer but attention works on single tokens. With the tokens of all sequences in one row of N,
/// padding costs nothing, and what comes out for the tokens is the same.
pub(super) struct Packing {
    lengths: Arc<Vec<usize>>,
    time: usize,
    device: Device,
}

impl Packing {
    /// `None` where padding stays: there is none, the backend would compute the sequences one by one, or the pass has an
    /// adapter for each of them, which goes by equal lengths.
    pub(super) fn of(lengths: &[usize], time: usize, device: &Device, pass: &Pass) -> Option<Self> {
        let tokens: usize = lengths.iter().sum();
        let padded = 0 < tokens && tokens < lengths.len() * time;
        (padded && pass.adapters().is_none() && attention_packs(device)).then(|| Self {
            lengths: Arc::new(lengths.to_vec()),
            time,
            device: device.clone(),
        })
    }

    /// The lengths of the sequences, which follow each other.
    pub(super) fn lengths(&self) -> Arc<Vec<usize>> {
        self.lengths.clone()
    }

    /// `[B, T]` to `[1, N]`.
    pub(super) fn pack(&self, ids: Tensor<2, Int>) -> Tensor<2, Int> {
        let [batch, time] = ids.dims();
        let rows = self.lengths.iter().enumerate();
        let rows = rows.flat_map(|(row, &length)| row * time..row * time + length);
        ids.reshape([batch * time]).select(0, self.index(rows)).unsqueeze()
    }

    /// The positions of the tokens in their sequences, the first being `first`: `[1, N]`.
    pub(super) fn positions(&self, first: usize) -> Tensor<2, Int> {
        let positions = self.lengths.iter().flat_map(|&length| first..first + length);
        let positions: Vec<i32> = positions.map(|position| position as i32).collect();
        ids_tensor(&positions, [1, positions.len()], &self.device)
    }

    /// `[1, N, D]` to `[B, T, D]`, with copies of some token in the padding.
    pub(super) fn unpack(&self, x: Tensor<3>) -> Tensor<3> {
        let width = x.dims()[2];
        let all: Vec<i32> = (0..self.lengths.len() * self.time).map(|row| row as i32).collect();
        select_tokens(x, &self.rows(&all)).reshape([self.lengths.len(), self.time, width])
    }

    /// Where tokens `rows` of `[B*T]` lie in `[1, N]`; of padding, some token.
    pub(super) fn rows(&self, rows: &[i32]) -> Vec<i32> {
        let mut end = 0;
        let ends = self.lengths.iter().map(|&length| {
            end += length;
            end
        });
        let ends: Vec<usize> = ends.collect();
        let place = |&row: &i32| {
            let (sequence, position) = (row as usize / self.time, row as usize % self.time);
            let start = ends[sequence] - self.lengths[sequence];
            (start + position).min(ends[sequence].max(1) - 1) as i32
        };
        rows.iter().map(place).collect()
    }

    fn index(&self, rows: impl Iterator<Item = usize>) -> Tensor<1, Int> {
        let rows: Vec<i32> = rows.map(|row| row as i32).collect();
        let count = rows.len();
        Tensor::from_data(TensorData::new(rows, [count]), &self.device)
    }
}
