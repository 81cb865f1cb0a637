//! What the matrix operations share on the CPU backend: strided views of its tensors, and products written straight into
//! buffers that nobody zeroed before.
//!
//! The products are those of the `gemm` crate on all rayon threads. It splits the output over the threads, never the
//! inner dimension, so a result has the same bits for any number of threads.

use crate::pool;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, DType, DispatchDevice, ExtensionType, TensorMetadata};
use burn::tensor::{Device, Shape};
use burn_flex::{Flex, FlexTensor, Layout};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// An optional tensor argument of an operation.
#[derive(ExtensionType, Debug, Clone)]
pub(crate) enum Optional<B: Backend> {
    /// The tensor.
    Present(FloatTensor<B>),
    /// No tensor.
    Absent,
}

impl<B: Backend> Optional<B> {
    pub(crate) fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Self::Present(tensor) => Some(tensor),
            Self::Absent => None,
        }
    }
}

impl Optional<burn::backend::Dispatch> {
    pub(crate) fn of<const D: usize>(tensor: Option<burn::tensor::Tensor<D>>) -> Self {
        match tensor {
            Some(tensor) => Self::Present(tensor.into_dispatch()),
            None => Self::Absent,
        }
    }
}

/// Whether the fast path applies: every tensor is f32 and on the CPU backend.
pub(crate) fn applies(device: &Device, types: &[DType]) -> bool {
    let on_flex = match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => matches!(**device, DispatchDevice::Flex(_)),
        #[allow(unreachable_patterns)]
        _ => false,
    };
    on_flex && types.iter().all(|&dtype| dtype == DType::F32)
}

/// A tensor of a tracked graph and its parts.
pub(crate) type Tracked = FloatTensor<Autodiff<Flex>>;

/// A node that needs no gradient, in the place of an absent argument.
pub(crate) fn absent(like: &Tracked) -> Tracked {
    Tracked::new(like.primitive().clone())
}

/// A strided matrix that is read.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    /// Begins at element (0, 0).
    data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A dense row-major matrix.
    pub(crate) fn dense(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, [rows, cols], [cols, 1])
    }

    fn strided(
        data: &'a [f32],
        [rows, cols]: [usize; 2],
        [row_stride, col_stride]: [usize; 2],
    ) -> Self {
        // What the safety of `multiply` rests on.
        if rows > 0 && cols > 0 {
            assert!(
                (rows - 1) * row_stride + (cols - 1) * col_stride < data.len(),
                "matrix beyond its storage"
            );
        }
        Self { data, rows, cols, row_stride, col_stride }
    }

    /// The transpose, without moving anything.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Rows `start..start + count`.
    pub(crate) fn slice_rows(self, start: usize, count: usize) -> Self {
        assert!(start + count <= self.rows);
        let data = if count == 0 { &[] } else { &self.data[start * self.row_stride..] };
        Self { data, rows: count, ..self }
    }
}

/// A view of a tensor `[rows, cols]` made readable by [`readable`].
pub(crate) fn matrix(tensor: &FlexTensor) -> Matrix<'_> {
    let layout = tensor.layout();
    let shape: [usize; 2] = [layout.shape()[0], layout.shape()[1]];
    let strides = [layout.strides()[0], layout.strides()[1]].map(|stride| stride as usize);
    let storage = tensor.storage::<f32>();
    Matrix::strided(&storage[layout.start_offset().min(storage.len())..], shape, strides)
}

/// The tensor, copied only when it is stored backwards (a flip).
pub(crate) fn readable(tensor: FlexTensor) -> FlexTensor {
    match tensor.layout().has_positive_strides() {
        true => tensor,
        false => tensor.to_contiguous(),
    }
}

/// The elements of a vector, copied only when they do not lie side by side.
pub(crate) fn elements(tensor: &FlexTensor) -> std::borrow::Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(slice) => slice.into(),
        None => tensor.to_contiguous().as_slice::<f32>().expect("contiguous f32").to_vec().into(),
    }
}

/// A tensor around a buffer.
pub(crate) fn tensor<const D: usize>(data: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    assert_eq!(data.len(), shape.iter().product::<usize>());
    FlexTensor::new(pool::bytes(data), Layout::contiguous(Shape::from(shape)), DType::F32)
}

/// A buffer of `len` elements that `fill` writes completely.
///
/// # Safety
/// `fill` must initialise every element.
pub(crate) unsafe fn filled(len: usize, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut data = pool::with_capacity(len);
    fill(&mut data.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is at least `len`, and the caller promises that the elements are initialised.
    unsafe { data.set_len(len) };
    data
}

/// `scale a b`, row major.
pub(crate) fn product(scale: f32, a: Matrix, b: Matrix) -> Vec<f32> {
    // SAFETY: `write` initialises all of its output.
    unsafe { filled(a.rows * b.cols, |out| write(out, scale, a, b)) }
}

/// `out = scale a b`, row major.
pub(crate) fn write(out: &mut [MaybeUninit<f32>], scale: f32, a: Matrix, b: Matrix) {
    assert_eq!(out.len(), a.rows * b.cols, "output of a matrix product");
    // SAFETY: the length of `out` was just checked, and it is not read.
    unsafe { multiply(out.as_mut_ptr().cast(), false, scale, a, b) }
}

/// `out += scale a b`, row major.
pub(crate) fn accumulate(out: &mut [f32], scale: f32, a: Matrix, b: Matrix) {
    assert_eq!(out.len(), a.rows * b.cols, "output of a matrix product");
    // SAFETY: the length of `out` was just checked, and it is initialised.
    unsafe { multiply(out.as_mut_ptr(), true, scale, a, b) }
}

/// # Safety
/// `out` must be valid for writes of `a.rows * b.cols` elements, and initialised when `add`.
unsafe fn multiply(out: *mut f32, add: bool, scale: f32, a: Matrix, b: Matrix) {
    assert_eq!(a.cols, b.rows, "inner dimensions of a matrix product");
    // SAFETY: `Matrix::strided` checked that every element of `a` and `b` lies in its slice, and views only ever
    // shrink; the caller vouches for `out`, which, being a unique borrow, overlaps neither.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            out,
            1,
            b.cols as isize,
            add,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
}

/// Copies `row` into every row of `out`.
pub(crate) fn repeat_row(out: &mut [MaybeUninit<f32>], row: &[f32]) {
    if row.is_empty() {
        return;
    }
    out.par_chunks_mut(row.len() * ROWS).for_each(|rows| {
        for out in rows.chunks_mut(row.len()) {
            out.write_copy_of_slice(&row[..out.len()]);
        }
    });
}

/// Rows that one task handles.
const ROWS: usize = 64;

/// The sum of the rows of `m`, in an order that does not depend on the number of threads.
pub(crate) fn column_sums(m: Matrix) -> Vec<f32> {
    let blocks: Vec<Vec<f32>> = (0..m.rows.div_ceil(ROWS))
        .into_par_iter()
        .map(|block| {
            let start = block * ROWS;
            let rows = m.slice_rows(start, ROWS.min(m.rows - start));
            let mut sums = vec![0.0f32; m.cols];
            for row in 0..rows.rows {
                let row = &rows.data[row * rows.row_stride..];
                match rows.col_stride {
                    1 => sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x),
                    stride => {
                        sums.iter_mut().enumerate().for_each(|(i, sum)| *sum += row[i * stride])
                    }
                }
            }
            sums
        })
        .collect();
    let mut total = vec![0.0f32; m.cols];
    for block in blocks {
        total.iter_mut().zip(block).for_each(|(total, x)| *total += x);
    }
    total
}

/// Multiplies a tensor by a number, in place when nobody else holds it.
pub(crate) fn scaled(mut data: FlexTensor, factor: f32) -> FlexTensor {
    if factor == 1.0 {
        return data;
    }
    let values = data.storage_mut::<f32>();
    values.par_chunks_mut(1 << 16).for_each(|part| part.iter_mut().for_each(|x| *x *= factor));
    data
}

/// `[rows, cols]` of a tensor.
pub(crate) fn dims(tensor: &impl TensorMetadata) -> [usize; 2] {
    let shape = tensor.shape();
    [shape[0], shape[1]]
}
