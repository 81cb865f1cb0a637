//! Products of tiles in f32: small, with operands near the core, thousands in an operation. A general routine would spend more
//! on packing them than on multiplying.
//!
//! With AVX-512 a tile of 12 x 32 sums stays in 24 registers: a step loads two vectors of the right operand's row and 12
//! numbers of the left one, for 24 multiply-adds. Nothing is packed, since the right operand comes as rows.
//! Elsewhere the crate `gemm` multiplies.
//!
//! The same tile multiplies pairs of bf16, which take the place of one f32: operands are then views of pairs that follow
//! each other along the inner dimension.

#[cfg(target_arch = "x86_64")]
mod wide;

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
    #[cfg(target_arch = "x86_64")]
    return wide::available();
    #[cfg(not(target_arch = "x86_64"))]
    false
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
        #[cfg(target_arch = "x86_64")]
        if right.2 == 1 && wide::available() {
            return wide::numbers::product(shape, to, add, left, right, factor);
        }
        general(shape, to, add, left, right, factor);
    }
}

/// Whether this processor has [`product_of_pairs`].
pub(crate) fn has_pairs() -> bool {
    #[cfg(target_arch = "x86_64")]
    return wide::pairs_available();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// [`product`] of pairs of bf16 that stand in the places of f32 numbers, summed in f32: `k` counts pairs. The rows of
/// `right` are contiguous.
///
/// # Safety
/// As [`product`]; this processor [has it](has_pairs).
pub(crate) unsafe fn product_of_pairs(
    shape: [usize; 3],
    to: (*mut f32, usize),
    add: bool,
    left: Operand,
    right: Operand,
    factor: f32,
) {
    debug_assert_eq!(right.2, 1);
    // SAFETY: promised by the caller.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        wide::pairs::product(shape, to, add, left, right, factor);
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (shape, to, add, left, right, factor);
        unreachable!("not available");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_general_product() {
        if !is_fast() {
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
