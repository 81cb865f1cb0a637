//! Attention from plain tensor operations: every backend, every float type.

use super::AttentionConfig;
use burn::tensor::{Device, Tensor, TensorData, activation};

/// [`attention`](super::attention) composed from plain tensor operations; holds the scores `[B, H, T, S]`.
pub fn attention_reference(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    rotary: Option<(Tensor<2>, Tensor<2>)>,
    config: AttentionConfig,
) -> Tensor<3> {
    let AttentionConfig { heads, kv_heads, head_dim: dim, .. } = config;
    let [batch, time, keys] = config.check(query.dims(), key.dims(), value.dims());
    let groups = heads / kv_heads;
    let mask = mask(&config, time, keys, &query.device());
    let query = query.reshape([batch, time, heads, dim]);
    let key = key.reshape([batch, keys, kv_heads, dim]);
    let value = value.reshape([batch, keys, kv_heads, dim]).swap_dims(1, 2);
    let (query, key) = match &rotary {
        Some((cos, sin)) => (rotate(query, cos, sin), rotate(key, cos, sin)),
        None => (query, key),
    };
    // The queries of one group become rows of one product, so keys and values are never repeated.
    let query = query.swap_dims(1, 2).reshape([batch, kv_heads, groups * time, dim]);
    let mut scores = (query * config.scale).matmul(key.swap_dims(1, 2).swap_dims(2, 3));
    if let Some(mask) = mask {
        let mask = mask.cast(scores.dtype()).unsqueeze::<3>().repeat_dim(1, groups);
        scores = scores + mask.unsqueeze();
    }
    let mixed = activation::softmax(scores, 3).matmul(value);
    let mixed = mixed.reshape([batch, heads, time, dim]).swap_dims(1, 2);
    mixed.reshape([batch, time, heads * dim])
}

/// `[T, S]`: 0 where a query sees a key, a large negative number elsewhere; `None` when every query sees every key.
fn mask(config: &AttentionConfig, time: usize, keys: usize, device: &Device) -> Option<Tensor<2>> {
    if time == 1 && config.visible(0) == (0, keys) {
        return None;
    }
    let mut values = Vec::with_capacity(time * keys);
    for row in 0..time {
        let (first, end) = config.visible(row);
        // Far below any score, and finite in every float type.
        values.extend((0..keys).map(|j| if (first..end).contains(&j) { 0.0f32 } else { -3e4 }));
    }
    Some(Tensor::from_data(TensorData::new(values, [time, keys]), device))
}

/// With `x = [x1, x2]` split in halves, `[x1 cos - x2 sin, x2 cos + x1 sin]`; `x`: `[B, T, heads, dim]`.
fn rotate(x: Tensor<4>, cos: &Tensor<2>, sin: &Tensor<2>) -> Tensor<4> {
    let [_, time, _, dim] = x.dims();
    let cos = cos.clone().reshape([1, time, 1, dim / 2]);
    let sin = sin.clone().reshape([1, time, 1, dim / 2]);
    let first = x.clone().narrow(3, 0, dim / 2);
    let second = x.narrow(3, dim / 2, dim / 2);
    let turned =
        [first.clone() * cos.clone() - second.clone() * sin.clone(), second * cos + first * sin];
    Tensor::cat(turned.to_vec(), 3)
}
