//! Tasks from files against lm-evaluation-harness (`golden/tasks/export.py`), and what holds for any model.

mod errors;
mod groups;
#[path = "../model/mod.rs"]
mod model;
mod runs;

use nexus_core::data::{
    Columns, LabelMap, Problem, RecordStream, SequenceEncoder, Tokenizer, encode,
};
use nexus_core::model::{Classes, Decoder, Head, with_pad_token};
use nexus_core::stage::Evaluator;
use nexus_core::weights::load_with_head;
use nexus_eval::task::{
    Classifier, LanguageModel, Request, Respond, Response, ResponseCache, Task, TaskGroup,
    TaskOptions, TaskResult, fingerprint, results_json,
};
use nexus_eval::{Classification, Document, Error, Perplexity, Result, ScoreOptions, prefix_token};
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Sums of f32 log-probabilities that are added up in another order, and the exponentials of their means.
const LIKELIHOOD_TOLERANCE: f64 = 1e-4;

/// What is computed in f64 from equal 0s and 1s.
const SHARE_TOLERANCE: f64 = 1e-12;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tasks").join(name)
}

fn assets(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/assets").join(name)
}

fn golden_json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden(name)).unwrap()).unwrap()
}

fn decoder() -> (Decoder, Tokenizer, String) {
    let folder = assets("decoder");
    let model = nexus_core::weights::load(&folder, &model::device()).unwrap();
    (model, Tokenizer::load(&folder).unwrap(), fingerprint(&[&folder]).unwrap())
}

fn scores(batch_size: usize) -> ScoreOptions {
    ScoreOptions { batch_size, ..ScoreOptions::default() }
}

fn evaluate(name: &str, model: &dyn Respond) -> TaskResult {
    let task = Task::from_file(&golden(&format!("{name}.yaml"))).unwrap();
    task.evaluate(model, None, &TaskOptions::default(), &mut |_, _| {}).unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    let distance = (found - expected).abs();
    assert!(distance <= tolerance * expected.abs().max(1e-300), "{found} is not {expected}");
}

const TASKS: [&str; 10] = [
    "golden_choice",
    "golden_table",
    "golden_cloze",
    "golden_documents",
    "golden_answers",
    "golden_texts",
    "golden_repeats",
    "golden_classes",
    "golden_pairs",
    "golden_contexts",
];

/// Answers question n with the nth of the answers that the harness had from a script.
struct Scripted;

impl Respond for Scripted {
    fn fingerprint(&self) -> &str {
        "scripted"
    }

    fn respond(
        &self,
        requests: &[&Request],
        done: &mut dyn FnMut(usize, Response) -> Result<()>,
    ) -> Result<()> {
        let answers = [
            "It is 4", "5", "4.", "no", "5", "6", "7 or 6", "It is 6", "8", "9", "8", "10", "none",
        ];
        for (place, request) in requests.iter().enumerate() {
            let Request::Generate { generation, .. } = request else { unreachable!() };
            let text = answers[generation.seed as usize % answers.len()];
            done(place, Response::Text(text.into()))?;
        }
        Ok(())
    }
}

fn sorted(names: &Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Numbers in texts, as the harness writes responses, within the tolerance; all else equal.
#[track_caller]
fn same(found: &Value, expected: &Value, place: &str) {
    match (found, expected) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|(a, b)| same(a, b, place));
        }
        (Value::Object(a), Value::Object(b)) => {
            let keys = |map: &Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            let (mut of_a, mut of_b) = (keys(a), keys(b));
            of_a.sort();
            of_b.sort();
            assert_eq!(of_a, of_b, "{place}");
            for (key, a) in a {
                match key.as_str() {
                    // The harness has an order of its own, ours is that of the task file.
                    "metrics" => assert_eq!(sorted(a), sorted(&b[key]), "{place}"),
                    _ => same(a, &b[key], &format!("{place}.{key}")),
                }
            }
        }
        (Value::Number(a), Value::Number(b)) => {
            close(a.as_f64().unwrap(), b.as_f64().unwrap(), LIKELIHOOD_TOLERANCE);
        }
        (Value::String(a), Value::String(b)) => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => close(a, b, LIKELIHOOD_TOLERANCE),
            _ => assert_eq!(a, b, "{place}"),
        },
        _ => assert_eq!(found, expected, "{place}"),
    }
}

#[test]
fn results_and_samples_are_those_of_the_harness() {
    let (model, tokenizer, name) = decoder();
    let model = LanguageModel::new(&model, &tokenizer, &name, &scores(4)).unwrap();
    let mut results: Vec<TaskResult> = TASKS.iter().map(|task| evaluate(task, &model)).collect();
    results.push(evaluate("golden_votes", &Scripted));
    let group = TaskGroup::load(&golden("golden_all.yaml")).unwrap();
    let expected = golden_json("results.json");
    let found = results_json(&results, &[group], Map::new());
    assert_eq!(found["group_subtasks"], expected["group_subtasks"]);
    for group in ["golden_group", "golden_all"] {
        assert_eq!(found["groups"][group], found["results"][group]);
        same(&found["groups"][group], &expected["groups"][group], group);
    }
    for key in ["results", "versions", "n-shot", "n-samples", "higher_is_better", "groups"] {
        let names = |json: &Value| json[key].as_object().unwrap().keys().cloned().collect();
        let (found, expected): (BTreeSet<_>, BTreeSet<_>) = (names(&found), names(&expected));
        assert_eq!(found, expected, "{key}");
    }
    for key in ["versions", "n-shot", "n-samples", "higher_is_better"] {
        for (task, expected) in expected[key].as_object().unwrap() {
            assert_eq!(&found[key][task], expected, "{key} of {task}");
        }
    }
    for (task, config) in expected["configs"].as_object().unwrap() {
        same(&found["configs"][task], config, task);
        let expected = expected["results"][task].as_object().unwrap();
        let found = found["results"][task].as_object().unwrap();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (key, expected) in expected {
            let exact = ["acc", "exact", "f1,", "mcc,"].iter().any(|start| key.starts_with(start));
            match (&found[key], expected) {
                (Value::Number(a), Value::Number(b)) => {
                    let tolerance = if exact { SHARE_TOLERANCE } else { LIKELIHOOD_TOLERANCE };
                    close(a.as_f64().unwrap(), b.as_f64().unwrap(), tolerance);
                }
                (found, expected) => assert_eq!(found, expected, "{key} of {task}"),
            }
        }
    }
    let text = ["samples.jsonl", "samples_group.jsonl"].map(golden);
    let text = text.map(|path| std::fs::read_to_string(path).unwrap()).concat();
    let mut samples = BTreeMap::<String, Vec<Value>>::new();
    for line in text.lines() {
        let mut sample: Map<String, Value> = serde_json::from_str(line).unwrap();
        let task = sample.remove("task").unwrap().as_str().unwrap().to_owned();
        samples.entry(task).or_default().push(sample.into());
    }
    for result in &results {
        let expected = &samples[&result.task];
        assert_eq!(result.samples.len(), expected.len());
        for (found, expected) in result.samples.iter().zip(expected) {
            same(found, expected, &format!("{} {}", result.task, expected["doc_id"]));
        }
    }
}

#[test]
fn perplexity_is_that_of_pytorch_over_the_same_windows() {
    let (model, tokenizer, _) = decoder();
    let expected = golden_json("windows.json");
    let document = Document::from_text(expected["text"].as_str().unwrap(), &tokenizer).unwrap();
    assert_eq!(document.ids.len() as u64, expected["tokens"].as_u64().unwrap());
    let max_length = expected["max_length"].as_u64().map(|length| length as usize);
    let options = ScoreOptions { max_length, batch_size: 3 };
    let tokens = document.ids.len() as f64;
    let task = Perplexity::new(vec![document], prefix_token(&tokenizer).unwrap(), options).unwrap();
    let report = task.measure(&model, &mut |_, _| {}).unwrap();
    let log_likelihood = expected["log_likelihood"].as_f64().unwrap();
    let perplexity = report.measure("perplexity").unwrap().value;
    close(perplexity, (-log_likelihood / tokens).exp(), LIKELIHOOD_TOLERANCE);
}

#[test]
fn results_do_not_depend_on_the_batch_size() {
    let (model, tokenizer, name) = decoder();
    for task in TASKS {
        let result = |batch_size| {
            let model = LanguageModel::new(&model, &tokenizer, &name, &scores(batch_size)).unwrap();
            evaluate(task, &model).samples
        };
        let (one, seven) = (result(1), result(7));
        for (one, seven) in one.iter().zip(&seven) {
            same(one, seven, task);
        }
    }
}

/// A model of fixed answers that counts what it is asked, and fails after `left` answers.
struct Counting {
    asked: Cell<usize>,
    left: Cell<usize>,
    name: &'static str,
}

impl Counting {
    fn new(name: &'static str) -> Self {
        Self { asked: Cell::new(0), left: Cell::new(usize::MAX), name }
    }
}

impl Respond for Counting {
    fn fingerprint(&self) -> &str {
        self.name
    }

    fn respond(
        &self,
        requests: &[&Request],
        done: &mut dyn FnMut(usize, Response) -> Result<()>,
    ) -> Result<()> {
        for (place, request) in requests.iter().enumerate().rev() {
            if self.left.get() == 0 {
                return Err(Error::Refused("killed".into()));
            }
            self.left.set(self.left.get() - 1);
            self.asked.set(self.asked.get() + 1);
            let response = match request {
                Request::LogLikelihood { context, continuation } => Response::LogLikelihood {
                    sum: -1.0 / 3.0 - (context.len() * 7 % 13 + continuation.len()) as f64,
                    greedy: continuation.len() % 2 == 0,
                },
                Request::LogLikelihoodRolling { text } => {
                    Response::LogLikelihoodRolling(-(text.len() as f64) / 3.0)
                }
                Request::Generate { context, .. } => {
                    Response::Text(format!(" A {}", context.len()))
                }
                Request::Classify { text } => {
                    let length = text.len() as f32;
                    Response::Logits(vec![length % 2.0, length % 3.0, length % 5.0])
                }
            };
            done(place, response)?;
        }
        Ok(())
    }
}

/// Writes a task file and its data into a folder.
fn task_file(folder: &Path, yaml: &str, data: &[Value]) -> PathBuf {
    let lines: Vec<String> = data.iter().map(Value::to_string).collect();
    std::fs::write(folder.join("data.jsonl"), lines.join("\n")).unwrap();
    let path = folder.join("task.yaml");
    let head = "task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: data.jsonl}}\n\
                test_split: test\n";
    std::fs::write(&path, format!("{head}{yaml}")).unwrap();
    path
}
