//! The inner loops for any processor, written over fixed lanes so that the compiler vectorises them.

use super::element::{Element, LINES, Line, widen};
use super::version::{Rows, Tile};
use super::{PAIRS_OF_LINE, ROW_LINES, STRIPE, TILE_COLS, TILE_ROWS};
use crate::matrix::Matrix;
use burn::tensor::bf16;

/// bf16 in a line.
const LANES: usize = 2 * PAIRS_OF_LINE;

/// # Safety
/// As [`Version::round_rows`](super::version::Version::round_rows).
#[inline(always)]
pub(super) unsafe fn round_rows(x: Matrix, to: *mut Line, row_lines: usize) {
    for row in 0..x.rows {
        for first in (0..x.cols).step_by(LANES) {
            let line = lane(x.part([row, first], [1, LANES.min(x.cols - first)]));
            // SAFETY: a line of one of the rows.
            unsafe { to.add(row * row_lines + first / LANES).cast::<[bf16; LANES]>().write(line) };
        }
    }
}

/// One row of at most 32, rounded, and zeros.
#[inline(always)]
fn lane<T: Element>(row: Matrix<T>) -> [bf16; LANES] {
    let mut line = [bf16::ZERO; LANES];
    let from = row.storage_of_row(0);
    match (row.strides()[1], from.first_chunk::<LANES>()) {
        (1, Some(from)) if row.cols == LANES => {
            line.iter_mut().zip(from).for_each(|(to, x)| *to = x.rounded());
        }
        (1, _) => line.iter_mut().zip(&from[..row.cols]).for_each(|(to, x)| *to = x.rounded()),
        _ => line.iter_mut().enumerate().take(row.cols).for_each(|(k, to)| {
            *to = row.get(0, k).rounded();
        }),
    }
    line
}

/// # Safety
/// As [`Version::pack_panel`](super::version::Version::pack_panel).
#[inline(always)]
pub(super) unsafe fn pack_panel<T: Element>(b: Matrix<T>, to: *mut Line) {
    for k in (0..b.rows).step_by(LANES) {
        let depth = LANES.min(b.rows - k);
        let mut pairs = [[[bf16::ZERO; 2]; TILE_COLS]; PAIRS_OF_LINE];
        if b.strides()[0] == 1 {
            for col in 0..b.cols {
                let column = lane(b.part([k, col], [depth, 1]).t());
                for (pair, two) in pairs.iter_mut().zip(column.as_chunks::<2>().0) {
                    pair[col] = *two;
                }
            }
        } else {
            for row in 0..depth {
                let values = lane(b.part([k + row, 0], [1, b.cols]));
                for (pair, value) in pairs[row / 2].iter_mut().zip(values) {
                    pair[row % 2] = value;
                }
            }
        }
        // SAFETY: 16 pairs from `k / 2`, which are within the rounded number of rows.
        unsafe { to.add(k / 2 * LINES).cast::<[[[bf16; 2]; TILE_COLS]; 16]>().write(pairs) };
    }
}

/// # Safety
/// As [`Version::tile`](super::version::Version::tile).
pub(super) unsafe fn tile(a: *const Line, b: *const Line, pairs: usize, tile: Tile) {
    let mut sums = [[0.0f32; TILE_COLS]; TILE_ROWS];
    for pair in 0..pairs {
        // SAFETY: `pair < pairs`.
        let b = unsafe { &*b.cast::<[[bf16; 2]; TILE_COLS]>().add(pair) };
        for (row, sums) in sums[..tile.rows].iter_mut().enumerate() {
            // SAFETY: `row < rows` and `pair < pairs`.
            let a = unsafe { *a.add(row * ROW_LINES).cast::<[bf16; 2]>().add(pair) };
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += widen(a[0]) * widen(b[0]) + widen(a[1]) * widen(b[1]);
            }
        }
    }
    for (row, sums) in sums[..tile.rows].iter().enumerate() {
        for (col, sum) in sums[..tile.cols].iter().enumerate() {
            // SAFETY: an element of the tile, which is initialised if it is read.
            unsafe {
                let out = tile.out.add(row * tile.row_stride + col);
                let old = if tile.add { *out } else { 0.0 };
                out.write(tile.alpha * sum + old);
            }
        }
    }
}

/// Rows of the weight whose products are added to a sum at once.
const DEPTH: usize = 8;

/// # Safety
/// As [`Version::sum_rows`](super::version::Version::sum_rows).
#[inline(always)]
pub(super) unsafe fn sum_rows<T: Element, const FMA: bool>(x: Rows, w: Matrix<T>, sums: *mut f32) {
    for k in (0..w.rows).step_by(DEPTH) {
        let depth = DEPTH.min(w.rows - k);
        for col in (0..w.cols).step_by(LANES) {
            let mut values = [[0.0f32; LANES]; DEPTH];
            for (row, values) in values[..depth].iter_mut().enumerate() {
                let line = lane(w.part([k + row, col], [1, LANES.min(w.cols - col)]));
                values.iter_mut().zip(line).for_each(|(to, x)| *to = widen(x));
            }
            for row in 0..x.count {
                // SAFETY: 32 columns of a row of the sums; `k..k + depth` of a row of `x`.
                let (sums, factors) = unsafe {
                    let factors = x.lines.add(row * x.row_lines).cast::<bf16>().add(k);
                    (
                        &mut *sums.add(row * STRIPE + col).cast::<[f32; LANES]>(),
                        std::slice::from_raw_parts(factors, depth),
                    )
                };
                if k == 0 {
                    sums.fill(0.0);
                }
                for (values, &factor) in values.iter().zip(factors) {
                    let factor = widen(factor);
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = fma::<FMA>(factor, *value, *sum);
                    }
                }
            }
        }
    }
}

/// # Safety
/// As [`Version::dots`](super::version::Version::dots).
#[inline(always)]
pub(super) unsafe fn dots<T: Element, const FMA: bool>(x: Rows, w: Matrix<T>, sums: *mut f32) {
    for col in 0..w.rows {
        for row in 0..x.count {
            let mut lanes = [0.0f32; LANES];
            for k in (0..w.cols).step_by(LANES) {
                let line = lane(w.part([col, k], [1, LANES.min(w.cols - k)]));
                // SAFETY: a line of a row of `x`.
                let x = unsafe { &*x.lines.add(row * x.row_lines + k / LANES) }.0.as_flattened();
                for ((sum, &w), &x) in lanes.iter_mut().zip(&line).zip(x) {
                    *sum = fma::<FMA>(widen(x), widen(w), *sum);
                }
            }
            // SAFETY: `col` is less than `STRIPE`, and there are `x.count` rows of sums.
            unsafe { sums.add(row * STRIPE + col).write(lanes.iter().sum()) };
        }
    }
}

#[inline(always)]
fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
