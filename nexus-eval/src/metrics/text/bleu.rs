//! BLEU, as sacrebleu computes it.

use super::bleu_tokenizer::BleuTokenizer;
use super::corpus_metric::CorpusMetric;
use super::ngrams::{ReferenceNgrams, ngram_total};
use super::segments::{ReferenceCount, Vocabulary};
use super::unicode::{is_space, words};
use super::{LARGEST_ORDER, SACREBLEU_VERSION};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What stands for the precision of an order without matches (Chen and Cherry 2014, W14-3346).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Smoothing {
    /// Nothing: the score is 0 as soon as one order has no match.
    None,
    /// This many matches; 0.1 in the paper (its method 1).
    Floor(f64),
    /// This is added to matches and totals of every order above 1; 1 in the paper (method 2).
    AddK(f64),
    /// A half, a quarter, ... of a match for the first, second, ... such order (method 3, that of NIST).
    #[default]
    Exp,
}

/// Settings of [`Bleu`].
///
/// | field | default | allowed |
/// |---|---|---|
/// | `tokenizer` | `V13a` | any |
/// | `smoothing` | `Exp` | a value is finite and at least 0 |
/// | `max_order` | 4 | 1 to 64 |
/// | `effective_order` | false | any |
/// | `lowercase` | false | any |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BleuOptions {
    /// How segments are cut into words.
    pub tokenizer: BleuTokenizer,
    /// What stands for a precision of 0.
    pub smoothing: Smoothing,
    /// The largest n of the n-grams.
    pub max_order: usize,
    /// Whether orders for which the hypotheses are too short are left out; advisable for single sentences.
    pub effective_order: bool,
    /// Whether upper and lower case are the same.
    pub lowercase: bool,
}

impl Default for BleuOptions {
    fn default() -> Self {
        Self {
            tokenizer: BleuTokenizer::default(),
            smoothing: Smoothing::default(),
            max_order: 4,
            effective_order: false,
            lowercase: false,
        }
    }
}

/// What a segment contributes to BLEU. A corpus' statistics are the sums of its segments'.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BleuStatistics {
    /// Words of the hypothesis.
    pub sys_len: u64,
    /// Words of the reference that is closest in length; the shorter of two.
    pub ref_len: u64,
    /// By order: n-grams of the hypothesis that a reference has, each at most as often as in one reference.
    pub counts: Vec<u64>,
    /// By order: n-grams of the hypothesis.
    pub totals: Vec<u64>,
}

impl BleuStatistics {
    /// Adds those of another segment.
    pub fn add(&mut self, other: &Self) {
        self.sys_len += other.sys_len;
        self.ref_len += other.ref_len;
        for (mine, others) in [(&mut self.counts, &other.counts), (&mut self.totals, &other.totals)]
        {
            mine.resize(mine.len().max(others.len()), 0);
            mine.iter_mut().zip(others).for_each(|(mine, other)| *mine += other);
        }
    }
}

/// A score and what it was made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BleuScore {
    /// BLEU, from 0 to 100.
    pub score: f64,
    /// By order: matches; with `AddK`, what was added too.
    pub counts: Vec<f64>,
    /// By order: n-grams of the hypotheses; with `AddK`, what was added too.
    pub totals: Vec<f64>,
    /// By order: precision in percent, smoothed.
    pub precisions: Vec<f64>,
    /// The brevity penalty.
    pub bp: f64,
    /// Words of the hypotheses.
    pub sys_len: u64,
    /// Words of the references.
    pub ref_len: u64,
}

impl fmt::Display for BleuScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BLEU = {:.2} ", self.score)?;
        for (i, precision) in self.precisions.iter().enumerate() {
            write!(f, "{}{precision:.1}", if i > 0 { "/" } else { "" })?;
        }
        let ratio = match self.ref_len {
            0 => 0.0,
            length => self.sys_len as f64 / length as f64,
        };
        let Self { bp, sys_len, ref_len, .. } = self;
        write!(f, " (BP = {bp:.3} ratio = {ratio:.3} hyp_len = {sys_len} ref_len = {ref_len})")
    }
}

impl BleuScore {
    /// sacrebleu's line: the score after its signature.
    pub fn line(&self, signature: &str) -> String {
        self.to_string().replacen("BLEU", &format!("BLEU|{signature}"), 1)
    }
}

/// BLEU (Papineni et al. 2002, P02-1040): the geometric mean of n-gram precisions times a penalty for brevity, equal to
/// sacrebleu 2.6.0 (Post 2018, W18-6319).
///
/// References are listed by segment; a segment may have any number of at least one. (sacrebleu takes lists by
/// reference, with `None` for one that a segment lacks.)
///
/// Deviation: lower case and character classes are those of the Unicode version that Nexus was built with, which is
/// newer than that of some Pythons; they differ in characters added since.
///
/// ```
/// use nexus_eval::metrics::text::{Bleu, BleuOptions, CorpusMetric};
/// let bleu = Bleu::new(BleuOptions::default())?;
/// let score = bleu.corpus(&["The dog bit the man."], &[["The dog had bit the man."]])?;
/// assert_eq!(format!("{:.2}", score.score), "51.15");
/// # Ok::<(), nexus_eval::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bleu {
    options: BleuOptions,
}

impl Bleu {
    /// BLEU with these options.
    ///
    /// # Errors
    /// [`Error::Config`] for an option out of range.
    pub fn new(options: BleuOptions) -> Result<Self> {
        if !(1..=LARGEST_ORDER).contains(&options.max_order) {
            return Err(Error::config("max_order", options.max_order, "1 to 64"));
        }
        if let Smoothing::Floor(value) | Smoothing::AddK(value) = options.smoothing
            && !(value.is_finite() && value >= 0.0)
        {
            return Err(Error::config("smoothing", value, "a finite number of at least 0"));
        }
        Ok(Self { options })
    }

    /// sacrebleu's signature; its version is that of the sacrebleu whose definition this is.
    pub fn signature(&self, references: ReferenceCount) -> String {
        let BleuOptions { tokenizer, smoothing, effective_order, lowercase, .. } = &self.options;
        let case = if *lowercase { "lc" } else { "mixed" };
        let effective = if *effective_order { "yes" } else { "no" };
        let smooth = match smoothing {
            Smoothing::None => "none".into(),
            Smoothing::Floor(value) => format!("floor[{value:.2}]"),
            Smoothing::AddK(value) => format!("add-k[{value:.2}]"),
            Smoothing::Exp => "exp".into(),
        };
        format!(
            "nrefs:{references}|case:{case}|eff:{effective}|tok:{}|smooth:{smooth}|version:{SACREBLEU_VERSION}",
            tokenizer.name()
        )
    }
}

impl CorpusMetric for Bleu {
    type Statistics = BleuStatistics;
    type Score = BleuScore;

    fn segment_statistics(&self) -> impl FnMut(&str, &[&str]) -> BleuStatistics {
        let mut segment = Segment::default();
        move |hypothesis, references| segment.statistics(hypothesis, references, &self.options)
    }

    fn score<'a>(&self, statistics: impl IntoIterator<Item = &'a BleuStatistics>) -> BleuScore {
        let mut sum = BleuStatistics::default();
        statistics.into_iter().for_each(|segment| sum.add(segment));
        score(&sum, &self.options)
    }
}

fn score(sum: &BleuStatistics, options: &BleuOptions) -> BleuScore {
    let order = options.max_order;
    let as_f64 = |counts: &[u64]| {
        (0..order).map(|i| counts.get(i).copied().unwrap_or(0) as f64).collect::<Vec<f64>>()
    };
    let (sys_len, ref_len) = (sum.sys_len, sum.ref_len);
    let bp = match (sys_len, ref_len) {
        (0, 1..) => 0.0,
        (sys, reference) if sys < reference => (1.0 - reference as f64 / sys as f64).exp(),
        _ => 1.0,
    };
    let mut result = BleuScore {
        score: 0.0,
        counts: as_f64(&sum.counts),
        totals: as_f64(&sum.totals),
        precisions: vec![0.0; order],
        bp,
        sys_len,
        ref_len,
    };
    if result.counts.iter().all(|&count| count == 0.0) {
        return result;
    }
    let mut halving = 1.0;
    let mut effective = order;
    for n in 0..order {
        if let (Smoothing::AddK(k), 1..) = (options.smoothing, n) {
            result.counts[n] += k;
            result.totals[n] += k;
        }
        let (count, total) = (result.counts[n], result.totals[n]);
        if total == 0.0 {
            break;
        }
        if options.effective_order {
            effective = n + 1;
        }
        result.precisions[n] = match options.smoothing {
            _ if count != 0.0 => 100.0 * count / total,
            Smoothing::Exp => {
                halving *= 2.0;
                100.0 / (halving * total)
            }
            Smoothing::Floor(value) => 100.0 * value / total,
            Smoothing::None | Smoothing::AddK(_) => 0.0,
        };
    }
    // A precision of 0 makes the score 0, as exp(-inf) is.
    let logs: f64 = result.precisions[..effective].iter().map(|precision| precision.ln()).sum();
    result.score = bp * (logs / effective as f64).exp();
    result
}

/// Buffers for one segment after another.
#[derive(Default)]
struct Segment {
    vocabulary: Vocabulary,
    ngrams: ReferenceNgrams,
    buffers: [String; 2],
    tokens: Vec<u32>,
}

impl Segment {
    fn statistics(
        &mut self,
        hypothesis: &str,
        references: &[&str],
        options: &BleuOptions,
    ) -> BleuStatistics {
        let order = options.max_order;
        self.ngrams.clear();
        let mut lengths = Vec::new();
        for reference in references {
            self.tokenize(reference, options);
            self.ngrams.add(&self.tokens, order);
            lengths.push(self.tokens.len());
        }
        self.tokenize(hypothesis, options);
        let length = self.tokens.len();
        let mut counts = vec![0; order];
        self.ngrams.count(&self.tokens, &mut counts);
        let closest = lengths.into_iter().min_by_key(|&other| (other.abs_diff(length), other));
        BleuStatistics {
            sys_len: length as u64,
            ref_len: closest.unwrap_or(0) as u64,
            counts,
            totals: (1..=order).map(|n| ngram_total(length, n)).collect(),
        }
    }

    fn tokenize(&mut self, text: &str, options: &BleuOptions) {
        let lower;
        let text = match options.lowercase {
            true => {
                lower = text.to_lowercase();
                &lower
            }
            false => text,
        };
        let text = options.tokenizer.apply(text.trim_end_matches(is_space), &mut self.buffers);
        self.tokens.clear();
        self.tokens.extend(words(text).map(|word| self.vocabulary.number(word)));
    }
}
