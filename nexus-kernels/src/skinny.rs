//! f32 products of which one dimension is small: those of an adapter, `[N, K] [K, r]` and `[r, N] [N, K]` with r <= 16.
//!
//! The large operand is read once, along its rows, and split over the threads by rows or by columns of the output, never
//! by the inner dimension. The crate `gemm` reaches half of what it does on square shapes here: it packs an operand that
//! is used once.
//!
//! Floor of `x A`, 2048 x 512 x 8: 4 MiB read, 0.2 ms at the 20 GB/s of two virtual cores of an EPYC (Zen 4). Measured there
//! with `x` in the third-level cache: 0.17 ms (the plain ops: 0.20), with both gradients 0.45 ms (0.91).
//!
//! With AVX-512; elsewhere `gemm` multiplies.

mod adapter;

pub(crate) use adapter::gradients as adapter_gradients;

use crate::flex;
use crate::matrix::Matrix;
use crate::parallel::{Shared, each};
use crate::tile_product;

/// The largest small dimension.
const SMALL: usize = 16;
/// Rows of one task of a product by rows.
const TASK_ROWS: usize = 96;
/// Columns of one task of a product by columns.
const TASK_COLS: usize = 256;
/// Rows of the large operand that pass at once, so that it stays near the core while its columns do.
const BLOCK: usize = 64;
/// Multiply-adds below which `gemm` is as good.
pub(crate) const LEAST: usize = 1 << 17;

/// `out = scale a b`, row major, if the shapes are of this kind and this processor has a fast version.
///
/// # Safety
/// `out` is valid for writes of as many elements as `a b` has, and overlaps neither operand. All are written, unless this
/// gives false: then none is.
pub(crate) unsafe fn multiply(out: *mut f32, scale: f32, a: Matrix, b: Matrix) -> bool {
    let [m, k, n] = [a.rows, a.cols, b.cols];
    if !tile_product::is_fast() || m * k * n == 0 {
        return false;
    }
    let serial = m * k * n < LEAST;
    // SAFETY: the caller vouches for the output, the matrices for their elements.
    unsafe {
        if n <= SMALL && m > SMALL && a.strides()[1] == 1 {
            by_rows(out, scale, a, b, serial);
        } else if m <= SMALL && b.strides()[1] == 1 {
            by_columns(out, scale, a, b, serial);
        } else if n <= SMALL && a.strides()[0] == 1 {
            // The transpose: `b^T a^T`, whose right operand lies row by row.
            let mut turned = vec![0.0f32; m * n];
            by_columns(turned.as_mut_ptr(), scale, b.t(), a.t(), serial);
            for row in 0..m {
                for col in 0..n {
                    out.add(row * n + col).write(turned[col * m + row]);
                }
            }
        } else {
            return false;
        }
    }
    true
}

/// Inner products of the rows of `a` with the few columns of `b`.
///
/// # Safety
/// As [`multiply`]; the rows of `a` are contiguous.
unsafe fn by_rows(out: *mut f32, scale: f32, a: Matrix, b: Matrix, serial: bool) {
    let copy: Vec<f32>;
    let (columns, stride) = match b.strides() {
        [1, stride] => (b.as_ptr(), stride),
        _ => {
            copy = flex::transposed(b);
            (copy.as_ptr(), b.rows)
        }
    };
    // SAFETY: an address of `b` or of its copy, which live as long as this function.
    let columns = unsafe { std::slice::from_raw_parts(columns, (b.cols - 1) * stride + b.rows) };
    let (out, n) = (Shared(out), b.cols);
    each(a.rows.div_ceil(TASK_ROWS), serial, |task| {
        let rows = task * TASK_ROWS..a.rows.min((task + 1) * TASK_ROWS);
        // SAFETY: rows of `a`, and of the output, that no other task has.
        unsafe { wide::dots(out.at(rows.start * n), scale, a, rows, columns, [n, stride]) };
    });
}

/// `a b` with few rows in `a`.
///
/// # Safety
/// As [`multiply`]; the rows of `b` are contiguous.
unsafe fn by_columns(out: *mut f32, scale: f32, a: Matrix, b: Matrix, serial: bool) {
    let (out, n) = (Shared(out), b.cols);
    each(n.div_ceil(TASK_COLS), serial, |task| {
        let (col, cols) = (task * TASK_COLS, TASK_COLS.min(n - task * TASK_COLS));
        for k in (0..b.rows).step_by(BLOCK) {
            let depth = BLOCK.min(b.rows - k);
            let left = a.part([0, k], [a.rows, depth]);
            let right = b.part([k, col], [depth, cols]);
            let shape = [a.rows, cols, depth];
            // SAFETY: parts of both operands, and columns of the output that no other task has.
            unsafe {
                let to = (out.at(col), n);
                tile_product::product(shape, to, k > 0, left.into(), right.into(), scale);
            }
        }
    });
}

#[cfg(not(target_arch = "x86_64"))]
mod wide {
    use crate::matrix::Matrix;
    use std::ops::Range;

    pub(super) unsafe fn dots(
        _: *mut f32,
        _: f32,
        _: Matrix,
        _: Range<usize>,
        _: &[f32],
        _: [usize; 2],
    ) {
        unreachable!("not available")
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use crate::matrix::Matrix;
    use std::arch::x86_64::*;
    use std::ops::Range;

    const LANES: usize = 16;
    /// Rows that are multiplied at once with up to [`OUTPUTS`] columns: 24 registers of sums.
    const ROWS: usize = 3;
    const OUTPUTS: usize = 8;

    /// `out[i, j] = scale a[rows.start + i] . columns[j]`, the columns being `stride` apart.
    ///
    /// # Safety
    /// AVX-512 is there; `out` is writable for `rows.len() * n`; the rows of `a` are contiguous.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn dots(
        out: *mut f32,
        scale: f32,
        a: Matrix,
        rows: Range<usize>,
        columns: &[f32],
        [n, stride]: [usize; 2],
    ) {
        for row in rows.clone().step_by(ROWS) {
            let x = a.part([row, 0], [ROWS.min(rows.end - row), a.cols]);
            for first in (0..n).step_by(OUTPUTS) {
                // SAFETY: rows and columns that are there, and their part of the output.
                unsafe {
                    let to = out.add((row - rows.start) * n + first);
                    let w = &columns[first * stride..];
                    let count = OUTPUTS.min(n - first);
                    match x.rows {
                        1 => outputs::<1>(count, (to, n), scale, x, (w, stride)),
                        2 => outputs::<2>(count, (to, n), scale, x, (w, stride)),
                        _ => outputs::<ROWS>(count, (to, n), scale, x, (w, stride)),
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`dots`], for `R` rows.
    #[target_feature(enable = "avx512f")]
    unsafe fn outputs<const R: usize>(
        count: usize,
        to: (*mut f32, usize),
        scale: f32,
        x: Matrix,
        w: (&[f32], usize),
    ) {
        // SAFETY: promised by the caller, for this number of columns.
        unsafe {
            match count {
                1 => sums::<R, 1>(to, scale, x, w),
                2 => sums::<R, 2>(to, scale, x, w),
                3 => sums::<R, 3>(to, scale, x, w),
                4 => sums::<R, 4>(to, scale, x, w),
                5 => sums::<R, 5>(to, scale, x, w),
                6 => sums::<R, 6>(to, scale, x, w),
                7 => sums::<R, 7>(to, scale, x, w),
                _ => sums::<R, OUTPUTS>(to, scale, x, w),
            }
        }
    }

    /// # Safety
    /// As [`dots`], for `R` rows and `N` columns.
    #[target_feature(enable = "avx512f")]
    unsafe fn sums<const R: usize, const N: usize>(
        (to, row): (*mut f32, usize),
        scale: f32,
        x: Matrix,
        (w, stride): (&[f32], usize),
    ) {
        let k = x.cols;
        assert!(w.len() >= (N - 1) * stride + k && x.rows >= R, "columns of a skinny product");
        let (a, distance) = (x.as_ptr(), x.strides()[0]);
        let mut sums = [[_mm512_setzero_ps(); R]; N];
        for at in (0..k).step_by(LANES) {
            let mask: __mmask16 = if k - at < LANES { (1 << (k - at)) - 1 } else { !0 };
            // SAFETY: the mask holds what is there of each row and column.
            unsafe {
                let x: [__m512; R] =
                    std::array::from_fn(|r| _mm512_maskz_loadu_ps(mask, a.add(r * distance + at)));
                for (j, sums) in sums.iter_mut().enumerate() {
                    let w = _mm512_maskz_loadu_ps(mask, w.as_ptr().add(j * stride + at));
                    for (sum, &x) in sums.iter_mut().zip(&x) {
                        *sum = _mm512_fmadd_ps(x, w, *sum);
                    }
                }
            }
        }
        for (j, sums) in sums.iter().enumerate() {
            for (r, &sum) in sums.iter().enumerate() {
                // SAFETY: promised by the caller.
                unsafe { to.add(r * row + j).write(scale * _mm512_reduce_add_ps(sum)) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 31 + seed * 17) as f32 * 0.37).sin()).collect()
    }

    #[test]
    fn every_kind_agrees_with_sums() {
        if !tile_product::is_fast() {
            return;
        }
        for [m, k, n] in
            [[100, 37, 8], [98, 512, 16], [17, 16, 3], [8, 130, 300], [1, 5, 7], [300, 65, 11]]
        {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let left = [[k, 1], [1, m]];
            let right = [[n, 1], [1, k]];
            for (a_strides, b_strides) in left.iter().flat_map(|&l| right.map(move |r| (l, r))) {
                let a = Matrix::strided(&a, [m, k], a_strides);
                let b = Matrix::strided(&b, [k, n], b_strides);
                let mut out = vec![f32::NAN; m * n];
                // SAFETY: the output has the size of the product.
                if !unsafe { multiply(out.as_mut_ptr(), 0.5, a, b) } {
                    assert!(out.iter().all(|x| x.is_nan()));
                    continue;
                }
                for (i, &found) in out.iter().enumerate() {
                    let (row, col) = (i / n, i % n);
                    let sum: f64 =
                        (0..k).map(|j| f64::from(a.get(row, j)) * f64::from(b.get(j, col))).sum();
                    // K additions of terms below 1.
                    let allowed = 1e-7 * k as f64;
                    assert!((f64::from(found) - 0.5 * sum).abs() <= allowed, "{m} {k} {n} at {i}");
                }
            }
        }
    }
}
