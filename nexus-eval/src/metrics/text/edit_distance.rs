//! Edit distances, word error rate and character error rate.

use super::segments::{Vocabulary, per_segment, same_length};
use super::unicode::words;
use crate::Result;
use serde::{Deserialize, Serialize};

/// What is inserted, deleted and replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditUnit {
    /// Words between white space: word error rate.
    Words,
    /// Unicode scalar values, white space included: character error rate.
    Characters,
}

/// Edits of a corpus or a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EditCount {
    /// The least insertions, deletions and replacements that make the references of the hypotheses.
    pub edits: u64,
    /// Units of the references.
    pub reference_len: u64,
}

impl EditCount {
    /// Edits by units of the reference, from 0 upwards, above 1 when there are more edits than units. `None` when the references
    /// are empty.
    pub fn rate(&self) -> Option<f64> {
        (self.reference_len > 0).then(|| self.edits as f64 / self.reference_len as f64)
    }
}

/// Word error rate or character error rate: Levenshtein distances, summed, by the length of the references, summed. Texts are
/// compared as they are; normalize them first where case and punctuation do not count.
///
/// ```
/// use nexus_eval::metrics::text::{EditRate, EditUnit};
/// let wer = EditRate::new(EditUnit::Words).corpus(&["a b x", "c"], &["a b c", "c d"])?;
/// assert_eq!((wer.edits, wer.rate()), (2, Some(0.4)));
/// # Ok::<(), nexus_eval::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditRate {
    unit: EditUnit,
}

impl EditRate {
    /// The rate of edits of this unit.
    pub fn new(unit: EditUnit) -> Self {
        Self { unit }
    }

    /// The edits of all segments, each with one reference.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) without segments and for unequal numbers of hypotheses and references.
    pub fn corpus<H, R>(&self, hypotheses: &[H], references: &[R]) -> Result<EditCount>
    where
        H: AsRef<str> + Sync,
        R: AsRef<str> + Sync,
    {
        let mut sum = EditCount::default();
        for segment in self.segments(hypotheses, references)? {
            sum.edits += segment.edits;
            sum.reference_len += segment.reference_len;
        }
        Ok(sum)
    }

    /// The edits of each segment.
    ///
    /// # Errors
    /// As [`corpus`](Self::corpus).
    pub fn segments<H, R>(&self, hypotheses: &[H], references: &[R]) -> Result<Vec<EditCount>>
    where
        H: AsRef<str> + Sync,
        R: AsRef<str> + Sync,
    {
        same_length(hypotheses.len(), references.len())?;
        Ok(per_segment(hypotheses.len(), Vocabulary::default, |vocabulary, i| {
            let mut units = |text: &str| -> Vec<u32> {
                match self.unit {
                    EditUnit::Words => words(text).map(|word| vocabulary.number(word)).collect(),
                    EditUnit::Characters => text.chars().map(u32::from).collect(),
                }
            };
            let (hypothesis, reference) =
                (units(hypotheses[i].as_ref()), units(references[i].as_ref()));
            EditCount {
                edits: edit_distance(&hypothesis, &reference) as u64,
                reference_len: reference.len() as u64,
            }
        }))
    }

    /// The edits of one segment.
    pub fn sentence(&self, hypothesis: &str, reference: &str) -> EditCount {
        let segments = self.segments(&[hypothesis], &[reference]).unwrap_or_default();
        segments.into_iter().next().unwrap_or_default()
    }

    /// The settings in the manner of sacrebleu.
    pub fn signature(&self) -> String {
        let unit = if self.unit == EditUnit::Words { "words" } else { "characters" };
        format!("nrefs:1|case:mixed|unit:{unit}")
    }
}

/// The Levenshtein distance: the least insertions, deletions and replacements that make one sequence of the other.
pub fn edit_distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let same_start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same_start..], &b[same_start..]);
    let same_end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - same_end], &b[..b.len() - same_end]);
    // By column j, the distance of the row's beginning of a from the first j of b.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let (mut diagonal, mut left) = (i, i + 1);
        row[0] = left;
        for (y, cell) in b.iter().zip(&mut row[1..]) {
            let replaced = diagonal + usize::from(x != y);
            (diagonal, left) = (*cell, replaced.min(left + 1).min(*cell + 1));
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        let characters = EditRate::new(EditUnit::Characters);
        let count = characters.sentence("kitten", "sitting");
        assert_eq!(count, EditCount { edits: 3, reference_len: 7 });
        assert_eq!(characters.sentence("", "añb").edits, 3);
        assert_eq!(characters.sentence("abc", "").rate(), None);
        assert_eq!(EditRate::new(EditUnit::Words).sentence("a b  c", "a c").edits, 1);
        let why = characters.corpus(&["a", "b"], &["a"]).unwrap_err().to_string();
        assert!(why.contains("2 hypotheses") && why.contains("1 segments"), "{why}");
    }

    proptest! {
        #[test]
        fn is_a_metric(
            a in prop::collection::vec(0u8..3, 0..12),
            b in prop::collection::vec(0u8..3, 0..12),
            c in prop::collection::vec(0u8..3, 0..12),
        ) {
            let d = |x: &[u8], y: &[u8]| edit_distance(x, y);
            prop_assert_eq!(d(&a, &b) == 0, a == b);
            prop_assert_eq!(d(&a, &b), d(&b, &a));
            prop_assert!(d(&a, &c) <= d(&a, &b) + d(&b, &c));
            prop_assert!(d(&a, &b) >= a.len().abs_diff(b.len()) && d(&a, &b) <= a.len().max(b.len()));
        }
    }
}
