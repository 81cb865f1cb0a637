//! Products with few rows on the left, as in decoding: nothing is packed, the right operand is read once where it lies.

use super::element::Element;
use super::product::{Target, with_rows};
use super::version::{Rows, Version};
use super::{FEW, PAIRS_OF_LINE, STRIPE, TILE_COLS};
use crate::matrix::Matrix;
use crate::parallel::{Shared, each};
use std::mem::MaybeUninit;

/// Columns of one task, at least: 64 bf16 are two cache lines.
const MIN_COLS: usize = 2 * TILE_COLS;

/// Whether the product is computed here: few rows on the left, and a right operand with neighbours in memory.
pub(super) fn applies<T: Element>(x: Matrix, w: Matrix<T>) -> bool {
    x.rows <= FEW && w.strides().contains(&1)
}

/// `out = alpha x w` or `out += alpha x w`; K is not zero.
pub(super) fn multiply<T: Element>(
    version: Version,
    target: Target,
    x: Matrix,
    w: Matrix<T>,
    serial: bool,
) {
    let row_lines = w.rows.div_ceil(2 * PAIRS_OF_LINE);
    with_rows(x.rows * row_lines, |lines| {
        // SAFETY: the caller chose an available version; the lines were just asked for.
        unsafe { version.round_rows(x, lines, row_lines) };
        let lines = Shared(lines.cast_const());
        // Enough tasks for an even load; where they are cut has no influence on the result.
        let width = w.cols.div_ceil(4 * rayon::current_num_threads());
        let width = width.next_multiple_of(TILE_COLS).clamp(MIN_COLS, STRIPE);
        each(w.cols.div_ceil(width), serial, |task| {
            let first = task * width;
            let part = w.part([0, first], [w.rows, width.min(w.cols - first)]);
            let rows = Rows { lines: lines.get(), row_lines, count: x.rows };
            let mut sums = Sums([[MaybeUninit::uninit(); STRIPE]; FEW]);
            let to = sums.0.as_mut_ptr().cast::<f32>();
            // SAFETY: the rows were written above; a task has at most `STRIPE` columns; one stride is 1; the sums, the
            // rows of which are written for all columns, go to columns of the output that are this task's own.
            unsafe {
                match w.strides()[1] {
                    1 => version.sum_rows(rows, part, to),
                    _ => version.dots(rows, part.t(), to),
                }
                for (row, sums) in sums.0[..x.rows].iter().enumerate() {
                    target.put(row * w.cols + first, &*(&raw const sums[..part.cols] as *const _));
                }
            }
        });
    });
}

/// Sums of a stripe of the output.
#[repr(align(64))]
struct Sums([[MaybeUninit<f32>; STRIPE]; FEW]);

// The versions write sums in groups of 32 columns.
const _: () = assert!(STRIPE.is_multiple_of(TILE_COLS));
