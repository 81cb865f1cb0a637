//! The forward pass: FlashAttention-2, algorithm 1.

use super::AttentionConfig;
use super::rows;
use super::tile::{
    Heads, KEYS, LANES, Matrix, QUERIES, Scratch, Turn, blocks, filled, load, padded, product, run,
    tensor,
};
use burn_flex::FlexTensor;
use std::cell::RefCell;

#[derive(Default)]
struct Buffers {
    queries: Scratch,
    keys: Scratch,
    values: Scratch,
    rows: Scratch,
    scores: Scratch,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// The output `[B, T, H*dim]` and the log-sum-exp of every row, `[B, H, T]`.
pub(super) fn forward(
    inputs: &[Heads; 3],
    turn: Option<&Turn>,
    config: &AttentionConfig,
) -> (FlexTensor, Vec<f32>) {
    let [query, key, _] = inputs;
    let AttentionConfig { heads, kv_heads, head_dim: dim, .. } = *config;
    let ([batch, time, width], [_, keys, _]) = (query.dims(), key.dims());
    let work = time * keys * dim * heads / kv_heads;
    let mut lse = Vec::new();
    // SAFETY: the tasks cover every batch entry and head, `head` every row of them.
    let out = unsafe {
        filled(batch * time * width, |out| {
            lse = filled(batch * heads * time, |lse| {
                run(batch * kv_heads, work, |task| {
                    BUFFERS.with_borrow_mut(|buffers| {
                        let (entry, group) = (task / kv_heads, task % kv_heads);
                        let mut pass = Pass { inputs, turn, config, entry, time, keys, buffers };
                        let operands = pass.load(group * dim);
                        let heads_of_group = heads / kv_heads;
                        for head in group * heads_of_group..(group + 1) * heads_of_group {
                            let out = out.at(entry * time * width + head * dim);
                            let lse = lse.at((entry * heads + head) * time);
                            pass.head(head, operands, (out, width), lse);
                        }
                    });
                });
            });
        })
    };
    (tensor(out, [batch, time, width]), lse)
}

/// One task: a batch entry and the queries of one key head.
struct Pass<'a> {
    inputs: &'a [Heads; 3],
    turn: Option<&'a Turn>,
    config: &'a AttentionConfig,
    entry: usize,
    time: usize,
    keys: usize,
    buffers: &'a mut Buffers,
}

impl Pass<'_> {
    /// Whether keys and values are copied into scratch.
    fn copies(&self) -> bool {
        self.turn.is_some() || self.time >= LANES
    }

    /// Rotated keys `[dim, S]` and values `[S, dim]` of the head that begins at `column`, in scratch; for a few queries,
    /// which do not pay for the copies, where they are.
    fn load(&mut self, column: usize) -> [Matrix; 2] {
        let dim = self.config.head_dim;
        let [key, value] = [1, 2].map(|i| self.inputs[i].at(self.entry, 0, column));
        if !self.copies() {
            return [Matrix(key.pointer, 1, key.row), Matrix(value.pointer, value.row, 1)];
        }
        let stride = padded(self.keys);
        let keys = self.buffers.keys.take(dim * stride);
        let rows = self.buffers.rows.take(LANES * dim);
        transposed(&self.inputs[1], [self.entry, self.keys, column], dim, self.turn, rows, keys);
        let values = self.buffers.values.take(self.keys * dim);
        // SAFETY: the values have `keys` rows.
        unsafe { load(value, values, dim, None, 0) };
        [Matrix::rows(keys.as_ptr(), stride), Matrix::rows(values.as_ptr(), dim)]
    }

    /// All rows of one head, written to `out` (rows `width` apart) and `lse`.
    ///
    /// # Safety
    /// `out` and `lse` are valid for writing `time` rows, and nobody else accesses them; `key` and `value` are what
    /// `load` returned for this head.
    unsafe fn head(
        &mut self,
        head: usize,
        [key, value]: [Matrix; 2],
        (out, width): (*mut f32, usize),
        lse: *mut f32,
    ) {
        let copies = self.copies();
        let Self { inputs, turn, config, entry, time, keys, .. } = *self;
        let dim = config.head_dim;
        let tile = padded(KEYS.min(keys + LANES));
        for first in (0..time).step_by(QUERIES) {
            let count = QUERIES.min(time - first);
            let query = self.buffers.queries.take(count * dim);
            let from = inputs[0].at(entry, first, head * dim);
            // SAFETY: the queries have rows `first .. first + count`.
            unsafe { load(from, query, dim, turn, first) };
            let scores = self.buffers.scores.take(count * tile);
            let (mut peaks, mut sums) = ([f32::NEG_INFINITY; QUERIES], [0.0f32; QUERIES]);
            // SAFETY: the caller promises these rows.
            let out = unsafe { out.add(first * width) };
            let mut started = false;
            for (begin, end) in blocks(config, first, first + count - 1) {
                let columns = (end - begin).next_multiple_of(LANES);
                // Transposed keys have columns of zeros up to whole vectors; keys in place have not.
                let wide = if copies { columns } else { end - begin };
                // SAFETY: `key` has `begin + wide` columns, `scores` `tile >= columns`.
                unsafe {
                    let left = Matrix::rows(query.as_ptr(), dim);
                    let to = (scores.as_mut_ptr(), tile);
                    let right = key.from(0, begin);
                    product([count, wide, dim], to, false, left, right, config.scale as f32);
                }
                for (i, row) in scores.chunks_exact_mut(tile).enumerate() {
                    let row = &mut row[..columns];
                    let Some(seen) = visible(config, first + i, begin, row) else { continue };
                    let peak = peaks[i].max(rows::largest(seen));
                    let sum = rows::exp_sum(seen, peak);
                    conceal(config, first + i, begin, row);
                    let fade = (peaks[i] - peak).exp();
                    if started && fade != 1.0 {
                        // SAFETY: row `i` of this tile is written by this task only.
                        let out =
                            unsafe { std::slice::from_raw_parts_mut(out.add(i * width), dim) };
                        rows::scale(out, fade);
                    }
                    sums[i] = sums[i] * fade + sum;
                    peaks[i] = peak;
                }
                // SAFETY: `value` has rows up to `keys >= end`; the tile of `out` belongs to this task.
                unsafe {
                    let left = Matrix::rows(scores.as_ptr(), tile);
                    let right = value.from(begin, 0);
                    product([count, dim, end - begin], (out, width), started, left, right, 1.0);
                }
                started = true;
            }
            for i in 0..count {
                // SAFETY: as above; `lse` has `time` rows.
                unsafe {
                    let out = std::slice::from_raw_parts_mut(out.add(i * width), dim);
                    rows::scale(out, 1.0 / sums[i]);
                    lse.add(first + i).write(peaks[i] + sums[i].ln());
                }
            }
        }
    }
}

/// `[dim, padded(count)]`: rows of `from` at `[entry, 0, column]`, rotated and transposed, zeros behind the last.
pub(super) fn transposed(
    from: &Heads,
    [entry, count, column]: [usize; 3],
    dim: usize,
    turn: Option<&Turn>,
    rows: &mut [f32],
    to: &mut [f32],
) {
    let stride = padded(count);
    for first in (0..count).step_by(LANES) {
        let present = LANES.min(count - first);
        let (some, rest) = rows.split_at_mut(present * dim);
        // SAFETY: `from` has rows `first .. first + present`.
        unsafe { load(from.at(entry, first, column), some, dim, turn, first) };
        rest.fill(0.0);
        rows::transpose(rows, dim, &mut to[first..], stride);
    }
}

/// The part of a row of a tile that holds what query `query` sees, whole vectors, what it does not see at -inf;
/// `None` (and zeros) when it sees nothing here. `begin` is the key of the first column.
pub(super) fn visible<'a>(
    config: &AttentionConfig,
    query: usize,
    begin: usize,
    row: &'a mut [f32],
) -> Option<&'a mut [f32]> {
    let (low, high) = columns(config, query, begin, row.len());
    if low >= high {
        row.fill(0.0);
        return None;
    }
    let (from, to) = (low / LANES * LANES, high.next_multiple_of(LANES));
    row[from..low].fill(f32::NEG_INFINITY);
    row[high..to].fill(f32::NEG_INFINITY);
    Some(&mut row[from..to])
}

/// Zeros where query `query` does not see.
pub(super) fn conceal(config: &AttentionConfig, query: usize, begin: usize, row: &mut [f32]) {
    let (low, high) = columns(config, query, begin, row.len());
    row[..low].fill(0.0);
    row[high..].fill(0.0);
}

/// The columns that `query` sees of a tile of `count` columns from key `begin` on.
fn columns(config: &AttentionConfig, query: usize, begin: usize, count: usize) -> (usize, usize) {
    let (low, high) = config.sight((0, usize::MAX)).of(query);
    (low.saturating_sub(begin).min(count), high.saturating_sub(begin).min(count))
}
