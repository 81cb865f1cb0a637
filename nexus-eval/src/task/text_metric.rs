//! Measures of generated texts against references.

use crate::Result;

/// What was written, and what should have been: one text or several.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TextPair {
    pub(super) prediction: String,
    pub(super) references: Vec<String>,
}

/// A measure of texts, by the name it has in task files.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextMetric {
    pub(super) name: &'static str,
    pub(super) higher_is_better: bool,
    pub(super) score: TextScore,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum TextScore {
    /// Each text has a value; the task's is their mean.
    Mean(fn(&TextPair) -> Result<f64>),
    /// Only the corpus has a value.
    Corpus(fn(&[&TextPair]) -> Result<f64>),
}

/// Every measure of texts that a task may name.
pub(super) const TEXT_METRICS: &[TextMetric] = &[];
