//! The backward pass: FlashAttention-2, algorithm 2, with the tiles of one (batch entry, key head) in order, and the
//! entries of one key head in order when the bias needs a gradient.

use super::AttentionConfig;
use super::arithmetic::Arithmetic;
use super::config::{Sequence, Sight};
use super::forward::{Arguments, columns, conceal, strips, transposed, visible};
use super::rows;
use super::tile::{
    Heads, KEYS, LANES, QUERIES, Scratch, blocks, filled, load, padded, span, store, strip, tensor,
};
use crate::parallel::{SERIAL, Shared, each};
use crate::tile_product::Operand;
use burn_flex::FlexTensor;
use std::cell::RefCell;
use std::sync::Arc;

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
    woven_query: Scratch,
    woven_grad: Scratch,
    woven: Scratch,
    query_grad: Scratch,
    key_grad: Scratch,
    value_grad: Scratch,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// What the forward pass leaves for the backward pass: arguments and output (shared, not copied), a number per row.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    pub(super) arguments: Arguments,
    pub(super) out: Heads,
    pub(super) lse: Arc<Vec<f32>>,
}

/// The gradients of query, key and value, from that of the output, and if `bias` that of the bias.
pub(super) fn separate(
    saved: &Saved,
    grad: &Heads,
    bias: bool,
) -> ([FlexTensor; 3], Option<FlexTensor>) {
    let dims = saved.arguments.inputs.each_ref().map(Heads::dims);
    let (mut dk, mut dv, mut db) = (Vec::new(), Vec::new(), None);
    // SAFETY: `run_tasks` writes every element of the three.
    let dq = unsafe {
        filled(dims[0].iter().product(), |dq| {
            dk = filled(dims[1].iter().product(), |dk| {
                dv = filled(dims[2].iter().product(), |dv| {
                    let to = [(dq, dims[0][2]), (dk, dims[1][2]), (dv, dims[2][2])];
                    db = run_tasks(saved, grad, to, bias);
                });
            });
        })
    };
    ([tensor(dq, dims[0]), tensor(dk, dims[1]), tensor(dv, dims[2])], db)
}

/// The gradient of `[query, key, value]` side by side in one tensor `[B, T, (H + 2K)*dim]`, and if `bias` that of the
/// bias.
pub(super) fn fused(saved: &Saved, grad: &Heads, bias: bool) -> (FlexTensor, Option<FlexTensor>) {
    let dims = saved.arguments.inputs.each_ref().map(Heads::dims);
    let [[batch, time, width], [_, _, kv_width], _] = dims;
    let row = width + 2 * kv_width;
    let mut db = None;
    // SAFETY: `run_tasks` writes the three column ranges of every row.
    let values = unsafe {
        filled(batch * time * row, |to| {
            let to = [0, width, width + kv_width].map(|at| (to.shifted(at), row));
            db = run_tasks(saved, grad, to, bias);
        })
    };
    (tensor(values, [batch, time, row]), db)
}

/// Runs all tasks; each output is where it begins and how far apart its rows are. The gradient of the bias `[H, T, S]`
/// if `bias`.
///
/// # Safety
/// The outputs can be written: `[B, T, H*dim]`, then two of `[B, S, K*dim]`, with these distances of rows. Every
/// element will be.
unsafe fn run_tasks(
    saved: &Saved,
    grad: &Heads,
    to: [(Shared<*mut f32>, usize); 3],
    bias: bool,
) -> Option<FlexTensor> {
    let Arguments { inputs, turn, config, .. } = &saved.arguments;
    let AttentionConfig { heads, kv_heads, head_dim: dim, .. } = *config;
    let ([_, time, _], [_, all_keys, _]) = (inputs[0].dims(), inputs[1].dims());
    let [(dq, q_row), (dk, k_row), (dv, v_row)] = to;
    let groups = heads / kv_heads;
    let (sequences, work) = saved.arguments.sequences();
    let bias_dims = saved.arguments.bias.as_ref().filter(|_| bias).map(Heads::dims);
    let mut bias_grad = bias_dims.map(|dims| vec![0.0; dims.iter().product()]);
    let db = bias_grad.as_mut().map(|values| Shared(values.as_mut_ptr())).zip(bias_dims);
    // The sequences of one key head must not run at the same time when `db` is there.
    let task = |&sequence: &Sequence, group: usize| {
        BUFFERS.with_borrow_mut(|buffers| {
            let Sequence { entry, row: start, keys, .. } = sequence;
            let mut pass = Pass { saved, grad, sequence, buffers };
            pass.load(group * dim);
            for head in group * groups..(group + 1) * groups {
                let to = dq.at((entry * time + start) * q_row + head * dim);
                let db = db.map(|(db, [_, rows, row])| (db.at(head * rows * row), row));
                // SAFETY: these rows and columns of `dq` belong to this task only, those of `db` to this key head.
                unsafe { pass.head(head, (to, q_row), db) };
            }
            let key_grad = pass.buffers.key_grad.take(keys * dim);
            let value_grad = pass.buffers.value_grad.take(keys * dim);
            let at = |row: usize| (entry * all_keys + start) * row + group * dim;
            // SAFETY: these rows and columns of `dk` and `dv` belong to this task only.
            unsafe {
                store(key_grad, dk.at(at(k_row)), k_row, dim, turn.as_ref(), 0);
                store(value_grad, dv.at(at(v_row)), v_row, dim, None, 0);
            }
        });
    };
    if bias {
        // The gradient of the bias is a sum over the sequences, always in their order.
        each(kv_heads, work < SERIAL, |group| {
            sequences.iter().for_each(|sequence| task(sequence, group))
        });
    } else {
        let count = sequences.len() * kv_heads;
        each(count, work < SERIAL, |at| task(&sequences[at / kv_heads], at % kv_heads));
    }
    bias_grad.zip(bias_dims).map(|(values, dims)| tensor(values, dims))
}

/// A sequence and the queries of one key head.
struct Pass<'a> {
    saved: &'a Saved,
    grad: &'a Heads,
    sequence: Sequence,
    buffers: &'a mut Buffers,
}

impl Pass<'_> {
    /// Keys (rotated; as rows and as columns) and values (as columns) of the head that begins at `column`, and zeros
    /// for their gradients.
    fn load(&mut self, column: usize) {
        let Arguments { inputs, turn, config, .. } = &self.saved.arguments;
        let (dim, turn) = (config.head_dim, turn.as_ref());
        let Sequence { entry, row: start, keys, ref sight, .. } = self.sequence;
        let stride = padded(keys);
        let (at, (begin, end)) = ([entry, start, column], span(sight));
        let rows = self.buffers.rows.take(LANES * dim);
        let key_columns = self.buffers.key_columns.take(dim * stride);
        let arithmetic = Arithmetic::of(config);
        transposed(
            &inputs[1],
            at,
            (begin, end),
            dim,
            turn,
            arithmetic,
            rows,
            (key_columns, stride),
        );
        let value_columns = self.buffers.value_columns.take(dim * stride);
        let to = (value_columns, stride);
        transposed(&inputs[2], at, (begin, end), dim, None, arithmetic, rows, to);
        let key = self.buffers.key.take(keys * dim);
        let some = &mut key[begin * dim..end * dim];
        // SAFETY: the keys of the sequence have rows `begin .. end`.
        unsafe { load(inputs[1].at(entry, start + begin, column), some, dim, turn, begin) };
        arithmetic.weave(&mut key[..end * dim], begin, dim);
        self.buffers.key_grad.take(keys * dim).fill(0.0);
        self.buffers.value_grad.take(keys * dim).fill(0.0);
    }

    /// The tiles of one head: adds to the gradients of key and value, writes that of the query (rows `width` apart),
    /// adds to that of the bias (its rows and their distance).
    ///
    /// # Safety
    /// `to` is valid for writing T rows, `bias_grad` for reading and writing `[T, S]`, and nobody else accesses them.
    unsafe fn head(
        &mut self,
        head: usize,
        (to, width): (*mut f32, usize),
        bias_grad: Option<(*mut f32, usize)>,
    ) {
        let Self { saved, grad, sequence, .. } = *self;
        let Sequence { entry, row: start, time, keys, ref sight } = sequence;
        let Saved { arguments, out, lse } = saved;
        let Arguments { inputs, turn, config, .. } = arguments;
        let turn = turn.as_ref();
        let [_, all_rows, _] = inputs[0].dims();
        let lse = &lse[(entry * config.heads + head) * all_rows + start..][..time];
        let (dim, scale, stride) = (config.head_dim, config.scale as f32, padded(keys));
        let arithmetic = Arithmetic::of(config);
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
            // SAFETY: queries, output and its gradient have, in the sequence, rows `first .. first + count`.
            unsafe {
                load(inputs[0].at(entry, start + first, column), query, dim, turn, first);
                load(grad.at(entry, start + first, column), dout, dim, None, 0);
                for (i, dout) in dout.chunks_exact(dim).enumerate() {
                    let out = out.at(entry, start + first + i, column).pointer;
                    means[i] = rows::dot(dout, std::slice::from_raw_parts(out, dim));
                }
            }
            // The inner dimension of the gradients of keys and values are the queries.
            let woven_query = &mut self.buffers.woven_query;
            let query_right = Operand::rows(arithmetic.woven(query, dim, dim, woven_query), dim);
            let woven_grad = &mut self.buffers.woven_grad;
            let dout_right = Operand::rows(arithmetic.woven(dout, dim, dim, woven_grad), dim);
            let [query_rows, dout_rows] = [query, dout].map(|rows| {
                let places = arithmetic.shrink(rows, dim);
                Operand::rows(rows.as_ptr(), places)
            });
            let mut started = false;
            for (begin, end) in blocks(sight, first, first + count - 1) {
                let wide = (end - begin).next_multiple_of(LANES);
                for (row, rows, seen) in strips(sight, first, count, (begin, end)) {
                    let shape = [rows, seen.next_multiple_of(LANES), dim];
                    // SAFETY: the tiles have `tile >= wide` columns, the operands `stride >= begin + wide`.
                    unsafe {
                        let to = (p.as_mut_ptr().add(row * tile), tile);
                        let right = Operand::rows(key_columns.add(begin), stride);
                        let left = query_rows.from(row, 0);
                        arithmetic.product(shape, to, false, left, right, scale);
                        let to = (dp.as_mut_ptr().add(row * tile), tile);
                        let right = Operand::rows(value_columns.add(begin), stride);
                        arithmetic.product(shape, to, false, dout_rows.from(row, 0), right, 1.0);
                    }
                }
                for (i, row) in p.chunks_exact_mut(tile).enumerate() {
                    let row = &mut row[..wide];
                    arguments.add_bias(sight, [head, first + i, begin], row);
                    if let Some(seen) = visible(sight, first + i, begin, row) {
                        rows::exp_sum(seen, lse[first + i]);
                        conceal(sight, first + i, begin, row);
                    }
                }
                let woven = arithmetic.woven(p, tile, wide, &mut self.buffers.woven);
                for (key, keys, query) in strips_of_keys(sight, first, count, (begin, end)) {
                    let (place, rest) = (arithmetic.places(query), count - query);
                    // SAFETY: the gradients have rows up to `keys >= end`, the tile `wide >= seen` columns.
                    unsafe {
                        let left = Operand::columns(woven, tile).from(key, place);
                        let to = (value_grad.add((begin + key) * dim), dim);
                        let right = dout_right.from(place, 0);
                        arithmetic.product([keys, dim, rest], to, true, left, right, 1.0);
                    }
                }
                for (i, (p, dp)) in p.chunks_exact_mut(tile).zip(dp.chunks_exact(tile)).enumerate()
                {
                    let (low, high) = columns(sight, first + i, begin, wide);
                    // Further on the probabilities are 0, and the products were not computed.
                    let some = high.next_multiple_of(LANES);
                    rows::score_gradient(&mut p[..some], &dp[..some], means[i]);
                    let Some((bias_grad, row)) = bias_grad else { continue };
                    if low < high {
                        let at = (first + i) * row + begin + low;
                        // SAFETY: the caller promises these elements; no other reference to them is alive.
                        let to = unsafe {
                            std::slice::from_raw_parts_mut(bias_grad.add(at), high - low)
                        };
                        rows::add(to, &p[low..high]);
                    }
                }
                let woven = arithmetic.woven(p, tile, wide, &mut self.buffers.woven);
                for (key, keys, query) in strips_of_keys(sight, first, count, (begin, end)) {
                    let (place, rest) = (arithmetic.places(query), count - query);
                    // SAFETY: as above.
                    unsafe {
                        let left = Operand::columns(woven, tile).from(key, place);
                        let to = (key_grad.add((begin + key) * dim), dim);
                        let right = query_right.from(place, 0);
                        arithmetic.product([keys, dim, rest], to, true, left, right, scale);
                    }
                }
                for row in p.chunks_exact_mut(tile) {
                    arithmetic.shrink(&mut row[..wide], wide);
                }
                for (row, rows, seen) in strips(sight, first, count, (begin, end)) {
                    // SAFETY: as above; `query_grad` has `count` rows.
                    unsafe {
                        let left = Operand::rows(p.as_ptr(), tile).from(row, 0);
                        let right = Operand::rows(key, dim).from(arithmetic.places(begin), 0);
                        let to = (query_grad.as_mut_ptr().add(row * dim), dim);
                        // As in the forward pass: one product of zeros writes the output.
                        let shape = [rows, dim, seen.max(1)];
                        arithmetic.product(shape, to, started, left, right, scale);
                    }
                }
                started = true;
            }
            if !started {
                query_grad.fill(0.0);
            }
            // SAFETY: the caller promises these rows.
            unsafe { store(query_grad, to.add(first * width), width, dim, turn, first) };
        }
    }
}

/// Strips of the keys `begin .. end`, counted from `begin`: first key, number of keys, and the first of `count` queries
/// from `first` on that sees one of them, or the even one before it. No later query sees fewer of the keys at their end.
fn strips_of_keys(
    sight: &Sight,
    first: usize,
    count: usize,
    (begin, end): (usize, usize),
) -> impl Iterator<Item = (usize, usize, usize)> {
    let strip = strip();
    (0..end - begin).step_by(strip).map(move |key| {
        let sees = |query: &usize| sight.of(first + query).1 > begin + key;
        let query = (0..count).find(sees).unwrap_or(count);
        (key, strip.min(end - begin - key), query / 2 * 2)
    })
}
