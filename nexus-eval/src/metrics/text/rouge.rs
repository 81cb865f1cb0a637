//! ROUGE, as rouge_score computes it.

use super::bootstrap::{Bootstrap, Interval};
use super::lcs::LcsTable;
use super::ngrams::{ReferenceNgrams, ngram_total};
use super::rouge_tokenizer::{RougeTokenizer, Tokens};
use super::segments::{per_segment, reference_count};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The rouge_score whose definition [`Rouge`] follows.
const ROUGE_SCORE_VERSION: &str = "0.1.2";

/// A kind of ROUGE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RougeType {
    /// ROUGE-N: common n-grams, for n from 1 to 9.
    N(usize),
    /// ROUGE-L: the longest common subsequence of both texts; line ends mean nothing.
    L,
    /// Summary-level ROUGE-L: the union of the longest common subsequences of each line of the reference with each line of the
    /// hypothesis. Without line ends in the texts it is `L`.
    Lsum,
}

impl fmt::Display for RougeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::N(n) => write!(f, "rouge{n}"),
            Self::L => f.write_str("rougeL"),
            Self::Lsum => f.write_str("rougeLsum"),
        }
    }
}

/// Settings of [`Rouge`].
///
/// | field | default | allowed |
/// |---|---|---|
/// | `types` | 1, 2, L, Lsum | at least one; n from 1 to 9 |
/// | `stemmer` | false | any |
/// | `tokenizer` | `Default` | any |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RougeOptions {
    /// What is computed.
    pub types: Vec<RougeType>,
    /// Whether tokens of more than three letters are reduced to their stems, by [`porter_stem`](super::porter_stem).
    pub stemmer: bool,
    /// How texts are cut into tokens.
    pub tokenizer: RougeTokenizer,
}

impl Default for RougeOptions {
    fn default() -> Self {
        let types = vec![RougeType::N(1), RougeType::N(2), RougeType::L, RougeType::Lsum];
        Self { types, stemmer: false, tokenizer: RougeTokenizer::default() }
    }
}

/// Precision, recall and their harmonic mean, each from 0 to 1; 0 where a side has nothing to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RougeScore {
    /// The share of the hypothesis that the reference has.
    pub precision: f64,
    /// The share of the reference that the hypothesis has.
    pub recall: f64,
    /// `2 P R / (P + R)`.
    pub fmeasure: f64,
}

impl RougeScore {
    fn new(hits: u64, hypothesis: u64, reference: u64) -> Self {
        let precision = hits as f64 / hypothesis.max(1) as f64;
        let recall = hits as f64 / reference.max(1) as f64;
        let sum = precision + recall;
        let fmeasure = if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 };
        Self { precision, recall, fmeasure }
    }
}

/// The scores of a corpus.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RougeReport {
    /// What was computed.
    pub types: Vec<RougeType>,
    /// By segment, the scores of each type.
    pub segments: Vec<Vec<RougeScore>>,
}

impl RougeReport {
    fn column(&self, kind: RougeType) -> Result<Vec<[f64; 3]>> {
        let Some(column) = self.types.iter().position(|&found| found == kind) else {
            return Err(Error::Refused(format!("{kind} was not computed; add it to `types`")));
        };
        let row = |score: &RougeScore| [score.precision, score.recall, score.fmeasure];
        Ok(self.segments.iter().filter_map(|scores| scores.get(column)).map(row).collect())
    }

    /// The means over the segments.
    ///
    /// # Errors
    /// [`Error::Refused`] for a type that was not computed.
    pub fn mean(&self, kind: RougeType) -> Result<RougeScore> {
        let rows = self.column(kind)?;
        let mean = |i: usize| rows.iter().map(|row| row[i]).sum::<f64>() / rows.len() as f64;
        Ok(RougeScore { precision: mean(0), recall: mean(1), fmeasure: mean(2) })
    }

    /// Percentile intervals of the means by resampling segments: rouge_score's `BootstrapAggregator`, with a generator of its
    /// own, so that runs can be repeated. `mid` is the median of the resamples' means, not the mean.
    ///
    /// # Errors
    /// [`Error::Refused`] for a type that was not computed; [`Error::Config`] for an option out of range.
    pub fn aggregate(&self, kind: RougeType, bootstrap: &Bootstrap) -> Result<Interval<RougeScore>> {
        let [p, r, f] = bootstrap.intervals(&self.column(kind)?)?;
        let score = |precision, recall, fmeasure| RougeScore { precision, recall, fmeasure };
        Ok(Interval {
            low: score(p.low, r.low, f.low),
            mid: score(p.mid, r.mid, f.mid),
            high: score(p.high, r.high, f.high),
        })
    }
}

/// ROUGE (Lin 2004, W04-1013), equal to rouge_score 0.1.2, which reproduces ROUGE-1.5.5.pl. Of several references the one with the
/// largest F counts, for each type apart (`score_multi`).
///
/// ```
/// use nexus_eval::metrics::text::{Rouge, RougeOptions};
/// let rouge = Rouge::new(RougeOptions::default())?;
/// let scores = rouge.sentence("the cat sat", &["the cat sat down"])?;
/// assert_eq!((scores[0].precision, scores[0].recall), (1.0, 0.75));
/// # Ok::<(), nexus_eval::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rouge {
    options: RougeOptions,
}

impl Rouge {
    /// ROUGE with these options.
    ///
    /// # Errors
    /// [`Error::Config`] for an option out of range.
    pub fn new(options: RougeOptions) -> Result<Self> {
        if options.types.is_empty() {
            return Err(Error::config("types", "[]", "at least one type"));
        }
        let wrong = |kind: &&RougeType| matches!(kind, RougeType::N(n) if !(1..=9).contains(n));
        if let Some(kind) = options.types.iter().find(wrong) {
            return Err(Error::config("types", kind, "rouge1 to rouge9, rougeL or rougeLsum"));
        }
        Ok(Self { options })
    }

    /// The scores of each segment.
    ///
    /// # Errors
    /// [`Error::Refused`] without segments, for unequal numbers of hypotheses and lists of references, and for a segment
    /// without references.
    pub fn corpus<H, R, G>(&self, hypotheses: &[H], references: &[G]) -> Result<RougeReport>
    where
        H: AsRef<str> + Sync,
        R: AsRef<str>,
        G: AsRef<[R]> + Sync,
    {
        reference_count(hypotheses.len(), references)?;
        let segment = || Segment::new(&self.options);
        let segments = per_segment(hypotheses.len(), segment, |segment, i| {
            let references = references[i].as_ref().iter().map(R::as_ref);
            segment.scores(hypotheses[i].as_ref(), references, &self.options.types)
        });
        Ok(RougeReport { types: self.options.types.clone(), segments })
    }

    /// The scores of one text, in the order of the options' types.
    ///
    /// # Errors
    /// [`Error::Refused`] without references.
    pub fn sentence<R: AsRef<str> + Sync>(
        &self,
        hypothesis: &str,
        references: &[R],
    ) -> Result<Vec<RougeScore>> {
        let report = self.corpus(&[hypothesis], &[references])?;
        Ok(report.segments.into_iter().flatten().collect())
    }

    /// The settings in the manner of sacrebleu; rouge_score has none. The version is that of the rouge_score whose definition
    /// this is.
    pub fn signature(&self) -> String {
        let RougeOptions { types, stemmer, tokenizer } = &self.options;
        let types: Vec<String> = types.iter().map(RougeType::to_string).collect();
        let stemmer = if *stemmer { "porter-nltk" } else { "no" };
        let tokenizer = match tokenizer {
            RougeTokenizer::Default => "default",
            RougeTokenizer::Unicode => "unicode",
        };
        let types = types.join(",");
        format!("types:{types}|tok:{tokenizer}|stem:{stemmer}|version:{ROUGE_SCORE_VERSION}")
    }
}

/// A text as tokens, line by line.
#[derive(Default)]
struct Text {
    tokens: Vec<u32>,
    /// By line: the end of its tokens.
    ends: Vec<usize>,
}

impl Text {
    fn lines(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.tokens[start..end])
    }

    fn read(&mut self, text: &str, tokens: &mut Tokens) {
        self.tokens.clear();
        self.ends.clear();
        // A line end separates tokens too, so the lines' tokens are the text's.
        for line in text.split('\n') {
            tokens.of(line, &mut self.tokens);
            self.ends.push(self.tokens.len());
        }
    }
}

/// Buffers for one segment after another.
struct Segment {
    tokens: Tokens,
    hypothesis: Text,
    reference: Text,
    ngrams: ReferenceNgrams,
    table: LcsTable,
    /// By token: how often it may still count on both sides. Zero between uses.
    left: Vec<[u32; 2]>,
    /// By place in a line of the reference: whether a longest common subsequence has it.
    union: Vec<bool>,
}

impl Segment {
    fn new(options: &RougeOptions) -> Self {
        Self {
            tokens: Tokens::new(options.tokenizer, options.stemmer),
            hypothesis: Text::default(),
            reference: Text::default(),
            ngrams: ReferenceNgrams::default(),
            table: LcsTable::default(),
            left: Vec::new(),
            union: Vec::new(),
        }
    }

    /// By type: the score with the largest F, the first of equal ones.
    fn scores<'a>(
        &mut self,
        hypothesis: &str,
        references: impl Iterator<Item = &'a str>,
        types: &[RougeType],
    ) -> Vec<RougeScore> {
        self.hypothesis.read(hypothesis, &mut self.tokens);
        let orders = types.iter().map(|kind| if let RougeType::N(n) = kind { *n } else { 0 });
        let mut matches = vec![0; orders.max().unwrap_or(0)];
        let mut best: Vec<RougeScore> = Vec::new();
        for reference in references {
            self.reference.read(reference, &mut self.tokens);
            self.ngrams.clear();
            self.ngrams.add(&self.reference.tokens, matches.len());
            self.ngrams.count(&self.hypothesis.tokens, &mut matches);
            let scores = types.iter().map(|kind| self.score(*kind, &matches));
            if best.is_empty() {
                best = scores.collect();
            } else {
                for (score, best) in scores.zip(&mut best) {
                    if score.fmeasure > best.fmeasure {
                        *best = score;
                    }
                }
            }
        }
        best
    }

    fn score(&mut self, kind: RougeType, matches: &[u64]) -> RougeScore {
        let (h, r) = (self.hypothesis.tokens.len(), self.reference.tokens.len());
        match kind {
            RougeType::N(n) => {
                let hits = matches.get(n.wrapping_sub(1)).copied().unwrap_or(0);
                RougeScore::new(hits, ngram_total(h, n), ngram_total(r, n))
            }
            RougeType::L => {
                let (reference, hypothesis) = (&self.reference.tokens, &self.hypothesis.tokens);
                self.table.fill(reference, hypothesis, self.tokens.vocabulary());
                RougeScore::new(self.table.length() as u64, h as u64, r as u64)
            }
            RougeType::Lsum => RougeScore::new(self.union_hits(), h as u64, r as u64),
        }
    }

    /// The tokens of each line's union of longest common subsequences, none more often than it occurs in either text.
    fn union_hits(&mut self) -> u64 {
        self.left.resize(self.tokens.vocabulary().max(self.left.len()), [0, 0]);
        for (side, text) in [&self.reference, &self.hypothesis].into_iter().enumerate() {
            for &token in &text.tokens {
                self.left[token as usize][side] += 1;
            }
        }
        let mut hits = 0;
        for line in self.reference.lines() {
            self.union.clear();
            self.union.resize(line.len(), false);
            for candidate in self.hypothesis.lines() {
                self.table.fill(line, candidate, self.tokens.vocabulary());
                self.table.trace(line, candidate, |place| self.union[place] = true);
            }
            for (token, _) in line.iter().zip(&self.union).filter(|(_, found)| **found) {
                let left = &mut self.left[*token as usize];
                if left.iter().all(|&count| count > 0) {
                    hits += 1;
                    *left = left.map(|count| count - 1);
                }
            }
        }
        for token in self.reference.tokens.iter().chain(&self.hypothesis.tokens) {
            self.left[*token as usize] = [0, 0];
        }
        hits
    }
}
