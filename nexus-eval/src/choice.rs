//! Multiple choice by log-likelihood.

use crate::likelihood::{Progress, ScoreOptions, log_likelihoods, row, sum};
use crate::metrics::classification::softmax;
use crate::prompt::{encode_pair, is_space};
use crate::stats::proportion;
use nexus_core::data::{Tokenizer, read_json_lines};
use nexus_core::model::Decoder;
use nexus_core::report::{EvalReport, Measure};
use nexus_core::stage::Evaluator;
use nexus_core::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;
use std::time::Instant;

/// How questions are scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChoiceOptions {
    /// Length and batch size. A question that is too long loses its beginning.
    pub score: ScoreOptions,
    /// What stands between the question and a choice, unless there is white space already: a space by default, as
    /// lm-evaluation-harness's `target_delimiter`.
    pub delimiter: String,
}

impl Default for ChoiceOptions {
    fn default() -> Self {
        Self { score: ScoreOptions::default(), delimiter: " ".into() }
    }
}

/// A question with its choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked, with everything that should stand before the answer.
    pub text: String,
    /// The choices; at least two.
    pub choices: Vec<String>,
    /// Index of the right one, from 0.
    pub answer: usize,
}

/// What the model made of one question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChoiceOutcome {
    /// Index of the question.
    pub index: usize,
    /// The choice with the largest log-likelihood.
    pub chosen: usize,
    /// The choice with the largest log-likelihood per byte.
    pub chosen_norm: usize,
    /// The right choice.
    pub answer: usize,
    /// Summed log-likelihood of each choice, in nats.
    pub log_likelihoods: Vec<f64>,
}

impl ChoiceOutcome {
    /// The likelihood of the choice that was taken among all choices of the question, above 0 and at most 1.
    pub fn confidence(&self) -> f64 {
        softmax(&self.log_likelihoods).into_iter().fold(0.0, f64::max)
    }
}

/// Multiple choice: each choice is scored by the probability that the model gives it after the question.
///
/// | measure | the choice taken has the largest |
/// |---|---|
/// | `accuracy` | sum of its tokens' log-probabilities |
/// | `accuracy_norm` | that sum divided by the choice's length in bytes, without the delimiter |
///
/// Of equals the first is taken. Standard errors are `sqrt(p (1 - p) / (n - 1))`. These are `acc` and `acc_norm` of
/// lm-evaluation-harness, except that it divides by characters, which differs outside ASCII, and that it writes the
/// delimiter beside white space too. Tokens are split as [`encode_pair`] says.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Name in the report; `choice` by default.
    pub task: String,
    questions: Vec<Encoded>,
    options: ScoreOptions,
}

#[derive(Clone, Debug)]
struct Encoded {
    /// Context and continuation of each choice.
    pairs: Vec<(Vec<u32>, Vec<u32>)>,
    bytes: Vec<usize>,
    answer: usize,
}

impl Choice {
    /// Multiple choice on `questions`.
    ///
    /// # Errors
    /// [`Error::Config`] for options out of range; [`Error::Refused`] without questions and for one that cannot be
    /// asked; [`Error::Tokenizer`].
    pub fn new(
        questions: &[Question],
        tokenizer: &Tokenizer,
        options: ChoiceOptions,
    ) -> Result<Self> {
        options.score.check()?;
        if questions.is_empty() {
            return Err(Error::Refused("there are no questions".into()));
        }
        let encode = |(i, question): (usize, &Question)| {
            encode(question, tokenizer, &options.delimiter)
                .map_err(|why| Error::Refused(format!("question {i}: {why}")))
        };
        let questions = questions.iter().enumerate().map(encode).collect::<Result<_>>()?;
        Ok(Self { task: "choice".into(), questions, options: options.score })
    }

    /// Multiple choice on the questions of a file with one
    /// `{"question": text, "choices": [text, ..], "answer": index}` a line; `"prompt"` stands for `"question"` too.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Io`]; [`Error::Data`] with the line of a question that cannot be asked.
    pub fn from_file(path: &Path, tokenizer: &Tokenizer, options: ChoiceOptions) -> Result<Self> {
        options.score.check()?;
        let parse = |object| encode(&question(object)?, tokenizer, &options.delimiter);
        let questions = read_json_lines(path, parse)?.into_iter().map(|(_, q)| q).collect();
        Ok(Self { task: "choice".into(), questions, options: options.score })
    }

    /// Number of questions, at least one.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// The question with this index alone; `None` when there are not so many.
    pub fn only(&self, index: usize) -> Option<Self> {
        let questions = vec![self.questions.get(index)?.clone()];
        Some(Self { task: self.task.clone(), questions, options: self.options.clone() })
    }

    /// The report and what was chosen, question by question; `progress` sees how many choices are scored.
    ///
    /// # Errors
    /// [`Error::Config`] for a `max_length` that the model cannot read; [`Error::Refused`] for a choice that is longer,
    /// for token ids outside the vocabulary and for probabilities that are not finite.
    pub fn measure(
        &self,
        model: &Decoder,
        progress: &mut Progress<'_>,
    ) -> Result<(EvalReport, Vec<ChoiceOutcome>)> {
        let start = Instant::now();
        let max_length = self.options.max_length(model.config())?;
        let mut rows = Vec::new();
        for (i, question) in self.questions.iter().enumerate() {
            for (context, continuation) in &question.pairs {
                // The last token is predicted but not read.
                let room =
                    (max_length + 1).checked_sub(continuation.len()).filter(|&room| room > 0);
                let room = room.ok_or_else(|| {
                    let tokens = continuation.len();
                    Error::Refused(format!(
                        "question {i}: a choice has {tokens} tokens; raise max_length = {max_length}"
                    ))
                })?;
                rows.push(row(&context[context.len().saturating_sub(room)..], continuation));
            }
        }
        let scores = log_likelihoods(model, &rows, self.options.batch_size, progress)?;
        let mut scores = scores.iter().map(|scores| sum(scores));
        let outcome = |(index, question): (usize, &Encoded)| {
            let log_likelihoods: Vec<f64> = scores.by_ref().take(question.pairs.len()).collect();
            let per_byte = log_likelihoods.iter().zip(&question.bytes);
            let per_byte: Vec<f64> = per_byte.map(|(sum, &bytes)| sum / bytes as f64).collect();
            ChoiceOutcome {
                index,
                chosen: first_largest(&log_likelihoods),
                chosen_norm: first_largest(&per_byte),
                answer: question.answer,
                log_likelihoods,
            }
        };
        let outcomes: Vec<_> = self.questions.iter().enumerate().map(outcome).collect();
        let right = |of: fn(&ChoiceOutcome) -> usize| {
            outcomes.iter().filter(|outcome| of(outcome) == outcome.answer).count()
        };
        let measures =
            [("accuracy", right(|o| o.chosen)), ("accuracy_norm", right(|o| o.chosen_norm))];
        let measures = measures.into_iter().filter_map(|(name, right)| {
            let share = proportion(right, outcomes.len())?;
            Some(Measure::higher(name, share.value, share.stderr, outcomes.len()))
        });
        let report = EvalReport {
            task: self.task.clone(),
            measures: measures.collect(),
            examples: outcomes.len(),
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok((report, outcomes))
    }
}

impl Evaluator<Decoder> for Choice {
    fn evaluate(&self, model: &Decoder) -> Result<EvalReport> {
        Ok(self.measure(model, &mut |_, _| {})?.0)
    }
}

fn first_largest(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

fn question(mut object: Map<String, Value>) -> Result<Question, String> {
    let text = match (object.remove("question"), object.remove("prompt")) {
        (Some(text), None) | (None, Some(text)) => text,
        (Some(_), Some(_)) => return Err("has both \"question\" and \"prompt\"; keep one".into()),
        (None, None) => {
            return Err(
                "expected {\"question\": text, \"choices\": [text, ..], \"answer\": index}".into(),
            );
        }
    };
    let Value::String(text) = text else { return Err("\"question\" must be a text".into()) };
    let choices = object.remove("choices").unwrap_or_default();
    let choices = serde_json::from_value(choices)
        .map_err(|_| "\"choices\" must be a list of texts".to_string())?;
    let answer = object.get("answer").and_then(Value::as_u64);
    let answer = answer.and_then(|answer| usize::try_from(answer).ok());
    let answer = answer.ok_or("\"answer\" must be the index of the right choice, from 0")?;
    Ok(Question { text, choices, answer })
}

fn encode(question: &Question, tokenizer: &Tokenizer, delimiter: &str) -> Result<Encoded, String> {
    let Question { text, choices, answer } = question;
    if text.is_empty() {
        return Err("the question is empty".into());
    }
    if choices.len() < 2 {
        return Err(format!("expected at least 2 choices, found {}", choices.len()));
    }
    if let Some(i) = choices.iter().position(String::is_empty) {
        return Err(format!("choice {i} is empty"));
    }
    if *answer >= choices.len() {
        let last = choices.len() - 1;
        return Err(format!("\"answer\" is {answer}, but the choices are 0 to {last}"));
    }
    let pair = |(i, choice): (usize, &String)| {
        let spaced = text.ends_with(is_space) || choice.starts_with(is_space);
        let delimiter = if spaced { "" } else { delimiter };
        encode_pair(tokenizer, text, &format!("{delimiter}{choice}"))
            .map_err(|why| format!("choice {i}: {why}"))
    };
    Ok(Encoded {
        pairs: choices.iter().enumerate().map(pair).collect::<Result<_, _>>()?,
        bytes: choices.iter().map(String::len).collect(),
        answer: *answer,
    })
}
