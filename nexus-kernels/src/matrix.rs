//! Strided views of matrices in memory.

/// A strided matrix that is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a, T = f32> {
    /// Begins at element (0, 0).
    data: &'a [T],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    strides: [usize; 2],
}

impl<'a, T: Copy> Matrix<'a, T> {
    /// A dense row-major matrix.
    pub(crate) fn dense(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self::strided(data, [rows, cols], [cols, 1])
    }

    /// Element (i, j) is `data[i * strides[0] + j * strides[1]]`.
    ///
    /// # Panics
    /// If an element would lie beyond `data`.
    pub(crate) fn strided(data: &'a [T], [rows, cols]: [usize; 2], strides: [usize; 2]) -> Self {
        // What the safety of the products rests on.
        if rows > 0 && cols > 0 {
            let along = |count: usize, stride: usize| (count - 1).checked_mul(stride);
            let last = along(rows, strides[0]).zip(along(cols, strides[1]));
            let last = last.and_then(|(i, j)| i.checked_add(j));
            assert!(last.is_some_and(|last| last < data.len()), "matrix beyond its storage");
        }
        Self { data, rows, cols, strides }
    }

    /// The transpose, without moving anything.
    pub(crate) fn t(self) -> Self {
        let [row, col] = self.strides;
        Self { rows: self.cols, cols: self.rows, strides: [col, row], ..self }
    }

    /// The part of `[rows, cols]` that begins at element (i, j).
    ///
    /// # Panics
    /// Beyond the shape.
    pub(crate) fn part(self, [i, j]: [usize; 2], [rows, cols]: [usize; 2]) -> Self {
        assert!(i + rows <= self.rows && j + cols <= self.cols, "part of a matrix");
        let start = i * self.strides[0] + j * self.strides[1];
        let data = if rows == 0 || cols == 0 { &[] } else { &self.data[start..] };
        Self { data, rows, cols, ..self }
    }

    /// Rows `start..start + count`.
    ///
    /// # Panics
    /// Beyond the shape.
    pub(crate) fn slice_rows(self, start: usize, count: usize) -> Self {
        self.part([start, 0], [count, self.cols])
    }

    /// Element (i, j).
    ///
    /// # Panics
    /// Beyond the shape.
    #[inline(always)]
    pub(crate) fn get(&self, i: usize, j: usize) -> T {
        assert!(i < self.rows && j < self.cols, "element beyond the matrix");
        self.data[i * self.strides[0] + j * self.strides[1]]
    }

    /// The storage from the first element of row `i`.
    ///
    /// # Panics
    /// Beyond the shape.
    #[inline(always)]
    pub(crate) fn storage_of_row(&self, i: usize) -> &'a [T] {
        assert!(i < self.rows, "row beyond the matrix");
        &self.data[(i * self.strides[0]).min(self.data.len())..]
    }

    /// Elements from one row to the next, and from one column to the next.
    pub(crate) fn strides(&self) -> [usize; 2] {
        self.strides
    }

    /// The address of element (0, 0).
    pub(crate) fn as_ptr(&self) -> *const T {
        self.data.as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "beyond its storage")]
    fn refuses_a_matrix_beyond_its_storage() {
        Matrix::strided(&[0.0; 5], [2, 3], [3, 1]);
    }

    #[test]
    #[should_panic(expected = "beyond its storage")]
    fn refuses_strides_that_overflow() {
        Matrix::strided(&[0.0; 5], [3, 3], [usize::MAX / 2 + 1, 1]);
    }
}
