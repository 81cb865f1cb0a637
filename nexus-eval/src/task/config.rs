//! Task files: lm-evaluation-harness's YAML.

use super::dataset::DatasetConfig;
use super::fewshot::FewshotConfig;
use super::filter::FilterPipeline;
use super::generation::GenerationKwargs;
use super::keys::{Keys, texts};
use super::metric::Metric;
use super::output_type::OutputType;
use super::source::Sources;
use super::yaml::{self, Node, Yaml};
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// A task as its file describes it.
///
/// The keys are those of lm-evaluation-harness 0.4 (`docs/task_guide.md` there), as far as they need no Python:
///
/// | key | default | meaning |
/// |---|---|---|
/// | `task` | needed | name |
/// | `task_alias` | the name | name in tables |
/// | `include` | | files whose keys are taken over where this file lacks them |
/// | `dataset_path` | needed | `json`, `csv` or `parquet` |
/// | `dataset_kwargs.data_files` | needed | a file or a list of files (split `train`), or either by split; looked for in the working directory, then beside the task file |
/// | `test_split`, `validation_split` | | the documents to evaluate on: test, or else validation |
/// | `training_split`, `fewshot_split` | | the documents for examples: few-shot, or else training, validation, test |
/// | `doc_to_text`, `doc_to_target`, `doc_to_choice` | see [`Task`](super::Task) | a field's name, a Jinja template, or the value itself |
/// | `description` | empty | stands before everything, a template too |
/// | `target_delimiter`, `fewshot_delimiter` | a space, an empty line | between text and target, after each example |
/// | `num_fewshot` | 0 | number of examples |
/// | `fewshot_config` | | `sampler` (`default`: random, `first_n`), `split` or `samples`, and own values of `doc_to_*`, `gen_prefix` and delimiters |
/// | `output_type` | `generate_until` | see [`OutputType`] |
/// | `metric_list` | the type's own | see below |
/// | `generation_kwargs` | greedy, 256 tokens, up to `fewshot_delimiter` | `until`, `max_gen_toks`, `do_sample`, `temperature`, `top_p`, `top_k` |
/// | `repeats` | 1 | number of answers to a question, for `generate_until` |
/// | `gen_prefix` | | the beginning of the answer, behind the text: a field's name or a template |
/// | `filter_list` | `take_first` | what is made of an answer before it is measured; see below |
/// | `metadata` | | `version`; the rest is carried along |
///
/// `tag`, `should_decontaminate` and `doc_to_decontamination_query` have no effect and are named in
/// [`ignored`](Self::ignored). Any other key is an error that names the key and its line.
///
/// # Measures
///
/// | output type | measures | default |
/// |---|---|---|
/// | `multiple_choice` | `acc`, `acc_norm` (log-likelihood by characters), `acc_bytes` (by bytes), `acc_mutual_info` (less that of the choice without the context), `f1` (of choice 1 of two), `mcc` (Matthews' correlation), `brier_score` (squared distance of the softmax of the log-likelihoods from the truth, summed over the choices), `exact_match` (the right choice is also the greedy one) | `acc`, `acc_norm` |
/// | `loglikelihood` | `perplexity` (`exp` of the mean negative log-likelihood of a continuation), `acc` (it is the greedy one) | both |
/// | `loglikelihood_rolling` | `word_perplexity`, `byte_perplexity`, `bits_per_byte`; per word or byte of the original text, over all documents | all |
/// | `generate_until` | `exact_match` (options `regexes_to_ignore`, `ignore_case`, `ignore_punctuation`, `ignore_numbers`) and measures of texts: `bleu`, `chrf`, `chrf++`, `ter`, `rouge1`, `rouge2`, `rougeL`, `rougeLsum` | `exact_match` |
/// | `classification` | `acc`, `macro_f1` | both |
///
/// Of equals the first choice is taken. Standard errors are those of the harness: of a mean `s / sqrt(n)`, of `perplexity`,
/// `f1`, `mcc` and measures of a corpus by the bootstrap with the same draws, else none. `f1`, `mcc` and `brier_score` need
/// one right choice. Deviations: `f1` needs two choices (the harness looks at the answers that occur), `brier_score` takes
/// questions with different numbers of choices, and stands in samples with numbers rather than their print.
///
/// # Filters
///
/// The functions of a filter run one after the other; measures are named after the filter (`exact_match,NAME`).
///
/// | function | what it does |
/// |---|---|
/// | `regex` | the match number `group_select` (0; -1 is the last) of `regex_pattern`, of several groups the first that is not empty, without white space at its ends; else `fallback` (`[invalid]`) |
/// | `lowercase`, `uppercase` | as Python's |
/// | `remove_whitespace`, `strip` | takes white space from both ends |
/// | `map` | the value of the answer in `mapping_dict`, or `default_value`, or an empty text |
/// | `take_first` | the first of the answers |
/// | `take_first_k` | the first `k` of them |
/// | `majority_vote` | the most frequent of them, of equals the first (self-consistency: Wang et al. 2022, arXiv:2203.11171) |
///
/// One answer must be left. Without sampling a model is asked once, and each of `repeats` answers is that one.
///
/// Deviations: a `group_select` beyond the matches gives `fallback`, where the harness ends with an exception; several
/// answers at the end are refused, of which the harness would take the mean of `exact_match`.
#[derive(Clone, Debug)]
pub struct TaskConfig {
    /// The task's name.
    pub task: String,
    /// Its name in tables.
    pub alias: String,
    /// `metadata.version`; `"Yaml"` without one, as the harness has it.
    pub version: Value,
    /// What is asked of the model.
    pub output_type: OutputType,
    /// Number of examples before each question.
    pub num_fewshot: usize,
    /// Keys of the file that have no effect.
    pub ignored: Vec<String>,
    pub(super) path: PathBuf,
    pub(super) dataset: DatasetConfig,
    pub(super) sources: Sources,
    pub(super) description: String,
    pub(super) target_delimiter: String,
    pub(super) fewshot: FewshotConfig,
    pub(super) metrics: Vec<Metric>,
    pub(super) generation: GenerationKwargs,
    /// Number of answers to a question.
    pub(super) repeats: usize,
    pub(super) filters: Vec<FilterPipeline>,
    /// As the harness writes a task's configuration into its results.
    pub(super) json: Map<String, Value>,
}

/// Keys that need Python, or what is not there, and what to do instead.
const REFUSED: [(&str, &str); 8] = [
    ("process_docs", "it is a function of Python; prepare the data with it beforehand"),
    ("process_results", "it is a function of Python; use metric_list"),
    ("custom_dataset", "it is a function of Python; write the data to a file"),
    ("use_prompt", "promptsource is not supported; write the prompt as doc_to_text"),
    ("doc_to_image", "images are not supported"),
    ("doc_to_audio", "sound is not supported"),
    ("group", "this is a group of tasks; read it with TaskGroup"),
    ("dataset_name", "data is read from local files, which have no configurations; leave it out"),
];

/// More answers to one question are a slip.
const MAX_REPEATS: usize = 4096;

const IGNORED: [&str; 3] = ["tag", "should_decontaminate", "doc_to_decontamination_query"];

impl TaskConfig {
    /// Reads a task file with all that it includes.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] with the line of what is not YAML, unknown, or cannot be done.
    pub fn load(path: &Path) -> Result<Self> {
        let node = included(path, &mut Vec::new())?;
        let Value::Object(given) = node.json() else {
            return Err(node.place.error("a task file is a mapping of keys to values"));
        };
        let mut keys = Keys::of(node, "a task file")?;
        for (key, why) in REFUSED {
            if let Some(node) = keys.remove(key) {
                return Err(node.place.error(format!("{key:?}: {why}")));
            }
        }
        let mut ignored = Vec::new();
        for key in IGNORED {
            let set = keys.take(key).filter(|node| node.json() != json!(false));
            ignored.extend(set.map(|_| key.to_owned()));
        }
        if let Some(node) = keys.remove("unsafe_code").filter(|node| node.json() != json!(false)) {
            return Err(node.place.error("\"unsafe_code\" other than false is not supported"));
        }
        let task = keys.needed_text("task")?;
        let alias = keys.text("task_alias")?.unwrap_or_else(|| task.clone());
        let output_type = OutputType::read(&mut keys)?;
        let description = keys.text("description")?.unwrap_or_default();
        let target_delimiter = keys.text("target_delimiter")?.unwrap_or_else(|| " ".into());
        let fewshot_delimiter = keys.text("fewshot_delimiter")?.unwrap_or_else(|| "\n\n".into());
        let repeats = repeats(&mut keys, output_type)?;
        let num_fewshot = keys.count("num_fewshot")?.unwrap_or(0);
        let dataset = DatasetConfig::read(&mut keys, &mut ignored)?;
        let sources = Sources::read(&mut keys)?;
        let fewshot = FewshotConfig::read(
            keys.take("fewshot_config"),
            keys.text("fewshot_split")?,
            &sources,
            [&fewshot_delimiter, &target_delimiter],
        )?;
        let generation =
            GenerationKwargs::read(keys.take("generation_kwargs"), &fewshot_delimiter)?;
        let metrics = Metric::read_all(keys.mappings("metric_list")?, output_type)?;
        let filters =
            FilterPipeline::read_all(keys.mappings("filter_list")?, output_type, repeats)?;
        let metadata = keys.take("metadata").map(|node| node.json());
        let version = metadata.as_ref().and_then(|metadata| metadata.get("version").cloned());
        keys.finish("a task file")?;
        let mut config = Self {
            task,
            alias,
            version: version.unwrap_or_else(|| "Yaml".into()),
            output_type,
            num_fewshot,
            ignored,
            path: path.into(),
            dataset,
            sources,
            description,
            target_delimiter,
            fewshot,
            metrics,
            generation,
            repeats,
            filters,
            json: Map::new(),
        };
        config.json = config.as_harness(given);
        Ok(config)
    }

    /// The configuration with the defaults written out, in the order of the harness.
    fn as_harness(&self, given: Map<String, Value>) -> Map<String, Value> {
        let mut all = given;
        let mut fill = |key: &str, value: Value| {
            if all.get(key).is_none_or(Value::is_null) {
                all.insert(key.into(), value);
            }
        };
        fill("unsafe_code", false.into());
        fill("description", "".into());
        fill("target_delimiter", " ".into());
        fill("fewshot_delimiter", "\n\n".into());
        fill("num_fewshot", 0.into());
        fill("output_type", "generate_until".into());
        fill("repeats", 1.into());
        fill("should_decontaminate", false.into());
        all.insert("fewshot_config".into(), self.fewshot.as_harness(&all));
        if self.output_type == OutputType::GenerateUntil {
            all.insert("generation_kwargs".into(), self.generation.json.clone().into());
        }
        all.retain(|_, value| !value.is_null());
        let mut sorted = Map::new();
        for key in ORDER {
            sorted.extend(all.remove(*key).map(|value| (key.to_string(), value)));
        }
        sorted
    }
}

/// The order of the harness's `TaskConfig`.
const ORDER: &[&str] = &[
    "task",
    "task_alias",
    "dataset_path",
    "dataset_kwargs",
    "training_split",
    "validation_split",
    "test_split",
    "fewshot_split",
    "doc_to_text",
    "doc_to_target",
    "unsafe_code",
    "doc_to_choice",
    "description",
    "target_delimiter",
    "fewshot_delimiter",
    "fewshot_config",
    "num_fewshot",
    "metric_list",
    "output_type",
    "generation_kwargs",
    "repeats",
    "filter_list",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "gen_prefix",
    "metadata",
];

fn repeats(keys: &mut Keys, kind: OutputType) -> Result<usize> {
    let Some(node) = keys.take("repeats") else { return Ok(1) };
    let place = node.place.clone();
    match node.json().as_u64().and_then(|count| usize::try_from(count).ok()) {
        Some(1) => Ok(1),
        Some(count @ 2..=MAX_REPEATS) if kind == OutputType::GenerateUntil => Ok(count),
        Some(2..=MAX_REPEATS) => Err(place.error(format!(
            "\"repeats\" above 1 needs output_type generate_until; what {} asks has one answer",
            kind.name()
        ))),
        _ => Err(place.error(format!("\"repeats\" must be from 1 to {MAX_REPEATS}"))),
    }
}

/// A file with the keys that it lacks taken from the files that it includes, the last of them first.
pub(super) fn included(path: &Path, seen: &mut Vec<PathBuf>) -> Result<Node> {
    let real = path.canonicalize().map_err(Error::io("read", path))?;
    let mut node = yaml::read(path)?;
    if seen.contains(&real) {
        return Err(node
            .place
            .error("the file is included twice; a file may include no file again"));
    }
    seen.push(real);
    let Yaml::Map(entries) = &mut node.value else {
        return Err(node.place.error("a task file is a mapping of keys to values"));
    };
    let Some(at) = entries.iter().position(|(key, _)| key == "include") else { return Ok(node) };
    let (_, include) = entries.remove(at);
    let folder = path.parent().unwrap_or(Path::new("."));
    for file in texts(&include, "include")?.iter().rev() {
        let missing = |why: Error| include.place.error(format!("include {file:?}: {why}"));
        let file = folder.join(file);
        if !file.is_file() {
            return Err(missing(Error::Refused(format!("{} is no file", file.display()))));
        }
        let Yaml::Map(more) = included(&file, seen)?.value else { continue };
        for (key, value) in more {
            if key != "task_list" && entries.iter().all(|(name, _)| *name != key) {
                entries.push((key, value));
            }
        }
    }
    Ok(node)
}
