//! Relative positions of T5: a learned score per head and bucket of distances.

use super::embedding::Embedding;
use super::low_rank::Adaptable;
use burn::tensor::{Int, Tensor, TensorData};

/// The bucket of a distance `key - query` (Raffel et al. 2019, arXiv:1910.10683, section 2.1): exact for small
/// distances, logarithmic up to `max_distance`, one for all beyond. Bidirectional attention gives half of the buckets to
/// each direction; causal attention has all of them for the past.
pub(super) fn bucket(
    distance: i64,
    bidirectional: bool,
    buckets: usize,
    max_distance: usize,
) -> usize {
    let (buckets, first, distance) = if bidirectional {
        let half = buckets / 2;
        (half, if distance > 0 { half } else { 0 }, distance.unsigned_abs() as usize)
    } else {
        (buckets, 0, (-distance).max(0) as usize)
    };
    let exact = buckets / 2;
    if distance < exact {
        return first + distance;
    }
    // In f32, as the reference computes it: the floor of a logarithm decides which bucket a distance falls into.
    let log = (distance as f32 / exact as f32).ln()
        / (max_distance as f64 / exact as f64).ln() as f32
        * (buckets - exact) as f32;
    first + (exact + log as usize).min(buckets - 1)
}

/// The scores `[H, T, S]` of queries at `first .. first + T` and keys at `0 .. S`.
pub(super) fn scores(
    table: &Embedding,
    [first, time, keys]: [usize; 3],
    bidirectional: bool,
    max_distance: usize,
) -> Tensor<3> {
    let [buckets, heads] = table.dims();
    let index = |query: usize| {
        (0..keys).map(move |key| {
            bucket(key as i64 - query as i64, bidirectional, buckets, max_distance) as i32
        })
    };
    let indices: Vec<i32> = (first..first + time).flat_map(index).collect();
    let indices: Tensor<1, Int> =
        Tensor::from_data(TensorData::new(indices, [time * keys]), &table.weight().device());
    table.weight().select(0, indices).swap_dims(0, 1).reshape([heads, time, keys])
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn near_distances_are_exact_and_far_ones_share_a_bucket() {
        let both = |distance| bucket(distance, true, 32, 128);
        assert_eq!([0, -1, -7, 1, 7].map(both), [0, 1, 7, 17, 23]);
        assert_eq!([-8, -127, -128, -1000, 1000].map(both), [8, 15, 15, 15, 31]);
        let past = |distance| bucket(distance, false, 32, 128);
        assert_eq!([5, 0, -15, -16, -1000].map(past), [0, 0, 15, 16, 31]);
    }
}
