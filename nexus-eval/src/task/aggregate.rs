//! From the values of documents to the value of a task, with its standard error.

use super::metric::{Kind, Metric};
use super::python_random::PythonRandom;
use super::text_metric::{TextMetric, TextPair, TextScore};
use crate::Result;
use crate::metrics::classification::ConfusionMatrix;
use crate::stats;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The value of a measure for one document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sample {
    Number(f64),
    /// A log-likelihood and the number of units that it is spread over.
    Weighted(f64, usize),
    Texts(TextPair),
    /// The right class and the answer.
    Classes(usize, usize),
    /// The right class and the probability of each.
    Probabilities(usize, Vec<f64>),
}

/// The value over a selection of documents, by their places.
type Selection = Box<dyn Fn(&[usize]) -> Option<f64>>;

/// Resamples of measures of a corpus, which are slow: the harness's.
const CORPUS_RESAMPLES: usize = 100;
/// Resamples that share one seed in the harness.
const CHUNK: usize = 1000;

impl Metric {
    /// The value over all documents; `None` where there is none to divide by.
    pub(super) fn aggregate(&self, samples: &[&Sample]) -> Result<Option<f64>> {
        let all: Vec<usize> = (0..samples.len()).collect();
        Ok(self.over(samples)?(&all))
    }

    /// What gives the value over a selection of documents, by their places; a place may occur again.
    fn over(&self, samples: &[&Sample]) -> Result<Selection> {
        let mean = |of: fn(f64) -> f64| {
            let numbers: Vec<f64> = samples.iter().filter_map(|sample| sample.number()).collect();
            let value = move |places: &[usize]| {
                let sum: f64 = places.iter().filter_map(|&i| numbers.get(i)).sum();
                (!places.is_empty()).then(|| of(sum / places.len() as f64))
            };
            Box::new(value) as Selection
        };
        let per_unit = |of: fn(f64) -> f64| {
            let pairs = samples.iter().filter_map(|sample| match sample {
                Sample::Weighted(sum, units) => Some((*sum, *units)),
                _ => None,
            });
            let pairs: Vec<(f64, usize)> = pairs.collect();
            let value = move |places: &[usize]| {
                let chosen = places.iter().filter_map(|&i| pairs.get(i));
                let (sum, units) = chosen.fold((0.0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
                (units > 0).then(|| of(-sum / units as f64))
            };
            Box::new(value) as Selection
        };
        Ok(match &self.kind {
            Kind::Perplexity => mean(|mean| (-mean).exp()),
            Kind::WordPerplexity | Kind::BytePerplexity => per_unit(f64::exp),
            Kind::BitsPerByte => per_unit(|nats| nats / std::f64::consts::LN_2),
            Kind::F1 => classes(samples, |pairs| Some(f1(&pairs))),
            Kind::Matthews => classes(samples, |pairs| {
                let (gold, answers): (Vec<usize>, Vec<usize>) = pairs.into_iter().unzip();
                ConfusionMatrix::of(&gold, &answers).ok().map(|matrix| matrix.matthews())
            }),
            Kind::MacroF1 => classes(samples, |pairs| macro_f1(&pairs)),
            Kind::Text(TextMetric { score: TextScore::Corpus(prepare), .. }) => {
                let texts = samples.iter().filter_map(|sample| match sample {
                    Sample::Texts(pair) => Some(pair),
                    _ => None,
                });
                let score = prepare(&texts.collect::<Vec<_>>())?;
                Box::new(move |places| Some(score(places)))
            }
            _ => mean(|mean| mean),
        })
    }

    /// The standard error of [`aggregate`](Self::aggregate).
    pub(super) fn stderr(&self, samples: &[&Sample], resamples: usize) -> Result<Option<f64>> {
        if resamples == 0 || samples.len() < 2 {
            return Ok(None);
        }
        let resamples = match &self.kind {
            Kind::Perplexity | Kind::F1 | Kind::Matthews => resamples,
            Kind::Text(TextMetric { score: TextScore::Corpus(_), .. }) => {
                resamples.min(CORPUS_RESAMPLES)
            }
            _ if self.aggregation() == "mean" => {
                let numbers: Vec<f64> =
                    samples.iter().filter_map(|sample| sample.number()).collect();
                return Ok(stats::mean(&numbers).and_then(|mean| mean.stderr));
            }
            _ => return Ok(None),
        };
        let over = self.over(samples)?;
        // Chunks of resamples, each drawn with a generator that is seeded with its number.
        let (chunk, n) = (resamples.min(CHUNK), samples.len());
        let mut values = Vec::with_capacity(resamples);
        let mut places = vec![0; n];
        for seed in 0..resamples / chunk {
            let mut random = PythonRandom::new(seed as u64);
            for _ in 0..chunk {
                places.fill_with(|| random.choice(n));
                values.extend(over(&places));
            }
        }
        // The deviation of one resample, not of their mean.
        let count = values.len() as f64;
        Ok(stats::mean(&values).and_then(|mean| mean.stderr).map(|error| error * count.sqrt()))
    }
}

impl Sample {
    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            Self::Probabilities(gold, all) => Some(brier(*gold, all)),
            _ => None,
        }
    }

    /// As the harness writes it into its samples.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Number(value) => (*value).into(),
            Self::Weighted(sum, units) => json!([sum, units]),
            Self::Classes(gold, answer) => json!([gold, answer]),
            Self::Probabilities(gold, all) => json!([gold, all]),
            Self::Texts(TextPair { prediction, references }) => match &references[..] {
                [reference] => json!([reference, prediction]),
                _ => json!([references, prediction]),
            },
        }
    }
}

/// The value over pairs of the right class and the answer.
fn classes(samples: &[&Sample], of: fn(Vec<(usize, usize)>) -> Option<f64>) -> Selection {
    let pairs = samples.iter().filter_map(|sample| match sample {
        Sample::Classes(gold, answer) => Some((*gold, *answer)),
        _ => None,
    });
    let pairs: Vec<(usize, usize)> = pairs.collect();
    Box::new(move |places| of(places.iter().filter_map(|&i| pairs.get(i).copied()).collect()))
}

/// `2 tp / (2 tp + fp + fn)` of class 1; 0 where it neither occurs nor is answered.
fn f1(pairs: &[(usize, usize)]) -> f64 {
    let hits = pairs.iter().filter(|pair| **pair == (1, 1)).count();
    let all =
        pairs.iter().map(|(gold, answer)| usize::from(*gold == 1) + usize::from(*answer == 1));
    match all.sum::<usize>() {
        0 => 0.0,
        all => 2.0 * hits as f64 / all as f64,
    }
}

/// The squared distance of the probabilities from the truth, over all classes (Brier 1950).
fn brier(gold: usize, probabilities: &[f64]) -> f64 {
    let square = |(class, p): (usize, &f64)| (p - f64::from(u8::from(class == gold))).powi(2);
    probabilities.iter().enumerate().map(square).sum()
}

/// The mean over the classes that occur of `2 tp / (2 tp + fp + fn)`.
fn macro_f1(pairs: &[(usize, usize)]) -> Option<f64> {
    let mut counts = BTreeMap::<usize, [usize; 2]>::new();
    for (gold, answer) in pairs {
        for class in [gold, answer] {
            let count = counts.entry(*class).or_default();
            count[0] += usize::from(gold == answer);
            count[1] += 1;
        }
    }
    let f1: Vec<f64> = counts.values().map(|[hits, all]| *hits as f64 / *all as f64).collect();
    stats::mean(&f1).map(|mean| mean.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::OutputType;
    use crate::task::metric::Normal;

    fn metric(name: &str, kind: OutputType) -> Metric {
        Metric::known(name, kind, Normal::default()).unwrap()
    }

    fn close(found: Option<f64>, expected: f64) {
        assert!((found.unwrap() - expected).abs() < 1e-12, "{found:?} {expected}");
    }

    #[test]
    fn perplexities_by_hand() {
        let of = |sum, units| Sample::Weighted(sum, units);
        let (a, b) = (of(-6.0, 2), of(-3.0, 1));
        let rolling = |name| metric(name, OutputType::LogLikelihoodRolling);
        close(rolling("word_perplexity").aggregate(&[&a, &b]).unwrap(), 3f64.exp());
        close(rolling("bits_per_byte").aggregate(&[&a, &b]).unwrap(), 3.0 / 2f64.ln());
        assert_eq!(rolling("byte_perplexity").stderr(&[&a, &b], 9).unwrap(), None);
        let perplexity = metric("perplexity", OutputType::LogLikelihood);
        let samples = [Sample::Number(-1.0), Sample::Number(-3.0)];
        close(perplexity.aggregate(&[&samples[0], &samples[1]]).unwrap(), 2f64.exp());
    }

    #[test]
    fn macro_f1_by_hand() {
        // Class 0: tp 1, fp 1: 2/3. Class 1: tp 1, fn 1: 2/3. No other class occurs.
        let samples = [(0, 0), (1, 0), (1, 1)].map(|(gold, answer)| Sample::Classes(gold, answer));
        let samples: Vec<&Sample> = samples.iter().collect();
        close(
            metric("macro_f1", OutputType::Classification).aggregate(&samples).unwrap(),
            2.0 / 3.0,
        );
    }
}
