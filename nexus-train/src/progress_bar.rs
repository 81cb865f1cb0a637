//! A progress bar for a training run.

use indicatif::{ProgressBar as Bar, ProgressDrawTarget, ProgressStyle};
use nexus_core::Result;
use nexus_core::observe::{Evaluation, Observer, RunStart, StepStats};
use nexus_core::report::TrainReport;
use std::path::Path;

/// Shows loss, learning rate, tokens per second and the time left on standard error, and one line for every
/// evaluation and checkpoint above the bar.
///
/// Where standard error is no terminal, a plain line is printed every 10 % of the run instead.
#[derive(Debug)]
pub struct ProgressBar {
    bar: Bar,
    is_terminal: bool,
    /// Smoothed over about ten steps, so that the eye can follow.
    loss: Option<f64>,
    tokens: usize,
    seconds: f64,
}

impl Default for ProgressBar {
    fn default() -> Self {
        Self::new()
    }
}

impl ProgressBar {
    /// A bar that appears when the run begins.
    pub fn new() -> Self {
        let bar = Bar::with_draw_target(None, ProgressDrawTarget::stderr());
        let is_terminal = !bar.is_hidden();
        Self { bar, is_terminal, loss: None, tokens: 0, seconds: 0.0 }
    }

    fn line(&self, text: String) {
        match self.is_terminal {
            true => self.bar.println(text),
            false => eprintln!("{text}"),
        }
    }
}

impl Observer for ProgressBar {
    fn on_start(&mut self, start: &RunStart) -> Result<()> {
        // Style first: whatever comes after it draws the bar.
        let template = "{bar:24} {pos}/{len} {msg} left {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.set_length(start.max_steps as u64);
        self.bar.set_position(start.first_step as u64);
        let share = 100.0 * start.trainable_parameters as f64 / start.parameters.max(1) as f64;
        self.line(format!(
            "training {} of {} parameters ({share:.2} %) on {} examples, {} steps{}",
            start.trainable_parameters,
            start.parameters,
            start.examples,
            start.max_steps,
            match start.first_step {
                0 => String::new(),
                step => format!(", going on after step {step}"),
            }
        ));
        self.bar.reset_eta();
        Ok(())
    }

    fn on_step(&mut self, step: &StepStats) -> Result<()> {
        let smoothed = self.loss.map_or(step.loss, |loss| 0.9 * loss + 0.1 * step.loss);
        self.loss = Some(smoothed);
        self.tokens += step.tokens;
        self.seconds += step.seconds;
        let message = format!(
            "loss {smoothed:.4}  lr {:.2e}  {:.0} tokens/s ",
            step.learning_rate,
            self.tokens as f64 / self.seconds.max(1e-9)
        );
        let length = self.bar.length().unwrap_or(0);
        self.bar.set_message(message.clone());
        self.bar.set_position(step.step as u64);
        if !self.is_terminal && (step.step as u64).is_multiple_of(length.div_ceil(10).max(1)) {
            eprintln!("step {}/{length}  {message}", step.step);
        }
        Ok(())
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> Result<()> {
        let metrics: Vec<String> =
            evaluation.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        let best = if evaluation.best { "  (best so far)" } else { "" };
        self.line(format!("step {}: {}{best}", evaluation.step, metrics.join("  ")));
        Ok(())
    }

    fn on_checkpoint(&mut self, _step: usize, folder: &Path) -> Result<()> {
        self.line(format!("saved {}", folder.display()));
        Ok(())
    }

    fn on_end(&mut self, _report: &TrainReport) -> Result<()> {
        self.bar.finish_and_clear();
        Ok(())
    }
}
