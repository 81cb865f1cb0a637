//! What the matrix operations share on the CPU backend: strided views of its tensors, and products written straight into
//! buffers that nobody zeroed before.
//!
//! The f32 products are those of the `gemm` crate on all rayon threads ([`skinny`](crate::skinny) ones excepted), the
//! others those of [`bf16`](crate::bf16). All
//! split the output over the threads, never the inner dimension, so a result has the same bits for any number of threads.

use crate::Precision;
pub(crate) use crate::bf16::Beside;
pub(crate) use crate::matrix::Matrix;
use crate::pool;
use crate::skinny;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, DType, DispatchDevice, ExtensionType, TensorMetadata};
use burn::tensor::{Device, Shape, Tensor, bf16};
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
    pub(crate) fn of<const D: usize>(tensor: Option<Tensor<D>>) -> Self {
        match tensor {
            Some(tensor) => Self::Present(tensor.into_dispatch()),
            None => Self::Absent,
        }
    }
}

/// Whether the fast path takes this weight, of a backend that it [`applies`] to: f32, or bf16 and frozen (its gradient
/// would have to be bf16 as well).
pub(crate) fn takes(weight: &Tensor<2>) -> bool {
    match weight.dtype() {
        DType::F32 => true,
        DType::BF16 => !weight.is_tracked(),
        _ => false,
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

/// A view of an f32 tensor `[rows, cols]` made readable by [`readable`].
pub(crate) fn matrix(tensor: &FlexTensor) -> Matrix<'_> {
    view(tensor, tensor.storage())
}

fn view<'a, T: Copy>(tensor: &FlexTensor, storage: &'a [T]) -> Matrix<'a, T> {
    let layout = tensor.layout();
    let strides = [layout.strides()[0], layout.strides()[1]].map(|stride| stride as usize);
    Matrix::strided(&storage[layout.start_offset().min(storage.len())..], dims(tensor), strides)
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

/// The right operand of a product, and the precision of the product.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a> {
    /// In f32.
    F32(Matrix<'a>),
    /// Both operands are rounded to bf16.
    Rounded(Matrix<'a>),
    /// The left operand is rounded to bf16.
    Bf16(Matrix<'a, bf16>),
}

impl<'a> From<Matrix<'a>> for Right<'a> {
    fn from(matrix: Matrix<'a>) -> Self {
        Self::F32(matrix)
    }
}

impl<'a> Right<'a> {
    /// A product with `matrix` in this precision.
    pub(crate) fn new(matrix: Matrix<'a>, precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32(matrix),
            Precision::Bf16 => Self::Rounded(matrix),
        }
    }

    /// A weight made [`readable`]: products with one in bf16 are in bf16, the others in this precision.
    pub(crate) fn of(weight: &'a FlexTensor, precision: Precision) -> Self {
        match weight.dtype() {
            DType::BF16 => Self::Bf16(view(weight, weight.storage())),
            _ => Self::new(matrix(weight), precision),
        }
    }

    /// The transpose, without moving anything.
    pub(crate) fn t(self) -> Self {
        match self {
            Self::F32(matrix) => Self::F32(matrix.t()),
            Self::Rounded(matrix) => Self::Rounded(matrix.t()),
            Self::Bf16(matrix) => Self::Bf16(matrix.t()),
        }
    }

    /// `[K, N]`.
    pub(crate) fn dims(&self) -> [usize; 2] {
        match self {
            Self::F32(matrix) | Self::Rounded(matrix) => [matrix.rows, matrix.cols],
            Self::Bf16(matrix) => [matrix.rows, matrix.cols],
        }
    }
}

/// `scale a b`, row major.
pub(crate) fn product<'a>(scale: f32, a: Matrix, b: impl Into<Right<'a>>) -> Vec<f32> {
    let b = b.into();
    // SAFETY: `write` initialises all of its output.
    unsafe { filled(a.rows * b.dims()[1], |out| write(out, scale, a, b)) }
}

/// `a b`, plus `bias` in every row, plus another product in f32, row major.
pub(crate) fn product_and(
    a: Matrix,
    b: Right,
    bias: Option<FlexTensor>,
    beside: Option<Beside>,
) -> Vec<f32> {
    let cols = b.dims()[1];
    let fill = |y: &mut [MaybeUninit<f32>]| {
        let add = bias.is_some();
        if let Some(bias) = &bias {
            let bias = elements(bias);
            assert_eq!(bias.len(), cols, "length of the bias");
            repeat_row(y, &bias);
        }
        // SAFETY: `y` has the size of the product, and every row was written if it is added to.
        unsafe { multiply(y.as_mut_ptr().cast(), add, 1.0, a, b, beside) }
    };
    // SAFETY: `multiply` writes all of its output.
    unsafe { filled(a.rows * cols, fill) }
}

/// `out = scale a b`, row major.
pub(crate) fn write<'a>(
    out: &mut [MaybeUninit<f32>],
    scale: f32,
    a: Matrix,
    b: impl Into<Right<'a>>,
) {
    let b = b.into();
    assert_eq!(out.len(), a.rows * b.dims()[1], "output of a matrix product");
    // SAFETY: the length of `out` was just checked, and it is not read.
    unsafe { multiply(out.as_mut_ptr().cast(), false, scale, a, b, None) }
}

/// `out += scale a b`, row major.
pub(crate) fn accumulate<'a>(out: &mut [f32], scale: f32, a: Matrix, b: impl Into<Right<'a>>) {
    let b = b.into();
    assert_eq!(out.len(), a.rows * b.dims()[1], "output of a matrix product");
    // SAFETY: the length of `out` was just checked, and it is initialised.
    unsafe { multiply(out.as_mut_ptr(), true, scale, a, b, None) }
}

/// # Safety
/// `out` must be valid for writes of as many elements as `a b` has, overlap neither operand, and be initialised when
/// `add`.
unsafe fn multiply(
    out: *mut f32,
    add: bool,
    scale: f32,
    a: Matrix,
    b: Right,
    beside: Option<Beside>,
) {
    // SAFETY: promised by the caller.
    unsafe {
        match b {
            Right::F32(b) => multiply_f32(out, add, scale, a, b, beside),
            Right::Rounded(b) => crate::bf16::multiply(out, add, scale, a, b, beside),
            Right::Bf16(b) => crate::bf16::multiply(out, add, scale, a, b, beside),
        }
    }
}

/// # Safety
/// As [`multiply`].
unsafe fn multiply_f32(
    out: *mut f32,
    add: bool,
    scale: f32,
    a: Matrix,
    b: Matrix,
    beside: Option<Beside>,
) {
    if let Some(beside) = beside {
        let [left, right] = beside.operands();
        // SAFETY: as here; the first product writes all of the output.
        unsafe {
            multiply_f32(out, add, scale, a, b, None);
            return multiply_f32(out, true, 1.0, left, right, None);
        }
    }
    assert_eq!(a.cols, b.rows, "inner dimensions of a matrix product");
    // SAFETY: `Matrix::strided` checked that every element of `a` and `b` lies in its slice, and views only ever
    // shrink; the caller vouches for `out`.
    unsafe {
        let work = a.rows * a.cols * b.cols;
        if !add && work >= skinny::LEAST && skinny::multiply(out, scale, a, b) {
            return;
        }
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            out,
            1,
            b.cols as isize,
            add,
            a.as_ptr(),
            a.strides()[1] as isize,
            a.strides()[0] as isize,
            b.as_ptr(),
            b.strides()[1] as isize,
            b.strides()[0] as isize,
            1.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
}

/// The elements of the transpose, row major: for small matrices.
pub(crate) fn transposed(m: Matrix) -> Vec<f32> {
    (0..m.cols).flat_map(|col| (0..m.rows).map(move |row| m.get(row, col))).collect()
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
                let row = rows.storage_of_row(row);
                match rows.strides()[1] {
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
