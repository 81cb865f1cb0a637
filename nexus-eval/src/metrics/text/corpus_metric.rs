//! The methods that measures of texts share.

use super::segments::{per_segment, reference_count};
use crate::Result;
use crate::stats::{Bootstrap, BootstrapEstimate};

/// A measure of hypotheses against references, which are listed by segment: any number of at least one for each.
///
/// The text is read once, by [`statistics`](Self::statistics). [`score`](Self::score) makes the value of any selection of
/// segments of them, so resampling segments, as a bootstrap does, needs no text.
pub trait CorpusMetric: Sync {
    /// What a segment contributes.
    type Statistics: Send + 'static;
    /// The value of a corpus.
    type Score;

    /// A function of a hypothesis and its references, the work of [`statistics`](Self::statistics). Each thread has its
    /// own, so that it can keep buffers from segment to segment.
    fn segment_statistics(&self) -> impl FnMut(&str, &[&str]) -> Self::Statistics;

    /// The score of segments with these statistics; 0 without any.
    fn score<'a>(&self, statistics: impl IntoIterator<Item = &'a Self::Statistics>) -> Self::Score;

    /// What each segment contributes, computed in parallel.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) without segments, for unequal numbers of hypotheses and lists of
    /// references, and for a segment without references.
    fn statistics<H, R, G>(
        &self,
        hypotheses: &[H],
        references: &[G],
    ) -> Result<Vec<Self::Statistics>>
    where
        H: AsRef<str> + Sync,
        R: AsRef<str>,
        G: AsRef<[R]> + Sync,
    {
        reference_count(hypotheses.len(), references)?;
        let segment = || self.segment_statistics();
        Ok(per_segment(hypotheses.len(), segment, |segment, i| {
            let references: Vec<&str> = references[i].as_ref().iter().map(R::as_ref).collect();
            segment(hypotheses[i].as_ref(), &references)
        }))
    }

    /// The score of a corpus.
    ///
    /// # Errors
    /// As [`statistics`](Self::statistics).
    fn corpus<H, R, G>(&self, hypotheses: &[H], references: &[G]) -> Result<Self::Score>
    where
        H: AsRef<str> + Sync,
        R: AsRef<str>,
        G: AsRef<[R]> + Sync,
    {
        Ok(self.score(&self.statistics(hypotheses, references)?))
    }

    /// The score of one segment.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) without references.
    fn sentence<R: AsRef<str> + Sync>(
        &self,
        hypothesis: &str,
        references: &[R],
    ) -> Result<Self::Score> {
        self.corpus(&[hypothesis], &[references])
    }

    /// The bootstrap interval of one number of the score, such as `|score| score.score`, by resampling segments.
    ///
    /// # Errors
    /// As [`Bootstrap::interval`].
    fn interval(
        &self,
        statistics: &[Self::Statistics],
        number: impl Fn(&Self::Score) -> f64,
        bootstrap: &Bootstrap,
    ) -> Result<BootstrapEstimate> {
        bootstrap.interval(statistics.len(), |drawn| {
            Some(number(&self.score(drawn.iter().filter_map(|&i| statistics.get(i)))))
        })
    }
}
