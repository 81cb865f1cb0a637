//! Evaluation tasks in the form of lm-evaluation-harness.

use crate::{Evaluated, Failure, Run, model_folder, progress};
use clap::Args;
use nexus_core::model::{Classify, Decoder, Encoder, ModelConfig};
use nexus_core::report::comparison_table;
use nexus_core::weights::read_spec;
use nexus_eval::task::{
    Classifier, LanguageModel, OutputType, Request, Respond, Response, ResponseCache, Task,
    TaskGroup, TaskOptions, TaskResult, fingerprint, results_json,
};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Tasks from files, and what becomes of them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tasks from files")]
pub struct TaskFileArgs {
    /// Task or group of tasks in the form of lm-evaluation-harness, instead of --task; may be repeated
    #[arg(long, value_name = "YAML")]
    pub task_file: Vec<PathBuf>,
    /// Write results.json and samples_TASK.jsonl into this folder
    #[arg(long, value_name = "DIR", requires = "task_file")]
    output: Option<PathBuf>,
    /// Keep the model's responses in this file, and ask nothing that it holds
    #[arg(long, value_name = "FILE", requires = "task_file")]
    cache: Option<PathBuf>,
    /// Examples before each question [default: the task's]
    #[arg(long, value_name = "N", requires = "task_file")]
    num_fewshot: Option<usize>,
    /// Evaluate on the first documents only
    #[arg(long, value_name = "N", requires = "task_file")]
    limit: Option<usize>,
}

impl TaskFileArgs {
    /// Evaluates the tasks and prints the results as a table, or with `json` as the harness's results.json.
    ///
    /// # Errors
    /// When a task cannot be read or asked, the model cannot be loaded, or a file cannot be written; as
    /// [`ReportArgs::finish`](crate::ReportArgs::finish).
    pub fn evaluate(&self, run: &Run<'_>) -> Result<(), Failure> {
        let Run { model, device, score, .. } = run;
        let (tasks, groups) = self.read()?;
        for (i, task) in tasks.iter().enumerate() {
            let config = task.config();
            if tasks[..i].iter().any(|other| other.config().task == config.task) {
                return Err(format!("two task files are named '{}'", config.task).into());
            }
            if !config.ignored.is_empty() {
                let keys = config.ignored.join(", ");
                eprintln!("note: {}: no effect have {keys}", config.task);
            }
        }
        let is_classification =
            |task: &Task| task.config().output_type == OutputType::Classification;
        let classify = tasks.iter().any(is_classification);
        if classify && !tasks.iter().all(is_classification) {
            return Err(
                "tasks of output_type classification need another model; run them on their own"
                    .into(),
            );
        }
        let all = Tasks { tasks: &tasks, groups: &groups };
        let opened = device.open()?;
        let folder = model_folder(&model.model)?;
        let folders = [Some(folder.as_path()), model.adapter.as_deref()];
        let folders: Vec<_> = folders.into_iter().flatten().collect();
        // Devices round differently.
        let name = format!("{} on {}", fingerprint(&folders)?, device.name());
        match (classify, read_spec(&folder)?.config) {
            (false, _) => {
                let (decoder, tokenizer) = model.load(&opened)?;
                let model = LanguageModel::new(&decoder, &tokenizer, &name, score)?;
                self.run(&all, run, &model)
            }
            (true, ModelConfig::Encoder(config)) => {
                let loaded: Encoder = model.load_model(&opened)?;
                self.classify(&all, run, &loaded, &name, config.max_length())
            }
            (true, ModelConfig::Decoder(config)) => {
                let loaded: Decoder = model.load_model(&opened)?;
                self.classify(&all, run, &loaded, &name, config.max_positions)
            }
            (true, ModelConfig::EncoderDecoder(_)) => {
                Err("--model: an encoder-decoder does not classify".into())
            }
        }
    }

    /// The tasks of all files, and the groups that they belong to.
    fn read(&self) -> Result<(Vec<Task>, Vec<TaskGroup>), Failure> {
        let (mut tasks, mut groups) = (Vec::new(), Vec::new());
        for path in &self.task_file {
            if !TaskGroup::describes(path)? {
                tasks.push(Task::from_file(path)?);
                continue;
            }
            let group = TaskGroup::load(path)?;
            for config in group.tasks() {
                tasks.push(Task::new(config.clone())?);
            }
            groups.push(group);
        }
        Ok((tasks, groups))
    }

    fn classify<M: Classify + Sync>(
        &self,
        tasks: &Tasks<'_>,
        run: &Run<'_>,
        loaded: &M,
        name: &str,
        longest: usize,
    ) -> Result<(), Failure> {
        let tokenizer = run.model.load_tokenizer(loaded)?;
        let length = run.score.max_length.unwrap_or(longest);
        let batch = run.score.batch_size;
        self.run(tasks, run, &Classifier::new(loaded, &tokenizer, name, length, batch)?)
    }

    fn run(
        &self,
        tasks: &Tasks<'_>,
        run: &Run<'_>,
        model: &(dyn Respond + Sync),
    ) -> Result<(), Failure> {
        let asked = Asked { model, most: run.report.timed(), requests: Mutex::default() };
        let results = self.results(tasks.tasks, &asked)?;
        let config = self.config(run);
        let all = results_json(&results, tasks.groups, config.clone());
        if let Some(folder) = &self.output {
            std::fs::create_dir_all(folder)?;
            std::fs::write(
                folder.join("results.json"),
                serde_json::to_string_pretty(&all)? + "\n",
            )?;
            for result in &results {
                let name = result.task.replace(['/', '\\'], "_");
                result.write_samples(&folder.join(format!("samples_{name}.jsonl")))?;
            }
        }
        let mut found = run.named();
        for result in &results {
            found.intervals.extend(result.shares());
            found.evaluations.push(result.report());
        }
        let text = match run.json {
            true => serde_json::to_string(&all)? + "\n",
            false => comparison_table(&found.evaluations, &[]),
        };
        std::io::stdout().write_all(text.as_bytes())?;
        let requests = asked.into_requests();
        let ask = |i| match requests.get(i) {
            Some(request) => {
                model.respond(&[request], &mut |_, _| Ok(())).map_err(|why| why.to_string())
            }
            None => Ok(()),
        };
        let (examples, ask) = (requests.len(), Box::new(ask));
        let evaluated = Evaluated { model: found, settings: config, examples, ask };
        run.report.finish(evaluated, &model_folder(&run.model.model)?)
    }

    fn config(&self, run: &Run<'_>) -> Map<String, Value> {
        let defaults = TaskOptions::default();
        let config = json!({
            "model": run.model.model, "adapter": run.model.adapter, "device": run.device.name(),
            "batch_size": run.score.batch_size, "max_length": run.score.max_length,
            "limit": self.limit, "use_cache": self.cache,
            "bootstrap_iters": defaults.bootstrap_iters, "fewshot_seed": defaults.fewshot_seed,
            "nexus_version": env!("CARGO_PKG_VERSION"),
        });
        config.as_object().cloned().unwrap_or_default()
    }

    fn results(&self, tasks: &[Task], model: &dyn Respond) -> Result<Vec<TaskResult>, Failure> {
        let mut cache = self.cache.as_deref().map(ResponseCache::open).transpose()?;
        for line in cache.iter().flat_map(ResponseCache::damaged) {
            eprintln!("note: line {line} of the cache is damaged; what it held is asked again");
        }
        let options = TaskOptions {
            limit: self.limit,
            num_fewshot: self.num_fewshot,
            ..TaskOptions::default()
        };
        let mut results = Vec::with_capacity(tasks.len());
        for task in tasks {
            let mut bar = progress(&task.config().task);
            results.push(task.evaluate(model, cache.as_mut(), &options, &mut bar)?);
        }
        Ok(results)
    }
}

/// Tasks and their groups.
struct Tasks<'a> {
    tasks: &'a [Task],
    groups: &'a [TaskGroup],
}

/// A model that keeps the first requests that it is asked, to time them afterwards.
struct Asked<'a> {
    model: &'a dyn Respond,
    most: usize,
    requests: Mutex<Vec<Request>>,
}

impl Asked<'_> {
    fn into_requests(self) -> Vec<Request> {
        self.requests.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Respond for Asked<'_> {
    fn fingerprint(&self) -> &str {
        self.model.fingerprint()
    }

    fn respond(
        &self,
        requests: &[&Request],
        done: &mut dyn FnMut(usize, Response) -> nexus_eval::Result<()>,
    ) -> nexus_eval::Result<()> {
        {
            let mut kept = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            let room = self.most - kept.len();
            kept.extend(requests.iter().take(room).map(|&request| request.clone()));
        }
        self.model.respond(requests, done)
    }

    fn classes(&self) -> Option<&[String]> {
        self.model.classes()
    }
}
