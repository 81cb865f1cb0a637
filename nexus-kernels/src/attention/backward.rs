//! The backward pass: FlashAttention-2, algorithm 2, with the tiles of one (batch entry, key head) in order.

use super::AttentionConfig;
use super::forward::{conceal, transposed, visible};
use super::rows;
use super::tile::{
    Heads, KEYS, LANES, Matrix, QUERIES, Scratch, Turn, blocks, filled, load, padded, product, run,
    store, tensor,
};
use burn_flex::FlexTensor;
use std::cell::RefCell;

#[derive(Default)]
struct Buffers {
    query: Scratch,
    grad: Scratch,
    key: Scratch,
    key_columns: Scratch,
    value_columns: Scratch,
    rows: Scratch,
    probabilities: Scratch,
    changes: Scratch,
    query_grad: Scratch,
    key_grad: Scratch,
    value_grad: Scratch,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// The gradients of query, key and value, from that of the output.
pub(super) fn backward(
    inputs: &[Heads; 3],
    turn: Option<&Turn>,
    out: &Heads,
    lse: &[f32],
    grad: &Heads,
    config: &AttentionConfig,
) -> [FlexTensor; 3] {
    let AttentionConfig { heads, kv_heads, head_dim: dim, .. } = *config;
    let [batch, time, width] = inputs[0].dims();
    let [_, keys, kv_width] = inputs[1].dims();
    let work = time * keys * dim * heads / kv_heads;
    let (mut dk, mut dv) = (Vec::new(), Vec::new());
    // SAFETY: the tasks cover every batch entry and head, and write every row of theirs.
    let dq = unsafe {
        filled(batch * time * width, |dq| {
            dk = filled(batch * keys * kv_width, |dk| {
                dv = filled(batch * keys * kv_width, |dv| {
                    run(batch * kv_heads, work, |task| {
                        BUFFERS.with_borrow_mut(|buffers| {
                            let (entry, group) = (task / kv_heads, task % kv_heads);
                            let mut pass = Pass { inputs, turn, out, grad, config, entry, buffers };
                            pass.load(group * dim);
                            let heads_of_group = heads / kv_heads;
                            for head in group * heads_of_group..(group + 1) * heads_of_group {
                                let at = (entry * heads + head) * time;
                                let to = dq.add(entry * time * width + head * dim);
                                pass.head(head, &lse[at..at + time], to, width);
                            }
                            let at = entry * keys * kv_width + group * dim;
                            let key_grad = pass.buffers.key_grad.take(keys * dim);
                            store(key_grad, dk.add(at), kv_width, dim, turn, 0);
                            let value_grad = pass.buffers.value_grad.take(keys * dim);
                            store(value_grad, dv.add(at), kv_width, dim, None, 0);
                        });
                    });
                });
            });
        })
    };
    [
        tensor(dq, [batch, time, width]),
        tensor(dk, [batch, keys, kv_width]),
        tensor(dv, [batch, keys, kv_width]),
    ]
}

/// One task: a batch entry and the queries of one key head.
struct Pass<'a> {
    inputs: &'a [Heads; 3],
    turn: Option<&'a Turn>,
    out: &'a Heads,
    grad: &'a Heads,
    config: &'a AttentionConfig,
    entry: usize,
    buffers: &'a mut Buffers,
}

impl Pass<'_> {
    /// Keys (rotated; as rows and as columns) and values (as columns) of the head that begins at `column`, and zeros
    /// for their gradients.
    fn load(&mut self, column: usize) {
        let dim = self.config.head_dim;
        let [_, keys, _] = self.inputs[1].dims();
        let stride = padded(keys);
        let at = [self.entry, keys, column];
        let rows = self.buffers.rows.take(LANES * dim);
        let key_columns = self.buffers.key_columns.take(dim * stride);
        transposed(&self.inputs[1], at, dim, self.turn, rows, key_columns);
        let value_columns = self.buffers.value_columns.take(dim * stride);
        transposed(&self.inputs[2], at, dim, None, rows, value_columns);
        let key = self.buffers.key.take(keys * dim);
        // SAFETY: the keys have `keys` rows.
        unsafe { load(self.inputs[1].at(self.entry, 0, column), key, dim, self.turn, 0) };
        self.buffers.key_grad.take(keys * dim).fill(0.0);
        self.buffers.value_grad.take(keys * dim).fill(0.0);
    }

    /// The tiles of one head: adds to the gradients of key and value, writes that of the query (rows `width` apart).
    ///
    /// # Safety
    /// `to` is valid for writing T rows, and nobody else accesses them.
    unsafe fn head(&mut self, head: usize, lse: &[f32], to: *mut f32, width: usize) {
        let Self { inputs, turn, out, grad, config, entry, .. } = *self;
        let [_, keys, _] = inputs[1].dims();
        let (dim, scale, stride) = (config.head_dim, config.scale as f32, padded(keys));
        let column = head * dim;
        let tile = padded(KEYS.min(keys + LANES));
        let key = self.buffers.key.take(keys * dim).as_ptr();
        let key_columns = self.buffers.key_columns.take(dim * stride).as_ptr();
        let value_columns = self.buffers.value_columns.take(dim * stride).as_ptr();
        let key_grad = self.buffers.key_grad.take(keys * dim).as_mut_ptr();
        let value_grad = self.buffers.value_grad.take(keys * dim).as_mut_ptr();
        for first in (0..lse.len()).step_by(QUERIES) {
            let count = QUERIES.min(lse.len() - first);
            let query = self.buffers.query.take(count * dim);
            let dout = self.buffers.grad.take(count * dim);
            let query_grad = self.buffers.query_grad.take(count * dim);
            let p = self.buffers.probabilities.take(count * tile);
            let dp = self.buffers.changes.take(count * tile);
            let mut means = [0.0; QUERIES];
            // SAFETY: queries, output and its gradient have rows `first .. first + count`.
            unsafe {
                load(inputs[0].at(entry, first, column), query, dim, turn, first);
                load(grad.at(entry, first, column), dout, dim, None, 0);
                for (i, dout) in dout.chunks_exact(dim).enumerate() {
                    let out = out.at(entry, first + i, column).pointer;
                    means[i] = rows::dot(dout, std::slice::from_raw_parts(out, dim));
                }
            }
            let query_rows = Matrix::rows(query.as_ptr(), dim);
            let dout_rows = Matrix::rows(dout.as_ptr(), dim);
            let mut started = false;
            for (begin, end) in blocks(config, first, first + count - 1) {
                let (seen, columns) = (end - begin, (end - begin).next_multiple_of(LANES));
                let shape = [count, columns, dim];
                // SAFETY: the tiles have `tile >= columns` columns, the operands `stride >= begin + columns`.
                unsafe {
                    let right = Matrix::rows(key_columns.add(begin), stride);
                    product(shape, (p.as_mut_ptr(), tile), false, query_rows, right, scale);
                    let right = Matrix::rows(value_columns.add(begin), stride);
                    product(shape, (dp.as_mut_ptr(), tile), false, dout_rows, right, 1.0);
                }
                for (i, row) in p.chunks_exact_mut(tile).enumerate() {
                    let row = &mut row[..columns];
                    if let Some(seen) = visible(config, first + i, begin, row) {
                        rows::exp_sum(seen, lse[first + i]);
                        conceal(config, first + i, begin, row);
                    }
                }
                // SAFETY: the gradients have rows up to `keys >= end`, the tile `columns >= seen` columns.
                unsafe {
                    let left = Matrix::columns(p.as_ptr(), tile);
                    let to = (value_grad.add(begin * dim), dim);
                    product([seen, dim, count], to, true, left, dout_rows, 1.0);
                }
                for (i, (p, dp)) in p.chunks_exact_mut(tile).zip(dp.chunks_exact(tile)).enumerate()
                {
                    rows::score_gradient(&mut p[..columns], &dp[..columns], means[i], scale);
                }
                // SAFETY: as above; `query_grad` has `count` rows.
                unsafe {
                    let left = Matrix::columns(p.as_ptr(), tile);
                    let to = (key_grad.add(begin * dim), dim);
                    product([seen, dim, count], to, true, left, query_rows, 1.0);
                    let left = Matrix::rows(p.as_ptr(), tile);
                    let right = Matrix::rows(key.add(begin * dim), dim);
                    let to = (query_grad.as_mut_ptr(), dim);
                    product([count, dim, seen], to, started, left, right, 1.0);
                }
                started = true;
            }
            // SAFETY: the caller promises these rows.
            unsafe { store(query_grad, to.add(first * width), width, dim, turn, first) };
        }
    }
}
