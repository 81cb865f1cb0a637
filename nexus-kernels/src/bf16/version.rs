//! The versions of the inner loops, and the choice between them.

use super::element::{Element, Line};
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, avx512_few, avx512_pack};
use crate::matrix::Matrix;
use std::sync::OnceLock;

/// A version of the inner loops. All use the same packing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Version {
    /// AVX-512 with its bf16 product.
    Avx512,
    /// AVX2 with FMA: bf16 is widened to f32.
    Avx2,
    /// Any processor.
    Portable,
}

/// The tile of the output that a call computes, and how it is stored.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Element (0, 0).
    pub(super) out: *mut f32,
    /// Elements from one row to the next.
    pub(super) row_stride: usize,
    /// At most `TILE_ROWS`.
    pub(super) rows: usize,
    /// At most `TILE_COLS`.
    pub(super) cols: usize,
    pub(super) alpha: f32,
    /// Whether to add to what is there.
    pub(super) add: bool,
}

/// Few rows on the left, rounded.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    /// Each row is padded with zeros to whole lines.
    pub(super) lines: *const Line,
    /// Lines from one row to the next.
    pub(super) row_lines: usize,
    /// At most `FEW`.
    pub(super) count: usize,
}

impl Version {
    /// Whether this processor (and its system) runs it.
    pub(super) fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Version::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512bf16")
            }
            #[cfg(target_arch = "x86_64")]
            Version::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Version::Avx512 | Version::Avx2 => false,
            Version::Portable => true,
        }
    }

    /// The fastest that this processor has.
    pub(super) fn best() -> Self {
        static BEST: OnceLock<Version> = OnceLock::new();
        *BEST.get_or_init(|| {
            let fast = [Version::Avx512, Version::Avx2].into_iter().find(|v| v.is_available());
            fast.unwrap_or(Version::Portable)
        })
    }

    /// Rounds `x: [rows, cols]` into rows of pairs, `row_lines` lines apart; what is left of the last line that a row
    /// uses becomes zero.
    ///
    /// # Safety
    /// The version is available. `to` is writable for `rows * row_lines` lines, and a row fits `row_lines`.
    pub(super) unsafe fn round_rows(self, x: Matrix, to: *mut Line, row_lines: usize) {
        // SAFETY: promised by the caller.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Version::Avx512 => avx512_pack::round_rows(x, to, row_lines),
                #[cfg(target_arch = "x86_64")]
                Version::Avx2 => avx2::round_rows(x, to, row_lines),
                _ => portable::round_rows(x, to, row_lines),
            }
        }
    }

    /// Packs `b: [K, <= TILE_COLS]` into a panel; missing columns, and rows up to a multiple of 32, become zero.
    ///
    /// # Safety
    /// The version is available. `to` is writable for `scratch_lines(K)` lines.
    pub(super) unsafe fn pack_panel<T: Element>(self, b: Matrix<T>, to: *mut Line) {
        // SAFETY: promised by the caller.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Version::Avx512 => avx512_pack::pack_panel(b, to),
                #[cfg(target_arch = "x86_64")]
                Version::Avx2 => avx2::pack_panel(b, to),
                _ => portable::pack_panel(b, to),
            }
        }
    }

    /// `sums = x w` for few rows `x: [M, K]` and `w: [K, <= STRIPE]` whose rows are neighbours in memory: products are
    /// added row of `w` by row of `w`.
    ///
    /// # Safety
    /// The version is available; the column stride of `w` is 1. `x` is readable for K columns in whole lines. `sums` is
    /// writable for M rows of `STRIPE`; those of the columns of `w`, up to a multiple of 32, are written.
    pub(super) unsafe fn sum_rows<T: Element>(self, x: Rows, w: Matrix<T>, sums: *mut f32) {
        // SAFETY: promised by the caller.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Version::Avx512 => avx512_few::sum_rows(x, w, sums),
                #[cfg(target_arch = "x86_64")]
                Version::Avx2 => avx2::sum_rows(x, w, sums),
                _ => portable::sum_rows::<T, false>(x, w, sums),
            }
        }
    }

    /// `sums = x w^T` for few rows `x: [M, K]` and `w: [<= STRIPE, K]` whose rows are neighbours in memory: dot
    /// products.
    ///
    /// # Safety
    /// As [`sum_rows`](Self::sum_rows); the sums of the rows of `w` are written.
    pub(super) unsafe fn dots<T: Element>(self, x: Rows, w: Matrix<T>, sums: *mut f32) {
        // SAFETY: promised by the caller.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Version::Avx512 => avx512_few::dots(x, w, sums),
                #[cfg(target_arch = "x86_64")]
                Version::Avx2 => avx2::dots(x, w, sums),
                _ => portable::dots::<T, false>(x, w, sums),
            }
        }
    }

    /// Multiplies rows made by `round_rows` with `pairs` pairs of a panel.
    ///
    /// # Safety
    /// The version is available. `a` is readable for `tile.rows` rows of `pairs` pairs, `ROW_LINES` lines apart, `b`
    /// for `pairs` pairs of a panel. The tile is writable, and initialised if it adds.
    #[inline]
    pub(super) unsafe fn tile(self, a: *const Line, b: *const Line, pairs: usize, tile: Tile) {
        // SAFETY: promised by the caller.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Version::Avx512 => avx512::tile(a, b, pairs, tile),
                #[cfg(target_arch = "x86_64")]
                Version::Avx2 => avx2::tile(a, b, pairs, tile),
                _ => portable::tile(a, b, pairs, tile),
            }
        }
    }
}
