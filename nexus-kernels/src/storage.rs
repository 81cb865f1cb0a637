//! Memory of flex tensors: where an op reads, and where it writes without a new buffer.
//!
//! Fresh memory costs a page fault per 4 KiB, several times the cost of writing memory that the process already has, so
//! an op writes into a buffer that nobody else holds where it can.

use crate::pool;
use burn::backend::DispatchDevice;
use burn::tensor::{DType, Shape, Tensor};
use burn_flex::{FlexTensor, Layout};

/// Whether `tensor` is `f32` on the flex backend, as the fast paths need.
pub(crate) fn on_flex<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32
        && matches!(tensor.device().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

/// `tensor` as a dense row-major buffer from its first element to its last; shared no more than before.
pub(crate) fn dense(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

/// Number of rows and their length, of a tensor `[.., D]`.
pub(crate) fn rows(tensor: &FlexTensor) -> (usize, usize) {
    let shape = tensor.layout().shape();
    let size = shape[shape.num_dims() - 1];
    (shape.num_elements() / size.max(1), size)
}

/// First element of a [`dense`] tensor.
pub(crate) fn pointer(tensor: &FlexTensor) -> *const f32 {
    tensor.storage::<f32>().as_ptr()
}

/// A tensor of `shape` with these values.
pub(crate) fn from_vec(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    let layout = Layout::contiguous(shape.into());
    FlexTensor::new(pool::bytes(values), layout, DType::F32)
}

/// Memory that an op writes in full.
#[derive(Debug)]
pub(crate) struct Target {
    /// Where the op writes.
    pub(crate) write: *mut f32,
    /// New memory and its length, where the buffer of the tensor is shared.
    fresh: Option<(Vec<f32>, usize)>,
}

impl Target {
    /// New memory for `n` elements.
    pub(crate) fn new(n: usize) -> Self {
        let mut values = pool::with_capacity(n);
        Self { write: values.as_mut_ptr(), fresh: Some((values, n)) }
    }

    /// The buffer of `tensor` (which is [`dense`]) if nobody else holds it, else new memory of its size; and where
    /// `tensor` is to be read. The tensor is not to be touched before [`finish_over`](Self::finish_over).
    pub(crate) fn over(tensor: &mut FlexTensor) -> (*const f32, Self) {
        if let Some(own) = tensor.try_storage_mut::<f32>() {
            let write = own.as_mut_ptr();
            return (write, Self { write, fresh: None });
        }
        let values = tensor.storage::<f32>();
        (values.as_ptr(), Self::new(values.len()))
    }

    /// The written tensor; `tensor` is the one whose buffer this is [`over`](Self::over).
    ///
    /// # Safety
    /// Every element has been written.
    pub(crate) unsafe fn finish_over(self, tensor: FlexTensor) -> FlexTensor {
        match self.fresh {
            None => tensor,
            // SAFETY: promised by the caller.
            Some(_) => unsafe { self.finish(tensor.layout().shape().clone()) },
        }
    }

    /// The written tensor, of [`new`](Self::new) memory.
    ///
    /// # Safety
    /// Every element has been written.
    pub(crate) unsafe fn finish(self, shape: impl Into<Shape>) -> FlexTensor {
        let (mut values, n) = self.fresh.unwrap_or_default();
        // SAFETY: the capacity is n, and the caller promises that n elements have been written.
        unsafe { values.set_len(n) };
        from_vec(values, shape)
    }
}
