//! Edit distance within a beam, with the edits.

/// Half the width of the beam, unless the lengths differ so much that rows would not overlap.
const BEAM_WIDTH: usize = 25;

/// Farther than any distance, and one edit more fits.
const FAR: u32 = u32::MAX / 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    Match,
    Replace,
    /// A word of the reference that the hypothesis lacks.
    Insert,
    /// A word of the hypothesis that the reference lacks.
    Delete,
}

/// Which words belong together when a hypothesis is edited into the reference.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Alignment {
    /// By word of the reference: one more than the place of its word of the hypothesis, or of the last one before it; 0 if there
    /// is none.
    pub(super) after: Vec<usize>,
    /// By word of the reference: whether it was inserted or replaced.
    pub(super) reference_error: Vec<bool>,
    /// By word of the hypothesis: whether it was deleted or replaced.
    pub(super) hypothesis_error: Vec<bool>,
}

/// The distances of one reference from hypotheses that differ little: rows of a common beginning are kept.
///
/// The rows are those of sacrebleu's `BeamEditDistance`: only cells around the diagonal are computed, and where several edits cost the
/// same, matches and replacements go before deletions, and these before insertions.
pub(super) struct BeamDistance<'a> {
    reference: &'a [u32],
    /// The hypothesis whose rows are in `cells`.
    hypothesis: Vec<u32>,
    cells: Vec<(u32, Edit)>,
}

impl<'a> BeamDistance<'a> {
    pub(super) fn new(reference: &'a [u32]) -> Self {
        let cells = (0..=reference.len() as u32).map(|cost| (cost, Edit::Insert)).collect();
        Self { reference, hypothesis: Vec::new(), cells }
    }

    /// The distance from a hypothesis of the same length as all before.
    pub(super) fn distance(&mut self, hypothesis: &[u32]) -> u32 {
        let columns = self.reference.len() + 1;
        let same = hypothesis.iter().zip(&self.hypothesis).take_while(|(a, b)| a == b).count();
        self.cells.resize((hypothesis.len() + 1) * columns, (FAR, Edit::Insert));
        let ratio = self.reference.len() as f64 / hypothesis.len().max(1) as f64;
        let beam = match BEAM_WIDTH as f64 {
            width if width < ratio / 2.0 => (ratio / 2.0 + width).ceil() as usize,
            _ => BEAM_WIDTH,
        };
        for (i, &word) in hypothesis.iter().enumerate().skip(same) {
            let (above, row) = self.cells[i * columns..].split_at_mut(columns);
            let row = &mut row[..columns];
            row.fill((FAR, Edit::Insert));
            let diagonal = ((i + 1) as f64 * ratio).floor() as usize;
            let last = i + 1 == hypothesis.len();
            let end = if last { columns } else { columns.min(diagonal + beam) };
            let mut start = diagonal.saturating_sub(beam);
            if start == 0 {
                row[0] = (above[0].0 + 1, Edit::Delete);
                start = 1;
            }
            for j in start..end {
                let (cost, edit) = match word == self.reference[j - 1] {
                    true => (0, Edit::Match),
                    false => (1, Edit::Replace),
                };
                let mut best = (above[j - 1].0 + cost, edit);
                for (cost, edit) in [(above[j].0, Edit::Delete), (row[j - 1].0, Edit::Insert)] {
                    if cost + 1 < best.0 {
                        best = (cost + 1, edit);
                    }
                }
                row[j] = (best.0.min(FAR), best.1);
            }
        }
        self.hypothesis.clear();
        self.hypothesis.extend(hypothesis);
        self.cells.last().map_or(0, |cell| cell.0)
    }

    /// The alignment of the last hypothesis.
    pub(super) fn alignment(&self) -> Alignment {
        let columns = self.reference.len() + 1;
        let (mut i, mut j) = (self.hypothesis.len(), self.reference.len());
        let mut alignment = Alignment {
            after: vec![0; j],
            reference_error: vec![false; j],
            hypothesis_error: vec![false; i],
        };
        while i > 0 || j > 0 {
            let edit = match (i, j) {
                (0, _) => Edit::Insert,
                (_, 0) => Edit::Delete,
                _ => self.cells[i * columns + j].1,
            };
            let error = edit != Edit::Match;
            if edit != Edit::Delete {
                alignment.after[j - 1] = i;
                alignment.reference_error[j - 1] = error;
                j -= 1;
            }
            if edit != Edit::Insert {
                alignment.hypothesis_error[i - 1] = error;
                i -= 1;
            }
        }
        alignment
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::text::edit_distance;
    use proptest::prelude::*;

    #[test]
    fn alignment_by_hand() {
        // a b c -> a x c d: b is replaced, d inserted.
        let mut distance = BeamDistance::new(&[1, 9, 3, 4]);
        assert_eq!(distance.distance(&[1, 2, 3]), 2);
        let expected = Alignment {
            after: vec![1, 2, 3, 3],
            reference_error: vec![false, true, false, true],
            hypothesis_error: vec![false, true, false],
        };
        assert_eq!(distance.alignment(), expected);
        assert_eq!(BeamDistance::new(&[]).distance(&[]), 0);
        assert_eq!(BeamDistance::new(&[1, 2]).distance(&[]), 2);
    }

    proptest! {
        #[test]
        fn the_distance_where_the_beam_holds_everything(
            reference in prop::collection::vec(0u32..4, 0..20),
            hypotheses in prop::collection::vec(prop::collection::vec(0u32..4, 8), 1..5),
        ) {
            let mut distance = BeamDistance::new(&reference);
            for hypothesis in &hypotheses {
                let found = distance.distance(hypothesis) as usize;
                prop_assert_eq!(found, edit_distance(hypothesis, &reference));
            }
        }
    }
}
