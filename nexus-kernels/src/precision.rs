//! The precision of the large matrix products.

use burn::tensor::{DType, FloatDType, Tensor};

/// What the operands of the large products are rounded to: `x W`, `dy W^T` and what an adapter adds to both, `x^T dy`, those
/// of the head, and those of attention.
///
/// Sums are always f32, and so is everything else: activations, gradients, bias, softmax, the inner products of an adapter and
/// the gradients of its factors. A weight that is stored as bf16 takes part in bf16 products whatever the precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Not rounded.
    #[default]
    F32,
    /// Rounded to the nearest bf16 (8 bits of significand, exponents as f32), ties to even: a relative error of at most
    /// 2^-9 an operand.
    Bf16,
}

impl Precision {
    /// That of the products with `weight`.
    pub(crate) fn with(self, weight: &Tensor<2>) -> Self {
        match weight.dtype() {
            DType::BF16 => Self::Bf16,
            _ => self,
        }
    }

    /// An operand as it enters a product: rounded, in the type that it had.
    pub(crate) fn round(self, operand: Tensor<2>) -> Tensor<2> {
        match self {
            Self::F32 => operand,
            Self::Bf16 => {
                let dtype = FloatDType::from(operand.dtype());
                operand.cast(FloatDType::BF16).cast(dtype)
            }
        }
    }

    /// `a b` from plain ops, where both operands are rounded, and in the backward pass the gradient of the product as
    /// well. The gradients of the operands are not rounded.
    pub(crate) fn matmul(self, a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
        if self == Self::F32 {
            return a.matmul(b);
        }
        if !a.is_tracked() && !b.is_tracked() {
            return self.round(a).matmul(self.round(b));
        }
        // Rounding that the gradient passes unchanged: x + (r(x) - x) is r(x), as the difference is exact.
        let [a, b] = [a, b].map(|x| match x.is_tracked() {
            true => x.clone() + (self.round(x.clone()) - x).detach(),
            false => self.round(x),
        });
        let y = a.matmul(b);
        // The reverse: the gradient of a cast is a cast, and the value is put right afterwards.
        let rounded = self.round(y.clone());
        rounded.clone() + (y - rounded).detach()
    }
}

/// A weight as the plain ops need it: f32 if it is stored as bf16.
pub(crate) fn widened(weight: Tensor<2>) -> Tensor<2> {
    match weight.dtype() {
        DType::BF16 => weight.cast(FloatDType::F32),
        _ => weight,
    }
}
