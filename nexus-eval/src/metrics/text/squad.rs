//! The measures of SQuAD: exact match and F1 of answers.

use super::segments::{per_segment, reference_count};
use super::unicode::{is_word, words};
use crate::Result;
use serde::Serialize;
use std::collections::HashMap;

/// Both measures, from 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SquadScore {
    /// The share of answers that are a reference after normalization.
    pub exact_match: f64,
    /// The mean over answers of the harmonic mean of precision and recall of words, for the reference with the largest.
    pub f1: f64,
}

/// Exact match and token F1 as in the official evaluation of SQuAD 1.1 (Rajpurkar et al. 2016, D16-1264, section 6.1;
/// `evaluate-v1.1.py`): without case, ASCII punctuation, articles and repeated white space, for the best of the references.
///
/// As there, F1 is 0 where nothing is left of an answer, even if nothing is left of the reference either. (Version 2.0, where
/// no answer can be right, gives 1.)
///
/// ```
/// use nexus_eval::metrics::text::Squad;
/// let score = Squad.sentence("The cat sat.", &["a cat", "cat sat"])?;
/// assert_eq!((score.exact_match, score.f1), (100.0, 100.0));
/// # Ok::<(), nexus_eval::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Squad;

impl Squad {
    /// The means over all answers.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) without answers, for unequal numbers of answers and lists of references, and
    /// for an answer without references.
    pub fn corpus<H, R, G>(&self, hypotheses: &[H], references: &[G]) -> Result<SquadScore>
    where
        H: AsRef<str> + Sync,
        R: AsRef<str>,
        G: AsRef<[R]> + Sync,
    {
        let segments = self.segments(hypotheses, references)?;
        let mean = |part: fn(&SquadScore) -> f64| {
            segments.iter().map(part).sum::<f64>() / segments.len() as f64
        };
        Ok(SquadScore { exact_match: mean(|s| s.exact_match), f1: mean(|s| s.f1) })
    }

    /// The measures of each answer.
    ///
    /// # Errors
    /// As [`corpus`](Self::corpus).
    pub fn segments<H, R, G>(&self, hypotheses: &[H], references: &[G]) -> Result<Vec<SquadScore>>
    where
        H: AsRef<str> + Sync,
        R: AsRef<str>,
        G: AsRef<[R]> + Sync,
    {
        reference_count(hypotheses.len(), references)?;
        Ok(per_segment(hypotheses.len(), || (), |(), i| {
            let hypothesis = normalize_answer(hypotheses[i].as_ref());
            let mut best = SquadScore::default();
            for reference in references[i].as_ref() {
                let reference = normalize_answer(reference.as_ref());
                if hypothesis == reference {
                    best.exact_match = 100.0;
                }
                best.f1 = best.f1.max(100.0 * f1(&hypothesis, &reference));
            }
            best
        }))
    }

    /// The measures of one answer.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) without references.
    pub fn sentence<R: AsRef<str> + Sync>(
        &self,
        hypothesis: &str,
        references: &[R],
    ) -> Result<SquadScore> {
        self.corpus(&[hypothesis], &[references])
    }

    /// The settings in the manner of sacrebleu; the version is SQuAD's.
    pub fn signature(&self) -> String {
        "case:lc|punct:no|articles:no|version:1.1".into()
    }
}

/// The answer as it is compared: in lower case, without ASCII punctuation and the words a, an and the, with single spaces.
pub fn normalize_answer(answer: &str) -> String {
    let mut text = answer.to_lowercase();
    text.retain(|c| !c.is_ascii_punctuation());
    // Articles end where a letter or number does not follow: the one in "the–end" goes too.
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let kind = is_word(first);
        let end = rest.find(|c| is_word(c) != kind).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        kept.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
        rest = after;
    }
    words(&kept).collect::<Vec<_>>().join(" ")
}

/// F1 of the words of two normalized answers.
fn f1(hypothesis: &str, reference: &str) -> f64 {
    let mut left: HashMap<&str, usize> = HashMap::new();
    let (mut reference_words, mut hypothesis_words, mut same) = (0, 0, 0);
    for word in words(reference) {
        *left.entry(word).or_default() += 1;
        reference_words += 1;
    }
    for word in words(hypothesis) {
        hypothesis_words += 1;
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            same += 1;
        }
    }
    if same == 0 {
        return 0.0;
    }
    let precision = f64::from(same) / f64::from(hypothesis_words);
    let recall = f64::from(same) / f64::from(reference_words);
    2.0 * precision * recall / (precision + recall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalization() {
        for (answer, expected) in [
            ("The  Cat's a-mazing, an end!", "cats amazing end"),
            ("the–end", "–end"),
            ("a\u{301} theé thé", "\u{301} theé thé"),
            ("A. AN THE", ""),
            ("x\u{a0}a\u{3000}y", "x y"),
        ] {
            assert_eq!(normalize_answer(answer), expected);
        }
    }

    #[test]
    fn best_reference_of_each_measure() {
        let score = Squad.sentence("the big cat", &["big dog", "small cat big", "a big cat"]).unwrap();
        assert_eq!(score, SquadScore { exact_match: 100.0, f1: 100.0 });
        let score = Squad.sentence("big cat", &["dog", "cat"]).unwrap();
        assert_eq!(score.exact_match, 0.0);
        assert!((score.f1 - 200.0 / 3.0).abs() < 1e-12);
        assert_eq!(Squad.sentence("the", &["a"]).unwrap().f1, 0.0);
        assert!(Squad.sentence::<&str>("the", &[]).is_err());
    }
}
