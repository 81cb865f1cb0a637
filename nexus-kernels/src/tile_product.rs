//! Products of tiles in f32: small, with operands near the core, thousands in an operation. A general routine would spend more
//! on packing them than on multiplying.
//!
//! With AVX-512 a tile of 12 x 32 sums stays in 24 registers: a step loads two vectors of the right operand's row and 12
//! numbers of the left one, for 24 multiply-adds. Nothing is packed, since the right operand comes as rows.
//! Elsewhere the crate `gemm` multiplies.

use crate::matrix::Matrix;

/// Rows of the tile.
pub(crate) const ROWS: usize = 12;

/// An operand of a product: its first element, the distance of rows and of columns.
#[derive(Clone, Copy)]
pub(crate) struct Operand(pub(crate) *const f32, pub(crate) isize, pub(crate) isize);

impl Operand {
    /// Rows `stride` apart.
    pub(crate) fn rows(pointer: *const f32, stride: usize) -> Self {
        Self(pointer, stride as isize, 1)
    }

    /// The transpose of rows `stride` apart.
    pub(crate) fn columns(pointer: *const f32, stride: usize) -> Self {
        Self(pointer, 1, stride as isize)
    }

    /// The part from row `row` and column `column` on.
    pub(crate) fn from(self, row: usize, column: usize) -> Self {
        let offset = row as isize * self.1 + column as isize * self.2;
        Self(self.0.wrapping_offset(offset), self.1, self.2)
    }
}

impl From<Matrix<'_>> for Operand {
    fn from(matrix: Matrix) -> Self {
        let [row, column] = matrix.strides();
        Self(matrix.as_ptr(), row as isize, column as isize)
    }
}

/// Whether this processor has the fast version.
pub(crate) fn is_fast() -> bool {
    wide::available()
}

/// `to [m, n] (+)= factor * left [m, k] right [k, n]`, the rows of `to` being `stride` apart.
///
/// # Safety
/// All elements of `left` and `right` can be read, those of `to` written, and nobody else writes any of them.
pub(crate) unsafe fn product(
    shape: [usize; 3],
    to: (*mut f32, usize),
    add: bool,
    left: Operand,
    right: Operand,
    factor: f32,
) {
    // SAFETY: promised by the caller; the instructions are there.
    unsafe {
        if right.2 == 1 && wide::available() {
            wide::product(shape, to, add, left, right, factor);
        } else {
            general(shape, to, add, left, right, factor);
        }
    }
}

/// # Safety
/// As [`product`].
unsafe fn general(
    [m, n, k]: [usize; 3],
    (to, stride): (*mut f32, usize),
    add: bool,
    left: Operand,
    right: Operand,
    factor: f32,
) {
    let none = gemm::Parallelism::None;
    let (to_row, one) = (stride as isize, 1.0);
    let (no, [a, b]) = (false, [left, right]);
    // SAFETY: the caller's promise is what `gemm` asks for.
    unsafe {
        gemm::gemm(
            m, n, k, to, 1, to_row, add, a.0, a.2, a.1, b.0, b.2, b.1, one, factor, no, no, no,
            none,
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod wide {
    use super::Operand;

    pub(super) fn available() -> bool {
        false
    }

    pub(super) unsafe fn product(
        _: [usize; 3],
        _: (*mut f32, usize),
        _: bool,
        _: Operand,
        _: Operand,
        _: f32,
    ) {
        unreachable!("not available")
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{Operand, ROWS};
    use std::arch::x86_64::*;

    /// Floats of a vector.
    const LANES: usize = 16;

    pub(super) fn available() -> bool {
        std::arch::is_x86_feature_detected!("avx512f")
    }

    /// # Safety
    /// As [`product`](super::product); the rows of `right` are contiguous.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn product(
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
    #[target_feature(enable = "avx512f")]
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
    #[target_feature(enable = "avx512f")]
    unsafe fn sums<const R: usize, const V: usize>(tile: Tile) {
        let Tile { left, right, depth, to, stride, mask, add, factor } = tile;
        let mut sums = [[_mm512_setzero_ps(); V]; R];
        let masks: [__mmask16; V] = std::array::from_fn(|v| if v + 1 < V { !0 } else { mask });
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
                    *sum = _mm512_fmadd_ps(x, row, *sum);
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

    #[cfg(test)]
    mod tests {
        use super::super::general;
        use super::*;

        #[test]
        fn agrees_with_the_general_product() {
            if !available() {
                return;
            }
            let number = |i: usize| (i as f32 * 0.37).sin();
            let data: Vec<f32> = (0..80 * 80).map(number).collect();
            for (m, n, k) in [(1, 16, 64), (13, 32, 5), (12, 40, 33), (25, 8, 48), (7, 80, 0)] {
                for (transposed, add) in [(false, false), (true, true), (false, true)] {
                    let left = match transposed {
                        true => Operand::columns(data.as_ptr(), 80),
                        false => Operand::rows(data.as_ptr(), 80),
                    };
                    let right = Operand::rows(data[7..].as_ptr(), 79);
                    let run = |f: unsafe fn(_, _, _, _, _, _)| {
                        let mut to = vec![1.5f32; 80 * 80];
                        // SAFETY: at most 80 rows and columns of each.
                        unsafe { f([m, n, k], (to.as_mut_ptr(), 80), add, left, right, 0.5) };
                        to
                    };
                    // SAFETY: the instructions are there.
                    let found = run(|a, b, c, d, e, f| unsafe { product(a, b, c, d, e, f) });
                    // The general product may leave the output of an empty sum alone.
                    let expected = match k {
                        0 => {
                            let mut to = vec![1.5f32; 80 * 80];
                            for row in to.chunks_mut(80).take(m) {
                                row[..n].fill(if add { 1.5 } else { 0.0 });
                            }
                            to
                        }
                        _ => run(general),
                    };
                    for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
                        assert!((a - b).abs() < 1e-5, "{m} {n} {k} {transposed} {add} at {i}");
                    }
                }
            }
        }
    }
}
