//! Generation scored by exact match.

use crate::likelihood::{Progress, device_of};
use crate::prompt::encode_prompt;
use crate::stats::proportion;
use nexus_core::data::{Tokenizer, read_json_lines};
use nexus_core::generate::{Sampler, SamplingConfig, generate_text};
use nexus_core::model::{Decoder, Position};
use nexus_core::report::{EvalReport, Measure};
use nexus_core::stage::Evaluator;
use nexus_core::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;
use std::time::Instant;

/// How answers are generated and compared.
///
/// | field | default |
/// |---|---|
/// | `max_new_tokens` | 64 |
/// | `sampling` | greedy |
/// | `stop` | a line end |
/// | `trim` | true |
/// | `ignore_case`, `ignore_punctuation` | false |
#[derive(Clone, Debug, PartialEq)]
pub struct ExactMatchOptions {
    /// The most tokens of an answer; at least 1.
    pub max_new_tokens: usize,
    /// How tokens are chosen. Prompt i draws with `seed + i`.
    pub sampling: SamplingConfig,
    /// Texts that end an answer and do not belong to it; empty ones have no effect.
    pub stop: Vec<String>,
    /// Whether upper and lower case are the same.
    pub ignore_case: bool,
    /// Whether ASCII punctuation is left out (Python's `string.punctuation`).
    pub ignore_punctuation: bool,
    /// Whether white space at both ends is left out, after punctuation is.
    pub trim: bool,
}

impl Default for ExactMatchOptions {
    fn default() -> Self {
        Self {
            max_new_tokens: 64,
            sampling: SamplingConfig::default(),
            stop: vec!["\n".into()],
            ignore_case: false,
            ignore_punctuation: false,
            trim: true,
        }
    }
}

/// A prompt and the answer that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// What the model continues.
    pub prompt: String,
    /// What it should write.
    pub answer: String,
}

/// What the model wrote.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExactMatchOutcome {
    /// Index of the prompt.
    pub index: usize,
    /// The generated text, as it came.
    pub generated: String,
    /// The expected answer.
    pub answer: String,
    /// Whether they match under the options.
    pub matched: bool,
}

/// Share of prompts whose continuation is the expected answer: `exact_match` of lm-evaluation-harness, with the standard
/// error `sqrt(p (1 - p) / (n - 1))`.
///
/// Deviation: white space at the ends is trimmed by default, where the harness leaves that to a task's filters.
#[derive(Clone, Debug)]
pub struct ExactMatch {
    /// Name in the report; `exact_match` by default.
    pub task: String,
    prompts: Vec<(Vec<u32>, String)>,
    tokenizer: Tokenizer,
    options: ExactMatchOptions,
}

impl ExactMatch {
    /// Exact match on `prompts`.
    ///
    /// # Errors
    /// [`Error::Config`] for options out of range; [`Error::Refused`] without prompts and for an empty prompt or answer;
    /// [`Error::Tokenizer`].
    pub fn new(
        prompts: &[Prompt],
        tokenizer: &Tokenizer,
        options: ExactMatchOptions,
    ) -> Result<Self> {
        if prompts.is_empty() {
            return Err(Error::Refused("there are no prompts".into()));
        }
        let encode = |(i, prompt): (usize, &Prompt)| {
            encode(prompt, tokenizer).map_err(|why| Error::Refused(format!("prompt {i}: {why}")))
        };
        let prompts = prompts.iter().enumerate().map(encode).collect::<Result<_>>()?;
        Self::checked(prompts, tokenizer, options)
    }

    /// Exact match on a file with one `{"prompt": text, "completion": text}` a line; `"answer"` stands for
    /// `"completion"` too.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Io`]; [`Error::Data`] with the line of a record that cannot be used.
    pub fn from_file(
        path: &Path,
        tokenizer: &Tokenizer,
        options: ExactMatchOptions,
    ) -> Result<Self> {
        let parse = |object| encode(&prompt(object)?, tokenizer);
        let prompts = read_json_lines(path, parse)?.into_iter().map(|(_, prompt)| prompt);
        Self::checked(prompts.collect(), tokenizer, options)
    }

    fn checked(
        prompts: Vec<(Vec<u32>, String)>,
        tokenizer: &Tokenizer,
        options: ExactMatchOptions,
    ) -> Result<Self> {
        Sampler::new(options.sampling.clone())?;
        if options.max_new_tokens == 0 {
            return Err(Error::config("max_new_tokens", 0, "at least 1"));
        }
        Ok(Self { task: "exact_match".into(), prompts, tokenizer: tokenizer.clone(), options })
    }

    /// Number of prompts, at least one.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.prompts.len()
    }

    /// The prompt with this index alone; `None` when there are not so many.
    pub fn only(&self, index: usize) -> Option<Self> {
        let prompts = vec![self.prompts.get(index)?.clone()];
        let (tokenizer, options) = (self.tokenizer.clone(), self.options.clone());
        Some(Self { task: self.task.clone(), prompts, tokenizer, options })
    }

    /// The report and the generations; `progress` sees how many prompts are answered.
    ///
    /// # Errors
    /// [`Error::Refused`] for a prompt that fills a learned position table and for token ids outside the vocabulary;
    /// [`Error::Tokenizer`] when a generation cannot be decoded.
    pub fn measure(
        &self,
        model: &Decoder,
        progress: &mut Progress<'_>,
    ) -> Result<(EvalReport, Vec<ExactMatchOutcome>)> {
        let start = Instant::now();
        let device = device_of(model)?;
        let positions = model.config().max_positions;
        let learned = matches!(model.config().position, Position::Learned);
        let mut outcomes = Vec::with_capacity(self.prompts.len());
        progress(0, self.prompts.len());
        for (index, (ids, answer)) in self.prompts.iter().enumerate() {
            if learned && ids.len() > positions {
                let tokens = ids.len();
                return Err(Error::Refused(format!(
                    "prompt {index} has {tokens} tokens, the model has {positions} positions; shorten it"
                )));
            }
            let mut sampling = self.options.sampling.clone();
            sampling.seed = sampling.seed.wrapping_add(index as u64);
            let ExactMatchOptions { max_new_tokens, stop, .. } = &self.options;
            let tokenizer = &self.tokenizer;
            let generation = generate_text(
                model,
                tokenizer,
                ids,
                &sampling,
                *max_new_tokens,
                stop,
                &device,
                |_| {},
            )?;
            outcomes.push(ExactMatchOutcome {
                index,
                matched: self.options.normal(&generation.text) == self.options.normal(answer),
                generated: generation.text,
                answer: answer.clone(),
            });
            progress(outcomes.len(), self.prompts.len());
        }
        let matched = outcomes.iter().filter(|outcome| outcome.matched).count();
        let measure = proportion(matched, outcomes.len())
            .map(|share| Measure::higher("exact_match", share.value, share.stderr, outcomes.len()));
        let report = EvalReport {
            task: self.task.clone(),
            measures: measure.into_iter().collect(),
            examples: outcomes.len(),
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok((report, outcomes))
    }
}

impl Evaluator<Decoder> for ExactMatch {
    fn evaluate(&self, model: &Decoder) -> Result<EvalReport> {
        Ok(self.measure(model, &mut |_, _| {})?.0)
    }
}

impl ExactMatchOptions {
    /// The text as it is compared.
    fn normal(&self, text: &str) -> String {
        let mut text = text.to_string();
        if self.ignore_case {
            text = text.to_lowercase();
        }
        if self.ignore_punctuation {
            text.retain(|c| !c.is_ascii_punctuation());
        }
        match self.trim {
            true => text.trim().to_string(),
            false => text,
        }
    }
}

fn prompt(mut object: Map<String, Value>) -> Result<Prompt, String> {
    let shape =
        "expected {\"prompt\": text, \"completion\": text} or {\"prompt\": text, \"answer\": text}";
    let answer = match (object.remove("completion"), object.remove("answer")) {
        (Some(answer), None) | (None, Some(answer)) => answer,
        (Some(_), Some(_)) => {
            return Err("has both \"completion\" and \"answer\"; keep one".into());
        }
        (None, None) => return Err(shape.into()),
    };
    match (object.remove("prompt"), answer) {
        (Some(Value::String(prompt)), Value::String(answer)) => Ok(Prompt { prompt, answer }),
        _ => Err(shape.into()),
    }
}

fn encode(prompt: &Prompt, tokenizer: &Tokenizer) -> Result<(Vec<u32>, String), String> {
    if prompt.prompt.is_empty() {
        return Err("the prompt is empty".into());
    }
    if prompt.answer.trim().is_empty() {
        return Err("the answer is empty".into());
    }
    let ids = encode_prompt(tokenizer, &prompt.prompt).map_err(|why| why.to_string())?;
    Ok((ids, prompt.answer.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_as_the_options_say() {
        let strict = ExactMatchOptions { trim: false, ..Default::default() };
        assert_ne!(strict.normal(" Paris."), strict.normal("Paris."));
        let trimmed = ExactMatchOptions::default();
        assert_eq!(trimmed.normal(" Paris.\n"), "Paris.");
        let case = ExactMatchOptions { ignore_case: true, ..Default::default() };
        assert_eq!(case.normal("ÉCOLE"), "école");
        let both = ExactMatchOptions { ignore_punctuation: true, ..case };
        assert_eq!(both.normal("U.S.A. !"), "usa");
    }
}
