//! The tile for AVX-512 with bf16 products.
//!
//! A step loads one pair of rows of the panel (two vectors), and multiplies them with the pairs of 12 rows of the left
//! operand, each copied into all lanes: 24 products for 14 loads, on 24 registers of sums.

use super::avx512_pack::mask;
use super::element::{LINES, Line};
use super::version::Tile;
use super::{PAIRS_OF_LINE, ROW_LINES, TILE_COLS};
use std::arch::x86_64::*;

/// # Safety
/// As [`Version::tile`](super::version::Version::tile).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn tile(a: *const Line, b: *const Line, pairs: usize, tile: Tile) {
    // SAFETY: promised by the caller; the number of rows is that of the tile.
    unsafe {
        match tile.rows {
            1 => rows::<1>(a, b, pairs, tile),
            2 => rows::<2>(a, b, pairs, tile),
            3 => rows::<3>(a, b, pairs, tile),
            4 => rows::<4>(a, b, pairs, tile),
            5 => rows::<5>(a, b, pairs, tile),
            6 => rows::<6>(a, b, pairs, tile),
            7 => rows::<7>(a, b, pairs, tile),
            8 => rows::<8>(a, b, pairs, tile),
            9 => rows::<9>(a, b, pairs, tile),
            10 => rows::<10>(a, b, pairs, tile),
            11 => rows::<11>(a, b, pairs, tile),
            _ => rows::<12>(a, b, pairs, tile),
        }
    }
}

/// `R` rows.
///
/// # Safety
/// As [`tile`], with `tile.rows == R`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn rows<const R: usize>(a: *const Line, b: *const Line, pairs: usize, tile: Tile) {
    for row in 0..R {
        // The output comes from memory while the sums are computed; three lines, as it may begin within one. A prefetch
        // may have any address.
        for col in [0, PAIRS_OF_LINE, TILE_COLS - 1] {
            let out = tile.out.wrapping_add(row * tile.row_stride + col);
            _mm_prefetch::<_MM_HINT_T0>(out.cast());
        }
    }
    let mut sums = [[_mm512_setzero_ps(); LINES]; R];
    for pair in 0..pairs {
        // SAFETY: `pair < pairs`.
        let b = [0, 1].map(|h| unsafe { _mm512_load_si512(b.add(pair * LINES + h).cast()) });
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `row < R` and `pair < pairs`.
            let a = unsafe { *a.add(row * ROW_LINES).cast::<i32>().add(pair) };
            let a = _mm512_set1_epi32(a);
            for h in 0..LINES {
                sums[h] = dot(sums[h], a, b[h]);
            }
        }
    }
    let alpha = _mm512_set1_ps(tile.alpha);
    for (row, sums) in sums.iter().enumerate() {
        for (h, &sum) in sums.iter().enumerate() {
            let mask = mask(tile.cols.saturating_sub(h * PAIRS_OF_LINE));
            // SAFETY: the mask holds the columns of the tile, which is initialised if it is read; past the last column
            // the address is not used.
            unsafe {
                let out = tile.out.wrapping_add(row * tile.row_stride + h * PAIRS_OF_LINE);
                let old =
                    if tile.add { _mm512_maskz_loadu_ps(mask, out) } else { _mm512_setzero_ps() };
                let new = _mm512_fmadd_ps(sum, alpha, old);
                if mask == !0 {
                    _mm512_storeu_ps(out, new);
                } else {
                    _mm512_mask_storeu_ps(out, mask, new);
                }
            }
        }
    }
}

/// Every lane of `sum` plus the two products of its pair.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn dot(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
    // SAFETY: `__m512bh` is as large as `__m512i`, and every pattern of bits is valid in both.
    let [a, b] = [a, b].map(|x| unsafe { std::mem::transmute::<__m512i, __m512bh>(x) });
    _mm512_dpbf16_ps(sum, a, b)
}
