//! What the operands of a product can consist of, and the cache line that they are packed into.

use super::{PAIRS_OF_LINE, TILE_COLS};
use burn::tensor::bf16;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// One cache line, which is one vector register: 16 pairs of bf16.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub(super) struct Line(pub(super) [[bf16; 2]; PAIRS_OF_LINE]);

impl Line {
    pub(super) const ZERO: Self = Self([[bf16::ZERO; 2]; PAIRS_OF_LINE]);
}

const _: () = assert!(size_of::<Line>() == 64);

/// Lines that hold one pair of rows of a panel.
pub(super) const LINES: usize = TILE_COLS / PAIRS_OF_LINE;

/// The same number as f32, exactly.
#[inline(always)]
pub(super) fn widen(x: bf16) -> f32 {
    f32::from_bits(u32::from(x.to_bits()) << 16)
}

/// An element of the right operand: bf16, or f32 that is rounded to the nearest bf16, ties to even.
pub(crate) trait Element: Copy + Send + Sync {
    /// The element as bf16.
    fn rounded(self) -> bf16;

    /// Of 32 neighbours those in the mask, zero for the others.
    ///
    /// # Safety
    /// AVX-512 with its bf16 conversion is available, and the elements in the mask are readable.
    #[cfg(target_arch = "x86_64")]
    unsafe fn line(from: *const Self, mask: u32) -> __m512i;

    /// 16 neighbours from each of two places, one after the other; zero for those that are not in the masks.
    ///
    /// # Safety
    /// As [`line`](Self::line).
    #[cfg(target_arch = "x86_64")]
    unsafe fn halves(from: [*const Self; 2], masks: [u16; 2]) -> __m512i;
}

impl Element for f32 {
    /// NaN stays NaN; beyond the largest bf16 it becomes infinite. Written without a branch, for vectors.
    #[inline(always)]
    fn rounded(self) -> bf16 {
        let bits = self.to_bits();
        // Half a unit in the last place, less one if the last bit is even: the carry then rounds to nearest even.
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let nan = (bits >> 16) | 0x40;
        bf16::from_bits(if bits & 0x7fff_ffff > 0x7f80_0000 { nan } else { rounded } as u16)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn line(from: *const Self, mask: u32) -> __m512i {
        // SAFETY: promised by the caller.
        unsafe { Self::halves([from, from.wrapping_add(16)], [mask as u16, (mask >> 16) as u16]) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn halves([low, high]: [*const Self; 2], masks: [u16; 2]) -> __m512i {
        // SAFETY: the elements in the masks are readable, as the caller promises, and no others are read; `__m512bh` is
        // as large as `__m512i`, and every pattern of bits is valid in both.
        unsafe {
            let low = _mm512_maskz_loadu_ps(masks[0], low);
            let high = _mm512_maskz_loadu_ps(masks[1], high);
            std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
        }
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn rounded(self) -> bf16 {
        self
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn line(from: *const Self, mask: u32) -> __m512i {
        // SAFETY: the elements in the mask are readable, as the caller promises, and no others are read.
        unsafe { _mm512_maskz_loadu_epi16(mask, from.cast()) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn halves([low, high]: [*const Self; 2], masks: [u16; 2]) -> __m512i {
        // SAFETY: as in `line`; the second address is one only if its mask is not empty.
        unsafe {
            let low = _mm512_maskz_loadu_epi16(u32::from(masks[0]), low.cast());
            let high = _mm512_maskz_loadu_epi16(u32::from(masks[1]), high.cast());
            _mm512_inserti64x4::<1>(low, _mm512_castsi512_si256(high))
        }
    }
}
