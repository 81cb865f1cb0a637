//! Products with few rows on the left for AVX-512 with bf16 products: the right operand is read once, where it lies.

use super::avx512::dot;
use super::avx512_pack::lanes;
use super::element::Element;
use super::version::Rows;
use super::{PAIRS_OF_LINE, STRIPE};
use crate::matrix::Matrix;
use std::arch::x86_64::*;

/// bf16 in a vector.
const LANES: usize = 2 * PAIRS_OF_LINE;
/// Rows of the right operand that are read side by side; even.
const DEPTH: usize = 8;
/// Rows of the right operand whose dot products are computed side by side.
const DOTS: usize = 4;

/// # Safety
/// As [`Version::sum_rows`](super::version::Version::sum_rows).
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn sum_rows<T: Element>(x: Rows, w: Matrix<T>, sums: *mut f32) {
    for k in (0..w.rows).step_by(DEPTH) {
        for col in (0..w.cols).step_by(LANES) {
            let block = Block {
                from: w.as_ptr().wrapping_add(k * w.strides()[0] + col),
                stride: w.strides()[0],
                rows: DEPTH.min(w.rows - k),
                mask: lanes(w.cols - col),
                first: k == 0,
            };
            let mut row = 0;
            while row < x.count {
                // SAFETY: pairs from `k / 2` of rows of `x`, and 32 columns of as many rows of the sums.
                unsafe {
                    let pairs = x.lines.add(row * x.row_lines).cast::<i32>().add(k / 2);
                    let stride = x.row_lines * PAIRS_OF_LINE;
                    let sums = sums.add(row * STRIPE + col);
                    match x.count - row {
                        1 => add_block::<T, 1>(pairs, stride, block, sums),
                        2 | 3 => add_block::<T, 2>(pairs, stride, block, sums),
                        4..8 => add_block::<T, 4>(pairs, stride, block, sums),
                        _ => add_block::<T, 8>(pairs, stride, block, sums),
                    }
                }
                row += match x.count - row {
                    1 => 1,
                    2 | 3 => 2,
                    4..8 => 4,
                    _ => 8,
                };
            }
        }
    }
    // Back to the order of the columns.
    let [low, high] = [0, 8].map(|first| {
        let lane = |i: usize| (first + i / 8 * 4 + i % 4 + 16 * (i / 4 % 2)) as i32;
        let lanes: [i32; 16] = std::array::from_fn(lane);
        // SAFETY: 16 numbers are one vector.
        unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
    });
    for row in 0..x.count {
        for col in (0..w.cols).step_by(LANES) {
            // SAFETY: 32 columns of a row of the sums, which were written above.
            unsafe {
                let sums = sums.add(row * STRIPE + col);
                let [a, b] = [_mm512_loadu_ps(sums), _mm512_loadu_ps(sums.add(16))];
                _mm512_storeu_ps(sums, _mm512_permutex2var_ps(a, low, b));
                _mm512_storeu_ps(sums.add(16), _mm512_permutex2var_ps(a, high, b));
            }
        }
    }
}

/// Up to [`DEPTH`] rows x 32 columns of the right operand.
#[derive(Clone, Copy)]
struct Block<T> {
    from: *const T,
    /// Elements from one row to the next.
    stride: usize,
    rows: usize,
    /// The columns that exist.
    mask: u32,
    /// Whether the sums begin here.
    first: bool,
}

/// Adds the products of `R` rows on the left to their sums, whose columns are in the order of `unpack`: of every eight
/// the first four, then of every eight the last four.
///
/// # Safety
/// The features are there. `block` is readable, `pairs` for `R` rows of its pairs, `stride` pairs apart, and `sums` is
/// valid for 32 columns of `R` rows, `STRIPE` apart, initialised unless it is the first block.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn add_block<T: Element, const R: usize>(
    pairs: *const i32,
    stride: usize,
    block: Block<T>,
    sums: *mut f32,
) {
    let row = |k: usize| block.from.wrapping_add(k * block.stride);
    let mut totals = [[_mm512_setzero_ps(); 2]; R];
    if !block.first {
        for (r, totals) in totals.iter_mut().enumerate() {
            // SAFETY: promised by the caller.
            *totals = [0, 16].map(|h| unsafe { _mm512_loadu_ps(sums.add(r * STRIPE + h)) });
        }
    }
    for pair in 0..block.rows.div_ceil(2) {
        let two = [2 * pair, 2 * pair + 1];
        // SAFETY: the mask is empty for a row that does not exist. A prefetch may have any address: it is that of the
        // next block.
        let [a, b] = two.map(|k| unsafe {
            _mm_prefetch::<_MM_HINT_T0>(row(k + DEPTH).cast());
            T::line(row(k), if k < block.rows { block.mask } else { 0 })
        });
        let (low, high) = (_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b));
        for (r, totals) in totals.iter_mut().enumerate() {
            // SAFETY: a pair of row `r`.
            let factor = _mm512_set1_epi32(unsafe { *pairs.add(r * stride + pair) });
            totals[0] = dot(totals[0], factor, low);
            totals[1] = dot(totals[1], factor, high);
        }
    }
    for (r, totals) in totals.iter().enumerate() {
        for (h, &total) in totals.iter().enumerate() {
            // SAFETY: promised by the caller.
            unsafe { _mm512_storeu_ps(sums.add(r * STRIPE + 16 * h), total) };
        }
    }
}

/// # Safety
/// As [`Version::dots`](super::version::Version::dots).
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn dots<T: Element>(x: Rows, w: Matrix<T>, sums: *mut f32) {
    for col in (0..w.rows).step_by(DOTS) {
        let mut row = 0;
        while row < x.count {
            let few = Rows {
                // SAFETY: `row` is one of the rows.
                lines: unsafe { x.lines.add(row * x.row_lines) },
                count: (x.count - row).min(4),
                ..x
            };
            // SAFETY: rows `row..row + few.count` of the sums, and columns from `col`.
            unsafe {
                let sums = sums.add(row * STRIPE + col);
                match few.count {
                    1 => add_dots::<T, 1>(few, w, col, sums),
                    2 => add_dots::<T, 2>(few, w, col, sums),
                    3 => add_dots::<T, 3>(few, w, col, sums),
                    _ => add_dots::<T, 4>(few, w, col, sums),
                }
            }
            row += few.count;
        }
    }
}

/// The products of `R` rows on the left with up to [`DOTS`] rows of `w` from `col`.
///
/// # Safety
/// As [`dots`], with `x.count == R`; `sums` begins at this column.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn add_dots<T: Element, const R: usize>(x: Rows, w: Matrix<T>, col: usize, sums: *mut f32) {
    let count = DOTS.min(w.rows - col);
    // Past the last row it is read again, and its sums are not stored.
    let rows: [*const T; DOTS] =
        std::array::from_fn(|i| w.as_ptr().wrapping_add((col + i.min(count - 1)) * w.strides()[0]));
    let mut totals = [[_mm512_setzero_ps(); DOTS]; R];
    for (i, k) in (0..w.cols).step_by(LANES).enumerate() {
        let mask = lanes(w.cols - k);
        // SAFETY: the mask holds the columns that exist.
        let b = rows.map(|row| unsafe { T::line(row.wrapping_add(k), mask) });
        for (r, totals) in totals.iter_mut().enumerate() {
            // SAFETY: line `i` of row `r`, which is zero past the last column.
            let a = unsafe { _mm512_load_si512(x.lines.add(r * x.row_lines + i).cast()) };
            for (total, &b) in totals.iter_mut().zip(&b) {
                *total = dot(*total, a, b);
            }
        }
    }
    for (r, totals) in totals.iter().enumerate() {
        for (i, &total) in totals[..count].iter().enumerate() {
            // SAFETY: a column of row `r` of the sums.
            unsafe { sums.add(r * STRIPE + i).write(_mm512_reduce_add_ps(total)) };
        }
    }
}
