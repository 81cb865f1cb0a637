//! The two precisions of the products: how operands lie in scratch memory, and the product itself.
//!
//! In f32 operands are rows as they come. In bf16 two numbers that follow each other along the inner dimension are rounded
//! and share the place of one f32. So rows of a left operand shrink to half their length, and two rows of a right operand
//! are woven into one.

use super::config::AttentionConfig;
use super::tile::Scratch;
use crate::Precision;
use crate::tile_product::{self, Operand};

/// How products are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Arithmetic {
    F32,
    Bf16,
}

impl Arithmetic {
    /// That of the configuration, where this processor has it and heads are whole pairs; else f32, which is more precise.
    pub(super) fn of(config: &AttentionConfig) -> Self {
        let pairs = config.precision == Precision::Bf16
            && config.head_dim.is_multiple_of(2)
            && tile_product::has_pairs();
        if pairs { Self::Bf16 } else { Self::F32 }
    }

    /// Places of `count` numbers along the inner dimension.
    pub(super) fn places(self, count: usize) -> usize {
        match self {
            Self::F32 => count,
            Self::Bf16 => count.div_ceil(2),
        }
    }

    /// Makes rows of `width` numbers (an even number) rows of a left operand, in place and side by side; gives their
    /// length.
    pub(super) fn shrink(self, rows: &mut [f32], width: usize) -> usize {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Bf16 {
            let start = rows.as_mut_ptr();
            for row in 0..rows.len() / width {
                // SAFETY: row `row`, and the half of its length that lies at half its distance, where all was read; the
                // instructions are there.
                unsafe {
                    let (from, to) = (start.add(row * width), start.add(row * width / 2));
                    pairs::round(from, to.cast(), width);
                }
            }
        }
        self.places(width)
    }

    /// Makes rows of a right operand of the rows of `width` numbers from row `first` (an even number) on, in place:
    /// from row `places(first)` on.
    pub(super) fn weave(self, rows: &mut [f32], first: usize, width: usize) {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Bf16 {
            let (start, count) = (rows.as_mut_ptr(), rows.len() / width);
            for row in (first..count).step_by(2) {
                // SAFETY: rows `row` and `row + 1`, if that is there, and one at half the distance, where all was read;
                // the instructions are there.
                unsafe {
                    let from = start.add(row * width);
                    let next = (row + 1 < count).then(|| from.add(width).cast_const());
                    pairs::weave(from, next, start.add(row / 2 * width), width);
                }
            }
        }
        let _ = (rows, first, width);
    }

    /// The first `columns` of rows that are `stride` apart as rows of a right operand, equally far apart: where they are,
    /// or woven in `scratch`. Also the columns of a left operand, whose inner dimension is the rows.
    pub(super) fn woven(
        self,
        rows: &[f32],
        stride: usize,
        columns: usize,
        scratch: &mut Scratch,
    ) -> *const f32 {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Bf16 {
            let count = rows.len() / stride;
            let to = scratch.take(self.places(count) * stride).as_mut_ptr();
            for row in (0..count).step_by(2) {
                // SAFETY: rows `row` and `row + 1`, if that is there, and a row of the scratch, `columns <= stride` of
                // each; the instructions are there.
                unsafe {
                    let from = rows.as_ptr().add(row * stride);
                    let next = (row + 1 < count).then(|| from.add(stride));
                    pairs::weave(from, next, to.add(row / 2 * stride), columns);
                }
            }
            return to;
        }
        let _ = (stride, columns, scratch);
        rows.as_ptr()
    }

    /// `to [m, n] (+)= factor * left [m, k] right [k, n]`, the rows of `to` being `stride` apart.
    ///
    /// # Safety
    /// As [`tile_product::product`], of operands in this arithmetic.
    pub(super) unsafe fn product(
        self,
        [m, n, k]: [usize; 3],
        to: (*mut f32, usize),
        add: bool,
        left: Operand,
        right: Operand,
        factor: f32,
    ) {
        let shape = [m, n, self.places(k)];
        // SAFETY: promised by the caller; `of` has looked for the instructions.
        unsafe {
            match self {
                Self::F32 => tile_product::product(shape, to, add, left, right, factor),
                Self::Bf16 => tile_product::product_of_pairs(shape, to, add, left, right, factor),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod pairs {
    use std::arch::x86_64::*;

    const LANES: usize = 16;

    fn mask(left: usize) -> __mmask16 {
        if left < LANES { (1 << left) - 1 } else { !0 }
    }

    /// Rounds `count` numbers.
    ///
    /// # Safety
    /// AVX-512 with bf16 is there; `from` is readable and `to` writable for `count` numbers. They may be the same place,
    /// or `to` an earlier one.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn round(from: *const f32, to: *mut u16, count: usize) {
        for at in (0..count).step_by(LANES) {
            let mask = mask(count - at);
            // SAFETY: the mask holds the numbers that are there.
            unsafe {
                let x = _mm512_maskz_loadu_ps(mask, from.add(at));
                _mm256_mask_storeu_epi16(to.add(at).cast(), mask, rounded(x));
            }
        }
    }

    /// Pairs of a number of `first` and one of `second` (zero without it).
    ///
    /// # Safety
    /// As [`round`], for `count` numbers of each and `count` places.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn weave(
        first: *const f32,
        second: Option<*const f32>,
        to: *mut f32,
        count: usize,
    ) {
        for at in (0..count).step_by(LANES) {
            let mask = mask(count - at);
            // SAFETY: the mask holds the numbers that are there.
            unsafe {
                let low = _mm512_maskz_loadu_ps(mask, first.add(at));
                let high = match second {
                    Some(second) => _mm512_maskz_loadu_ps(mask, second.add(at)),
                    None => _mm512_setzero_ps(),
                };
                let low = _mm512_cvtepu16_epi32(rounded(low));
                let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(rounded(high)));
                let pairs = _mm512_castsi512_ps(_mm512_or_si512(low, high));
                _mm512_mask_storeu_ps(to.add(at), mask, pairs);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn rounded(x: __m512) -> __m256i {
        let rounded = _mm512_cvtneps_pbh(x);
        // SAFETY: both types are 256 bits, and every pattern of bits is valid in both.
        unsafe { std::mem::transmute::<__m256bh, __m256i>(rounded) }
    }
}
