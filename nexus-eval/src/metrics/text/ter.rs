//! TER, as sacrebleu computes it.

use super::SACREBLEU_VERSION;
use super::segments::{ReferenceCount, Vocabulary, per_segment, reference_count};
use super::ter_shifts::edits;
use super::ter_tokenizer::tokenize;
use super::unicode::words;
use crate::Result;
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
    /// Whether, when `normalized`, Chinese characters and Asian punctuation are words of their own, and, when `no_punct`, Asian
    /// punctuation is left out.
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
    /// Edits by words of the reference in percent: 0 is best; there is no upper end. 100 for edits of an empty reference.
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

/// Translation edit rate (Snover et al. 2006, 2006.amta-papers.25): insertions, deletions, replacements and shifts of phrases that make the
/// reference of the hypothesis, by the reference's length; equal to sacrebleu 2.6.0, which follows Tercom with its limits of the
/// search and a beam of its own.
///
/// Deviation: as [`Bleu`](super::Bleu)'s, of lower case.
///
/// ```
/// use nexus_eval::metrics::text::{Ter, TerOptions};
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

    /// The score of a corpus.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) without segments, for unequal numbers of hypotheses and lists of references, and for
    /// a segment without references.
    pub fn corpus<H, R, G>(&self, hypotheses: &[H], references: &[G]) -> Result<TerScore>
    where
        H: AsRef<str> + Sync,
        R: AsRef<str>,
        G: AsRef<[R]> + Sync,
    {
        Ok(self.score(&self.statistics(hypotheses, references)?))
    }

    /// The score of one sentence.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) without references.
    pub fn sentence<R: AsRef<str> + Sync>(
        &self,
        hypothesis: &str,
        references: &[R],
    ) -> Result<TerScore> {
        self.corpus(&[hypothesis], &[references])
    }

    /// What each segment contributes.
    ///
    /// # Errors
    /// As [`corpus`](Self::corpus).
    pub fn statistics<H, R, G>(
        &self,
        hypotheses: &[H],
        references: &[G],
    ) -> Result<Vec<TerStatistics>>
    where
        H: AsRef<str> + Sync,
        R: AsRef<str>,
        G: AsRef<[R]> + Sync,
    {
        reference_count(hypotheses.len(), references)?;
        Ok(per_segment(hypotheses.len(), Vocabulary::default, |vocabulary, i| {
            let mut numbers = |text: &str| -> Vec<u32> {
                words(text).map(|word| vocabulary.number(word)).collect()
            };
            let tokenize = |text: &str| tokenize(text, &self.options);
            let hypothesis = numbers(&tokenize(hypotheses[i].as_ref()));
            let (mut fewest, mut length) = (None::<u64>, 0);
            for reference in references[i].as_ref() {
                // sacrebleu tokenizes references twice, which can cut more: the 's of a word before another white space than " ".
                let reference = numbers(&tokenize(&tokenize(reference.as_ref())));
                let edits = edits(&hypothesis, &reference);
                fewest = Some(fewest.map_or(edits, |fewest| fewest.min(edits)));
                length += reference.len();
            }
            let ref_length = length as f64 / references[i].as_ref().len() as f64;
            TerStatistics { num_edits: fewest.unwrap_or(0), ref_length }
        }))
    }

    /// The score of segments with these statistics; 0 without any.
    pub fn score<'a>(&self, statistics: impl IntoIterator<Item = &'a TerStatistics>) -> TerScore {
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
