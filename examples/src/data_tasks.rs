//! Evaluations on a data file: perplexity, multiple choice, generated answers, classes.

use crate::{
    AnswerArgs, ColumnArgs, DataReader, DeviceArgs, Evaluated, Failure, ModelArgs, ReportArgs,
    in_memory, model_folder, progress,
};
use clap::{Args, ValueEnum};
use nexus_core::data::{
    EncodeOptions, LabelMap, LabeledText, Record, SequenceEncoder, Tokenizer, encode_records,
    read_records,
};
use nexus_core::model::{Classify, Decoder, Encoder, ModelConfig};
use nexus_core::report::{DataFile, EvalReport, comparison_table};
use nexus_core::stage::Evaluator;
use nexus_core::weights::read_spec;
use nexus_eval::report::ModelReport;
use nexus_eval::stats::Bootstrap;
use nexus_eval::{
    Choice, ChoiceOptions, Classification, ExactMatch, ExamplePerplexity, Perplexity, ScoreOptions,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A task on a data file.
#[derive(Args, Clone, Debug)]
pub struct DataTaskArgs {
    /// What to measure
    #[arg(long, value_enum, required_unless_present = "task_file", conflicts_with = "task_file")]
    task: Option<DataTask>,
    /// The data: .jsonl with one JSON object a line; for perplexity also .txt; for classify also .csv, .json, .parquet
    #[arg(long, value_name = "FILE", required_unless_present = "task_file", requires = "task")]
    data: Option<PathBuf>,
    /// Also write what was chosen or generated, one JSON object a line (all tasks but perplexity)
    #[arg(long, value_name = "FILE", requires = "task")]
    details: Option<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    answers: AnswerArgs,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum DataTask {
    /// How well the model predicts text: {"text"}; or answers: {"prompt", "completion"}, {"messages"}
    Perplexity,
    /// Which choice the model finds likeliest: {"question", "choices": [..], "answer": index}
    Choice,
    /// Whether the model writes the expected answer: {"prompt", "completion"}
    Generate,
    /// Which class a model with a classification head gives: {"text", "label"} or {"text_a", "text_b", "label"}
    Classify,
}

/// What an evaluation works with.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// The model.
    pub model: &'a ModelArgs,
    /// Where it computes.
    pub device: &'a DeviceArgs,
    /// Length and batch size.
    pub score: ScoreOptions,
    /// Limits and the report.
    pub report: &'a ReportArgs,
    /// Whether JSON is printed in place of a table.
    pub json: bool,
}

impl DataTaskArgs {
    /// The task and its data, if they are given.
    pub fn task(&self) -> Option<(DataTask, &Path)> {
        Some((self.task?, self.data.as_deref()?))
    }

    /// Evaluates and prints what was found.
    ///
    /// # Errors
    /// When the data cannot be read or asked, the model cannot be loaded or has not the task's head, or a file cannot be
    /// written; as [`ReportArgs::finish`].
    pub fn evaluate(&self, run: &Run<'_>, task: DataTask, data: &Path) -> Result<(), Failure> {
        if self.details.is_some() && task == DataTask::Perplexity {
            return Err("--details is for the tasks choice, generate and classify".into());
        }
        match task {
            DataTask::Perplexity => perplexity(run, data),
            DataTask::Choice => self.choice(run, data),
            DataTask::Generate => self.generate(run, data),
            DataTask::Classify => match read_spec(&model_folder(&run.model.model)?)?.config {
                ModelConfig::Encoder(config) => {
                    self.classify::<Encoder>(run, data, config.max_length())
                }
                ModelConfig::Decoder(config) => {
                    self.classify::<Decoder>(run, data, config.max_positions)
                }
                ModelConfig::EncoderDecoder(_) => {
                    Err("--model: an encoder-decoder does not classify".into())
                }
            },
        }
    }

    fn choice(&self, run: &Run<'_>, data: &Path) -> Result<(), Failure> {
        let (model, tokenizer) = run.load()?;
        let options = ChoiceOptions { score: run.score.clone(), ..ChoiceOptions::default() };
        let task = Choice::from_file(data, &tokenizer, options)?;
        let (report, outcomes) = task.measure(&model, &mut progress("evaluating"))?;
        self.write_details(&outcomes)?;
        let mut found = run.named();
        found.add_choice(report, &outcomes)?;
        let each = run.each(task.len(), |i| task.only(i));
        run.finish(data, found, &each, |one| one.evaluate(&model))
    }

    fn generate(&self, run: &Run<'_>, data: &Path) -> Result<(), Failure> {
        let (model, tokenizer) = run.load()?;
        let task = ExactMatch::from_file(data, &tokenizer, self.answers.options())?;
        let (report, outcomes) = task.measure(&model, &mut progress("evaluating"))?;
        self.write_details(&outcomes)?;
        let mut found = run.named();
        found.add_exact_match(report, &outcomes)?;
        let each = run.each(task.len(), |i| task.only(i));
        run.finish(data, found, &each, |one| one.evaluate(&model))
    }

    /// The task of a model with a classification head.
    fn classify<M: Classify + Sync>(
        &self,
        run: &Run<'_>,
        data: &Path,
        longest: usize,
    ) -> Result<(), Failure> {
        let device = run.device.open()?;
        let model: M = run.model.load_model(&device)?;
        let Some(classes) = model.spec().classes().cloned() else {
            return Err(
                "--model has no classification head; train one with the example classify".into()
            );
        };
        let tokenizer = run.model.load_tokenizer(&model)?;
        let (pad, max_length) = (tokenizer.pad(), run.score.max_length.unwrap_or(longest));
        let labels = LabelMap::new(classes.names.clone())?;
        let encoder = SequenceEncoder { tokenizer, labels, problem: classes.problem, max_length };
        let mut reader = DataReader::new(self.columns.columns()?, std::env::temp_dir());
        let examples = reader.read::<LabeledText>(data, &encoder)?;
        let task = Classification::new(in_memory(&examples)?, run.score.batch_size, pad)?;
        let (report, outcomes) = task.measure(&model, &mut progress("evaluating"))?;
        self.write_details(&outcomes)?;
        let mut found = run.named();
        found.add_classification(report, &outcomes, &classes.names, &Bootstrap::default())?;
        let each = run.each(task.len(), |i| task.only(i));
        run.finish(data, found, &each, |one| one.evaluate(&model))
    }

    fn write_details(&self, outcomes: &[impl Serialize]) -> Result<(), Failure> {
        let Some(path) = &self.details else { return Ok(()) };
        let lines = outcomes.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        std::fs::write(path, lines.join("\n") + "\n")
            .map_err(|why| format!("cannot write {}: {why}", path.display()).into())
    }
}

impl Run<'_> {
    /// An empty report with the model's name.
    pub fn named(&self) -> ModelReport {
        ModelReport { name: self.model.name(), ..ModelReport::default() }
    }

    fn load(&self) -> Result<(Decoder, Tokenizer), Failure> {
        self.model.load(&self.device.open()?)
    }

    /// The first examples, each by itself, as many as are timed; those that cannot be asked are left out.
    fn each<T>(&self, examples: usize, only: impl Fn(usize) -> Option<T>) -> Vec<T> {
        (0..examples).filter_map(only).take(self.report.timed()).collect()
    }

    /// Prints what was found, and does what else was asked for; `ask` asks the model one of `examples`.
    fn finish<T: Sync>(
        &self,
        data: &Path,
        model: ModelReport,
        examples: &[T],
        ask: impl Fn(&T) -> nexus_eval::Result<EvalReport> + Sync,
    ) -> Result<(), Failure> {
        let text = match (self.json, model.evaluations.as_slice()) {
            (true, [report]) => serde_json::to_string(report)? + "\n",
            (_, reports) => comparison_table(reports, &[]),
        };
        std::io::stdout().write_all(text.as_bytes())?;
        let settings = self.settings(data)?;
        let ask = Box::new(|i| match examples.get(i) {
            Some(example) => ask(example).map(drop).map_err(|why| why.to_string()),
            None => Ok(()),
        });
        let evaluated = Evaluated { model, settings, examples: examples.len(), ask };
        self.report.finish(evaluated, &model_folder(&self.model.model)?)
    }

    fn settings(&self, data: &Path) -> Result<Map<String, Value>, Failure> {
        let settings = json!({
            "model": self.model.model, "adapter": self.model.adapter,
            "device": self.device.name(), "data": data,
            "data_sha256": DataFile::hash(data, 0)?.sha256,
            "batch_size": self.score.batch_size, "max_length": self.score.max_length,
        });
        Ok(settings.as_object().cloned().unwrap_or_default())
    }
}

/// Of documents if all records are texts, else of what is trained of each record.
fn perplexity(run: &Run<'_>, path: &Path) -> Result<(), Failure> {
    let (model, tokenizer) = run.load()?;
    let records = read_records(path)?;
    let (mut found, mut bar) = (run.named(), progress("evaluating"));
    if records.iter().any(|located| matches!(located.record, Record::Text { .. })) {
        let task = Perplexity::from_records(&records, &tokenizer, run.score.clone(), path)?;
        found.evaluations.push(task.measure(&model, &mut bar)?);
        let each = run.each(task.len(), |i| task.only(i));
        return run.finish(path, found, &each, |one| one.evaluate(&model));
    }
    let longest = run.score.max_length.unwrap_or(model.config().max_positions.min(2048));
    let encode = EncodeOptions { max_length: longest, ..EncodeOptions::default() };
    let encoded = encode_records(&records, &tokenizer, &encode, path)?;
    let (cut, dropped) = (encoded.truncated, encoded.untrainable);
    if cut + dropped > 0 {
        eprintln!(
            "note: {cut} record(s) cut at {longest} tokens, {dropped} left without an answer"
        );
    }
    let task = ExamplePerplexity::new(encoded.examples, run.score.batch_size)?;
    found.evaluations.push(task.measure(&model, &mut bar)?);
    let each = run.each(task.len(), |i| task.only(i));
    run.finish(path, found, &each, |one| one.evaluate(&model))
}
