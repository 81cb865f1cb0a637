//! Rounding and packing for AVX-512 with bf16 conversion.
//!
//! A vector holds 16 pairs of bf16, a pair being two neighbours along the inner dimension. Two arrangements of 16 x 16
//! pairs occur: by lane (a vector is one row of the left operand, or one column of the right, over 16 pairs) and by pair
//! (a vector is one pair, over 16 columns); the transpose of a 16 x 16 matrix of 32-bit numbers leads from one to the
//! other.

use super::PAIRS_OF_LINE;
use super::element::{Element, LINES, Line};
use crate::matrix::Matrix;
use std::arch::x86_64::*;

/// 16 x 16 pairs.
type Square = [__m512i; PAIRS_OF_LINE];

/// Inner dimension of a square.
const DEPTH: usize = 2 * PAIRS_OF_LINE;

/// # Safety
/// As [`Version::round_rows`](super::version::Version::round_rows).
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn round_rows(x: Matrix, to: *mut Line, row_lines: usize) {
    if x.strides()[1] == 1 {
        for row in 0..x.rows {
            for k in (0..x.cols).step_by(DEPTH) {
                let part = x.part([row, k], [1, DEPTH.min(x.cols - k)]);
                // SAFETY: line `k / DEPTH` of this row; the element type's features are those of this function.
                unsafe {
                    let to = to.add(row * row_lines + k / DEPTH);
                    _mm512_store_si512(to.cast(), f32::line(part.as_ptr(), lanes(part.cols)));
                }
            }
        }
        return;
    }
    // Rows that are not pieces of memory are rounded 16 at a time; and all of them before the next line of each, so that
    // memory is read along its own rows.
    for k in (0..x.cols).step_by(DEPTH) {
        for row in (0..x.rows).step_by(PAIRS_OF_LINE) {
            let count = PAIRS_OF_LINE.min(x.rows - row);
            let part = x.part([row, k], [count, DEPTH.min(x.cols - k)]);
            for (i, &line) in by_lane(part)[..count].iter().enumerate() {
                // SAFETY: line `k / DEPTH` of these rows.
                unsafe {
                    let to = to.add((row + i) * row_lines + k / DEPTH);
                    _mm512_store_si512(to.cast(), line);
                }
            }
        }
    }
}

/// # Safety
/// As [`Version::pack_panel`](super::version::Version::pack_panel).
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_panel<T: Element>(b: Matrix<T>, to: *mut Line) {
    let b = b.t();
    for k in (0..b.cols).step_by(DEPTH) {
        for h in 0..LINES {
            let col = b.rows.min(h * PAIRS_OF_LINE);
            let part = b.part([col, k], [PAIRS_OF_LINE.min(b.rows - col), DEPTH.min(b.cols - k)]);
            let square =
                if part.strides()[0] == 1 { by_pair(part) } else { transpose(by_lane(part)) };
            // SAFETY: 16 pairs from `k / 2`, which are within the rounded number of rows.
            unsafe { store(to.add(k / 2 * LINES + h), square) };
        }
    }
}

/// Stores a square as 16 pairs of a panel.
///
/// # Safety
/// `to` is writable for 16 lines, `LINES` apart.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(to: *mut Line, square: Square) {
    for (i, line) in square.into_iter().enumerate() {
        // SAFETY: promised by the caller.
        unsafe { _mm512_store_si512(to.add(i * LINES).cast(), line) };
    }
}

/// At most 16 lanes (rows of `x`) x 32, rounded, by lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn by_lane<T: Element>(x: Matrix<T>) -> Square {
    let mut square = [_mm512_setzero_si512(); PAIRS_OF_LINE];
    match x.strides() {
        [row, 1] => {
            for (i, line) in square.iter_mut().enumerate().take(x.rows) {
                // SAFETY: the mask holds the elements of row `i`; this function has the features.
                *line = unsafe { T::line(x.as_ptr().wrapping_add(i * row), lanes(x.cols)) };
            }
        }
        [1, _] => square = transpose(by_pair(x)),
        _ => {
            for (i, line) in square.iter_mut().enumerate().take(x.rows) {
                let mut row = Line::ZERO;
                for k in 0..x.cols {
                    row.0[k / 2][k % 2] = x.get(i, k).rounded();
                }
                // SAFETY: a line is one vector.
                *line = unsafe { _mm512_load_si512((&raw const row).cast()) };
            }
        }
    }
    square
}

/// At most 16 lanes (rows of `x`, which are neighbours in memory) x 32, rounded, by pair.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn by_pair<T: Element>(x: Matrix<T>) -> Square {
    let interleave = index(|i| i / 2 + 16 * (i % 2));
    let lanes = mask(x.rows);
    let column = |k: usize| x.as_ptr().wrapping_add(k * x.strides()[1]);
    let mut square = [_mm512_setzero_si512(); PAIRS_OF_LINE];
    for (i, line) in square.iter_mut().enumerate() {
        let columns = [2 * i, 2 * i + 1];
        // SAFETY: the masks hold the lanes of those columns that exist; this function has the features. A prefetch may
        // have any address; columns are far apart, where the processor does not foresee them.
        let pairs = unsafe {
            for k in columns {
                _mm_prefetch::<_MM_HINT_T1>(column(k + DEPTH).cast());
            }
            T::halves(columns.map(column), columns.map(|k| if k < x.cols { lanes } else { 0 }))
        };
        *line = _mm512_permutexvar_epi16(interleave, pairs);
    }
    square
}

/// The lanes of a permutation of 16-bit numbers.
#[inline(always)]
fn index(lane: impl Fn(usize) -> usize) -> __m512i {
    let lanes: [u16; 32] = std::array::from_fn(|i| lane(i) as u16);
    // SAFETY: as large as each other, and every pattern of bits is valid in both.
    unsafe { std::mem::transmute(lanes) }
}

/// The transpose of a 16 x 16 matrix of 32-bit numbers: four rounds that exchange, each, one bit of the row's number
/// with one bit of the lane's.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(x: Square) -> Square {
    let mut y = x;
    for i in (0..16).step_by(2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    let mut z = y;
    for i in (0..16).step_by(4) {
        for j in 0..2 {
            z[i + 2 * j] = _mm512_unpacklo_epi64(y[i + j], y[i + j + 2]);
            z[i + 2 * j + 1] = _mm512_unpackhi_epi64(y[i + j], y[i + j + 2]);
        }
    }
    // Now z[4 i + j] holds in its quarter q the rows 4 i..4 i + 4 of column 4 q + j.
    for i in (0..16).step_by(8) {
        for j in 0..4 {
            y[i + j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(z[i + j], z[i + j + 4]);
            y[i + j + 4] = _mm512_shuffle_i32x4::<0b11_01_11_01>(z[i + j], z[i + j + 4]);
        }
    }
    // y[8 i + j] holds quarters 0 and 2, y[8 i + j + 4] quarters 1 and 3, of both.
    for j in 0..8 {
        let q = if j < 4 { 0 } else { 4 };
        z[q + j % 4] = _mm512_shuffle_i32x4::<0b10_00_10_00>(y[j], y[j + 8]);
        z[q + j % 4 + 8] = _mm512_shuffle_i32x4::<0b11_01_11_01>(y[j], y[j + 8]);
    }
    z
}

/// The first `n` of 16 lanes.
#[inline(always)]
pub(super) fn mask(n: usize) -> u16 {
    ((1u32 << n.min(16)) - 1) as u16
}

/// The first `n` of 32 lanes.
#[inline(always)]
pub(super) fn lanes(n: usize) -> u32 {
    ((1u64 << n.min(32)) - 1) as u32
}
