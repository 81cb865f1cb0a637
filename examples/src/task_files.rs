//! Evaluation tasks in the form of lm-evaluation-harness.

use crate::{DeviceArgs, Failure, ModelArgs, model_folder, progress};
use clap::Args;
use nexus_core::model::{Classify, Decoder, Encoder, ModelConfig};
use nexus_core::report::comparison_table;
use nexus_core::weights::read_spec;
use nexus_eval::ScoreOptions;
use nexus_eval::task::{
    Classifier, LanguageModel, OutputType, Respond, ResponseCache, Task, TaskOptions, TaskResult,
    fingerprint, results_json,
};
use serde_json::{Map, json};
use std::path::PathBuf;

/// Tasks from files, and what becomes of them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tasks from files")]
pub struct TaskFileArgs {
    /// Task in the form of lm-evaluation-harness, instead of --task; may be repeated
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
    /// Evaluates the tasks; the results as a table, or with `json` as the harness's results.json.
    ///
    /// # Errors
    /// When a task cannot be read or asked, the model cannot be loaded, or a file cannot be written.
    pub fn evaluate(
        &self,
        model: &ModelArgs,
        device: &DeviceArgs,
        options: &ScoreOptions,
        json: bool,
    ) -> Result<String, Failure> {
        let tasks: Vec<Task> =
            self.task_file.iter().map(|p| Task::from_file(p)).collect::<Result<_, _>>()?;
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
        let opened = device.open()?;
        let folder = model_folder(&model.model)?;
        let folders = [Some(folder.as_path()), model.adapter.as_deref()];
        let folders: Vec<_> = folders.into_iter().flatten().collect();
        // Devices round differently.
        let name = format!("{} on {}", fingerprint(&folders)?, device.name());
        let results = match (classify, read_spec(&folder)?.config) {
            (false, _) => {
                let (decoder, tokenizer) = model.load(&opened)?;
                self.run(&tasks, &LanguageModel::new(&decoder, &tokenizer, &name, options)?)?
            }
            (true, ModelConfig::Encoder(config)) => {
                let loaded: Encoder = model.load_model(&opened)?;
                self.classify(&tasks, &loaded, model, &name, config.max_length(), options)?
            }
            (true, ModelConfig::Decoder(config)) => {
                let loaded: Decoder = model.load_model(&opened)?;
                self.classify(&tasks, &loaded, model, &name, config.max_positions, options)?
            }
            (true, ModelConfig::EncoderDecoder(_)) => {
                return Err("--model: an encoder-decoder does not classify".into());
            }
        };
        let config = json!({
            "model": model.model, "adapter": model.adapter, "device": device.name(),
            "batch_size": options.batch_size, "max_length": options.max_length, "limit": self.limit,
            "use_cache": self.cache, "bootstrap_iters": TaskOptions::default().bootstrap_iters,
            "fewshot_seed": TaskOptions::default().fewshot_seed,
            "nexus_version": env!("CARGO_PKG_VERSION"),
        });
        let config = config.as_object().cloned().unwrap_or_else(Map::new);
        let all = results_json(&results, config);
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
        let reports: Vec<_> = results.iter().map(TaskResult::report).collect();
        Ok(match json {
            true => serde_json::to_string(&all)? + "\n",
            false => comparison_table(&reports, &[]),
        })
    }

    fn classify<M: Classify>(
        &self,
        tasks: &[Task],
        loaded: &M,
        model: &ModelArgs,
        name: &str,
        longest: usize,
        options: &ScoreOptions,
    ) -> Result<Vec<TaskResult>, Failure> {
        let tokenizer = model.load_tokenizer(loaded)?;
        let length = options.max_length.unwrap_or(longest);
        let classifier = Classifier::new(loaded, &tokenizer, name, length, options.batch_size)?;
        self.run(tasks, &classifier)
    }

    fn run(&self, tasks: &[Task], model: &dyn Respond) -> Result<Vec<TaskResult>, Failure> {
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
