//! The one loop.

use crate::adamw::AdamW;
use crate::checkpoint::{self, Snapshot};
use crate::config::{TrainConfig, TrainPlan};
use crate::objective::{CausalLm, Objective};
use crate::progress::Progress;
use crate::step::{StepGradient, mix, step_gradient};
use burn::tensor::Device;
use nexus_core::data::{Example, Tokenizer, epoch_order};
use nexus_core::model::{Decoder, Model, Pass};
use nexus_core::observe::{Evaluation, Observer, RunStart, StepStats};
use nexus_core::stage::{Evaluator, TrainData, Trained, Trainer};
use nexus_core::weights::parameters;
use nexus_core::{Error, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

/// Supervised fine-tuning: all parameters, or the attached adapter, whichever is trainable.
///
/// The loss of a step is the sum over its labels divided by their number (or weight) over all micro-batches. A run is a
/// pure function of model, data, settings and device: resumed from a checkpoint it goes on bit for bit.
pub struct Sft<M = Decoder> {
    objective: Box<dyn Objective<M>>,
    config: TrainConfig,
    out: Option<PathBuf>,
    resume: Option<PathBuf>,
    tokenizer: Option<Tokenizer>,
    base: String,
    evaluator: Option<Box<dyn Evaluator<M>>>,
}

impl Sft<Decoder> {
    /// A trainer of language models with these settings. They are checked when the run begins.
    pub fn new(config: TrainConfig) -> Self {
        Self::with_objective(config, CausalLm)
    }
}

impl<M: Model> Sft<M> {
    /// A trainer for `objective` with these settings. They are checked when the run begins.
    pub fn with_objective(config: TrainConfig, objective: impl Objective<M> + 'static) -> Self {
        Self {
            objective: Box::new(objective),
            config,
            out: None,
            resume: None,
            tokenizer: None,
            base: String::new(),
            evaluator: None,
        }
    }

    /// Writes checkpoints into this folder.
    pub fn checkpoints_in(mut self, out: impl Into<PathBuf>) -> Self {
        self.out = Some(out.into());
        self
    }

    /// Goes on from this checkpoint folder.
    pub fn resume_from(mut self, checkpoint: impl Into<PathBuf>) -> Self {
        self.resume = Some(checkpoint.into());
        self
    }

    /// Saves the tokenizer with every checkpoint.
    pub fn with_tokenizer(mut self, tokenizer: Tokenizer) -> Self {
        self.tokenizer = Some(tokenizer);
        self
    }

    /// Records the base model's folder or name in saved adapters.
    pub fn with_base(mut self, base: impl Into<String>) -> Self {
        self.base = base.into();
        self
    }

    /// Measures the model with this evaluator too; its measures join the metrics under `eval_NAME`.
    pub fn with_evaluator(mut self, evaluator: Box<dyn Evaluator<M>>) -> Self {
        self.evaluator = Some(evaluator);
        self
    }
}

impl<M: Model> Trainer<M> for Sft<M> {
    fn train(
        &mut self,
        model: M,
        data: &TrainData<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Trained<M>> {
        let plan = self.config.check(data.train.len())?;
        let needs_out = [
            ("save_steps", plan.config.save_steps.is_some()),
            ("load_best_model_at_end", plan.config.load_best_model_at_end),
        ];
        if let Some((field, _)) = needs_out.iter().find(|(_, set)| *set && self.out.is_none()) {
            return Err(Error::config(*field, "set", "to be unset, or a checkpoint folder"));
        }
        if plan.config.eval_steps.is_some() && data.valid.is_none() && self.evaluator.is_none() {
            return Err(Error::config("eval_steps", "set", "to be unset, or validation data"));
        }
        let model = model.valid();
        let Some(device) = model.devices().first().cloned().map(Device::without_autodiff) else {
            return Err(Error::Refused("the model has no parameters".into()));
        };
        let mut optimizer = AdamW {
            beta1: plan.config.adam_beta1,
            beta2: plan.config.adam_beta2,
            epsilon: plan.config.adam_epsilon,
            weight_decay: plan.config.weight_decay,
            moments: BTreeMap::new(),
            steps: 0,
        };
        let (model, progress) = match &self.resume {
            None => (model, Progress::new(&plan)),
            Some(folder) => {
                let examples = data.train.len();
                let state =
                    checkpoint::load_progress(folder, &plan, examples, &mut optimizer, &device)?;
                let model = checkpoint::load_model(folder, model, &device)?;
                (model, Progress::resume(&plan, state))
            }
        };
        Run { trainer: self, plan, data, device, model: model.train(), optimizer, progress }
            .run(observer)
    }
}

/// A run in progress.
struct Run<'a, M> {
    trainer: &'a Sft<M>,
    plan: TrainPlan,
    data: &'a TrainData<'a>,
    device: Device,
    model: M,
    optimizer: AdamW,
    progress: Progress,
}

impl<M: Model> Run<'_, M> {
    fn run(mut self, observer: &mut dyn Observer) -> Result<Trained<M>> {
        let started = Instant::now();
        let start = self.start();
        if start.trainable_parameters == 0 {
            return Err(Error::Refused(
                "no parameter is trainable; attach an adapter or unfreeze the model".into(),
            ));
        }
        self.progress.count_parameters(&self.model);
        observer.on_start(&start)?;
        let mut order = (usize::MAX, Vec::new());
        let lengths: Vec<usize> =
            (0..self.data.train.len()).map(|i| self.data.train.length(i)).collect();
        let mut stopped_early = None;
        for step in start.first_step + 1..=self.plan.max_steps {
            let epoch = (step - 1) / self.plan.steps_per_epoch;
            if order.0 != epoch {
                order = (epoch, self.order(&lengths, epoch));
            }
            let records = &order.1[(step - 1) % self.plan.steps_per_epoch];
            let examples = records
                .iter()
                .map(|&i| Ok((i, self.data.train.get(i)?)))
                .collect::<Result<Vec<_>>>()?;
            let began = Instant::now();
            let gradient = self.gradient(step, examples)?;
            let mut stats = self.stats(step, &gradient);
            // By value, so that nobody else holds the parameters and each is changed where it lies.
            self.model = gradient.apply(
                self.model,
                &mut self.optimizer,
                stats.learning_rate,
                self.plan.config.max_grad_norm,
            );
            stats.seconds = began.elapsed().as_secs_f64();
            self.progress.record_step(&stats);
            observer.on_step(&stats)?;
            let last = step == self.plan.max_steps;
            let due = |every: Option<usize>| every.is_some_and(|n| step.is_multiple_of(n) || last);
            let mut is_best = false;
            if due(self.plan.config.eval_steps) {
                let evaluation = self.evaluate(step)?;
                is_best = evaluation.best;
                observer.on_evaluation(&evaluation)?;
                if self.progress.patience_exhausted(&self.plan.config) {
                    let patience = self.progress.unimproved();
                    stopped_early = Some(format!(
                        "{} did not improve in {patience} evaluations",
                        self.plan.config.metric_for_best_model
                    ));
                }
            }
            if observer.wants_stop() && !last {
                stopped_early = Some("an observer asked to stop".into());
            }
            let ends = last || stopped_early.is_some();
            // The best model must be on disk to be there at the end.
            let keep_best = is_best && self.plan.config.load_best_model_at_end;
            let save = self.plan.config.save_steps.is_some_and(|n| step.is_multiple_of(n) || ends);
            if save || keep_best {
                let folder = self.save(ends)?;
                observer.on_checkpoint(step, &folder)?;
            }
            if ends {
                break;
            }
        }
        let mut model = self.model.valid();
        let best = self.progress.best_checkpoint();
        if let (true, Some(folder)) = (self.plan.config.load_best_model_at_end, best) {
            model = checkpoint::load_model(&folder, model, &self.device)?;
        }
        nexus_kernels::release_memory();
        let mut report = self.progress.report(stopped_early, started.elapsed());
        report.trainable_parameters = start.trainable_parameters;
        report.parameters = start.parameters;
        observer.on_end(&report)?;
        Ok(Trained { model, report })
    }

    fn start(&self) -> RunStart {
        let parameters = parameters(&self.model);
        let count = |trainable_only: bool| {
            parameters
                .iter()
                .filter(|parameter| parameter.trainable || !trainable_only)
                .map(|parameter| parameter.shape.iter().product::<usize>())
                .sum()
        };
        RunStart {
            first_step: self.progress.step(),
            max_steps: self.plan.max_steps,
            examples: self.data.train.len(),
            trainable_parameters: count(true),
            parameters: count(false),
        }
    }

    fn order(&self, lengths: &[usize], epoch: usize) -> Vec<Vec<usize>> {
        let config = &self.plan.config;
        epoch_order(
            lengths,
            self.plan.records_per_step,
            config.seed,
            epoch,
            config.shuffle,
            config.group_by_length,
        )
    }

    fn gradient(&self, step: usize, examples: Vec<(usize, Example)>) -> Result<StepGradient> {
        let (objective, pad_id) = (self.trainer.objective.as_ref(), self.data.pad_id);
        step_gradient(&self.model, objective, examples, pad_id, step, &self.plan.config)
    }

    /// What observers are told of a step, but for its time.
    fn stats(&self, step: usize, gradient: &StepGradient) -> StepStats {
        StepStats {
            step,
            epoch: self.plan.epoch(step),
            loss: gradient.loss,
            grad_norm: gradient.norm,
            learning_rate: self.plan.schedule.rate(step - 1),
            tokens: gradient.tokens,
            trained_tokens: gradient.trained_tokens,
            seconds: 0.0,
        }
    }

    fn evaluate(&mut self, step: usize) -> Result<Evaluation> {
        let began = Instant::now();
        let model = self.model.valid();
        let mut metrics = Vec::new();
        let mut examples = 0;
        let mut batches = 0;
        if let Some(valid) = self.data.valid {
            let all = (0..valid.len()).map(|i| valid.get(i)).collect::<Result<Vec<_>>>()?;
            examples += all.len();
            let (loss, count) = self.mean_loss(&model, all)?;
            metrics.push(("eval_loss".to_string(), loss));
            batches += count;
        }
        if let Some(evaluator) = &self.trainer.evaluator {
            let report = evaluator.evaluate(&model)?;
            examples += report.examples;
            let measures = report.measures.into_iter();
            metrics.extend(measures.map(|m| (format!("eval_{}", m.name), m.value)));
        }
        let mut evaluation = Evaluation {
            step,
            epoch: self.plan.epoch(step),
            metrics,
            examples,
            seconds: began.elapsed().as_secs_f64(),
            best: false,
        };
        let out = self.trainer.out.as_deref();
        self.progress.record_evaluation(&self.plan, &mut evaluation, batches, out)?;
        Ok(evaluation)
    }

    fn save(&mut self, ends: bool) -> Result<PathBuf> {
        let Some(out) = &self.trainer.out else {
            return Err(Error::config("save_steps", "set", "a checkpoint folder beside it"));
        };
        self.progress.prepare_save(&self.plan.config, ends);
        let snapshot = Snapshot {
            model: &self.model,
            optimizer: &self.optimizer,
            state: self.progress.state(),
            tokenizer: self.trainer.tokenizer.as_ref(),
            base: &self.trainer.base,
            examples: self.data.train.len(),
        };
        let folder = checkpoint::save(out, &self.plan, &snapshot)?;
        if let Some(limit) = self.plan.config.save_total_limit {
            checkpoint::rotate(out, limit, self.progress.state().best_global_step)?;
        }
        Ok(folder)
    }

    /// Mean loss over all labels of the examples (summed, then divided), and the number of batches.
    fn mean_loss(&self, model: &M, examples: Vec<Example>) -> Result<(f64, usize)> {
        let objective = self.trainer.objective.as_ref();
        // Whatever is drawn at random is drawn alike in every evaluation.
        let seed = |i: usize| mix(mix(self.plan.config.seed, u64::MAX), u64::MAX - i as u64);
        let prepared = examples.into_iter().enumerate();
        let mut examples: Vec<Example> =
            prepared.map(|(i, example)| objective.prepare(example, seed(i))).collect();
        for (i, example) in examples.iter().enumerate() {
            let checked = objective.check(model, example);
            checked.map_err(|why| Error::Refused(format!("validation example {i}: {why}")))?;
        }
        examples.sort_by_key(|example| example.ids.len());
        let (mut sum, mut weight, mut batches) = (0.0, 0.0, 0);
        for chunk in examples.chunks(self.plan.config.batch_size) {
            if chunk.iter().all(|example| objective.labels(example) == 0) {
                continue;
            }
            let pad_id = self.data.pad_id;
            let pass = Pass::inference().with_precision(self.plan.config.precision.into());
            let part = objective.loss_sum(model, chunk, pad_id, &self.device, &pass)?;
            sum += f64::from(part.into_scalar::<f32>());
            weight += chunk.iter().map(|example| objective.weight(example)).sum::<f64>();
            batches += 1;
        }
        if weight <= 0.0 {
            return Err(Error::Refused("the validation data has no trained token".into()));
        }
        Ok((sum / weight, batches))
    }
}
