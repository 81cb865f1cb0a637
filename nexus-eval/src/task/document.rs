//! Documents with their examples, as questions to a model.

use super::evaluate::TaskOptions;
use super::fewshot::Sampler;
use super::generation::Generation;
use super::metric::Kind;
use super::output_type::OutputType;
use super::request::Request;
use super::source::{Row, Source, Sources, Text};
use super::{Task, TaskConfig};
use crate::prompt::is_space;
use crate::{Error, Result};
use nexus_core::data::python_str;
use serde_json::Value;

/// A document and what the model is asked about it.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) row: &'a Row,
    /// The right answer, as the task file gives it.
    pub(super) target: Value,
    pub(super) choices: Vec<String>,
    /// The right one of the choices, where they are contexts.
    pub(super) context: Option<usize>,
    pub(super) requests: Vec<Request>,
}

impl Task {
    /// The questions in the order of the documents.
    pub(super) fn questions(&self, options: &TaskOptions) -> Result<Vec<Question<'_>>> {
        let mut sampler = Sampler::new(&self.config.fewshot, self.exclude, options.fewshot_seed);
        let shots = options.num_fewshot.unwrap_or(self.config.num_fewshot);
        let limit = options.limit.unwrap_or(usize::MAX);
        let mut questions: Vec<Question<'_>> = Vec::new();
        for (index, (path, located)) in self.documents.iter().take(limit).enumerate() {
            let question = self.question(index, &located.record, shots, &mut sampler);
            let question = question.and_then(|question| {
                let first = questions.first().map_or(question.context, |first| first.context);
                match question.context.is_some() == first.is_some() {
                    true => Ok(question),
                    false => Err(Error::Refused(
                        "doc_to_text gives the place of a context for some documents and a text for others; it must \
                         give one of the two"
                            .into(),
                    )),
                }
            });
            questions.push(question.map_err(|why| Error::Data {
                path: path.clone(),
                line: located.line,
                why: why.to_string(),
            })?);
        }
        Ok(questions)
    }

    fn question<'a>(
        &self,
        index: usize,
        row: &'a Row,
        shots: usize,
        sampler: &mut Sampler,
    ) -> Result<Question<'a>> {
        let TaskConfig { output_type, target_delimiter, generation, metrics, repeats, .. } =
            &self.config;
        let Sources { target, prefix, .. } = &self.sources;
        let before = self.context(row, shots, sampler)?;
        let (text, choices) = self.sources.asked(row)?;
        let target = match target {
            Some(target) => target.target(row, self.sources.choice.is_some())?,
            None => Value::Null,
        };
        let prefix = prefix.as_ref().map(|prefix| prefix.text(row)).transpose()?;
        let prefix = prefix.unwrap_or_default();
        let after = |text: &str, delimiter| join(text, &prefix, delimiter);
        let wanted = || match &target {
            Value::String(text) => Ok(text.clone()),
            _ => Err(Error::Refused("doc_to_target must give a text".into())),
        };
        let (text, place) = match text {
            Text::Plain(text) => (text, None),
            Text::Place(at) if *output_type == OutputType::MultipleChoice => {
                (String::new(), Some(at))
            }
            Text::Place(at) => {
                return Err(Error::Refused(format!(
                    "doc_to_text gives {at}, the place of a context, which needs output_type multiple_choice; leave \
                     doc_to_choice out for it to be a text"
                )));
            }
        };
        let context = before.clone() + &after(&text, target_delimiter);
        let requests = match output_type {
            OutputType::MultipleChoice => {
                if choices.len() < 2 || choices.iter().any(String::is_empty) {
                    let why = "expected at least 2 choices, none of them empty";
                    return Err(Error::Refused(format!("{why}; found {choices:?}")));
                }
                let likelihood = |context: &str, choice: &str| Request::LogLikelihood {
                    context: context.into(),
                    continuation: format!("{target_delimiter}{choice}"),
                };
                let mut requests: Vec<Request> = match place {
                    None => choices.iter().map(|choice| likelihood(&context, choice)).collect(),
                    Some(_) => {
                        let continuation = match &target {
                            Value::Array(_) | Value::Object(_) | Value::Null => {
                                return Err(Error::Refused(
                                    "doc_to_target must give the text that follows the contexts"
                                        .into(),
                                ));
                            }
                            one => python_str(one),
                        };
                        let context = |choice: &String| before.clone() + &after(choice, "");
                        choices.iter().map(|c| likelihood(&context(c), &continuation)).collect()
                    }
                };
                if metrics.iter().any(|metric| matches!(metric.kind, Kind::AccMutualInfo)) {
                    requests.extend(choices.iter().map(|choice| likelihood("", choice)));
                }
                requests
            }
            OutputType::LogLikelihood => {
                vec![Request::LogLikelihood { context, continuation: wanted()? }]
            }
            OutputType::LogLikelihoodRolling => {
                vec![Request::LogLikelihoodRolling { text: wanted()? }]
            }
            OutputType::GenerateUntil => {
                let generation = &generation.generation;
                // Of equal requests a model is asked one.
                let seed = |repeat| match generation.temperature > 0.0 {
                    true => (index * repeats + repeat) as u64,
                    false => 0,
                };
                let request = |repeat| Request::Generate {
                    context: context.clone(),
                    generation: Generation { seed: seed(repeat), ..generation.clone() },
                };
                (0..*repeats).map(request).collect()
            }
            OutputType::Classification => vec![Request::Classify { text }],
        };
        Ok(Question { row, target, choices, context: place, requests })
    }

    /// What stands before the text of a document: the description, and the examples with their answers.
    fn context(&self, row: &Row, shots: usize, sampler: &mut Sampler) -> Result<String> {
        let mut context = match &self.description {
            Some(description) => description.text(row)?,
            None => String::new(),
        };
        if shots == 0 {
            return Ok(context);
        }
        let places = sampler.sample(&self.pool, shots, row).ok_or_else(|| {
            let pool = self.pool.len();
            Error::Refused(format!(
                "{shots} examples are wanted, the split for examples has {pool} documents, this one included"
            ))
        })?;
        let fewshot = &self.config.fewshot;
        for example in places.into_iter().filter_map(|place| self.pool.get(place)) {
            required(&self.examples.text, "doc_to_text")?;
            let (text, choices) = self.examples.asked(example)?;
            let (text, choices) = match text {
                Text::Plain(text) => (text, choices),
                Text::Place(at) => (choices.get(at).cloned().unwrap_or_default(), Vec::new()),
            };
            let prefix = self.examples.prefix.as_ref().map(|prefix| prefix.text(example));
            let prefix = prefix.transpose()?.unwrap_or_default();
            let delimiter = &fewshot.target_delimiter;
            match (self.answer(example, &choices)?, prefix.is_empty()) {
                (Some(answer), true) => context += &(text + delimiter + &answer),
                (Some(answer), false) => {
                    context += &join(&text, &join(&prefix, &answer, " "), delimiter);
                }
                (None, _) => {
                    context += &join(&text, &prefix, delimiter);
                    continue;
                }
            }
            context += &fewshot.delimiter;
        }
        Ok(context)
    }

    /// The answer of an example; `None` where it has none.
    fn answer(&self, example: &Row, choices: &[String]) -> Result<Option<String>> {
        let target = required(&self.examples.target, "doc_to_target")?;
        let target = target.target(example, self.sources.choice.is_some())?;
        let wrong = |what: &str| Err(Error::Refused(format!("the answer of an example is {what}")));
        match &target {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Value::Number(index) if !choices.is_empty() => {
                let at = index.as_u64().and_then(|index| usize::try_from(index).ok());
                match at.and_then(|at| choices.get(at)) {
                    Some(choice) => Ok(Some(choice.clone())),
                    None => wrong(&format!("{index}, but it has {} choices", choices.len())),
                }
            }
            Value::Array(several) => match several.first() {
                Some(Value::String(text)) => Ok(Some(text.clone())),
                _ => wrong("a list that does not begin with a text"),
            },
            other => wrong(&format!("{other}, not a text; print it with a template")),
        }
    }
}

impl Sources {
    /// What `doc_to_text` and `doc_to_choice` give.
    fn asked(&self, row: &Row) -> Result<(Text, Vec<String>)> {
        let choices = self.choice.as_ref().map(|choice| choice.choices(row)).transpose()?;
        let text = match (&self.text, &choices) {
            (Some(text), Some(choices)) => text.text_or_place(row, choices)?,
            (Some(text), None) => Text::Plain(text.text(row)?),
            (None, _) => Text::Plain(String::new()),
        };
        Ok((text, choices.unwrap_or_default()))
    }
}

/// Two texts with `delimiter` between them, unless one is empty or there is white space already.
fn join(first: &str, second: &str, delimiter: &str) -> String {
    let apart = first.ends_with(is_space) || second.starts_with(is_space);
    match first.is_empty() || second.is_empty() || apart {
        true => format!("{first}{second}"),
        false => format!("{first}{delimiter}{second}"),
    }
}

pub(super) fn required<'a>(source: &'a Option<Source>, key: &str) -> Result<&'a Source> {
    source.as_ref().ok_or_else(|| Error::Refused(format!("the key {key:?} is missing")))
}
