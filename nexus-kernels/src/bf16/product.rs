//! The blocking of a product over caches and threads.

use super::element::{Element, LINES, Line};
use super::few;
use super::version::{Tile, Version};
use super::{BLOCK_K, BLOCK_ROWS, PAIRS_OF_LINE, ROW_LINES, TILE_COLS, TILE_ROWS};
use crate::matrix::Matrix;
use crate::parallel::{SERIAL, Shared, each};
use std::cell::Cell;
use std::ops::Range;

/// Inner dimension and columns of the right operand that are packed at once; multiples of 32.
const SCRATCH_K: usize = 2048;
const SCRATCH_COLS: usize = 1024;

/// Rows of the right operand that one task packs, over all columns of the scratch; a multiple of 32.
const PACKED_ROWS: usize = 128;

/// Columns of one task, at most and at least. The block of the right operand stays in the shared cache while all rows
/// pass.
const MAX_COLS: usize = 2048;
const MIN_COLS: usize = 4 * TILE_COLS;

thread_local! {
    /// Memory for panels, kept from call to call (at most 4 MiB): fresh pages would cost several percent. Empty while in
    /// use, so that a call that rayon runs within another has its own.
    static PANELS: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
    /// Memory for rows of the left operand (a block is at most 102 KiB), likewise.
    static ROWS: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Runs `f` on memory for `lines` lines, of any content.
pub(super) fn with_rows<R>(lines: usize, f: impl FnOnce(*mut Line) -> R) -> R {
    let mut rows = ROWS.take();
    rows.reserve(lines);
    let result = f(rows.as_mut_ptr());
    ROWS.set(rows);
    result
}

/// Lines of a scratch panel of `k` rows.
fn scratch_lines(k: usize) -> usize {
    k.next_multiple_of(2 * PAIRS_OF_LINE) / 2 * LINES
}

/// Where a product goes.
#[derive(Clone, Copy)]
pub(super) struct Target {
    out: Shared<*mut f32>,
    alpha: f32,
    /// Whether to add to what is there.
    add: bool,
}

impl Target {
    /// Stores sums from element `at`.
    ///
    /// # Safety
    /// These elements are there, initialised if they are added to, and nobody else's.
    pub(super) unsafe fn put(&self, at: usize, sums: &[f32]) {
        for (i, sum) in sums.iter().enumerate() {
            // SAFETY: promised by the caller.
            unsafe {
                let out = self.out.get().add(at + i);
                out.write(if self.add { *out + self.alpha * sum } else { self.alpha * sum });
            }
        }
    }
}

/// A second product that is added to the first, in the same precision: an adapter's, whose inner dimension is small.
///
/// Where the inner dimension of the first ends with a whole line, it continues there (in [`multiply`]): the tile is summed
/// further instead of being read and written once more.
#[derive(Clone, Copy)]
pub(crate) struct Beside<'a> {
    left: Matrix<'a>,
    right: Matrix<'a>,
}

impl<'a> Beside<'a> {
    /// `left [M, r] right [r, N]`.
    ///
    /// # Panics
    /// If the inner dimensions differ.
    pub(crate) fn new(left: Matrix<'a>, right: Matrix<'a>) -> Self {
        assert_eq!(left.cols, right.rows, "inner dimensions of a product beside another");
        Self { left, right }
    }

    /// Left and right.
    pub(crate) fn operands(&self) -> [Matrix<'a>; 2] {
        [self.left, self.right]
    }

    /// Whether it fits the line that follows the last of `k` values.
    fn continues(&self, k: usize) -> bool {
        k > 0 && k.is_multiple_of(2 * PAIRS_OF_LINE) && self.left.cols <= 2 * PAIRS_OF_LINE
    }
}

/// `out = alpha x w`, or `out += alpha x w` with `add`, in the given version, which must be available; `alpha`
/// times `beside` is added.
///
/// # Safety
/// `out` is valid for `x.rows * w.cols` elements, overlaps neither operand, and is initialised if it is added to. All
/// elements are written.
pub(super) unsafe fn multiply<T: Element>(
    version: Version,
    out: *mut f32,
    add: bool,
    alpha: f32,
    x: Matrix,
    w: Matrix<T>,
    beside: Option<Beside>,
) {
    assert!(version.is_available(), "{version:?} on this processor");
    let (k, n) = (w.rows, w.cols);
    assert_eq!(x.cols, k, "inner dimensions of a matrix product");
    if let Some(Beside { left, right }) = beside {
        assert_eq!([left.rows, right.cols], [x.rows, n], "shape of a product beside another");
    }
    if let Some(Beside { left, right }) = beside.filter(|b| few::applies(x, w) || !b.continues(k)) {
        // SAFETY: promised by the caller; the first product writes all of the output.
        unsafe {
            multiply(version, out, add, alpha, x, w, None);
            return multiply(version, out, true, alpha, left, right, None);
        }
    }
    if x.rows * n == 0 {
        return;
    }
    if k == 0 {
        if !add {
            // SAFETY: the whole output; zero is all zero bits.
            unsafe { out.write_bytes(0, x.rows * n) };
        }
        return;
    }
    let target = Target { out: Shared(out), alpha, add };
    let serial = x.rows * n * k <= SERIAL;
    if few::applies(x, w) {
        return few::multiply(version, target, x, w, serial);
    }
    let (depth, width) = (k.min(SCRATCH_K), n.min(SCRATCH_COLS));
    let panel_lines = scratch_lines(depth + beside.map_or(0, |b| b.right.rows));
    let mut scratch = PANELS.take();
    scratch.reserve(width.div_ceil(TILE_COLS) * panel_lines);
    let lines = Shared(scratch.as_mut_ptr());
    for first in (0..n).step_by(SCRATCH_COLS) {
        let cols = first..n.min(first + SCRATCH_COLS);
        for first in (0..k).step_by(SCRATCH_K) {
            let ks = first..k.min(first + SCRATCH_K);
            let pack = |chunk: usize| {
                let start = ks.start + chunk * PACKED_ROWS;
                let rows = PACKED_ROWS.min(ks.end - start);
                for (panel, col) in cols.clone().step_by(TILE_COLS).enumerate() {
                    let part = w.part([start, col], [rows, TILE_COLS.min(n - col)]);
                    let to = panel * panel_lines + scratch_lines(chunk * PACKED_ROWS);
                    // SAFETY: the version was checked; the scratch has a panel for every `TILE_COLS` columns, and these
                    // rows of it belong to this chunk.
                    unsafe { version.pack_panel(part, lines.get().add(to)) };
                }
            };
            each(ks.len().div_ceil(PACKED_ROWS), serial, pack);
            let beside = beside.filter(|_| ks.end == k);
            if let Some(Beside { right, .. }) = beside {
                for (panel, col) in cols.clone().step_by(TILE_COLS).enumerate() {
                    let part = right.part([0, col], [right.rows, TILE_COLS.min(n - col)]);
                    let to = panel * panel_lines + scratch_lines(ks.len());
                    // SAFETY: as above; these rows follow those of `w`.
                    unsafe { version.pack_panel(part, lines.get().add(to)) };
                }
            }
            let target = Target { add: add || ks.start > 0, ..target };
            let panels = Shared(lines.get().cast_const());
            let beside = beside.map(|beside| beside.left);
            let part = Part { version, target, n, x, serial, panels, panel_lines, beside };
            // SAFETY: the scratch now covers `ks` and `cols`; the caller vouches for the output.
            unsafe { part.run(ks, cols.clone()) };
        }
    }
    PANELS.set(scratch);
}

/// A product of which parts are computed.
#[derive(Clone, Copy)]
struct Part<'a> {
    version: Version,
    target: Target,
    /// Columns of the output.
    n: usize,
    /// `[M, K]`.
    x: Matrix<'a>,
    serial: bool,
    panels: Shared<*const Line>,
    /// Lines from one panel to the next.
    panel_lines: usize,
    /// What continues `x` after the columns that are multiplied here, as the panels continue.
    beside: Option<Matrix<'a>>,
}

impl Part<'_> {
    /// Multiplies columns `ks` of `x` with panels of these rows and of columns `cols`, whose tasks split the output.
    ///
    /// # Safety
    /// The panels cover `ks` and `cols`; the output is as large as the shapes say, and initialised if it is added to;
    /// the version is available.
    unsafe fn run(&self, ks: Range<usize>, cols: Range<usize>) {
        let m = self.x.rows;
        let row_blocks = m.div_ceil(BLOCK_ROWS);
        // Enough tasks for an even load; where they are cut has no influence on the result.
        let wanted = (4 * rayon::current_num_threads()).div_ceil(row_blocks);
        let width =
            cols.len().div_ceil(wanted).next_multiple_of(TILE_COLS).clamp(MIN_COLS, MAX_COLS);
        each(cols.len().div_ceil(width) * row_blocks, self.serial, |task| {
            let (col, row) = (task / row_blocks * width, task % row_blocks * BLOCK_ROWS);
            let rows = row..m.min(row + BLOCK_ROWS);
            with_rows(rows.len() * ROW_LINES, |block| {
                // SAFETY: `col` is a multiple of 32 below the number of columns.
                unsafe {
                    let panels = self.panels.get().add(col / TILE_COLS * self.panel_lines);
                    let cols = cols.start + col..cols.end.min(cols.start + col + width);
                    self.task(panels, block, ks.clone(), rows, cols);
                }
            });
        });
    }

    /// # Safety
    /// As `run`, for rows of the output that no other task has; `block` is writable for these rows, `ROW_LINES` each.
    unsafe fn task(
        &self,
        panels: *const Line,
        block: *mut Line,
        ks: Range<usize>,
        rows: Range<usize>,
        cols: Range<usize>,
    ) {
        for k in ks.clone().step_by(BLOCK_K) {
            let depth = BLOCK_K.min(ks.end - k);
            let x = self.x.part([rows.start, k], [rows.len(), depth]);
            // SAFETY: promised by the caller.
            unsafe { self.version.round_rows(x, block, ROW_LINES) };
            let mut pairs = depth.div_ceil(2);
            if let Some(left) = self.beside.filter(|_| k + depth == ks.end) {
                let left = left.part([rows.start, 0], [rows.len(), left.cols]);
                // SAFETY: the block is at most `BLOCK_K` deep and fills its lines, so that one is left in every row.
                unsafe {
                    let line = block.add(depth / (2 * PAIRS_OF_LINE));
                    self.version.round_rows(left, line, ROW_LINES);
                }
                pairs += left.cols.div_ceil(2);
            }
            for (panel, col) in cols.clone().step_by(TILE_COLS).enumerate() {
                for row in rows.clone().step_by(TILE_ROWS) {
                    // SAFETY: rows of the block, which were just written, the panel that holds `col`, from pair
                    // `(k - ks.start) / 2`, and a tile of the output that is this task's own.
                    unsafe {
                        let a = block.add((row - rows.start) * ROW_LINES);
                        let b = panels.add(panel * self.panel_lines + (k - ks.start) / 2 * LINES);
                        let tile = Tile {
                            out: self.target.out.get().add(row * self.n + col),
                            row_stride: self.n,
                            rows: TILE_ROWS.min(rows.end - row),
                            cols: TILE_COLS.min(cols.end - col),
                            alpha: self.target.alpha,
                            add: self.target.add || k > ks.start,
                        };
                        self.version.tile(a, b, pairs, tile);
                    }
                }
            }
        }
    }
}
