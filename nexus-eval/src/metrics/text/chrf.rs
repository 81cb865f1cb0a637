//! chrF and chrF++, as sacrebleu computes them.

use super::corpus_metric::CorpusMetric;
use super::ngrams::{ReferenceNgrams, ngram_total};
use super::segments::{ReferenceCount, Vocabulary};
use super::unicode::{is_space, words};
use super::{LARGEST_ORDER, SACREBLEU_VERSION};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Settings of [`Chrf`].
///
/// | field | default | allowed |
/// |---|---|---|
/// | `char_order` | 6 | 0 to 64, with `word_order` at least 1 |
/// | `word_order` | 0; 2 for chrF++ | 0 to 64 |
/// | `beta` | 2 | 0 to 1000 |
/// | `lowercase`, `whitespace`, `eps_smoothing` | false | any |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChrfOptions {
    /// The largest n of n-grams of characters.
    pub char_order: usize,
    /// The largest n of n-grams of words.
    pub word_order: usize,
    /// How many times as important recall is as precision.
    pub beta: u32,
    /// Whether upper and lower case are the same.
    pub lowercase: bool,
    /// Whether white space belongs to the n-grams of characters.
    pub whitespace: bool,
    /// Whether the F of each order is averaged, with 1e-16 for orders that a side has not, as in chrF++.py; else
    /// precisions and recalls are, over the orders that both sides have.
    pub eps_smoothing: bool,
}

impl Default for ChrfOptions {
    fn default() -> Self {
        Self {
            char_order: 6,
            word_order: 0,
            beta: 2,
            lowercase: false,
            whitespace: false,
            eps_smoothing: false,
        }
    }
}

/// What a segment contributes to chrF. A corpus' statistics are the sums of its segments'.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChrfStatistics {
    /// By order, of characters and then of words: n-grams of the hypothesis, or 0 if the reference has none of this
    /// order; n-grams of the reference; common ones.
    pub orders: Vec<[u64; 3]>,
}

impl ChrfStatistics {
    /// Adds those of another segment.
    pub fn add(&mut self, other: &Self) {
        self.orders.resize(self.orders.len().max(other.orders.len()), [0; 3]);
        for (mine, other) in self.orders.iter_mut().zip(&other.orders) {
            mine.iter_mut().zip(other).for_each(|(mine, other)| *mine += other);
        }
    }
}

/// A score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChrfScore {
    /// `chrF2`, `chrF2++` and so on.
    pub name: String,
    /// chrF, from 0 to 100.
    pub score: f64,
}

impl fmt::Display for ChrfScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:.2}", self.name, self.score)
    }
}

impl ChrfScore {
    /// sacrebleu's line: the score after its signature.
    pub fn line(&self, signature: &str) -> String {
        format!("{}|{signature} = {:.2}", self.name, self.score)
    }
}

/// chrF (Popović 2015, W15-3049) and chrF++ (Popović 2017, W17-4770): the F of character n-grams, and of word n-grams,
/// equal to sacrebleu 2.6.0. Of several references the one with the best score of the segment counts.
///
/// Deviation: as [`Bleu`](super::Bleu)'s, of lower case.
///
/// ```
/// use nexus_eval::metrics::text::{Chrf, ChrfOptions, CorpusMetric};
/// let chrf = Chrf::new(ChrfOptions { word_order: 2, ..ChrfOptions::default() })?;
/// let score = chrf.sentence("the cat", &["the cats"])?;
/// assert_eq!(score.name, "chrF2++");
/// # Ok::<(), nexus_eval::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Chrf {
    options: ChrfOptions,
}

impl Chrf {
    /// chrF with these options.
    ///
    /// # Errors
    /// [`Error::Config`] for an option out of range.
    pub fn new(options: ChrfOptions) -> Result<Self> {
        let ChrfOptions { char_order, word_order, beta, .. } = options;
        for (field, order) in [("char_order", char_order), ("word_order", word_order)] {
            if order > LARGEST_ORDER {
                return Err(Error::config(field, order, "0 to 64"));
            }
        }
        if char_order + word_order == 0 {
            return Err(Error::config("char_order", 0, "at least 1 when word_order is 0"));
        }
        if beta > 1000 {
            return Err(Error::config("beta", beta, "0 to 1000"));
        }
        Ok(Self { options })
    }

    /// sacrebleu's signature; its version is that of the sacrebleu whose definition this is.
    pub fn signature(&self, references: ReferenceCount) -> String {
        let ChrfOptions { char_order, word_order, lowercase, whitespace, eps_smoothing, .. } =
            self.options;
        let case = if lowercase { "lc" } else { "mixed" };
        let yes = |flag| if flag { "yes" } else { "no" };
        let (effective, space) = (yes(!eps_smoothing), yes(whitespace));
        format!(
            "nrefs:{references}|case:{case}|eff:{effective}|nc:{char_order}|nw:{word_order}|space:{space}|\
             version:{SACREBLEU_VERSION}"
        )
    }
}

impl CorpusMetric for Chrf {
    type Statistics = ChrfStatistics;
    type Score = ChrfScore;

    fn segment_statistics(&self) -> impl FnMut(&str, &[&str]) -> ChrfStatistics {
        let mut segment = Segment::default();
        move |hypothesis, references| segment.statistics(hypothesis, references, &self.options)
    }

    fn score<'a>(&self, statistics: impl IntoIterator<Item = &'a ChrfStatistics>) -> ChrfScore {
        let mut sum = ChrfStatistics::default();
        statistics.into_iter().for_each(|segment| sum.add(segment));
        let ChrfOptions { beta, word_order, .. } = self.options;
        let name = format!("chrF{beta}{}", "+".repeat(word_order));
        ChrfScore { name, score: fscore(&sum, &self.options) }
    }
}

fn fscore(statistics: &ChrfStatistics, options: &ChrfOptions) -> f64 {
    const EPSILON: f64 = 1e-16;
    let factor = f64::from(options.beta).powi(2);
    let f = |precision: f64, recall: f64| {
        (1.0 + factor) * precision * recall / (factor * precision + recall)
    };
    let (mut sum, mut precisions, mut recalls, mut effective) = (0.0, 0.0, 0.0, 0.0);
    for &[hypothesis, reference, common] in &statistics.orders {
        let share = |total| match total {
            0 => EPSILON,
            total => common as f64 / total as f64,
        };
        let (precision, recall) = (share(hypothesis), share(reference));
        sum += if factor * precision + recall > 0.0 { f(precision, recall) } else { EPSILON };
        if hypothesis > 0 && reference > 0 {
            precisions += precision;
            recalls += recall;
            effective += 1.0;
        }
    }
    if options.eps_smoothing {
        return 100.0 * sum / (options.char_order + options.word_order) as f64;
    }
    match precisions + recalls {
        0.0 => 0.0,
        _ => 100.0 * f(precisions / effective, recalls / effective),
    }
}

/// Buffers for one segment after another.
#[derive(Default)]
struct Segment {
    vocabulary: Vocabulary,
    ngrams: ReferenceNgrams,
    hypothesis: Units,
    reference: Units,
}

/// A text as numbers of characters and of words.
#[derive(Default)]
struct Units {
    characters: Vec<u32>,
    words: Vec<u32>,
}

impl Units {
    fn read(&mut self, text: &str, vocabulary: &mut Vocabulary, options: &ChrfOptions) {
        let lower;
        let text = match options.lowercase {
            true => {
                lower = text.to_lowercase();
                &lower
            }
            false => text,
        };
        self.characters.clear();
        self.words.clear();
        if options.char_order > 0 {
            let kept = text.chars().filter(|&c| options.whitespace || !is_space(c));
            self.characters.extend(kept.map(u32::from));
        }
        if options.word_order > 0 {
            let parts = words(text).flat_map(|word| {
                let (word, mark) = split_punctuation(word);
                [Some(word), mark].into_iter().flatten()
            });
            self.words.extend(parts.map(|word| vocabulary.number(word)));
        }
    }
}

/// Cuts one ASCII punctuation mark off a word of two or more characters: the last one, else the first.
fn split_punctuation(word: &str) -> (&str, Option<&str>) {
    let mark = |c: char| c.is_ascii_punctuation();
    let (first, last) = (1, word.len().saturating_sub(1));
    match () {
        () if word.chars().nth(1).is_none() => (word, None),
        () if word.ends_with(mark) => (&word[..last], Some(&word[last..])),
        () if word.starts_with(mark) => (&word[..first], Some(&word[first..])),
        () => (word, None),
    }
}

impl Segment {
    fn statistics(
        &mut self,
        hypothesis: &str,
        references: &[&str],
        options: &ChrfOptions,
    ) -> ChrfStatistics {
        self.hypothesis.read(hypothesis, &mut self.vocabulary, options);
        let mut best = (-1.0, ChrfStatistics::default());
        for reference in references {
            self.reference.read(reference, &mut self.vocabulary, options);
            let mut orders = Vec::with_capacity(options.char_order + options.word_order);
            let (hypothesis, reference) = (&self.hypothesis, &self.reference);
            for (hypothesis, reference, max_order) in [
                (&hypothesis.characters, &reference.characters, options.char_order),
                (&hypothesis.words, &reference.words, options.word_order),
            ] {
                self.ngrams.clear();
                self.ngrams.add(reference, max_order);
                let mut matches = vec![0; max_order];
                self.ngrams.count(hypothesis, &mut matches);
                orders.extend((1..).zip(matches).map(|(order, matches)| {
                    let reference = ngram_total(reference.len(), order);
                    // What no n-gram of the reference could match does not count against the hypothesis.
                    let hypothesis = match reference {
                        0 => 0,
                        _ => ngram_total(hypothesis.len(), order),
                    };
                    [hypothesis, reference, matches]
                }));
            }
            let statistics = ChrfStatistics { orders };
            let score = fscore(&statistics, options);
            if score > best.0 {
                best = (score, statistics);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mark_is_cut_off() {
        for (word, expected) in [
            ("(hi)", ("(hi", Some(")"))),
            ("(hi", ("(", Some("hi"))),
            ("?", ("?", None)),
            ("é", ("é", None)),
            ("é.", ("é", Some("."))),
            ("x。", ("x。", None)),
        ] {
            assert_eq!(split_punctuation(word), expected);
        }
    }

    #[test]
    fn options_are_checked() {
        let chrf = |char_order, word_order, beta| {
            let options = ChrfOptions { char_order, word_order, beta, ..ChrfOptions::default() };
            Chrf::new(options).map(|_| ()).map_err(|why| why.to_string())
        };
        assert_eq!(chrf(0, 1, 0), Ok(()));
        assert!(chrf(0, 0, 2).unwrap_err().contains("char_order"));
        assert!(chrf(65, 0, 2).is_err() && chrf(6, 65, 2).is_err() && chrf(6, 0, 1001).is_err());
    }
}
