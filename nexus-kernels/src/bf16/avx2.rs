//! The inner loops for AVX2 with FMA.
//!
//! A bf16 is widened by a shift (the first of a pair) or a mask (the second). Sixteen registers hold 4 rows x 16 columns
//! of sums, so a tile is computed in parts. Everything but the tile is the portable code, compiled for these vectors.

use super::element::{Element, LINES, Line};
use super::version::{Rows, Tile};
use super::{ROW_LINES, TILE_COLS, portable};
use crate::matrix::Matrix;
use std::arch::x86_64::*;

const ROWS: usize = 4;
const COLS: usize = 16;

/// # Safety
/// As [`Version::round_rows`](super::version::Version::round_rows).
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn round_rows(x: Matrix, to: *mut Line, row_lines: usize) {
    // SAFETY: promised by the caller.
    unsafe { portable::round_rows(x, to, row_lines) }
}

/// # Safety
/// As [`Version::pack_panel`](super::version::Version::pack_panel).
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn pack_panel<T: Element>(b: Matrix<T>, to: *mut Line) {
    // SAFETY: promised by the caller.
    unsafe { portable::pack_panel(b, to) }
}

/// # Safety
/// As [`Version::sum_rows`](super::version::Version::sum_rows).
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn sum_rows<T: Element>(x: Rows, w: Matrix<T>, sums: *mut f32) {
    // SAFETY: promised by the caller.
    unsafe { portable::sum_rows::<T, true>(x, w, sums) }
}

/// # Safety
/// As [`Version::dots`](super::version::Version::dots).
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn dots<T: Element>(x: Rows, w: Matrix<T>, sums: *mut f32) {
    // SAFETY: promised by the caller.
    unsafe { portable::dots::<T, true>(x, w, sums) }
}

/// # Safety
/// As [`Version::tile`](super::version::Version::tile).
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn tile(a: *const Line, b: *const Line, pairs: usize, tile: Tile) {
    for row in (0..tile.rows).step_by(ROWS) {
        for col in (0..tile.cols).step_by(COLS) {
            let part = Tile {
                // SAFETY: within the tile.
                out: unsafe { tile.out.add(row * tile.row_stride + col) },
                rows: ROWS.min(tile.rows - row),
                cols: COLS.min(tile.cols - col),
                ..tile
            };
            // SAFETY: rows from `row` and columns from `col`, 16 of which are one line of every pair.
            unsafe {
                let (a, b) = (a.add(row * ROW_LINES), b.add(col / COLS));
                match part.rows {
                    1 => rows::<1>(a, b, pairs, part),
                    2 => rows::<2>(a, b, pairs, part),
                    3 => rows::<3>(a, b, pairs, part),
                    _ => rows::<4>(a, b, pairs, part),
                }
            }
        }
    }
    const { assert!(LINES * COLS == TILE_COLS) }
}

/// `R` rows x 16 columns.
///
/// # Safety
/// As [`tile`], with `tile.rows == R`, `tile.cols <= 16`, and `b` the first or second line of every pair.
#[target_feature(enable = "avx2,fma")]
unsafe fn rows<const R: usize>(a: *const Line, b: *const Line, pairs: usize, tile: Tile) {
    let odd = _mm256_set1_epi32(0xffff_0000u32 as i32);
    let first = |x| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(x));
    let second = |x| _mm256_castsi256_ps(_mm256_and_si256(x, odd));
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    for pair in 0..pairs {
        // SAFETY: `pair < pairs`; a line is two vectors.
        let b = [0, 1]
            .map(|h| unsafe { _mm256_load_si256(b.add(pair * LINES).cast::<__m256i>().add(h)) });
        let (b_first, b_second) = (b.map(first), b.map(second));
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `row < R` and `pair < pairs`.
            let a = unsafe { *a.add(row * ROW_LINES).cast::<i32>().add(pair) };
            let a = _mm256_set1_epi32(a);
            let (a_first, a_second) = (first(a), second(a));
            for h in 0..2 {
                // The order of `vdpbf16ps`.
                sums[h] = _mm256_fmadd_ps(a_second, b_second[h], sums[h]);
                sums[h] = _mm256_fmadd_ps(a_first, b_first[h], sums[h]);
            }
        }
    }
    let alpha = _mm256_set1_ps(tile.alpha);
    for (row, sums) in sums.iter().enumerate() {
        let mut products = [0.0f32; COLS];
        for (h, &sum) in sums.iter().enumerate() {
            // SAFETY: half of the array.
            unsafe {
                _mm256_storeu_ps(products.as_mut_ptr().add(8 * h), _mm256_mul_ps(sum, alpha))
            };
        }
        for (col, product) in products[..tile.cols].iter().enumerate() {
            // SAFETY: an element of the tile, which is initialised if it is read.
            unsafe {
                let out = tile.out.add(row * tile.row_stride + col);
                out.write(if tile.add { *out + product } else { *product });
            }
        }
    }
}
