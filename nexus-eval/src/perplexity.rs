//! Perplexity of documents, and of the trained part of examples.

use crate::likelihood::{Progress, ScoreOptions, log_likelihoods, row, sum};
use crate::prompt::{prefix_token, words};
use crate::stats::{Cluster, Estimate, mean, ratio};
use crate::windows::rolling_windows;
use nexus_core::data::{Example, Located, Record, Tokenizer};
use nexus_core::model::Decoder;
use nexus_core::report::{EvalReport, Measure};
use nexus_core::stage::Evaluator;
use nexus_core::{Error, Result};
use std::path::Path;
use std::time::Instant;

/// A document to measure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Its tokens, without special tokens around them.
    pub ids: Vec<u32>,
    /// Its number of words; 0 when there is no text.
    pub words: usize,
    /// Its number of bytes in UTF-8; 0 when there is no text.
    pub bytes: usize,
}

impl Document {
    /// A document from its text. Words are counted as lm-evaluation-harness does, `len(re.split(r"\s+", text))`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the text cannot be encoded.
    pub fn from_text(text: &str, tokenizer: &Tokenizer) -> Result<Self> {
        let ids = tokenizer.encode(text, false)?;
        Ok(Self { ids, words: words(text), bytes: text.len() })
    }

    /// A document of which only the tokens are known.
    pub fn from_ids(ids: Vec<u32>) -> Self {
        Self { ids, words: 0, bytes: 0 }
    }
}

/// Perplexity of whole documents: lm-evaluation-harness's `loglikelihood_rolling`.
///
/// Every token of every document is predicted once, from at most `max_length` tokens before it
/// ([`rolling_windows`]), the first from a prefix token. With L the sum of `-log p` over all documents:
///
/// | measure | value |
/// |---|---|
/// | `perplexity` | `exp(L / tokens)` |
/// | `loss` | `L / tokens`, in nats |
/// | `word_perplexity` | `exp(L / words)` |
/// | `byte_perplexity` | `exp(L / bytes)` |
/// | `bits_per_byte` | `L / bytes / ln 2` |
///
/// The last three are independent of the tokenizer; they are left out when a document has no text. The standard error
/// of each ratio is clustered by document ([`ratio`]), and carried through `exp` by the delta method. With a single
/// document, tokens are taken as independent ([`mean`]), which understates the error, and the number of words or bytes
/// per token as known.
#[derive(Clone, Debug)]
pub struct Perplexity {
    /// Name in the report; `perplexity` by default.
    pub task: String,
    documents: Vec<Document>,
    prefix: u32,
    options: ScoreOptions,
}

impl Perplexity {
    /// Perplexity of `documents`; `prefix` is what their first tokens are predicted from.
    ///
    /// # Errors
    /// [`Error::Config`] for options out of range; [`Error::Refused`] when no document has a token.
    pub fn new(documents: Vec<Document>, prefix: u32, options: ScoreOptions) -> Result<Self> {
        options.check()?;
        if documents.iter().all(|document| document.ids.is_empty()) {
            return Err(no_token());
        }
        Ok(Self { task: "perplexity".into(), documents, prefix, options })
    }

    /// Perplexity of text records; the prefix is the tokenizer's [`prefix_token`]. `path` is their file, for error
    /// messages.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Data`] with the line of a record that is not text; [`Error::Tokenizer`].
    pub fn from_records(
        records: &[Located],
        tokenizer: &Tokenizer,
        options: ScoreOptions,
        path: &Path,
    ) -> Result<Self> {
        let document = |located: &Located| {
            match &located.record {
            Record::Text { text } => Document::from_text(text, tokenizer),
            _ => Err(Error::Data {
                path: path.into(),
                line: located.line,
                why: "expected {\"text\"}; prompts and conversations are measured on their answers, in a file of \
                      their own"
                    .into(),
            }),
        }
        };
        let documents = records.iter().map(document).collect::<Result<_>>()?;
        Self::new(documents, prefix_token(tokenizer)?, options)
    }

    /// Number of documents, at least one.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// The document with this index alone; `None` when there are not so many, or it has no token.
    pub fn only(&self, index: usize) -> Option<Self> {
        let documents = vec![self.documents.get(index).filter(|d| !d.ids.is_empty())?.clone()];
        let options = self.options.clone();
        Some(Self { task: self.task.clone(), documents, prefix: self.prefix, options })
    }

    /// As [`evaluate`](Evaluator::evaluate), with word of how many windows are done.
    ///
    /// # Errors
    /// [`Error::Config`] for a `max_length` that the model cannot read; [`Error::Refused`] for token ids outside its
    /// vocabulary and for probabilities that are not finite.
    pub fn measure(&self, model: &Decoder, progress: &mut Progress<'_>) -> Result<EvalReport> {
        let start = Instant::now();
        let max_length = self.options.max_length(model.config())?;
        let mut owners = Vec::new();
        let mut rows = Vec::new();
        for (i, document) in self.documents.iter().enumerate() {
            for window in rolling_windows(&document.ids, self.prefix, max_length) {
                owners.push(i);
                rows.push(row(&window.context, &window.targets));
            }
        }
        let scores = log_likelihoods(model, &rows, self.options.batch_size, progress)?;
        let mut documents = vec![Vec::new(); self.documents.len()];
        for (owner, scores) in owners.into_iter().zip(scores) {
            documents[owner].extend(scores);
        }
        Ok(EvalReport {
            task: self.task.clone(),
            measures: self.measures(&documents).ok_or_else(no_token)?,
            examples: self.documents.len(),
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    fn measures(&self, scores: &[Vec<f32>]) -> Option<Vec<Measure>> {
        let mut measures = token_measures(scores)?;
        let textless = |document: &Document| document.words == 0 || document.bytes == 0;
        if self.documents.iter().any(|document| !document.ids.is_empty() && textless(document)) {
            return Some(measures);
        }
        let per = |unit: fn(&Document) -> usize| {
            let units = self.documents.iter().map(unit);
            let total = units.clone().sum::<usize>();
            Some((loss(scores, units)?, total))
        };
        let (per_word, words) = per(|document| document.words)?;
        let (per_byte, bytes) = per(|document| document.bytes)?;
        measures.push(lower("word_perplexity", per_word.exp(), words));
        measures.push(lower("byte_perplexity", per_byte.exp(), bytes));
        let bits = per_byte.scaled(std::f64::consts::LN_2.recip());
        measures.push(lower("bits_per_byte", bits, bytes));
        Some(measures)
    }
}

impl Evaluator<Decoder> for Perplexity {
    fn evaluate(&self, model: &Decoder) -> Result<EvalReport> {
        self.measure(model, &mut |_, _| {})
    }
}

/// Perplexity of the trained tokens of examples: what a model makes of completions after their prompts, or of the
/// assistant's part of conversations. Measures `perplexity` and `loss` as in [`Perplexity`], with standard errors
/// clustered by example.
#[derive(Clone, Debug)]
pub struct ExamplePerplexity {
    /// Name in the report; `perplexity` by default.
    pub task: String,
    examples: Vec<Example>,
    batch_size: usize,
}

impl ExamplePerplexity {
    /// Perplexity of the labels of `examples`, such as
    /// [`encode_records`](nexus_core::data::encode_records) gives them.
    ///
    /// # Errors
    /// [`Error::Config`] for a batch size of 0; [`Error::Refused`] when no example has a trained token.
    pub fn new(examples: Vec<Example>, batch_size: usize) -> Result<Self> {
        ScoreOptions { batch_size, ..ScoreOptions::default() }.check()?;
        match examples.iter().any(|example| example.trained_tokens() > 0) {
            true => Ok(Self { task: "perplexity".into(), examples, batch_size }),
            false => Err(no_token()),
        }
    }

    /// Number of examples, at least one.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// The example with this index alone; `None` when there are not so many, or nothing of it is trained.
    pub fn only(&self, index: usize) -> Option<Self> {
        let examples = vec![self.examples.get(index).filter(|e| e.trained_tokens() > 0)?.clone()];
        Some(Self { task: self.task.clone(), examples, batch_size: self.batch_size })
    }

    /// As [`evaluate`](Evaluator::evaluate), with word of how many examples are done.
    ///
    /// # Errors
    /// As [`Perplexity::measure`].
    pub fn measure(&self, model: &Decoder, progress: &mut Progress<'_>) -> Result<EvalReport> {
        let start = Instant::now();
        let scores = log_likelihoods(model, &self.examples, self.batch_size, progress)?;
        Ok(EvalReport {
            task: self.task.clone(),
            measures: token_measures(&scores).ok_or_else(no_token)?,
            examples: self.examples.len(),
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

impl Evaluator<Decoder> for ExamplePerplexity {
    fn evaluate(&self, model: &Decoder) -> Result<EvalReport> {
        self.measure(model, &mut |_, _| {})
    }
}

/// `perplexity` and `loss` of the scores of each cluster.
fn token_measures(scores: &[Vec<f32>]) -> Option<Vec<Measure>> {
    let tokens = scores.iter().map(Vec::len).sum();
    let loss = loss(scores, scores.iter().map(Vec::len))?;
    Some(vec![lower("perplexity", loss.exp(), tokens), lower("loss", loss, tokens)])
}

/// `-log p` in all by units in all, from the log-probabilities and the number of units of each cluster.
fn loss(scores: &[Vec<f32>], units: impl Iterator<Item = usize>) -> Option<Estimate> {
    let with_tokens = scores.iter().zip(units).filter(|(scores, _)| !scores.is_empty());
    let clusters: Vec<(&Vec<f32>, usize)> = with_tokens.collect();
    if let [(scores, units)] = clusters[..] {
        let values: Vec<f64> = scores.iter().map(|&score| -f64::from(score)).collect();
        let per_token = mean(&values)?;
        return (units > 0).then(|| per_token.scaled(values.len() as f64 / units as f64));
    }
    let cluster =
        |&(scores, units): &(&Vec<f32>, usize)| Cluster { sum: -sum(scores), weight: units as f64 };
    ratio(&clusters.iter().map(cluster).collect::<Vec<_>>())
}

fn lower(name: &str, estimate: Estimate, n: usize) -> Measure {
    Measure::lower(name, estimate.value, estimate.stderr, n)
}

fn no_token() -> Error {
    Error::Refused("there is no token to measure perplexity on".into())
}
