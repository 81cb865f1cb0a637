//! Evaluation tasks from files: records, a prompt template and a measure.
//!
//! A [`Task`] is read from a YAML file in the form of lm-evaluation-harness
//! (<https://github.com/EleutherAI/lm-evaluation-harness>, version 0.4.13 decides what is right), asks a model its
//! questions and gives a [`TaskResult`] with the harness's numbers and files.
//!
//! ```text
//! task file -> TaskConfig -> Task -> Request -> Respond (LanguageModel, Classifier), ResponseCache -> TaskResult
//! ```

mod aggregate;
mod cache;
mod classifier;
mod config;
mod dataset;
mod document;
mod evaluate;
mod fewshot;
mod filter;
mod folder;
mod generation;
mod group;
mod keys;
mod language_model;
mod literal;
mod metric;
mod output_type;
mod python_random;
mod regex;
mod request;
mod result;
mod score;
mod source;
mod text_metric;
mod yaml;

pub use cache::ResponseCache;
pub use classifier::Classifier;
pub use config::TaskConfig;
pub use evaluate::TaskOptions;
pub use generation::Generation;
pub use group::TaskGroup;
pub use language_model::{LanguageModel, fingerprint};
pub use output_type::OutputType;
pub use request::{Request, Respond, Response};
pub use result::{TaskResult, TaskValue, results_json};

use crate::{Error, Result};
use document::required;
use nexus_core::data::Located;
use source::{Row, Source, Sources};
use std::path::{Path, PathBuf};

/// A task with its documents.
///
/// Of each document the task makes a context, `description`, then for each example its text, `target_delimiter`, its
/// answer and `fewshot_delimiter`, then the document's own text, and asks by [`OutputType`]:
///
/// | output type | asked | `doc_to_target` |
/// |---|---|---|
/// | `multiple_choice` | the likelihood of `target_delimiter` and each of `doc_to_choice` | the index or the text of the right one, or a list of indices |
/// | `loglikelihood` | the likelihood of the target, with nothing put before it | a text |
/// | `loglikelihood_rolling` | the likelihood of the target alone | a text |
/// | `generate_until` | the continuation of the context | a text, the index of one of `doc_to_choice`, or a list of texts of which each is right |
/// | `classification` | the class of `doc_to_text` | the name of a class, or its number |
///
/// Examples are drawn as by the harness with its seed 1234, document after document. Deviations: a document is never
/// among its own examples (the harness lets it where the examples come from the evaluated split without `fewshot_split`
/// saying so); an answer that is not among the choices is an error rather than a wrong answer.
///
/// Where `doc_to_text` of a `multiple_choice` gives a number, `doc_to_choice` are contexts, of which the number tells the
/// right one, and `doc_to_target` is what follows each of them (as in Winogrande).
#[derive(Clone, Debug)]
pub struct Task {
    config: TaskConfig,
    documents: Vec<(PathBuf, Located<Row>)>,
    /// The documents that examples are drawn from.
    pool: Vec<Row>,
    /// Whether a document may be in the pool.
    exclude: bool,
    sources: Sources,
    /// The sources of examples.
    examples: Sources,
    description: Option<Source>,
}

impl Task {
    /// Reads a task file and its data.
    ///
    /// # Errors
    /// As [`TaskConfig::load`] and [`new`](Self::new).
    pub fn from_file(path: &Path) -> Result<Self> {
        Self::new(TaskConfig::load(path)?)
    }

    /// Reads the data of a task.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`] and [`Error::Data`] for a file or split that is missing or damaged and for a
    /// template that is not Jinja.
    pub fn new(config: TaskConfig) -> Result<Self> {
        let at = |why: Error| Error::format(&config.path, why);
        let kind = config.output_type;
        required(&config.sources.target, "doc_to_target").map_err(at)?;
        if kind != OutputType::LogLikelihoodRolling {
            required(&config.sources.text, "doc_to_text").map_err(at)?;
        }
        if kind == OutputType::MultipleChoice {
            required(&config.sources.choice, "doc_to_choice").map_err(at)?;
        }
        let split = config.dataset.evaluated()?;
        let documents = config.dataset.rows(split)?;
        let fields: Vec<String> = match documents.first() {
            Some((_, first)) => first.record.keys().cloned().collect(),
            None => Vec::new(),
        };
        let named = config.fewshot.split.as_deref();
        let examples = match &config.fewshot.samples {
            Some(_) if named.is_none() => None,
            _ => named.or(config.dataset.examples()),
        };
        let pool = match (examples, &config.fewshot.samples) {
            (Some(pool), _) if pool == split => {
                documents.iter().map(|(_, located)| located.record.clone()).collect()
            }
            (Some(pool), _) => {
                config.dataset.rows(pool)?.into_iter().map(|(_, located)| located.record).collect()
            }
            (None, samples) => samples.clone().unwrap_or_default(),
        };
        let exclude = named == config.dataset.test() || examples == Some(split);
        let description = Some(&config.description).filter(|text| !text.is_empty());
        let description =
            description.map(|text| Source::description(&config.path, text, &fields)).transpose()?;
        Ok(Self {
            sources: config.sources.clone().compile(&fields)?,
            examples: config.fewshot.sources.clone().compile(&fields)?,
            documents,
            pool,
            exclude,
            description,
            config,
        })
    }

    /// The task as its file describes it.
    pub fn config(&self) -> &TaskConfig {
        &self.config
    }

    /// Number of documents, at least one.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.documents.len()
    }
}
