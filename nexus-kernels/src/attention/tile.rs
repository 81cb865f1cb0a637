//! What the passes share: strided views of tensors, scratch memory, moving rows.

use super::config::Sight;
use super::rows;
use crate::flex;
pub(super) use crate::flex::tensor;
use crate::parallel::Shared;
use crate::tile_product;
use burn_flex::FlexTensor;

/// Queries in a tile.
pub(super) const QUERIES: usize = 48;
/// Keys in a block of a tile; a multiple of [`LANES`].
pub(super) const KEYS: usize = 512;
/// Tiles are padded to this many keys: one 512-bit vector.
pub(super) const LANES: usize = 16;

/// A float tensor `[B, T, heads*dim]` whose last dimension is contiguous.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    tensor: FlexTensor,
    start: usize,
    batch: isize,
    row: isize,
}

impl Heads {
    /// A view of `tensor`, or of a contiguous copy when its last dimension is strided.
    pub(super) fn new(tensor: FlexTensor) -> Self {
        let unit = |tensor: &FlexTensor| {
            let (shape, strides) = (tensor.layout().shape(), tensor.layout().strides());
            shape[2] <= 1 || strides[2] == 1
        };
        let tensor = if unit(&tensor) { tensor } else { tensor.to_contiguous() };
        let layout = tensor.layout();
        let (shape, strides) = (layout.shape(), layout.strides());
        let (start, batch, row) = (layout.start_offset(), strides[0], strides[1]);
        // Every element must lie in the storage: the passes read through raw pointers.
        if shape.num_elements() > 0 {
            let ends = [(shape[0], batch), (shape[1], row), (shape[2], 1)];
            let reach = |sign: isize| -> isize {
                ends.iter().map(|&(n, s)| ((n as isize - 1) * s * sign).max(0)).sum()
            };
            let length = tensor.storage::<f32>().len() as isize;
            let start = start as isize;
            assert!(start - reach(-1) >= 0 && start + reach(1) < length, "layout out of storage");
        }
        Self { tensor, start, batch, row }
    }

    /// `[B, T, heads*dim]`.
    pub(super) fn dims(&self) -> [usize; 3] {
        let shape = self.tensor.layout().shape();
        [shape[0], shape[1], shape[2]]
    }

    /// Row `row` of batch entry `batch`, from column `column` on, and the distance of rows.
    pub(super) fn at(&self, batch: usize, row: usize, column: usize) -> Strided {
        let offset = self.start as isize
            + batch as isize * self.batch
            + row as isize * self.row
            + column as isize;
        let pointer = self.tensor.storage::<f32>().as_ptr().wrapping_offset(offset);
        Strided { pointer, row: self.row }
    }

    /// `count` elements of row `row` of batch entry `batch`, from column `column` on.
    pub(super) fn part(&self, [batch, row, column]: [usize; 3], count: usize) -> &[f32] {
        let [entries, rows, columns] = self.dims();
        assert!(batch < entries && row < rows && column + count <= columns, "part out of tensor");
        // SAFETY: these are elements of the tensor, and `new` found all of them in the storage.
        unsafe { std::slice::from_raw_parts(self.at(batch, row, column).pointer, count) }
    }
}

/// Rows in memory: where the first begins and how far apart they are.
#[derive(Clone, Copy)]
pub(super) struct Strided {
    pub(super) pointer: *const f32,
    pub(super) row: isize,
}

/// Cosine and sine `[T, dim/2]`, contiguous.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    cos: FlexTensor,
    sin: FlexTensor,
}

impl Turn {
    pub(super) fn new(cos: FlexTensor, sin: FlexTensor) -> Self {
        Self { cos: cos.to_contiguous(), sin: sin.to_contiguous() }
    }

    /// Cosine and sine of position `row`.
    fn at(&self, row: usize, half: usize) -> (&[f32], &[f32]) {
        let range = row * half..(row + 1) * half;
        (&self.cos.storage::<f32>()[range.clone()], &self.sin.storage::<f32>()[range])
    }
}

/// Writes `to.len() / dim` rows from `from`, first of them position `position`, rotated by `turn`.
///
/// # Safety
/// `from` has as many rows of `dim` elements.
pub(super) unsafe fn load(
    from: Strided,
    to: &mut [f32],
    dim: usize,
    turn: Option<&Turn>,
    position: usize,
) {
    for (i, to) in to.chunks_exact_mut(dim).enumerate() {
        // SAFETY: the caller promises that row `i` is there.
        let from =
            unsafe { std::slice::from_raw_parts(from.pointer.offset(i as isize * from.row), dim) };
        match turn {
            Some(turn) => {
                let (cos, sin) = turn.at(position + i, dim / 2);
                rows::rotate(from, to, cos, sin, 1.0);
            }
            None => to.copy_from_slice(from),
        }
    }
}

/// The reverse of [`load`] for gradients: rows of `from`, rotated back, written `stride` apart.
///
/// # Safety
/// `to` is valid for writing as many rows of `dim` elements as `from` has, and nobody else accesses them.
pub(super) unsafe fn store(
    from: &[f32],
    to: *mut f32,
    stride: usize,
    dim: usize,
    turn: Option<&Turn>,
    position: usize,
) {
    for (i, from) in from.chunks_exact(dim).enumerate() {
        // SAFETY: the caller promises that row `i` may be written.
        let to = unsafe { std::slice::from_raw_parts_mut(to.add(i * stride), dim) };
        match turn {
            Some(turn) => {
                let (cos, sin) = turn.at(position + i, dim / 2);
                rows::rotate(from, to, cos, sin, -1.0);
            }
            None => to.copy_from_slice(from),
        }
    }
}

/// How many queries, or keys, are multiplied at a time where some of them see less than others.
pub(super) fn strip() -> usize {
    if tile_product::is_fast() { tile_product::ROWS } else { QUERIES }
}

/// Memory for tiles that a thread keeps; begins at a cache line.
#[derive(Default)]
pub(super) struct Scratch(Vec<Line>);

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

impl Scratch {
    /// `count` numbers of any value.
    pub(super) fn take(&mut self, count: usize) -> &mut [f32] {
        let lines = count.div_ceil(LANES);
        if self.0.len() < lines {
            self.0.resize(lines, Line([0.0; LANES]));
        }
        // SAFETY: a `Line` is 16 floats without padding, and at least `count / 16` of them are there.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), count) }
    }
}

/// The distance of rows in a transposed tile of `keys` columns: an odd number of cache lines, so that a column does not
/// fall into few sets of the cache.
pub(super) fn padded(keys: usize) -> usize {
    (keys.div_ceil(LANES) | 1) * LANES
}

/// The keys of an entry, from a whole vector on: what its tiles touch.
pub(super) fn span(sight: &Sight) -> (usize, usize) {
    (sight.keys.0 / LANES * LANES, sight.keys.1)
}

/// The blocks of keys that queries `first ..= last` see, aligned to [`LANES`] at their beginning; none when no query sees
/// a key.
pub(super) fn blocks(
    sight: &Sight,
    first: usize,
    last: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let (begin, end) = (sight.of(first).0, sight.of(last).1);
    let begin = if begin < end { begin / LANES * LANES } else { end };
    (begin..end).step_by(KEYS).map(move |at| (at, end.min(at + KEYS)))
}

/// An output that `fill` writes completely, without zeroing it first.
///
/// # Safety
/// `fill` writes every one of the `count` elements.
pub(super) unsafe fn filled(count: usize, fill: impl FnOnce(Shared<*mut f32>)) -> Vec<f32> {
    // SAFETY: promised by the caller.
    unsafe { flex::filled(count, |values| fill(Shared(values.as_mut_ptr().cast()))) }
}
