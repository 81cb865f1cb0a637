//! TER, as sacrebleu computes it.

use super::SACREBLEU_VERSION;
use super::corpus_metric::CorpusMetric;
use super::segments::{ReferenceCount, Vocabulary};
use super::ter_shifts::edits;
use super::ter_tokenizer::tokenize;
use super::unicode::words;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Settings of [`Ter`]; all false by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TerOptions {
    /// Whether entities are replaced, lines joined and punctuation set apart.
    pub normalized: bool,
    /// Whether punctuation is left out.
    pub no_punct: bool,
    /// Whether, when `normalized`, Chinese characters and Asian punctuation are words of their own, and, when
    /// `no_punct`, Asian punctuation is left out.
    pub asian_support: bool,
    /// Whether upper and lower case differ.
    pub case_sensitive: bool,
}

/// What a segment contributes to TER. A corpus' statistics are the sums of its segments'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TerStatistics {
    /// Edits to the reference with the fewest.
    pub num_edits: u64,
    /// The mean length of the references, in words.
    pub ref_length: f64,
}

/// A score and what it was made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TerScore {
    /// Edits by words of the reference in percent: 0 is best; there is no upper end. 100 for edits of an empty
    /// reference.
    pub score: f64,
    /// Edits.
    pub num_edits: u64,
    /// Words of the references, the mean of each segment's.
    pub ref_length: f64,
}

impl fmt::Display for TerScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TER = {:.2}", self.score)
    }
}

impl TerScore {
    /// sacrebleu's line: the score after its signature.
    pub fn line(&self, signature: &str) -> String {
        format!("TER|{signature} = {:.2}", self.score)
    }
}

/// Translation edit rate (Snover et al. 2006, 2006.amta-papers.25): insertions, deletions, replacements and shifts of
/// phrases that make the reference of the hypothesis, by the reference's length; equal to sacrebleu 2.6.0, which
/// follows Tercom with its limits of the search and a beam of its own.
///
/// Deviation: as [`Bleu`](super::Bleu)'s, of lower case.
///
/// ```
/// use nexus_eval::metrics::text::{CorpusMetric, Ter, TerOptions};
/// let score = Ter::new(TerOptions::default()).sentence("sat the cat", &["the cat sat"])?;
/// assert_eq!(score.num_edits, 1);
/// # Ok::<(), nexus_eval::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Ter {
    options: TerOptions,
}

impl Ter {
    /// TER with these options.
    pub fn new(options: TerOptions) -> Self {
        Self { options }
    }

    /// sacrebleu's signature; its version is that of the sacrebleu whose definition this is.
    pub fn signature(&self, references: ReferenceCount) -> String {
        let TerOptions { normalized, no_punct, asian_support, case_sensitive } = self.options;
        let case = if case_sensitive { "mixed" } else { "lc" };
        let yes = |flag| if flag { "yes" } else { "no" };
        format!(
            "nrefs:{references}|case:{case}|tok:tercom|norm:{}|punct:{}|asian:{}|version:{SACREBLEU_VERSION}",
            yes(normalized),
            yes(!no_punct),
            yes(asian_support)
        )
    }
}

impl CorpusMetric for Ter {
    type Statistics = TerStatistics;
    type Score = TerScore;

    fn segment_statistics(&self) -> impl FnMut(&str, &[&str]) -> TerStatistics {
        let mut vocabulary = Vocabulary::default();
        move |hypothesis, references| {
            let mut numbers = |text: &str| -> Vec<u32> {
                words(text).map(|word| vocabulary.number(word)).collect()
            };
            let tokenize = |text: &str| tokenize(text, &self.options);
            let hypothesis = numbers(&tokenize(hypothesis));
            let (mut fewest, mut length) = (None::<u64>, 0);
            for reference in references {
                // sacrebleu tokenizes references twice, which can cut more: the 's of a word before another white space
                // than " ".
                let reference = numbers(&tokenize(&tokenize(reference)));
                let edits = edits(&hypothesis, &reference);
                fewest = Some(fewest.map_or(edits, |fewest| fewest.min(edits)));
                length += reference.len();
            }
            let ref_length = length as f64 / references.len().max(1) as f64;
            TerStatistics { num_edits: fewest.unwrap_or(0), ref_length }
        }
    }

    fn score<'a>(&self, statistics: impl IntoIterator<Item = &'a TerStatistics>) -> TerScore {
        let (mut num_edits, mut ref_length) = (0, 0.0);
        for segment in statistics {
            num_edits += segment.num_edits;
            ref_length += segment.ref_length;
        }
        let score = match (num_edits, ref_length > 0.0) {
            (edits, true) => 100.0 * (edits as f64 / ref_length),
            (0, false) => 0.0,
            (_, false) => 100.0,
        };
        TerScore { score, num_edits, ref_length }
    }
}
