//! Documents with their examples, as questions to a model.

use super::config::OutputType;
use super::evaluate::TaskOptions;
use super::fewshot::Sampler;
use super::metric::Kind;
use super::request::Request;
use super::source::{Row, Source, Sources};
use super::{Task, TaskConfig};
use crate::{Error, Result};
use serde_json::Value;

/// A document and what the model is asked about it.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) row: &'a Row,
    /// The right answer, as the task file gives it.
    pub(super) target: Value,
    pub(super) choices: Vec<String>,
    pub(super) requests: Vec<Request>,
}

impl Task {
    /// The questions in the order of the documents.
    pub(super) fn questions(&self, options: &TaskOptions) -> Result<Vec<Question<'_>>> {
        let mut sampler = Sampler::new(&self.config.fewshot, self.exclude, options.fewshot_seed);
        let shots = options.num_fewshot.unwrap_or(self.config.num_fewshot);
        let limit = options.limit.unwrap_or(usize::MAX);
        let mut questions = Vec::new();
        for (index, (path, located)) in self.documents.iter().take(limit).enumerate() {
            let question = self.question(index, &located.record, shots, &mut sampler);
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
        let TaskConfig { output_type, target_delimiter, generation, metrics, .. } = &self.config;
        let Sources { text, choice, target } = &self.sources;
        let with_choices = choice.is_some();
        let context = self.context(row, shots, sampler)?;
        let text = match text {
            Some(text) => text.text(row, with_choices)?,
            None => String::new(),
        };
        let target = match target {
            Some(target) => target.target(row, with_choices)?,
            None => Value::Null,
        };
        let choices = choice.as_ref().map(|choice| choice.choices(row)).transpose()?;
        let choices = choices.unwrap_or_default();
        let wanted = || match &target {
            Value::String(text) => Ok(text.clone()),
            _ => Err(Error::Refused("doc_to_target must give a text".into())),
        };
        let requests = match output_type {
            OutputType::MultipleChoice => {
                if choices.len() < 2 || choices.iter().any(String::is_empty) {
                    let why = "expected at least 2 choices, none of them empty";
                    return Err(Error::Refused(format!("{why}; found {choices:?}")));
                }
                let context = context + &text;
                let likelihood = |context: &str, choice: &String| Request::LogLikelihood {
                    context: context.into(),
                    continuation: format!("{target_delimiter}{choice}"),
                };
                let mut requests: Vec<Request> =
                    choices.iter().map(|choice| likelihood(&context, choice)).collect();
                if metrics.iter().any(|metric| matches!(metric.kind, Kind::AccMutualInfo)) {
                    requests.extend(choices.iter().map(|choice| likelihood("", choice)));
                }
                requests
            }
            OutputType::LogLikelihood => {
                vec![Request::LogLikelihood { context: context + &text, continuation: wanted()? }]
            }
            OutputType::LogLikelihoodRolling => {
                vec![Request::LogLikelihoodRolling { text: wanted()? }]
            }
            OutputType::GenerateUntil => {
                let mut generation = generation.generation.clone();
                if generation.temperature > 0.0 {
                    generation.seed = index as u64;
                }
                vec![Request::Generate { context: context + &text, generation }]
            }
            OutputType::Classification => vec![Request::Classify { text }],
        };
        Ok(Question { row, target, choices, requests })
    }

    /// What stands before the text of a document: the description, and the examples with their answers.
    fn context(&self, row: &Row, shots: usize, sampler: &mut Sampler) -> Result<String> {
        let mut context = match &self.description {
            Some(description) => description.text(row, false)?,
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
            context += &required(&self.examples.text, "doc_to_text")?
                .text(example, self.sources.choice.is_some())?;
            if let Some(answer) = self.answer(example)? {
                context += &fewshot.target_delimiter;
                context += &answer;
                context += &fewshot.delimiter;
            }
        }
        Ok(context)
    }

    /// The answer of an example; `None` where it has none.
    fn answer(&self, example: &Row) -> Result<Option<String>> {
        let target = required(&self.examples.target, "doc_to_target")?;
        let target = target.target(example, self.sources.choice.is_some())?;
        let wrong = |what: &str| Err(Error::Refused(format!("the answer of an example is {what}")));
        match (&target, &self.examples.choice) {
            (Value::Null, _) => Ok(None),
            (Value::String(text), _) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            (Value::Number(index), Some(choice)) => {
                let choices = choice.choices(example)?;
                let at = index.as_u64().and_then(|index| usize::try_from(index).ok());
                match at.and_then(|at| choices.get(at)) {
                    Some(choice) => Ok(Some(choice.clone())),
                    None => wrong(&format!("{index}, but it has {} choices", choices.len())),
                }
            }
            (Value::Array(several), _) => match several.first() {
                Some(Value::String(text)) => Ok(Some(text.clone())),
                _ => wrong("a list that does not begin with a text"),
            },
            (other, _) => wrong(&format!("{other}, not a text; print it with a template")),
        }
    }
}

pub(super) fn required<'a>(source: &'a Option<Source>, key: &str) -> Result<&'a Source> {
    source.as_ref().ok_or_else(|| Error::Refused(format!("the key {key:?} is missing")))
}
