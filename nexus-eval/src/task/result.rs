//! What a task found, in the form of the harness.

use super::aggregate::Sample;
use super::config::TaskConfig;
use super::document::Question;
use super::evaluate::TaskOptions;
use super::group::TaskGroup;
use super::output_type::OutputType;
use super::request::{Request, Response, sha256};
use super::score::Scored;
use crate::report::MeasureInterval;
use crate::{Error, Result};
use nexus_core::data::{python_json, python_str};
use nexus_core::report::{EvalReport, Measure};
use serde_json::{Map, Value, json};
use std::path::Path;

/// A measured quantity of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskValue {
    /// The measure.
    pub metric: String,
    /// The filter behind which it was measured; `none` where the task names none.
    pub filter: String,
    /// The value; `None` where it is not defined, such as perplexity by word without a word.
    pub value: Option<f64>,
    /// Its standard error; `None` where the harness gives none.
    pub stderr: Option<f64>,
    /// Whether more is better.
    pub higher_is_better: bool,
}

/// What a task found.
#[derive(Clone, Debug)]
pub struct TaskResult {
    /// The task's name.
    pub task: String,
    /// Its name in tables.
    pub alias: String,
    /// Its version.
    pub version: Value,
    /// Number of examples before each question.
    pub num_fewshot: usize,
    /// Number of documents there are.
    pub documents: usize,
    /// Number of documents that were evaluated.
    pub evaluated: usize,
    /// The measures, filter after filter.
    pub values: Vec<TaskValue>,
    /// One object for each filter and document, as in the harness's `samples_*.jsonl`.
    pub samples: Vec<Value>,
    /// Wall time in seconds.
    pub seconds: f64,
    config: Map<String, Value>,
}

impl TaskResult {
    pub(super) fn new(
        config: &TaskConfig,
        documents: usize,
        evaluated: usize,
        shots: usize,
    ) -> Self {
        let mut json = config.json.clone();
        json.insert("num_fewshot".into(), shots.into());
        Self {
            task: config.task.clone(),
            alias: config.alias.clone(),
            version: config.version.clone(),
            num_fewshot: shots,
            documents,
            evaluated,
            values: Vec::new(),
            samples: Vec::new(),
            seconds: 0.0,
            config: json,
        }
    }

    /// Adds the measures and samples behind one filter.
    pub(super) fn add(
        &mut self,
        config: &TaskConfig,
        filter: &str,
        questions: &[Question<'_>],
        responses: &[Vec<&Response>],
        scored: Vec<Scored>,
        options: &TaskOptions,
    ) -> Result<()> {
        for (i, metric) in config.metrics.iter().enumerate() {
            let samples: Vec<&Sample> =
                scored.iter().filter_map(|scored| scored.samples.get(i)).collect();
            self.values.push(TaskValue {
                metric: metric.name.clone(),
                filter: filter.into(),
                value: metric.aggregate(&samples)?.filter(|value| value.is_finite()),
                stderr: metric.stderr(&samples, options.bootstrap_iters)?,
                higher_is_better: metric.higher_is_better,
            });
        }
        for (i, ((question, responses), scored)) in
            questions.iter().zip(responses).zip(&scored).enumerate()
        {
            self.samples.push(sample(config, filter, i, question, responses, scored));
        }
        Ok(())
    }

    /// The value of a measure.
    pub fn value(&self, metric: &str, filter: &str) -> Option<f64> {
        let of = |value: &&TaskValue| value.metric == metric && value.filter == filter;
        self.values.iter().find(of)?.value
    }

    /// The measures as other evaluators report them, named `metric`, or `metric,filter` behind a filter of the task.
    pub fn report(&self) -> EvalReport {
        let measure = |value: &TaskValue| {
            let name = match value.filter.as_str() {
                "none" => value.metric.clone(),
                filter => format!("{},{filter}", value.metric),
            };
            Some(Measure {
                name,
                value: value.value?,
                stderr: value.stderr,
                n: self.evaluated,
                higher_is_better: value.higher_is_better,
            })
        };
        EvalReport {
            task: self.task.clone(),
            measures: self.values.iter().filter_map(measure).collect(),
            examples: self.evaluated,
            seconds: self.seconds,
        }
    }

    /// Wilson's intervals of the measures that are shares: means of a 0 or 1 for each document.
    pub fn shares(&self) -> Vec<MeasureInterval> {
        let mut all = Vec::new();
        let defined = self.values.iter().filter(|value| value.value.is_some());
        for (value, measure) in defined.zip(self.report().measures) {
            let behind =
                self.samples.iter().filter(|sample| sample["filter"] == value.filter.as_str());
            let scores = behind.map(|sample| sample[value.metric.as_str()].as_f64());
            let right: Option<Vec<bool>> = scores
                .map(|score| score.filter(|s| *s == 0.0 || *s == 1.0).map(|s| s == 1.0))
                .collect();
            let Some(right) = right else { continue };
            let count = right.iter().filter(|&&right| right).count();
            // A measure may be something else than the mean of its samples.
            if value.value != Some(count as f64 / right.len() as f64) {
                continue;
            }
            all.extend(MeasureInterval::share(&self.task, &measure.name, count, right.len()));
        }
        all
    }

    /// Writes the samples, one JSON object a line.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_samples(&self, path: &Path) -> Result<()> {
        let lines: String =
            self.samples.iter().map(|sample| python_json(sample, None) + "\n").collect();
        std::fs::write(path, lines).map_err(Error::io("write", path))
    }

    /// The entry of the harness's `results`.
    fn json(&self) -> Value {
        let mut all = Map::new();
        all.insert("name".into(), self.task.clone().into());
        all.insert("alias".into(), self.alias.clone().into());
        all.insert("sample_len".into(), self.evaluated.into());
        for TaskValue { metric, filter, value, stderr, .. } in &self.values {
            all.insert(format!("{metric},{filter}"), (*value).into());
            let stderr = stderr.map_or_else(|| "N/A".into(), Value::from);
            all.insert(format!("{metric}_stderr,{filter}"), stderr);
        }
        all.into()
    }
}

/// The results of tasks as the harness writes them to `results.json`; `config` says what was run and how. The means of
/// groups, whose tasks are among `results`, are under `groups` and `results`.
pub fn results_json(
    results: &[TaskResult],
    groups: &[TaskGroup],
    config: Map<String, Value>,
) -> Value {
    let groups: Vec<&TaskGroup> = groups.iter().flat_map(TaskGroup::groups).collect();
    let by_task = |value: &dyn Fn(&TaskResult) -> Value| -> Map<String, Value> {
        results.iter().map(|result| (result.task.clone(), value(result))).collect()
    };
    let higher = |result: &TaskResult| {
        let entry = |value: &TaskValue| (value.metric.clone(), value.higher_is_better.into());
        Value::Object(result.values.iter().map(entry).collect())
    };
    let mut all = by_task(&TaskResult::json);
    let mut means = Map::new();
    let (mut shots, mut higher) = (by_task(&|result| result.num_fewshot.into()), by_task(&higher));
    let mut versions = by_task(&|result| result.version.clone());
    for group in &groups {
        let json = group.json(results);
        if group.has_means() {
            means.insert(group.group.clone(), json.clone());
        }
        all.insert(group.group.clone(), json);
        versions.insert(group.group.clone(), group.version.clone().into());
        // What its own tasks agree on.
        let mut of_children = group.children().filter_map(|child| shots.get(child)).cloned();
        if let Some(first) = of_children.next()
            && of_children.all(|other| other == first)
        {
            shots.insert(group.group.clone(), first);
        }
        let mut directions: Map<String, Value> = Map::new();
        for (metric, value) in
            group.children().filter_map(|child| higher.get(child)?.as_object()).flatten()
        {
            let agreed = directions.entry(metric.as_str()).or_insert_with(|| value.clone());
            if agreed != value {
                *agreed = Value::Null;
            }
        }
        if !directions.is_empty() {
            higher.insert(group.group.clone(), directions.into());
        }
    }
    let children =
        |group: &&TaskGroup| (group.group.clone(), group.children().map(Value::from).collect());
    let samples =
        |result: &TaskResult| json!({"original": result.documents, "effective": result.evaluated});
    let mut json = json!({
        "results": all,
        "group_subtasks": groups.iter().map(children).collect::<Map<_, _>>(),
        "configs": by_task(&|result| result.config.clone().into()),
        "versions": versions,
        "n-shot": shots,
        "higher_is_better": higher,
        "n-samples": by_task(&samples),
        "config": config,
    });
    if !means.is_empty() {
        json["groups"] = means.into();
    }
    json
}

/// One object of the harness's samples: numbers of responses are texts there.
fn sample(
    config: &TaskConfig,
    filter: &str,
    index: usize,
    question: &Question<'_>,
    responses: &[&Response],
    scored: &Scored,
) -> Value {
    let target = python_str(&question.target);
    let mut arguments = Map::new();
    for (i, request) in question.requests.iter().step_by(config.repeats).enumerate() {
        let argument = match request {
            Request::LogLikelihood { context, continuation } => {
                json!({"arg_0": context, "arg_1": continuation})
            }
            Request::Generate { context, .. } => {
                json!({"arg_0": context, "arg_1": config.generation.json})
            }
            Request::LogLikelihoodRolling { text } | Request::Classify { text } => {
                json!({"arg_0": text})
            }
        };
        arguments.insert(format!("gen_args_{i}"), argument);
    }
    let number = |value: f64| python_str(&value.into());
    let response = |response: &&Response| match response {
        Response::LogLikelihood { sum, greedy } => {
            json!([number(*sum), if *greedy { "True" } else { "False" }])
        }
        Response::LogLikelihoodRolling(sum) => number(*sum).into(),
        Response::Text(text) => text.clone().into(),
        Response::Logits(logits) => logits.iter().map(|&logit| number(logit.into())).collect(),
    };
    let all: Vec<Value> = responses.iter().map(response).collect();
    let filtered = match &scored.filtered {
        Some(filtered) => vec![filtered.json()],
        None => all.clone(),
    };
    let names: Vec<&str> = config.metrics.iter().map(|metric| metric.name.as_str()).collect();
    let prompt = match question.requests.first() {
        Some(Request::LogLikelihood { context, .. } | Request::Generate { context, .. }) => context,
        Some(Request::LogLikelihoodRolling { text } | Request::Classify { text }) => text,
        None => "",
    };
    let document = Value::from(question.row.clone());
    let mut sample = json!({
        "doc_id": index,
        "doc": document,
        "target": target,
        "arguments": arguments,
        "resps": all.chunks(config.repeats).collect::<Vec<_>>(),
        "filtered_resps": filtered,
        "filter": filter,
        "metrics": names,
        "doc_hash": sha256(python_json(&document, Some(2)).as_bytes()),
        "prompt_hash": sha256(prompt.as_bytes()),
        "target_hash": sha256(target.as_bytes()),
    });
    for (name, value) in names.iter().zip(&scored.samples) {
        // The harness counts whether a continuation is greedy in whole numbers.
        let whole = matches!(config.output_type, OutputType::LogLikelihood) && *name == "acc";
        let json = match (value, whole) {
            (Sample::Number(value), true) => json!(*value as i64),
            (value, _) => value.json(),
        };
        sample[*name] = json;
    }
    sample
}
