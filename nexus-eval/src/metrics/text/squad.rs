//! The measures of SQuAD: exact match and F1 of answers.

use super::corpus_metric::CorpusMetric;
use super::unicode::{is_word, words};
use serde::Serialize;
use std::collections::HashMap;

/// Both measures, of an answer or their means over answers, from 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SquadScore {
    /// The share of answers that are a reference after normalization.
    pub exact_match: f64,
    /// The mean over answers of the harmonic mean of precision and recall of words, for the reference with the largest.
    pub f1: f64,
}

/// Exact match and token F1 as in the official evaluation of SQuAD 1.1 (Rajpurkar et al. 2016, D16-1264, section 6.1;
/// `evaluate-v1.1.py`): without case, ASCII punctuation, articles and repeated white space, for the best of the
/// references.
///
/// As there, F1 is 0 where nothing is left of an answer, even if nothing is left of the reference either. (Version 2.0,
/// where no answer can be right, gives 1.)
///
/// ```
/// use nexus_eval::metrics::text::{CorpusMetric, Squad};
/// let score = Squad.sentence("The cat sat.", &["a cat", "cat sat"])?;
/// assert_eq!((score.exact_match, score.f1), (100.0, 100.0));
/// # Ok::<(), nexus_eval::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Squad;

impl Squad {
    /// The settings in the manner of sacrebleu; the version is SQuAD's.
    pub fn signature(&self) -> String {
        "case:lc|punct:no|articles:no|version:1.1".into()
    }
}

impl CorpusMetric for Squad {
    /// The measures of each answer.
    type Statistics = SquadScore;
    type Score = SquadScore;

    fn segment_statistics(&self) -> impl FnMut(&str, &[&str]) -> SquadScore {
        |hypothesis, references| {
            let hypothesis = normalize_answer(hypothesis);
            let mut best = SquadScore::default();
            for reference in references {
                let reference = normalize_answer(reference);
                if hypothesis == reference {
                    best.exact_match = 100.0;
                }
                best.f1 = best.f1.max(100.0 * f1(&hypothesis, &reference));
            }
            best
        }
    }

    fn score<'a>(&self, statistics: impl IntoIterator<Item = &'a SquadScore>) -> SquadScore {
        let (mut sum, mut answers) = (SquadScore::default(), 0_u64);
        for answer in statistics {
            sum.exact_match += answer.exact_match;
            sum.f1 += answer.f1;
            answers += 1;
        }
        let answers = answers.max(1) as f64;
        SquadScore { exact_match: sum.exact_match / answers, f1: sum.f1 / answers }
    }
}

/// The answer as it is compared: in lower case, without ASCII punctuation and the words a, an and the, with single
/// spaces.
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
        let score =
            Squad.sentence("the big cat", &["big dog", "small cat big", "a big cat"]).unwrap();
        assert_eq!(score, SquadScore { exact_match: 100.0, f1: 100.0 });
        let score = Squad.sentence("big cat", &["dog", "cat"]).unwrap();
        assert_eq!(score.exact_match, 0.0);
        assert!((score.f1 - 200.0 / 3.0).abs() < 1e-12);
        assert_eq!(Squad.sentence("the", &["a"]).unwrap().f1, 0.0);
        assert!(Squad.sentence::<&str>("the", &[]).is_err());
    }
}
