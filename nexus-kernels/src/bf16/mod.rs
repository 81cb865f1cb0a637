//! Matrix products in bf16 with sums in f32, on the processor's own bf16 instruction where it has one.
//!
//! ```text
//! y = alpha r(x) r(w)      y[m, n] = alpha sum_k r(x[m, k]) r(w[k, n])      r: round to the nearest bf16, ties to even
//! ```
//!
//! A product of two bf16 numbers is exact in f32, within its range. `vdpbf16ps` adds two of them to a sum:
//! `sum[i] += a[2i] b[2i] + a[2i+1] b[2i+1]` in 16 lanes. So pairs along K lie next to each other, in both operands.
//! It takes subnormal operands and results as zero, whatever the thread's mode says, and so does the conversion of f32.
//! Its rounding is the processor's affair: on Zen 4 it is that of two fused multiply-adds, the second of the pair first.
//! Hence the versions (AVX-512, AVX2 with FMA, any) agree to the error of an f32 sum over K, not in their bits. Within a
//! version, bits depend on K alone, and up to [`FEW`] rows on the layout of `w`: the threads split the output, never K,
//! and each element's sum runs through the same instructions wherever it lies.
//!
//! The right operand is bf16 or f32, row-major or its transpose, and nothing packed is kept: a weight takes two bytes a
//! value.
//!
//! # Blocking
//! - Tile: 12 x 32 sums in 24 of the 32 registers. A step along K loads two vectors of `w` and 12 pairs of `x` for 24
//!   `vdpbf16ps`; a smaller tile has more loads to each.
//! - Up to 2048 x 1024 of `w` are packed at once, in vector registers: as long as 5 to 15 rows of the product take.
//! - K goes in blocks of 512: 32 columns of `w` are then 32 KiB, and stay near the core while 96 rows of `x` (8 tiles)
//!   pass; these are 96 KiB, rounded just before, in the second-level cache.
//! - A task is 96 rows by up to 2048 columns (2 MiB of `w` per block of K, for the third-level cache). With few rows, it
//!   is fewer columns, so that every thread has some.
//! - Up to [`FEW`] rows, nothing is packed: the time is that of reading `w`.
//!
//! # Speed
//! The floor is `2 M K N / ceiling`, and the ceiling `vdpbf16ps` on registers alone: 235 GFLOP/s on a Zen 4 core. Time
//! over the floor there, one thread by its own clock, beside a compiler on both cores (median of 3 runs, f32 operands
//! rounded on the fly); M = 2048:
//!
//! ```text
//!    K -> N       x w   x^T dy
//!  512 ->  512   1.21     1.32
//!  512 -> 1376   1.20     1.40
//! 1376 ->  512   1.21     1.23
//!  768 -> 3072   1.25     1.33
//! 3072 ->  768   1.22     1.16
//! ```
//!
//! The tile alone takes 1.02 to 1.05 times its floor (M = 256, K = 512, all in the caches). What is left
//! grows with the operands and the output, which for 2048 rows lie beyond the second-level cache, and with rounding `x^T`,
//! which is read along its columns. AVX2 with FMA reaches 75 to 88 GFLOP/s a core.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_few;
#[cfg(target_arch = "x86_64")]
mod avx512_pack;
mod element;
mod few;
mod portable;
mod product;
#[cfg(test)]
mod tests;
mod version;

pub(crate) use element::Element;

use crate::matrix::Matrix;
pub(crate) use product::Beside;
use version::Version;

/// Rows of the tile of the output that stays in registers.
const TILE_ROWS: usize = 12;
/// Columns of the tile.
const TILE_COLS: usize = 32;
/// Pairs of bf16 in a cache line.
const PAIRS_OF_LINE: usize = 16;
/// Rows of the left operand that are rounded at once; a multiple of [`TILE_ROWS`].
const BLOCK_ROWS: usize = 96;
/// Inner dimension of a block; even.
const BLOCK_K: usize = 512;
/// Lines of a row of a block of the left operand. The last one is for a product [`Beside`] this one; without it the rows
/// would lie 1 KiB apart and share few sets of the first-level cache.
const ROW_LINES: usize = BLOCK_K / (2 * PAIRS_OF_LINE) + 1;
/// Rows of the left operand up to which the right one is used where it lies.
const FEW: usize = 16;
/// Columns of the output that are computed at once for few rows.
const STRIPE: usize = 512;

/// `out = alpha a b`, or `out += alpha a b` with `add`, both rounded to bf16 and summed in f32; `alpha` times `beside`
/// is added, in the same precision.
///
/// # Shapes
/// `a: [M, K]`, `b: [K, N]`, `out: [M, N]`, row-major.
///
/// # Panics
/// If the inner dimensions differ, or the shape of `beside`.
///
/// # Safety
/// `out` is valid for M N elements, overlaps neither operand, and is initialised if it is added to. All elements are
/// written.
pub(crate) unsafe fn multiply<T: Element>(
    out: *mut f32,
    add: bool,
    alpha: f32,
    a: Matrix,
    b: Matrix<T>,
    beside: Option<Beside>,
) {
    // SAFETY: promised by the caller.
    unsafe { product::multiply(Version::best(), out, add, alpha, a, b, beside) }
}
