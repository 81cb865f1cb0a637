//! Attention from plain tensor operations: every backend, every float type.

use super::config::present;
use super::{AttentionConfig, AttentionContext};
use burn::tensor::{Device, Tensor, TensorData, activation};

/// [`attention`](super::attention) composed from plain tensor operations; holds the scores `[B, H, T, S]`.
pub fn attention_reference(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    context: &AttentionContext,
    config: AttentionConfig,
) -> Tensor<3> {
    let AttentionConfig { heads, kv_heads, head_dim: dim, .. } = config;
    let shape @ [batch, time, keys] = config.check(query.dims(), key.dims(), value.dims());
    context.check(&config, shape);
    if let Some(lengths) = &context.packed {
        return one_by_one([query, key, value], lengths, context, config);
    }
    let groups = heads / kv_heads;
    let masks = masks(&config, context, shape, &query.device());
    let query = query.reshape([batch, time, heads, dim]);
    let key = key.reshape([batch, keys, kv_heads, dim]);
    let value = value.reshape([batch, keys, kv_heads, dim]).swap_dims(1, 2);
    let (query, key) = match &context.rotary {
        Some((cos, sin)) => (rotate(query, cos, sin), rotate(key, cos, sin)),
        None => (query, key),
    };
    // The queries of one group become rows of one product, so keys and values are never repeated.
    let query = query.swap_dims(1, 2).reshape([batch, kv_heads, groups * time, dim]);
    let mut scores = (query * config.scale).matmul(key.swap_dims(1, 2).swap_dims(2, 3));
    if let Some(bias) = &context.bias {
        scores = scores + bias.clone().reshape([1, kv_heads, groups * time, keys]);
    }
    if let Some(mask) = masks.keys {
        let mask = mask.cast(scores.dtype()).repeat_dim(1, groups);
        scores = scores + mask.unsqueeze_dim(1);
    }
    let mut mixed = activation::softmax(scores, 3).matmul(value);
    if let Some(mask) = masks.queries {
        let mask = mask.cast(mixed.dtype()).repeat_dim(1, groups);
        mixed = mixed * mask.unsqueeze_dim(1);
    }
    let mixed = mixed.reshape([batch, heads, time, dim]).swap_dims(1, 2);
    mixed.reshape([batch, time, heads * dim])
}

/// Packed sequences, each by itself.
fn one_by_one(
    inputs: [Tensor<3>; 3],
    lengths: &[usize],
    context: &AttentionContext,
    config: AttentionConfig,
) -> Tensor<3> {
    let mut start = 0;
    let mut results = Vec::with_capacity(lengths.len());
    for &length in lengths.iter().filter(|&&length| length > 0) {
        let [query, key, value] = inputs.each_ref().map(|x| x.clone().narrow(1, start, length));
        let part = |table: &Tensor<2>| table.clone().narrow(0, 0, length);
        let own = AttentionContext {
            rotary: context.rotary.as_ref().map(|(cos, sin)| (part(cos), part(sin))),
            bias: (context.bias.as_ref())
                .map(|bias| bias.clone().narrow(1, 0, length).narrow(2, 0, length)),
            ..Default::default()
        };
        results.push(attention_reference(query, key, value, &own, config));
        start += length;
    }
    match results.is_empty() {
        // Nothing to attend to: no rows.
        true => inputs.into_iter().next().expect("three inputs"),
        false => Tensor::cat(results, 1),
    }
}

/// What is not seen, for every batch entry or for one that stands for all.
struct Masks {
    /// `[B or 1, T, S]`: 0 where a query sees a key, a large negative number elsewhere; `None` when all see all.
    keys: Option<Tensor<3>>,
    /// `[B or 1, T, 1]`: 1 where a query sees a key, 0 elsewhere; `None` when every query sees one.
    queries: Option<Tensor<3>>,
}

fn masks(
    config: &AttentionConfig,
    context: &AttentionContext,
    [batch, time, keys]: [usize; 3],
    device: &Device,
) -> Masks {
    let ranges = context.keys.as_ref();
    let entries = if ranges.is_some() { batch } else { 1 };
    let mut seen = Vec::with_capacity(entries * time);
    for entry in 0..entries {
        let sight = config.sight(present(ranges, entry, keys));
        seen.extend((0..time).map(|row| sight.of(row)));
    }
    let tensor =
        |values, last| Tensor::from_data(TensorData::new(values, [entries, time, last]), device);
    let all = seen.iter().all(|&range| range == (0, keys));
    let blind = seen.iter().any(|(begin, end)| begin >= end);
    Masks {
        keys: (!all).then(|| {
            // Far below any score, and finite in every float type.
            let number = |visible| if visible { 0.0f32 } else { -3e4 };
            let row = |&(begin, end): &(usize, usize)| {
                (0..keys).map(move |j| number((begin..end).contains(&j)))
            };
            tensor(seen.iter().flat_map(row).collect(), keys)
        }),
        queries: blind.then(|| {
            let number = |&(begin, end): &(usize, usize)| if begin < end { 1.0f32 } else { 0.0 };
            tensor(seen.iter().map(number).collect(), 1)
        }),
    }
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
