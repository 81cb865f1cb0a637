//! The forward pass: FlashAttention-2, algorithm 1.

use super::AttentionConfig;
use super::arithmetic::Arithmetic;
use super::config::{Lengths, Ranges, Sequence, Sight};
use super::rows;
use super::tile::{
    Heads, KEYS, LANES, QUERIES, Scratch, Turn, blocks, filled, load, padded, span, strip, tensor,
};
use crate::parallel::{SERIAL, each};
use crate::tile_product::Operand;
use burn_flex::FlexTensor;
use std::cell::RefCell;

/// From so many queries on, keys and values are copied: rotated, and laid out for the products.
const FEW: usize = 4;

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

/// What both passes read.
#[derive(Clone, Debug)]
pub(super) struct Arguments {
    /// Query, key and value.
    pub(super) inputs: [Heads; 3],
    pub(super) turn: Option<Turn>,
    /// `[H, T, S]`.
    pub(super) bias: Option<Heads>,
    pub(super) keys: Option<Ranges>,
    pub(super) packed: Option<Lengths>,
    pub(super) config: AttentionConfig,
}

impl Arguments {
    /// The sequences, and the multiply-adds of one of the products over all of them and their heads.
    pub(super) fn sequences(&self) -> (Vec<Sequence>, usize) {
        let ([batch, time, _], [_, keys, _]) = (self.inputs[0].dims(), self.inputs[1].dims());
        let shape = [batch, time, keys];
        let sequences = self.config.sequences(shape, self.keys.as_ref(), self.packed.as_ref());
        let pairs: usize = sequences.iter().map(|sequence| sequence.time * sequence.keys).sum();
        (sequences, pairs * self.config.heads * self.config.head_dim)
    }

    /// Adds the bias to what query `query` of head `head` sees in the row of a tile whose first column is key `begin`.
    pub(super) fn add_bias(
        &self,
        sight: &Sight,
        [head, query, begin]: [usize; 3],
        row: &mut [f32],
    ) {
        let Some(bias) = &self.bias else { return };
        let (low, high) = columns(sight, query, begin, row.len());
        if low < high {
            rows::add(&mut row[low..high], bias.part([head, query, begin + low], high - low));
        }
    }
}

/// The output `[B, T, H*dim]` and the log-sum-exp of every row, `[B, H, T]` (0 where a query sees no key).
pub(super) fn forward(arguments: &Arguments) -> (FlexTensor, Vec<f32>) {
    let AttentionConfig { heads, kv_heads, head_dim: dim, .. } = arguments.config;
    let [batch, time, width] = arguments.inputs[0].dims();
    let (sequences, work) = arguments.sequences();
    let mut lse = Vec::new();
    // SAFETY: the tasks cover every sequence and head, `head` every row of them; the sequences cover every row.
    let out = unsafe {
        filled(batch * time * width, |out| {
            lse = filled(batch * heads * time, |lse| {
                each(sequences.len() * kv_heads, work < SERIAL, |task| {
                    BUFFERS.with_borrow_mut(|buffers| {
                        let (sequence, group) = (sequences[task / kv_heads], task % kv_heads);
                        let Sequence { entry, row, .. } = sequence;
                        let mut pass = Pass { arguments, sequence, buffers };
                        let operands = pass.load(group * dim);
                        let heads_of_group = heads / kv_heads;
                        for head in group * heads_of_group..(group + 1) * heads_of_group {
                            let out = out.at((entry * time + row) * width + head * dim);
                            let lse = lse.at((entry * heads + head) * time + row);
                            pass.head(head, operands, (out, width), lse);
                        }
                    });
                });
            });
        })
    };
    (tensor(out, [batch, time, width]), lse)
}

/// One task: a sequence and the queries of one key head.
struct Pass<'a> {
    arguments: &'a Arguments,
    sequence: Sequence,
    buffers: &'a mut Buffers,
}

impl Pass<'_> {
    /// Whether keys and values are copied into scratch.
    fn copies(&self) -> bool {
        self.arguments.turn.is_some() || self.sequence.time >= FEW
    }

    /// How its products are computed.
    fn arithmetic(&self) -> Arithmetic {
        match self.copies() {
            true => Arithmetic::of(&self.arguments.config),
            false => Arithmetic::F32,
        }
    }

    /// Rotated keys `[dim, S]` and values `[S, dim]` of the head that begins at `column`, in scratch (of keys that do
    /// not exist: anything); for a few queries, which do not pay for the copies, where they are.
    fn load(&mut self, column: usize) -> [Operand; 2] {
        let Arguments { inputs, turn, config, .. } = self.arguments;
        let dim = config.head_dim;
        let Sequence { entry, row, keys: count, sight, .. } = self.sequence;
        let arithmetic = self.arithmetic();
        if !self.copies() {
            let [key, value] = [1, 2].map(|i| inputs[i].at(entry, row, column));
            return [Operand(key.pointer, 1, key.row), Operand(value.pointer, value.row, 1)];
        }
        let stride = padded(count);
        let keys = self.buffers.keys.take(dim * stride);
        let rows = self.buffers.rows.take(LANES * dim);
        let (begin, end) = span(&sight);
        let at = [entry, row, column];
        let turn = turn.as_ref();
        transposed(&inputs[1], at, (begin, end), dim, turn, arithmetic, rows, (keys, stride));
        let values = self.buffers.values.take(count * dim);
        let some = &mut values[begin * dim..end * dim];
        // SAFETY: the values of the sequence have rows `begin .. end`.
        unsafe { load(inputs[2].at(entry, row + begin, column), some, dim, None, 0) };
        arithmetic.weave(&mut values[..end * dim], begin, dim);
        [Operand::rows(keys.as_ptr(), stride), Operand::rows(values.as_ptr(), dim)]
    }

    /// All rows of one head, written to `out` (rows `width` apart) and `lse`.
    ///
    /// # Safety
    /// `out` and `lse` are valid for writing `time` rows, and nobody else accesses them; `key` and `value` are what
    /// `load` returned for this head.
    unsafe fn head(
        &mut self,
        head: usize,
        [key, value]: [Operand; 2],
        (out, width): (*mut f32, usize),
        lse: *mut f32,
    ) {
        let (copies, arithmetic) = (self.copies(), self.arithmetic());
        let Self { arguments, sequence, .. } = *self;
        let Sequence { entry, row: start, time, keys, ref sight } = sequence;
        let Arguments { inputs, turn, config, .. } = arguments;
        let dim = config.head_dim;
        let tile = padded(KEYS.min(keys + LANES));
        for first in (0..time).step_by(QUERIES) {
            let count = QUERIES.min(time - first);
            let query = self.buffers.queries.take(count * dim);
            let from = inputs[0].at(entry, start + first, head * dim);
            // SAFETY: the queries of the sequence have rows `first .. first + count`.
            unsafe { load(from, query, dim, turn.as_ref(), first) };
            let places = arithmetic.shrink(query, dim);
            let scores = self.buffers.scores.take(count * tile);
            // Not -inf: a bias may be, and -inf - -inf is no number.
            let (mut peaks, mut sums) = ([f32::MIN; QUERIES], [0.0f32; QUERIES]);
            // SAFETY: the caller promises these rows.
            let out = unsafe { out.add(first * width) };
            let mut started = false;
            for (begin, end) in blocks(sight, first, first + count - 1) {
                let columns = (end - begin).next_multiple_of(LANES);
                for (row, rows, seen) in strips(sight, first, count, (begin, end)) {
                    // Transposed keys have columns of zeros up to whole vectors; keys in place have not.
                    let wide = if copies { seen.next_multiple_of(LANES) } else { seen };
                    // SAFETY: `key` has `begin + wide` columns, `scores` `tile >= columns`.
                    unsafe {
                        let left = Operand::rows(query.as_ptr(), places).from(row, 0);
                        let to = (scores.as_mut_ptr().add(row * tile), tile);
                        let (right, scale) = (key.from(0, begin), config.scale as f32);
                        arithmetic.product([rows, wide, dim], to, false, left, right, scale);
                    }
                }
                for (i, row) in scores.chunks_exact_mut(tile).enumerate() {
                    let row = &mut row[..columns];
                    arguments.add_bias(sight, [head, first + i, begin], row);
                    let Some(seen) = visible(sight, first + i, begin, row) else { continue };
                    let peak = peaks[i].max(rows::largest(seen));
                    let sum = rows::exp_sum(seen, peak);
                    conceal(sight, first + i, begin, row);
                    arithmetic.shrink(row, columns);
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
                for (row, rows, seen) in strips(sight, first, count, (begin, end)) {
                    // SAFETY: `value` has rows up to `keys >= end`; the tile of `out` belongs to this task.
                    unsafe {
                        let left = Operand::rows(scores.as_ptr().add(row * tile), tile);
                        let to = (out.add(row * width), width);
                        let right = value.from(arithmetic.places(begin), 0);
                        // One product of zeros when the strip sees nothing here: the output is to be written.
                        let seen = seen.max(1);
                        arithmetic.product([rows, dim, seen], to, started, left, right, 1.0);
                    }
                }
                started = true;
            }
            for i in 0..count {
                // SAFETY: as above, a row without a sum being zeroed first; `lse` has `time` rows.
                unsafe {
                    // A query that sees a key has a positive sum, or NaN.
                    if sums[i] == 0.0 {
                        out.add(i * width).write_bytes(0, dim);
                        lse.add(first + i).write(0.0);
                        continue;
                    }
                    let out = std::slice::from_raw_parts_mut(out.add(i * width), dim);
                    rows::scale(out, 1.0 / sums[i]);
                    lse.add(first + i).write(peaks[i] + sums[i].ln());
                }
            }
        }
    }
}

/// Rows `begin .. end` of `from` counted from `[entry, start, column]`, rotated and transposed, become columns of `to`, a
/// right operand whose rows are `stride` apart; zeros up to a whole vector. `begin` is a multiple of [`LANES`].
#[expect(clippy::too_many_arguments, reason = "where from, how, and where to")]
pub(super) fn transposed(
    from: &Heads,
    [entry, start, column]: [usize; 3],
    (begin, end): (usize, usize),
    dim: usize,
    turn: Option<&Turn>,
    arithmetic: Arithmetic,
    rows: &mut [f32],
    (to, stride): (&mut [f32], usize),
) {
    for first in (begin..end).step_by(LANES) {
        let present = LANES.min(end - first);
        let (some, rest) = rows.split_at_mut(present * dim);
        // SAFETY: `from` has rows `first .. first + present`.
        unsafe { load(from.at(entry, start + first, column), some, dim, turn, first) };
        rest.fill(0.0);
        let places = arithmetic.shrink(rows, dim);
        rows::transpose(&rows[..LANES * places], places, &mut to[first..], stride);
    }
}

/// The strips of a tile of `count` queries from `first` on: first row, number of rows, and how many keys from `begin` up
/// to `end` their last one sees. The others see no key behind it.
pub(super) fn strips(
    sight: &Sight,
    first: usize,
    count: usize,
    (begin, end): (usize, usize),
) -> impl Iterator<Item = (usize, usize, usize)> {
    let strip = strip();
    let sight = *sight;
    (0..count).step_by(strip).map(move |row| {
        let rows = strip.min(count - row);
        let (_, seen) = sight.of(first + row + rows - 1);
        (row, rows, seen.clamp(begin, end) - begin)
    })
}

/// The part of a row of a tile that holds what query `query` sees, whole vectors, what it does not see at -inf;
/// `None` (and zeros) when it sees nothing here. `begin` is the key of the first column.
pub(super) fn visible<'a>(
    sight: &Sight,
    query: usize,
    begin: usize,
    row: &'a mut [f32],
) -> Option<&'a mut [f32]> {
    let (low, high) = columns(sight, query, begin, row.len());
    if low >= high {
        row.fill(0.0);
        return None;
    }
    let (from, to) = (low / LANES * LANES, high.next_multiple_of(LANES));
    row[from..low].fill(f32::NEG_INFINITY);
    row[high..to].fill(f32::NEG_INFINITY);
    Some(&mut row[from..to])
}

/// Zeros where query `query` does not see, which sees something.
pub(super) fn conceal(sight: &Sight, query: usize, begin: usize, row: &mut [f32]) {
    let (low, high) = columns(sight, query, begin, row.len());
    row[..low].fill(0.0);
    row[high..].fill(0.0);
}

/// The columns that `query` sees of a tile of `count` columns from key `begin` on; none when the end is not behind the
/// beginning.
pub(super) fn columns(sight: &Sight, query: usize, begin: usize, count: usize) -> (usize, usize) {
    let (low, high) = sight.of(query);
    (low.saturating_sub(begin).min(count), high.saturating_sub(begin).min(count))
}
