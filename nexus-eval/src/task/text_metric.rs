//! Measures of generated texts against references, by the names that they have in task files.

use crate::Result;
use crate::metrics::text::{
    Bleu, BleuOptions, Chrf, ChrfOptions, CorpusMetric, Rouge, RougeOptions, RougeType, Ter,
    TerOptions,
};

/// What was written, and what should have been: one text or several.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TextPair {
    pub(super) prediction: String,
    pub(super) references: Vec<String>,
}

/// A measure of texts.
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
    /// Only a corpus has a value.
    Corpus(fn(&[&TextPair]) -> Result<CorpusScore>),
}

/// The value of any selection of the texts of a corpus, by their places.
pub(super) type CorpusScore = Box<dyn Fn(&[usize]) -> f64>;

/// Every measure of texts that a task may name: sacrebleu's with its defaults, and the F of rouge_score without stemming, as
/// Hugging Face's `evaluate` gives it. Of several references BLEU counts the n-grams of all, the others take
/// the best one.
pub(super) const TEXT_METRICS: &[TextMetric] = &[
    TextMetric { name: "bleu", higher_is_better: true, score: TextScore::Corpus(bleu) },
    TextMetric { name: "chrf", higher_is_better: true, score: TextScore::Corpus(|t| chrf(t, 0)) },
    TextMetric { name: "chrf++", higher_is_better: true, score: TextScore::Corpus(|t| chrf(t, 2)) },
    TextMetric { name: "ter", higher_is_better: false, score: TextScore::Corpus(ter) },
    TextMetric {
        name: "rouge1",
        higher_is_better: true,
        score: TextScore::Mean(|pair| rouge(pair, RougeType::N(1))),
    },
    TextMetric {
        name: "rouge2",
        higher_is_better: true,
        score: TextScore::Mean(|pair| rouge(pair, RougeType::N(2))),
    },
    TextMetric {
        name: "rougeL",
        higher_is_better: true,
        score: TextScore::Mean(|pair| rouge(pair, RougeType::L)),
    },
    TextMetric {
        name: "rougeLsum",
        higher_is_better: true,
        score: TextScore::Mean(|pair| rouge(pair, RougeType::Lsum)),
    },
];

fn predictions<'a>(texts: &[&'a TextPair]) -> Vec<&'a str> {
    texts.iter().map(|pair| pair.prediction.as_str()).collect()
}

fn references<'a>(texts: &[&'a TextPair]) -> Vec<&'a [String]> {
    texts.iter().map(|pair| pair.references.as_slice()).collect()
}

fn bleu(texts: &[&TextPair]) -> Result<CorpusScore> {
    let bleu = Bleu::new(BleuOptions::default())?;
    let all = bleu.statistics(&predictions(texts), &references(texts))?;
    Ok(Box::new(move |places| bleu.score(places.iter().filter_map(|&i| all.get(i))).score))
}

fn chrf(texts: &[&TextPair], word_order: usize) -> Result<CorpusScore> {
    let chrf = Chrf::new(ChrfOptions { word_order, ..ChrfOptions::default() })?;
    let all = chrf.statistics(&predictions(texts), &references(texts))?;
    Ok(Box::new(move |places| chrf.score(places.iter().filter_map(|&i| all.get(i))).score))
}

fn ter(texts: &[&TextPair]) -> Result<CorpusScore> {
    let ter = Ter::new(TerOptions::default());
    let all = ter.statistics(&predictions(texts), &references(texts))?;
    Ok(Box::new(move |places| ter.score(places.iter().filter_map(|&i| all.get(i))).score))
}

fn rouge(pair: &TextPair, kind: RougeType) -> Result<f64> {
    let rouge = Rouge::new(RougeOptions { types: vec![kind], ..RougeOptions::default() })?;
    let scores = rouge.sentence(&pair.prediction, &pair.references)?;
    Ok(scores.first().map_or(0.0, |score| score.fmeasure))
}
