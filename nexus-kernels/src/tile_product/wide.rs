//! The tile for AVX-512, for two kinds of numbers.

use super::{Operand, ROWS};
use std::arch::x86_64::*;

/// Places of a vector: f32 numbers or pairs of bf16.
const LANES: usize = 16;

/// Whether this processor multiplies f32 this way.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// Whether this processor multiplies pairs of bf16 this way, and rounds to them.
pub(super) fn pairs_available() -> bool {
    available()
        && is_x86_feature_detected!("avx512bf16")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
}

/// `sum + x y`.
#[inline]
#[target_feature(enable = "avx512f")]
fn multiply_add(sum: __m512, x: __m512, y: __m512) -> __m512 {
    _mm512_fmadd_ps(x, y, sum)
}

/// `sum` plus the two products of each pair.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn multiply_add_pairs(sum: __m512, x: __m512, y: __m512) -> __m512 {
    // SAFETY: both types are 512 bits, and every pattern of bits is valid in both.
    let [x, y] = [x, y].map(|x| unsafe { std::mem::transmute::<__m512, __m512bh>(x) });
    _mm512_dpbf16_ps(sum, x, y)
}

/// A module with the product whose step is `$step`.
macro_rules! products {
    ($name:ident, $features:literal, $step:path) => {
        pub(super) mod $name {
            use super::*;

            /// # Safety
            /// As [`product`](crate::tile_product::product); the rows of `right` are contiguous.
            #[target_feature(enable = $features)]
            pub(crate) unsafe fn product(
                [m, n, k]: [usize; 3],
                (to, stride): (*mut f32, usize),
                add: bool,
                left: Operand,
                right: Operand,
                factor: f32,
            ) {
                for col in (0..n).step_by(2 * LANES) {
                    let cols = (n - col).min(2 * LANES);
                    let mask = !0 >> ((2 * LANES - cols) % LANES);
                    for row in (0..m).step_by(ROWS) {
                        let tile = Tile {
                            left: left.from(row, 0),
                            right: right.from(0, col),
                            depth: k,
                            // SAFETY: the tile begins within the output.
                            to: unsafe { to.add(row * stride + col) },
                            stride,
                            mask,
                            add,
                            factor,
                        };
                        // SAFETY: these rows and columns of the operands and of the output are there.
                        unsafe {
                            if cols > LANES {
                                rows::<2>(m - row, tile);
                            } else {
                                rows::<1>(m - row, tile);
                            }
                        }
                    }
                }
            }

            /// Up to 12 rows and `V` vectors of columns.
            #[derive(Clone, Copy)]
            struct Tile {
                left: Operand,
                right: Operand,
                depth: usize,
                to: *mut f32,
                stride: usize,
                /// The columns of the last vector.
                mask: __mmask16,
                add: bool,
                factor: f32,
            }

            /// # Safety
            /// The operands and the output of the tile are there.
            #[target_feature(enable = $features)]
            unsafe fn rows<const V: usize>(count: usize, tile: Tile) {
                // SAFETY: promised by the caller, for this number of rows.
                unsafe {
                    match count {
                        1 => sums::<1, V>(tile),
                        2 => sums::<2, V>(tile),
                        3 => sums::<3, V>(tile),
                        4 => sums::<4, V>(tile),
                        5 => sums::<5, V>(tile),
                        6 => sums::<6, V>(tile),
                        7 => sums::<7, V>(tile),
                        8 => sums::<8, V>(tile),
                        9 => sums::<9, V>(tile),
                        10 => sums::<10, V>(tile),
                        11 => sums::<11, V>(tile),
                        _ => sums::<ROWS, V>(tile),
                    }
                }
            }

            /// # Safety
            /// As [`rows`], for `R` of them.
            #[target_feature(enable = $features)]
            unsafe fn sums<const R: usize, const V: usize>(tile: Tile) {
                let Tile { left, right, depth, to, stride, mask, add, factor } = tile;
                let mut sums = [[_mm512_setzero_ps(); V]; R];
                let masks: [__mmask16; V] =
                    std::array::from_fn(|v| if v + 1 < V { !0 } else { mask });
                let (mut a, mut b) = (left.0, right.0);
                for _ in 0..depth {
                    let mut row = [_mm512_setzero_ps(); V];
                    for (v, row) in row.iter_mut().enumerate() {
                        // SAFETY: the mask holds the columns that are there.
                        *row = unsafe { _mm512_maskz_loadu_ps(masks[v], b.add(v * LANES)) };
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: row `r < R` of the left operand.
                        let x = _mm512_set1_ps(unsafe { *a.offset(r as isize * left.1) });
                        for (sum, &row) in sums.iter_mut().zip(&row) {
                            *sum = $step(*sum, x, row);
                        }
                    }
                    a = a.wrapping_offset(left.2);
                    b = b.wrapping_offset(right.1);
                }
                let factor = _mm512_set1_ps(factor);
                for (r, sums) in sums.iter().enumerate() {
                    for (v, &sum) in sums.iter().enumerate() {
                        // SAFETY: these elements of the output are there, and initialised if they are added to.
                        unsafe {
                            let to = to.add(r * stride + v * LANES);
                            let new = match add {
                                true => {
                                    let old = _mm512_maskz_loadu_ps(masks[v], to);
                                    _mm512_fmadd_ps(sum, factor, old)
                                }
                                false => _mm512_mul_ps(sum, factor),
                            };
                            _mm512_mask_storeu_ps(to, masks[v], new);
                        }
                    }
                }
            }
        }
    };
}

products!(numbers, "avx512f", multiply_add);
products!(pairs, "avx512f,avx512bf16", multiply_add_pairs);
