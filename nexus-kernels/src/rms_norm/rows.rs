//! The loops of RMSNorm over the rows of one parallel task.

use crate::vector::{CHUNK, Kernel, Map, Sum, map_serial, multiply_add, sum_serial};

/// Rows of one parallel task; depends on the size alone, so that the order of sums does.
pub(super) fn rows_per_chunk(size: usize) -> usize {
    (CHUNK / size.max(1)).max(1)
}

/// Forward pass over rows.
pub(super) struct Rows {
    pub(super) x: *const f32,
    pub(super) weight: *const f32,
    pub(super) y: *mut f32,
    pub(super) r: *mut f32,
    pub(super) count: usize,
    pub(super) size: usize,
    pub(super) eps: f64,
}

impl Kernel for Rows {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let n = self.size;
        for row in 0..self.count {
            // SAFETY: all pointers are to the first of `count` rows of `size` elements (`r`: of 1, `weight`: one
            // row in all), and what is written is this task's alone; `y` is `x` or `residual` or elsewhere.
            unsafe {
                let x = self.x.add(row * n);
                let [squares] = sum_serial::<_, 1, 1, FUSED>(&Square, [x], n);
                let r = 1.0 / (squares / n as f32 + self.eps as f32).sqrt();
                *self.r.add(row) = r;
                let y = [self.y.add(row * n)];
                map_serial::<_, 2, 1, FUSED>(&Normalise { r }, [x, self.weight], y, n);
            }
        }
    }
}

/// Backward pass over rows.
pub(super) struct RowGradients {
    pub(super) x: *const f32,
    pub(super) weight: *const f32,
    pub(super) r: *const f32,
    pub(super) grad: *const f32,
    pub(super) d_x: *mut f32,
    /// One row, to which is added.
    pub(super) d_weight: Option<*mut f32>,
    pub(super) count: usize,
    pub(super) size: usize,
}

impl Kernel for RowGradients {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let n = self.size;
        for row in 0..self.count {
            // SAFETY: all pointers are to the first of `count` rows of `size` elements (`r`: of 1, `weight` and
            // `d_weight`: one row in all), and what is written is this task's alone; `d_x` is `grad` or elsewhere.
            unsafe {
                let (x, grad) = (self.x.add(row * n), self.grad.add(row * n));
                let r = *self.r.add(row);
                if let Some(d_weight) = self.d_weight {
                    let input = [d_weight.cast_const(), grad, x];
                    map_serial::<_, 3, 1, FUSED>(&AddProduct { r }, input, [d_weight], n);
                }
                let input = [x, self.weight, grad];
                let [dot] = sum_serial::<_, 3, 1, FUSED>(&Product, input, n);
                let along = dot * r * r / n as f32;
                let op = InputGradient { r, along };
                map_serial::<_, 3, 1, FUSED>(&op, input, [self.d_x.add(row * n)], n);
            }
        }
    }
}

struct Square;

impl Sum<1, 1> for Square {
    #[inline(always)]
    fn add<const FUSED: bool>(&self, [x]: [f32; 1], [sum]: [f32; 1]) -> [f32; 1] {
        [multiply_add::<FUSED>(x, x, sum)]
    }
}

struct Product;

impl Sum<3, 1> for Product {
    #[inline(always)]
    fn add<const FUSED: bool>(&self, [a, b, c]: [f32; 3], [sum]: [f32; 1]) -> [f32; 1] {
        [multiply_add::<FUSED>(a, b * c, sum)]
    }
}

struct Normalise {
    r: f32,
}

impl Map<2, 1> for Normalise {
    #[inline(always)]
    fn map<const FUSED: bool>(&self, [x, weight]: [f32; 2]) -> [f32; 1] {
        [x * self.r * weight]
    }
}

/// Of the weight's gradient so far, the gradient and `x`.
struct AddProduct {
    r: f32,
}

impl Map<3, 1> for AddProduct {
    #[inline(always)]
    fn map<const FUSED: bool>(&self, [sum, grad, x]: [f32; 3]) -> [f32; 1] {
        [multiply_add::<FUSED>(grad, x * self.r, sum)]
    }
}

/// Of `x`, the weight and the gradient.
struct InputGradient {
    r: f32,
    along: f32,
}

impl Map<3, 1> for InputGradient {
    #[inline(always)]
    fn map<const FUSED: bool>(&self, [x, weight, grad]: [f32; 3]) -> [f32; 1] {
        [self.r * multiply_add::<FUSED>(-self.along, x, grad * weight)]
    }
}
