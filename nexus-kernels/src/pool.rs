//! Large buffers that are kept when a tensor is dropped, and given to the next one.
//!
//! Memory fresh from the system costs a page fault per 4 KiB before its first byte is written, more than the writing
//! itself, and the allocator hands blocks of this size back to the system at once. A training step drops and asks for the
//! same sizes over and over, so the buffers of the last step serve the next. New ones are asked for in huge pages where
//! the system has them, which also spares the processor's table of pages.
//!
//! What is kept and what is used together never exceed 1.25 times the most that was used at once.

use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};
use std::collections::BTreeMap;
use std::mem::{MaybeUninit, size_of};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Elements below which the allocator keeps freed memory by itself.
const SMALL: usize = 1 << 15;
/// A huge page.
const HUGE: usize = 2 << 20;

static POOL: Mutex<Pool> =
    Mutex::new(Pool { kept: BTreeMap::new(), kept_elements: 0, used: 0, most_used: 0 });

/// Freed buffers by their capacity.
struct Pool {
    kept: BTreeMap<usize, Vec<Vec<f32>>>,
    kept_elements: usize,
    /// Elements of the buffers in use.
    used: usize,
    /// The most there were.
    most_used: usize,
}

fn pool() -> MutexGuard<'static, Pool> {
    // Every change of the pool is complete before something could panic.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty vector of at least this capacity.
pub(crate) fn with_capacity(len: usize) -> Vec<f32> {
    if len < SMALL {
        return Vec::with_capacity(len);
    }
    if let Some(buffer) = pool().take(len) {
        return buffer;
    }
    let mut buffer = Vec::with_capacity(len);
    ask_for_huge_pages(&mut buffer);
    buffer
}

/// The values as the bytes of a tensor, whose memory comes back here when the last owner drops it.
pub(crate) fn bytes(values: Vec<f32>) -> Bytes {
    if values.capacity() < SMALL {
        return Bytes::from_elems(values);
    }
    pool().enter(values.capacity());
    let len = values.len() * size_of::<f32>();
    // SAFETY: all `len` bytes of the vector are initialised.
    unsafe { Bytes::from_controller(Box::new(Pooled(values)), len) }
}

/// Gives the memory that is kept for later tensors back to the system.
pub fn release_memory() {
    let mut pool = pool();
    pool.kept_elements = 0;
    pool.most_used = pool.used;
    // Freed after the lock is.
    let kept = std::mem::take(&mut pool.kept);
    drop(pool);
    drop(kept);
}

impl Pool {
    /// A kept buffer that is not much too large.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        let (&capacity, buffers) = self.kept.range_mut(len..=len + len / 8).next()?;
        let buffer = buffers.pop()?;
        if buffers.is_empty() {
            self.kept.remove(&capacity);
        }
        self.kept_elements -= capacity;
        Some(buffer)
    }

    fn enter(&mut self, capacity: usize) {
        self.used += capacity;
        self.most_used = self.most_used.max(self.used);
        self.trim();
    }

    fn give_back(&mut self, mut buffer: Vec<f32>) {
        let capacity = buffer.capacity();
        self.used = self.used.saturating_sub(capacity);
        buffer.clear();
        self.kept_elements += capacity;
        self.kept.entry(capacity).or_default().push(buffer);
        self.trim();
    }

    /// Frees kept buffers, the smallest first, until the bound holds.
    fn trim(&mut self) {
        while self.kept_elements + self.used > self.most_used + self.most_used / 4 {
            let Some(mut smallest) = self.kept.first_entry() else { return };
            self.kept_elements -= smallest.key();
            smallest.get_mut().pop();
            if smallest.get().is_empty() {
                smallest.remove();
            }
        }
    }
}

/// The memory of a tensor.
struct Pooled(Vec<f32>);

impl Drop for Pooled {
    fn drop(&mut self) {
        pool().give_back(std::mem::take(&mut self.0));
    }
}

impl AllocationController for Pooled {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    fn memory(&self, _policy: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let (start, len) = (self.0.as_ptr().cast(), size_of_val(self.0.as_slice()));
        // SAFETY: the memory of the vector's elements; bytes have no alignment.
        Ok(unsafe { std::slice::from_raw_parts(start, len) })
    }

    unsafe fn memory_mut(
        &mut self,
        _policy: AccessPolicy,
    ) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let len = size_of_val(self.0.as_slice());
        // SAFETY: as above, borrowed mutably; the caller promises to write initialised bytes only, and every pattern of
        // them is a f32.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) })
    }
}

/// Advises the system to back the buffer with huge pages; a hint, so its failure changes nothing.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages(buffer: &mut Vec<f32>) {
    let start = buffer.as_mut_ptr() as usize;
    let end = start + buffer.capacity() * size_of::<f32>();
    let (first, last) = (start.next_multiple_of(HUGE), end / HUGE * HUGE);
    if first < last {
        // SAFETY: whole pages inside an allocation of ours; the advice does not change what they hold.
        unsafe { libc::madvise(first as *mut libc::c_void, last - first, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_buffer: &mut Vec<f32>) {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pool of its own, since the others' tests use the common one.
    fn empty() -> Pool {
        Pool { kept: BTreeMap::new(), kept_elements: 0, used: 0, most_used: 0 }
    }

    #[test]
    fn a_freed_buffer_serves_the_next_of_about_its_size() {
        let mut pool = empty();
        let buffer: Vec<f32> = Vec::with_capacity(1000);
        let (address, capacity) = (buffer.as_ptr(), buffer.capacity());
        pool.enter(capacity);
        pool.give_back(buffer);
        assert!(pool.take(capacity + 1).is_none() && pool.take(capacity / 2).is_none());
        let again = pool.take(capacity - 50).unwrap();
        assert_eq!(again.as_ptr(), address);
        assert_eq!((pool.kept_elements, pool.kept.len()), (0, 0));
    }

    #[test]
    fn what_is_kept_stays_within_the_bound() {
        let mut pool = empty();
        for round in 0..4 {
            // Sizes that never fit what was kept.
            let sizes = [1000 << round, 1300 << round, 1700 << round];
            let buffers: Vec<Vec<f32>> = sizes.iter().map(|&n| Vec::with_capacity(n)).collect();
            buffers.iter().for_each(|buffer| pool.enter(buffer.capacity()));
            assert!(pool.kept_elements + pool.used <= pool.most_used * 5 / 4);
            buffers.into_iter().for_each(|buffer| pool.give_back(buffer));
            assert!(pool.used == 0 && pool.kept_elements <= pool.most_used * 5 / 4);
            let held: usize = pool.kept.iter().map(|(size, all)| size * all.len()).sum();
            assert_eq!(held, pool.kept_elements);
        }
    }

    #[test]
    fn a_tensors_bytes_are_its_values_and_can_be_changed() {
        let mut values = with_capacity(SMALL + 5);
        values.resize(SMALL + 5, 1.5);
        let mut bytes = bytes(values);
        assert_eq!(bytes.len(), (SMALL + 5) * 4);
        let copy = bytes.clone();
        bytes[..4].copy_from_slice(&2.5f32.to_ne_bytes());
        assert_eq!(f32::from_ne_bytes(bytes[..4].try_into().unwrap()), 2.5);
        assert_eq!(f32::from_ne_bytes(copy[..4].try_into().unwrap()), 1.5);
    }
}
