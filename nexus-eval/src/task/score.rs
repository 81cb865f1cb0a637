//! Answers against what is right.

use super::aggregate::Sample;
use super::config::TaskConfig;
use super::document::Question;
use super::filter::{FilterPipeline, Filtered};
use super::metric::{Kind, Metric, Normal};
use super::output_type::OutputType;
use super::request::Response;
use super::text_metric::{TextMetric, TextPair, TextScore};
use crate::metrics::classification::softmax;
use crate::prompt::words;
use crate::{Error, Result};
use nexus_core::data::python_str;
use serde_json::Value;

/// The value of each measure for one document, and the answers after the filter.
pub(super) struct Scored {
    pub(super) samples: Vec<Sample>,
    pub(super) filtered: Option<Filtered>,
}

pub(super) fn score(
    config: &TaskConfig,
    filter: &FilterPipeline,
    question: &Question<'_>,
    responses: &[&Response],
    classes: Option<&[String]>,
) -> Result<Scored> {
    let kinds = config.metrics.iter().map(|metric| &metric.kind);
    let unfiltered = |samples| Scored { samples, filtered: None };
    match (config.output_type, responses) {
        (OutputType::MultipleChoice, _) => {
            let choice = Choice::new(question, responses)?;
            let samples = config.metrics.iter().map(|metric| choice.sample(metric));
            Ok(unfiltered(samples.collect::<Result<_>>()?))
        }
        (OutputType::LogLikelihood, [Response::LogLikelihood { sum, greedy }]) => {
            let sample = |kind: &Kind| match kind {
                Kind::Acc => Sample::Number(f64::from(*greedy)),
                _ => Sample::Number(*sum),
            };
            Ok(unfiltered(kinds.map(sample).collect()))
        }
        (OutputType::LogLikelihoodRolling, [Response::LogLikelihoodRolling(sum)]) => {
            let text = question.target.as_str().unwrap_or_default();
            let sample = |kind: &Kind| match kind {
                Kind::WordPerplexity => Sample::Weighted(*sum, words(text)),
                _ => Sample::Weighted(*sum, text.len()),
            };
            Ok(unfiltered(kinds.map(sample).collect()))
        }
        (OutputType::GenerateUntil, [Response::Text(_), ..]) => {
            let answers = responses.iter().filter_map(|response| match response {
                Response::Text(answer) => Some(answer.clone()),
                _ => None,
            });
            let filtered = filter.apply(answers.collect())?;
            let prediction = filtered.answer().to_owned();
            let pair = TextPair { prediction, references: references(question)? };
            let samples = kinds.map(|kind| text_sample(kind, &pair)).collect::<Result<_>>()?;
            Ok(Scored { samples, filtered: Some(filtered) })
        }
        (OutputType::Classification, [Response::Logits(logits)]) => {
            let gold = class(question, logits.len(), classes)?;
            let answer = first_largest(logits.iter().map(|&logit| f64::from(logit)));
            let sample = |kind: &Kind| match kind {
                Kind::MacroF1 => Sample::Classes(gold, answer),
                _ => Sample::Number(f64::from(gold == answer)),
            };
            Ok(unfiltered(kinds.map(sample).collect()))
        }
        _ => Err(Error::Refused("the model's responses do not fit the task".into())),
    }
}

/// A multiple-choice question with its log-likelihoods.
struct Choice<'a> {
    choices: &'a [String],
    /// Log-likelihood of each choice after the context, and whether it is the greedy continuation.
    given: Vec<(f64, bool)>,
    /// Log-likelihood of each choice alone, where it was asked for.
    alone: Vec<f64>,
    /// The right choices.
    gold: Vec<usize>,
}

impl<'a> Choice<'a> {
    fn new(question: &'a Question<'_>, responses: &[&Response]) -> Result<Self> {
        let choices = &question.choices;
        let likelihood = |response: &&Response| match response {
            Response::LogLikelihood { sum, greedy } => Some((*sum, *greedy)),
            _ => None,
        };
        let all: Option<Vec<(f64, bool)>> = responses.iter().map(likelihood).collect();
        let mut given = all
            .filter(|all| all.len() >= choices.len())
            .ok_or_else(|| Error::Refused("the model's responses do not fit the choices".into()))?;
        let alone = given.split_off(choices.len()).into_iter().map(|(sum, _)| sum).collect();
        let gold = match (question.context, &question.target) {
            (Some(context), _) => vec![context],
            (None, Value::Array(several)) if !several.is_empty() => {
                several.iter().map(|one| place(one, choices)).collect::<Result<_>>()?
            }
            (None, one) => vec![place(one, choices)?],
        };
        Ok(Self { choices, given, alone, gold })
    }

    fn sample(&self, metric: &Metric) -> Result<Sample> {
        let (name, kind) = (&metric.name, &metric.kind);
        let likelihoods = || self.given.iter().map(|(sum, _)| *sum);
        if let Kind::F1 | Kind::Matthews | Kind::Brier = kind {
            let &[gold] = &self.gold[..] else {
                return Err(Error::Refused(format!(
                    "{name} compares with one right choice, doc_to_target gives {}; leave {name} out of metric_list",
                    self.gold.len()
                )));
            };
            let count = self.choices.len();
            return match kind {
                Kind::Brier => {
                    Ok(Sample::Probabilities(gold, softmax(&likelihoods().collect::<Vec<_>>())))
                }
                Kind::F1 if count != 2 => Err(Error::Refused(format!(
                    "f1 is that of choice 1 of two, doc_to_choice gives {count}; use mcc or acc in metric_list"
                ))),
                _ => Ok(Sample::Classes(gold, first_largest(likelihoods()))),
            };
        }
        let by = |length: fn(&str) -> usize| {
            let lengths = self.choices.iter().map(|choice| length(choice) as f64);
            first_largest(self.given.iter().zip(lengths).map(|((sum, _), length)| sum / length))
        };
        let right = match kind {
            Kind::AccNorm => self.gold.contains(&by(|choice| choice.chars().count())),
            Kind::AccBytes => self.gold.contains(&by(str::len)),
            Kind::AccMutualInfo => {
                let gained =
                    self.given.iter().zip(&self.alone).map(|((sum, _), alone)| sum - alone);
                self.gold.contains(&first_largest(gained))
            }
            Kind::Greedy => self
                .gold
                .iter()
                .any(|&gold| self.given.get(gold).is_some_and(|(_, greedy)| *greedy)),
            _ => self.gold.contains(&first_largest(likelihoods())),
        };
        Ok(Sample::Number(f64::from(right)))
    }
}

/// The place of the right choice, given as an index or as its text.
fn place(gold: &Value, choices: &[String]) -> Result<usize> {
    let place = match gold {
        Value::Number(index) => index.as_u64().and_then(|index| usize::try_from(index).ok()),
        Value::String(text) => choices.iter().position(|choice| choice == text),
        _ => None,
    };
    place.filter(|&place| place < choices.len()).ok_or_else(|| {
        let (gold, count) = (python_str(gold), choices.len());
        Error::Refused(format!(
            "doc_to_target: the answer {gold:?} is none of the {count} choices {choices:?}"
        ))
    })
}

/// The texts of which each is right.
fn references(question: &Question<'_>) -> Result<Vec<String>> {
    if !question.choices.is_empty() {
        let at = place(&question.target, &question.choices)?;
        return Ok(question.choices.get(at).cloned().into_iter().collect());
    }
    match &question.target {
        Value::Array(several) if several.is_empty() => {
            Err(Error::Refused("doc_to_target gives an empty list".into()))
        }
        Value::Array(several) => Ok(several.iter().map(python_str).collect()),
        Value::Null => Err(Error::Refused("doc_to_target gives nothing to compare with".into())),
        one => Ok(vec![python_str(one)]),
    }
}

fn text_sample(kind: &Kind, pair: &TextPair) -> Result<Sample> {
    Ok(match kind {
        Kind::Text(TextMetric { score: TextScore::Mean(score), .. }) => {
            Sample::Number(score(pair)?)
        }
        Kind::Text(TextMetric { score: TextScore::Corpus(_), .. }) => Sample::Texts(pair.clone()),
        Kind::ExactMatch(normal) => Sample::Number(f64::from(matches(normal, pair)?)),
        _ => return Err(Error::Refused("the measure does not fit a text".into())),
    })
}

fn matches(normal: &Normal, pair: &TextPair) -> Result<bool> {
    let prediction = normal.of(&pair.prediction)?;
    for reference in &pair.references {
        if normal.of(reference)? == prediction {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The number of the right class, by its name in `doc_to_choice` or in the model, or its number.
fn class(question: &Question<'_>, count: usize, names: Option<&[String]>) -> Result<usize> {
    let names = match question.choices.is_empty() {
        true => names.unwrap_or_default(),
        false => &question.choices[..],
    };
    if !names.is_empty() && names.len() != count {
        let named = names.len();
        return Err(Error::Refused(format!(
            "the model has {count} classes, doc_to_choice {named}"
        )));
    }
    let class = match &question.target {
        Value::Number(index) => index.as_u64().and_then(|index| usize::try_from(index).ok()),
        Value::String(name) => names.iter().position(|other| other == name),
        _ => None,
    };
    class.filter(|&class| class < count).ok_or_else(|| {
        let target = python_str(&question.target);
        Error::Refused(format!("the target {target:?} is none of the model's {count} classes"))
    })
}

/// The first of the largest.
fn first_largest(values: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (i, value) in values.enumerate() {
        if value > best.1 {
            best = (i, value);
        }
    }
    best.0
}
