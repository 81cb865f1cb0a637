//! The three small gradients of an adapter in one pass over memory: each block of rows of `dy` and of `x` is used while it
//! is near the core. By themselves the products read `dy` twice, and the columns of both in steps of whole rows.

use super::{LEAST, SMALL, wide};
use crate::flex;
use crate::matrix::Matrix;
use crate::parallel::{Shared, each};
use crate::tile_product;

/// Rows of a task; fixed, so that the order of sums does not depend on the number of threads.
const TASK_ROWS: usize = 128;
/// Rows that are used together.
const BLOCK: usize = 32;

/// What [`gradients`] gives.
pub(crate) struct AdapterGradients {
    /// `t = s dy B^T`, `[N, r]`.
    pub(crate) small: Vec<f32>,
    /// `dA = x^T t`, `[in, r]`.
    pub(crate) a: Vec<f32>,
    /// `dB = s (x A)^T dy`, `[r, out]`.
    pub(crate) b: Vec<f32>,
}

/// The gradients of `s (x A) B` for `A` and `B`, `inner` being `x A`; none if the shapes or this processor are not for it.
///
/// # Shapes
/// `dy [N, out]`, `x [N, in]`, `inner [N, r]`, `b [r, out]`.
pub(crate) fn gradients(
    scale: f32,
    dy: Matrix,
    x: Matrix,
    inner: Matrix,
    b: Matrix,
) -> Option<AdapterGradients> {
    let ([rows, outputs], [inputs, rank]) = ([dy.rows, dy.cols], [x.cols, b.rows]);
    assert!(x.rows == rows && inner.rows == rows, "rows of an adapter's operands");
    assert!(inner.cols == rank && b.cols == outputs, "rank and outputs of an adapter");
    let small = rows * rank * inputs.min(outputs);
    let contiguous = dy.strides()[1] == 1 && x.strides()[1] == 1;
    if !tile_product::is_fast() || rank > SMALL || small < LEAST || !contiguous {
        return None;
    }
    let copy: Vec<f32>;
    let columns = match b.strides() {
        [stride, 1] if stride == outputs => b.storage_of_row(0),
        _ => {
            copy = flex::transposed(b.t());
            &copy
        }
    };
    let tasks = rows.div_ceil(TASK_ROWS);
    let (mut a_parts, mut b_parts) = (Vec::new(), Vec::new());
    // SAFETY: the tasks cover all rows, and each writes its rows of `t` and its parts of both sums.
    let small = unsafe {
        flex::filled(rows * rank, |t| {
            a_parts = flex::filled(tasks * rank * inputs, |a| {
                b_parts = flex::filled(tasks * rank * outputs, |b| {
                    let [t, a, b] = [t, a, b].map(|to| Shared(to.as_mut_ptr().cast::<f32>()));
                    each(tasks, false, |task| {
                        let (first, a) = (task * TASK_ROWS, a.at(task * rank * inputs));
                        let b = b.at(task * rank * outputs);
                        for row in (first..rows.min(first + TASK_ROWS)).step_by(BLOCK) {
                            let count = BLOCK.min(rows - row);
                            let [x, dy_part, inner] =
                                [x, dy, inner].map(|m| m.slice_rows(row, count));
                            let t = t.at(row * rank);
                            wide::dots(t, scale, dy, row..row + count, columns, [rank, outputs]);
                            let t = std::slice::from_raw_parts(t, count * rank);
                            let t = Matrix::dense(t, count, rank);
                            let add = row > first;
                            let (to, shape) = ((b, outputs), [rank, outputs, count]);
                            let (left, right) = (inner.t().into(), dy_part.into());
                            tile_product::product(shape, to, add, left, right, scale);
                            let (to, shape) = ((a, inputs), [rank, inputs, count]);
                            let (left, right) = (t.t().into(), x.into());
                            tile_product::product(shape, to, add, left, right, 1.0);
                        }
                    });
                });
            });
        })
    };
    let a = flex::transposed(Matrix::dense(&sum(&a_parts, rank * inputs), rank, inputs));
    Some(AdapterGradients { small, a, b: sum(&b_parts, rank * outputs) })
}

/// The sum of parts of `size` numbers, in their order.
fn sum(parts: &[f32], size: usize) -> Vec<f32> {
    let (first, rest) = parts.split_at(size);
    let mut sum = first.to_vec();
    for part in rest.chunks_exact(size) {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, assert_same_bits, random};

    #[test]
    fn agree_with_the_products_by_themselves() {
        if !tile_product::is_fast() {
            return;
        }
        for [rows, inputs, outputs, rank] in
            [[300, 67, 130, 8], [128, 512, 96, 16], [97, 200, 300, 7]]
        {
            let data = [rows * outputs, rows * inputs, rows * rank, rank * outputs];
            let data: Vec<Vec<f32>> =
                data.iter().zip(1..).map(|(&count, seed)| random(count, 1.0, seed)).collect();
            let dy = Matrix::dense(&data[0], rows, outputs);
            let x = Matrix::dense(&data[1], rows, inputs);
            let inner = Matrix::dense(&data[2], rows, rank);
            let b = Matrix::dense(&data[3], rank, outputs);
            let found = gradients(0.5, dy, x, inner, b).unwrap();
            let small = flex::product(0.5, dy, b.t());
            assert_close(&found.small, &small, 1e-5);
            let a = flex::product(1.0, x.t(), Matrix::dense(&small, rows, rank));
            assert_close(&found.a, &a, 1e-5);
            assert_close(&found.b, &flex::product(0.5, inner.t(), dy), 1e-5);
            assert_same_bits(|| {
                let found = gradients(0.5, dy, x, inner, b).unwrap();
                (found.small, found.a, found.b)
            });
        }
    }

    #[test]
    fn few_numbers_are_left_to_the_general_products() {
        let data = [0.0; 64];
        let [dy, x] = [Matrix::dense(&data, 8, 8); 2];
        let (inner, b) = (Matrix::dense(&data, 8, 2), Matrix::dense(&data, 2, 8));
        assert!(gradients(1.0, dy, x, inner, b).is_none());
    }
}
