//! ROUGE, as rouge_score computes it.

use super::corpus_metric::CorpusMetric;
use super::lcs::LcsTable;
use super::ngrams::{ReferenceNgrams, ngram_total};
use super::rouge_tokenizer::{RougeTokenizer, Tokens};
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
    /// Summary-level ROUGE-L: the union of the longest common subsequences of each line of the reference with each line
    /// of the hypothesis. Without line ends in the texts it is `L`.
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

/// ROUGE (Lin 2004, W04-1013), equal to rouge_score 0.1.2, which reproduces ROUGE-1.5.5.pl. Of several references the
/// one with the largest F counts, for each type apart (`score_multi`). Scores are in the order of the options' types, and those
/// of a corpus the means over its segments; [`interval`](CorpusMetric::interval) is `BootstrapAggregator` with a seed.
///
/// ```
/// use nexus_eval::metrics::text::{CorpusMetric, Rouge, RougeOptions};
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

    /// The settings in the manner of sacrebleu; rouge_score has none. The version is that of the rouge_score whose
    /// definition this is.
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

impl CorpusMetric for Rouge {
    /// By type: the scores of the segment.
    type Statistics = Vec<RougeScore>;
    /// By type: the means.
    type Score = Vec<RougeScore>;

    fn segment_statistics(&self) -> impl FnMut(&str, &[&str]) -> Vec<RougeScore> {
        let mut segment = Segment::new(&self.options);
        move |hypothesis, references| segment.scores(hypothesis, references, &self.options.types)
    }

    fn score<'a>(
        &self,
        statistics: impl IntoIterator<Item = &'a Vec<RougeScore>>,
    ) -> Vec<RougeScore> {
        let mut means = vec![RougeScore::default(); self.options.types.len()];
        let mut segments = 0_u64;
        for segment in statistics {
            segments += 1;
            for (sum, score) in means.iter_mut().zip(segment) {
                sum.precision += score.precision;
                sum.recall += score.recall;
                sum.fmeasure += score.fmeasure;
            }
        }
        for mean in &mut means {
            for sum in [&mut mean.precision, &mut mean.recall, &mut mean.fmeasure] {
                *sum /= segments.max(1) as f64;
            }
        }
        means
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
    fn scores(
        &mut self,
        hypothesis: &str,
        references: &[&str],
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
