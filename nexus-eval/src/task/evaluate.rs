//! A task, a model, and what comes of it.

use super::cache::ResponseCache;
use super::request::{Request, Respond, Response};
use super::result::TaskResult;
use super::score;
use super::{OutputType, Task};
use crate::likelihood::Progress;
use crate::{Error, Result};
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// How a task is run.
///
/// | field | default |
/// |---|---|
/// | `limit` | all documents |
/// | `num_fewshot` | the task's |
/// | `fewshot_seed` | 1234, as the harness |
/// | `bootstrap_iters` | 100000, as the harness; 0 leaves out standard errors |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskOptions {
    /// The most documents to evaluate on, from the first on.
    pub limit: Option<usize>,
    /// Number of examples before each question.
    pub num_fewshot: Option<usize>,
    /// Seed of the choice of examples.
    pub fewshot_seed: u64,
    /// Resamples behind a standard error that has no formula.
    pub bootstrap_iters: usize,
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self { limit: None, num_fewshot: None, fewshot_seed: 1234, bootstrap_iters: 100_000 }
    }
}

impl Task {
    /// Asks `model` every question of the task and measures its answers; `progress` sees how many different requests are
    /// answered.
    ///
    /// What `cache` has is not asked again, and every new response goes into it at once.
    ///
    /// # Errors
    /// [`Error::Data`] with the line of a document that cannot be asked or scored; [`Error::Config`] for a `limit` of 0;
    /// [`Error::Refused`] for an answer that does not fit or is not finite; those of `model` and `cache`.
    pub fn evaluate(
        &self,
        model: &dyn Respond,
        mut cache: Option<&mut ResponseCache>,
        options: &TaskOptions,
        progress: &mut Progress<'_>,
    ) -> Result<TaskResult> {
        let start = Instant::now();
        if options.limit == Some(0) {
            return Err(Error::config("limit", 0, "at least 1 document"));
        }
        let shots = options.num_fewshot.unwrap_or(self.config.num_fewshot);
        if shots > 0 && self.config.output_type == OutputType::Classification {
            return Err(Error::config(
                "num_fewshot",
                shots,
                "0; a classification head reads no examples",
            ));
        }
        let questions = self.questions(options)?;
        let mut known: HashMap<String, Response> = HashMap::new();
        let mut missing: Vec<(String, &Request)> = Vec::new();
        let mut keys = Vec::with_capacity(questions.len());
        let mut wanted = HashSet::new();
        for question in &questions {
            let mut own = Vec::with_capacity(question.requests.len());
            for request in &question.requests {
                let key = request.key(model.fingerprint());
                if wanted.insert(key.clone()) {
                    let cached = cache.as_deref().and_then(|cache| cache.get(&key));
                    match cached.filter(|response| request.fits(response)) {
                        Some(response) => drop(known.insert(key.clone(), response.clone())),
                        None => missing.push((key.clone(), request)),
                    }
                }
                own.push(key);
            }
            keys.push(own);
        }
        let total = wanted.len();
        progress(known.len(), total);
        if !missing.is_empty() {
            let requests: Vec<&Request> = missing.iter().map(|(_, request)| *request).collect();
            model.respond(&requests, &mut |place, response| {
                let asked = missing.get(place).filter(|(_, request)| request.fits(&response));
                let Some((key, _)) = asked else {
                    return Err(Error::Refused(
                        "the model gave a response that fits no request or is not finite; its weights may be \
                         damaged"
                            .into(),
                    ));
                };
                if let Some(cache) = cache.as_deref_mut() {
                    cache.put(key, &response)?;
                }
                known.insert(key.clone(), response);
                progress(known.len(), total);
                Ok(())
            })?;
        }
        let unanswered = || Error::Refused("the model left a request unanswered".into());
        let mut responses = Vec::with_capacity(keys.len());
        for own in &keys {
            let own = own.iter().map(|key| known.get(key).ok_or_else(unanswered));
            responses.push(own.collect::<Result<Vec<_>>>()?);
        }
        let mut result = TaskResult::new(&self.config, self.len(), questions.len(), shots);
        for filter in &self.config.filters {
            let mut scored = Vec::with_capacity(questions.len());
            for (i, (question, responses)) in questions.iter().zip(&responses).enumerate() {
                let one = score::score(&self.config, filter, question, responses, model.classes());
                scored.push(one.map_err(|why| self.at(i, &why))?);
            }
            result.add(&self.config, &filter.name, &questions, &responses, scored, options)?;
        }
        result.seconds = start.elapsed().as_secs_f64();
        Ok(result)
    }

    /// An error about document i.
    fn at(&self, i: usize, why: &Error) -> Error {
        match self.documents.get(i) {
            Some((path, located)) => {
                Error::Data { path: path.clone(), line: located.line, why: why.to_string() }
            }
            None => Error::Refused(why.to_string()),
        }
    }
}
