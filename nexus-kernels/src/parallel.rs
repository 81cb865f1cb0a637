//! Work split into tasks over the threads of rayon's pool, each of which writes a part of an output that they share.

use rayon::prelude::*;

/// Multiply-adds below which one thread is faster.
pub(crate) const SERIAL: usize = 1 << 19;

/// Runs tasks `0..count`, in parallel unless `serial`. Each can be stolen by itself: an idle thread would otherwise wait for
/// a quarter of them.
pub(crate) fn each(count: usize, serial: bool, task: impl Fn(usize) + Sync + Send) {
    if serial || count == 1 {
        (0..count).for_each(task);
    } else {
        (0..count).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// Pointers that several threads use, each in its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub(crate) T);

// SAFETY: a pointer is only a number until it is used, and every use is an unsafe block with its own argument.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T: Copy> Shared<T> {
    /// The pointers. A method, because a closure that named the field would capture the bare pointers.
    pub(crate) fn get(&self) -> T {
        self.0
    }
}

impl Shared<*mut f32> {
    /// The address of element `offset`.
    pub(crate) fn at(self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
    }

    /// The part from element `offset` on.
    pub(crate) fn shifted(self, offset: usize) -> Self {
        Self(self.at(offset))
    }
}
