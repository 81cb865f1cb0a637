//! Longest common subsequences, 64 columns at a time.

/// The table of longest common subsequences of a reference with the beginnings of a candidate, as differences: bit i of column j
/// says whether `L(i + 1, j)` is `L(i, j) + 1`, where `L(i, j)` is the length for the first i tokens of the reference and the first j of the
/// candidate (Hyyrö 2004, "Bit-parallel LCS-length computation revisited", figure 4, with the bits inverted).
#[derive(Default)]
pub(super) struct LcsTable {
    /// Words of 64 bits in a column.
    width: usize,
    /// By token: the bits of the reference's places that hold it. All zero between uses.
    places: Vec<u64>,
    /// The columns, the first for the empty beginning.
    columns: Vec<u64>,
}

impl LcsTable {
    /// Computes the table. Tokens are numbers below `vocabulary`.
    pub(super) fn fill(&mut self, reference: &[u32], candidate: &[u32], vocabulary: usize) {
        let width = reference.len().div_ceil(64).max(1);
        self.width = width;
        if self.places.len() < vocabulary * width {
            self.places.resize(vocabulary * width, 0);
        }
        for (i, &token) in reference.iter().enumerate() {
            self.places[token as usize * width + i / 64] |= 1 << (i % 64);
        }
        self.columns.clear();
        self.columns.resize(width * (candidate.len() + 1), 0);
        for (j, &token) in candidate.iter().enumerate() {
            let (before, rest) = self.columns[j * width..].split_at_mut(width);
            let places = &self.places[token as usize * width..][..width];
            let mut carry = false;
            for ((&column, &place), next) in before.iter().zip(places).zip(&mut *rest) {
                // V' = (V + (V & M)) | (V & ~M) on the inverted column V.
                let v = !column;
                let (sum, over1) = v.overflowing_add(v & place);
                let (sum, over2) = sum.overflowing_add(u64::from(carry));
                carry = over1 || over2;
                *next = !(sum | (v & !place));
            }
        }
        for &token in reference {
            self.places[token as usize * width..][..width].fill(0);
        }
        // Bits beyond the reference stay 0: no token of the candidate has a place there.
    }

    /// The length of the longest common subsequence.
    pub(super) fn length(&self) -> usize {
        let last = &self.columns[self.columns.len() - self.width..];
        last.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Calls `found` with each place of the reference that belongs to the longest common subsequence which one finds by going
    /// back from the end: through equal tokens; else along the candidate where the reference's token adds to the length, and
    /// along the reference where it does not.
    pub(super) fn trace(
        &self,
        reference: &[u32],
        candidate: &[u32],
        mut found: impl FnMut(usize),
    ) {
        let (mut i, mut j) = (reference.len(), candidate.len());
        while i > 0 && j > 0 {
            let column = self.columns[j * self.width + (i - 1) / 64];
            if reference[i - 1] == candidate[j - 1] {
                found(i - 1);
                (i, j) = (i - 1, j - 1);
            } else if column >> ((i - 1) % 64) & 1 == 1 {
                j -= 1;
            } else {
                i -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The table of lengths, entry by entry, and the way back through it.
    fn slow(reference: &[u32], candidate: &[u32]) -> (usize, Vec<usize>) {
        let (m, n) = (reference.len(), candidate.len());
        let mut length = vec![vec![0; n + 1]; m + 1];
        for i in 1..=m {
            for j in 1..=n {
                length[i][j] = match reference[i - 1] == candidate[j - 1] {
                    true => length[i - 1][j - 1] + 1,
                    false => length[i - 1][j].max(length[i][j - 1]),
                };
            }
        }
        let (mut i, mut j, mut places) = (m, n, Vec::new());
        while i > 0 && j > 0 {
            if reference[i - 1] == candidate[j - 1] {
                places.push(i - 1);
                (i, j) = (i - 1, j - 1);
            } else if length[i][j - 1] > length[i - 1][j] {
                j -= 1;
            } else {
                i -= 1;
            }
        }
        (length[m][n], places)
    }

    proptest! {
        #[test]
        fn as_the_table_of_lengths(
            pairs in prop::collection::vec(
                (prop::collection::vec(0u32..6, 0..200), prop::collection::vec(0u32..6, 0..150)),
                1..4,
            ),
        ) {
            let mut table = LcsTable::default();
            for (reference, candidate) in &pairs {
                table.fill(reference, candidate, 6);
                let mut places = Vec::new();
                table.trace(reference, candidate, |place| places.push(place));
                prop_assert_eq!((table.length(), places), slow(reference, candidate));
            }
        }
    }
}
