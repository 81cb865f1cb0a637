//! Tasks from files against lm-evaluation-harness (`golden/tasks/export.py`), and what holds for any model.

mod model;

use nexus_core::data::{
    Columns, LabelMap, Problem, RecordStream, SequenceEncoder, Tokenizer, encode,
};
use nexus_core::model::{Classes, Decoder, Head, with_pad_token};
use nexus_core::stage::Evaluator;
use nexus_core::weights::load_with_head;
use nexus_eval::task::{
    Classifier, LanguageModel, Request, Respond, Response, ResponseCache, Task, TaskOptions,
    TaskResult, fingerprint, results_json,
};
use nexus_eval::{Classification, Document, Error, Perplexity, Result, ScoreOptions, prefix_token};
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
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

const TASKS: [&str; 6] = [
    "golden_choice",
    "golden_table",
    "golden_cloze",
    "golden_documents",
    "golden_answers",
    "golden_texts",
];

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
    let results: Vec<TaskResult> = TASKS.iter().map(|task| evaluate(task, &model)).collect();
    let expected = golden_json("results.json");
    let found = results_json(&results, Map::new());
    for key in ["versions", "n-shot", "n-samples", "higher_is_better"] {
        for task in TASKS {
            assert_eq!(found[key][task], expected[key][task], "{key} of {task}");
        }
    }
    for task in TASKS {
        same(&found["configs"][task], &expected["configs"][task], task);
        let expected = expected["results"][task].as_object().unwrap();
        let found = found["results"][task].as_object().unwrap();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (key, expected) in expected {
            let exact = key.starts_with("acc") || key.starts_with("exact");
            match (&found[key], expected) {
                (Value::Number(a), Value::Number(b)) => {
                    let tolerance = if exact { SHARE_TOLERANCE } else { LIKELIHOOD_TOLERANCE };
                    close(a.as_f64().unwrap(), b.as_f64().unwrap(), tolerance);
                }
                (found, expected) => assert_eq!(found, expected, "{key} of {task}"),
            }
        }
    }
    let text = std::fs::read_to_string(golden("samples.jsonl")).unwrap();
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

#[test]
fn a_second_run_asks_nothing_and_a_killed_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("responses.jsonl");
    let options = TaskOptions::default();
    for name in TASKS {
        let task = Task::from_file(&golden(&format!("{name}.yaml"))).unwrap();
        let run = |model: &Counting| {
            let mut cache = ResponseCache::open(&path).unwrap();
            task.evaluate(model, Some(&mut cache), &options, &mut |_, _| {})
        };
        let plain = Counting::new("model");
        let expected = task.evaluate(&plain, None, &options, &mut |_, _| {}).unwrap();

        let killed = Counting::new("model");
        killed.left.set(3);
        assert!(run(&killed).unwrap_err().to_string().contains("killed"));
        let later = Counting::new("model");
        assert_eq!(run(&later).unwrap().samples, expected.samples);
        assert_eq!(later.asked.get() + 3, plain.asked.get(), "{name}");
        let again = Counting::new("model");
        let found = run(&again).unwrap();
        assert_eq!((again.asked.get(), &found.values), (0, &expected.values));
        // Another model, other answers.
        let other = Counting::new("another model");
        run(&other).unwrap();
        assert_eq!(other.asked.get(), plain.asked.get());
    }
    // A line that is damaged is asked again.
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(&path, [&lines[..1], &["{\"key\": 7}"], &lines[2..]].concat().join("\n"))
        .unwrap();
    let mut cache = ResponseCache::open(&path).unwrap();
    assert_eq!(cache.damaged(), [2]);
    let task = Task::from_file(&golden("golden_choice.yaml")).unwrap();
    let model = Counting::new("model");
    task.evaluate(&model, Some(&mut cache), &options, &mut |_, _| {}).unwrap();
    assert_eq!(model.asked.get(), 1);
}

#[test]
fn progress_counts_requests_and_a_limit_takes_the_first_documents() {
    let task = Task::from_file(&golden("golden_choice.yaml")).unwrap();
    let options = TaskOptions { limit: Some(2), num_fewshot: Some(0), ..TaskOptions::default() };
    let mut seen = Vec::new();
    let model = Counting::new("model");
    let result = task.evaluate(&model, None, &options, &mut |done, all| seen.push((done, all)));
    let result = result.unwrap();
    assert_eq!(seen.first(), Some(&(0, 16)));
    assert_eq!(seen.last(), Some(&(16, 16)));
    assert_eq!((result.evaluated, result.documents, result.num_fewshot), (2, 13, 0));
    assert_eq!(result.report().measures.len(), 5);
    let none = TaskOptions { limit: Some(0), ..options };
    assert!(task.evaluate(&model, None, &none, &mut |_, _| {}).is_err());
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

#[test]
fn parquet_columns_are_fields() {
    let folder = tempfile::tempdir().unwrap();
    let data = golden("table.parquet");
    let path = folder.path().join("task.yaml");
    let files = format!("{{data_files: {{test: '{}'}}}}", data.display());
    let yaml = format!(
        "task: t\ndataset_path: parquet\ndataset_kwargs: {files}\ntest_split: test\n\
         doc_to_text: '{{{{level + 1}}}} {{{{names}}}}'\ndoc_to_target: area\n"
    );
    std::fs::write(&path, yaml).unwrap();
    let task = Task::from_file(&path).unwrap();
    let options = TaskOptions { limit: Some(2), ..TaskOptions::default() };
    let result = task.evaluate(&Counting::new("m"), None, &options, &mut |_, _| {}).unwrap();
    assert_eq!(result.samples[0]["arguments"]["gen_args_0"]["arg_0"], "1 ['x', 'y']");
    assert_eq!(result.samples[1]["target"], "area 31");
}

#[test]
fn classes_of_a_classification_head_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "output_type: classification\ndoc_to_text: text\ndoc_to_target: label\n\
                doc_to_choice: [even, third, fifth]\n";
    // Lengths 4, 3, 2: logits (0, 1, 4), (1, 0, 3), (0, 2, 2): classes 2, 2, 1.
    let data = [("abcd", json!("fifth")), ("abc", json!(0)), ("ab", json!("third"))];
    let data = data.map(|(text, label)| json!({"text": text, "label": label}));
    let task = Task::from_file(&task_file(folder.path(), yaml, &data)).unwrap();
    let result =
        task.evaluate(&Counting::new("m"), None, &TaskOptions::default(), &mut |_, _| {}).unwrap();
    close(result.value("acc", "none").unwrap(), 2.0 / 3.0, SHARE_TOLERANCE);
    // F1 of the classes: 0, 1 and 2/3.
    close(result.value("macro_f1", "none").unwrap(), 5.0 / 9.0, SHARE_TOLERANCE);
}

#[test]
fn a_classifier_is_measured_as_by_the_evaluator_of_examples() {
    let (decoder, tokenizer, name) = decoder();
    let names: Vec<String> = ["animal", "place", "none"].map(String::from).to_vec();
    let head = Head::Sequence(Classes { names: names.clone(), problem: Problem::SingleLabel });
    let headed = load_with_head::<Decoder>(&assets("decoder"), &model::device(), head, 1).unwrap();
    let model = with_pad_token(headed.model, tokenizer.pad());
    let texts = ["the cat sat on", "a dog", "which bird? a bird", "mat", "the mat, the cat"];
    let data =
        texts.iter().enumerate().map(|(i, text)| json!({"text": text, "label": names[i % 3]}));
    let data: Vec<Value> = data.collect();
    let yaml = "output_type: classification\ndoc_to_text: text\ndoc_to_target: label\n";
    let written = tempfile::tempdir().unwrap();
    let task = Task::from_file(&task_file(written.path(), yaml, &data)).unwrap();
    let classifier = Classifier::new(&model, &tokenizer, &name, 16, 2).unwrap();
    let result = task.evaluate(&classifier, None, &TaskOptions::default(), &mut |_, _| {}).unwrap();

    let labels = LabelMap::new(names).unwrap();
    let problem = Problem::SingleLabel;
    let encoder = SequenceEncoder { tokenizer: tokenizer.clone(), labels, problem, max_length: 16 };
    let data = written.path().join("data.jsonl");
    let records = RecordStream::open(&data, &Columns::new()).unwrap();
    let records = records.collect::<Result<Vec<_>>>().unwrap();
    let examples = encode(&records, &encoder, &data).unwrap().examples;
    let report =
        Classification::new(examples, 2, tokenizer.pad()).unwrap().evaluate(&model).unwrap();
    for (name, other) in [("acc", "accuracy"), ("macro_f1", "macro_f1")] {
        let expected = report.measure(other).unwrap().value;
        close(result.value(name, "none").unwrap(), expected, SHARE_TOLERANCE);
    }
    // What a language model is asked, a classifier does not answer, and the reverse.
    let options = TaskOptions::default();
    let choice = Task::from_file(&golden("golden_choice.yaml")).unwrap();
    assert!(choice.evaluate(&classifier, None, &options, &mut |_, _| {}).is_err());
    let decoder = LanguageModel::new(&decoder, &tokenizer, &name, &scores(4)).unwrap();
    assert!(task.evaluate(&decoder, None, &options, &mut |_, _| {}).is_err());
}

#[test]
fn what_cannot_be_done_names_the_place() {
    let choice =
        "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: c\ndoc_to_target: a\n";
    let good = json!({"q": "x", "c": ["a", "b"], "a": 0});
    let cases: &[(&str, Value, &str)] = &[
        ("doc_to_txt: q\n", good.clone(), "task.yaml:5: unknown key \"doc_to_txt\""),
        ("process_docs: !function utils.f\n", good.clone(), "task.yaml:5: `!function`"),
        ("output_type: guess\n", good.clone(), "task.yaml:5: output_type \"guess\""),
        ("include: missing.yaml\n", good.clone(), "task.yaml:5: include"),
        ("include: task.yaml\n", good.clone(), "included twice"),
        ("gen_prefix: x\n", good.clone(), "task.yaml:5: \"gen_prefix\""),
        ("num_fewshot: -1\n", good.clone(), "task.yaml:5: \"num_fewshot\""),
        ("doc_to_target: a\n", good.clone(), "\"doc_to_text\" is missing"),
        ("doc_to_text: q\ndoc_to_target: '{{a'\n", good.clone(), "task.yaml:6: doc_to_target"),
        ("doc_to_text: q\ndoc_to_target: '{{z}}'\n", good.clone(), "data.jsonl:1: "),
        ("doc_to_text: a\ndoc_to_target: a\n", good.clone(), "not a text"),
        (choice, json!({"q": "x", "c": ["a", "b"], "a": 2}), "data.jsonl:1: the answer \"2\""),
        (choice, json!({"q": "x", "c": ["a", ""], "a": 0}), "data.jsonl:1: expected at least 2"),
        (choice, json!({"q": "x", "c": "ab", "a": 0}), "doc_to_choice must give a list"),
        (
            &format!("{choice}metric_list: [{{metric: bleu}}]\n"),
            good.clone(),
            "task.yaml:9: multiple_choice has no metric \"bleu\"",
        ),
        (
            &format!("{choice}metric_list:\n  - metric: acc\n    aggregation: median\n"),
            good.clone(),
            "aggregated by \"mean\"",
        ),
        (&format!("{choice}num_fewshot: 1\n"), good.clone(), "1 examples are wanted"),
        (
            "doc_to_text: q\ndoc_to_target: q\nfilter_list:\n  - name: f\n    filter:\n      - function: regex\n        regex_pattern: '('\n",
            good.clone(),
            "task.yaml:10: the pattern",
        ),
        (
            "doc_to_text: q\ndoc_to_target: q\ngeneration_kwargs: {do_sample: true}\n",
            good,
            "task.yaml:7: do_sample",
        ),
    ];
    for (yaml, row, why) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = task_file(folder.path(), yaml, std::slice::from_ref(row));
        let error = Task::from_file(&path).and_then(|task| {
            let model = Counting::new("m");
            task.evaluate(&model, None, &TaskOptions::default(), &mut |_, _| {})
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains(why), "{yaml}: {error}");
    }
}
