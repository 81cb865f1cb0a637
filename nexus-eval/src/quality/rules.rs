//! Findings by rule, with the numbers that speak for them and what to do.

use super::comparison::{Comparison, Direction};
use super::finding::{Finding, Severity};
use super::verdict::Verdict;
use crate::Result;
use crate::report::{Bottleneck, ModelReport};
use crate::stats::newcombe;
use serde::{Deserialize, Serialize};

/// What rules look for. A limit of `None` switches its rule off.
///
/// | rule | finds | default |
/// |---|---|---|
/// | `check` | a check that fails or is open | |
/// | `calibration` | an expected calibration error above `calibration_error` | 0.05 |
/// | `latency` | a P95 above the report's objective, and advice by what holds it back | |
/// | `tail_latency` | a P99 above `tail` times the median | 10 |
/// | `throughput` | fewer requests/s than `requests_per_second` | none |
/// | `memory` | more resident memory than `memory_bytes` | none |
/// | `class_recall` | a class whose recall is below that of all others by more than `recall_gap`, with 95 % certainty | 0.05 |
/// | `confused_classes` | a class that is taken for one other in more than `confusion` of its examples | 0.2 |
/// | `absent_class` | a class without an example | |
/// | `few_examples` | a main measure whose interval is wider than `interval_width` | 0.1 |
/// | `worse`, `better` | a difference from the baseline that is shown after correction | |
/// | `churn` | more changed answers than `churn` although no difference is shown | 0.05 |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleLimits {
    /// Expected calibration error.
    pub calibration_error: Option<f64>,
    /// P99 as a multiple of the median.
    pub tail: Option<f64>,
    /// Requests per second that are wanted.
    pub requests_per_second: Option<f64>,
    /// Resident memory that may be used.
    pub memory_bytes: Option<u64>,
    /// Recall below that of all other classes.
    pub recall_gap: Option<f64>,
    /// Share of a class that is taken for one other class.
    pub confusion: Option<f64>,
    /// Width of the main measure's interval.
    pub interval_width: Option<f64>,
    /// Share of examples whose answer changed.
    pub churn: Option<f64>,
}

impl Default for RuleLimits {
    fn default() -> Self {
        Self {
            calibration_error: Some(0.05),
            tail: Some(10.0),
            requests_per_second: None,
            memory_bytes: None,
            recall_gap: Some(0.05),
            confusion: Some(0.2),
            interval_width: Some(0.1),
            churn: Some(0.05),
        }
    }
}

impl RuleLimits {
    /// What the rules find about one model.
    ///
    /// # Errors
    /// As [`ModelReport::check`].
    pub fn findings(&self, model: &ModelReport) -> Result<Vec<Finding>> {
        model.check()?;
        let mut found = Found { model: &model.name, findings: Vec::new() };
        checks(model, &mut found);
        self.calibration(model, &mut found);
        self.speed(model, &mut found);
        self.memory(model, &mut found);
        self.classes(model, &mut found);
        self.examples(model, &mut found);
        Ok(found.findings)
    }

    /// What the rules find about a candidate against its baseline.
    pub fn compared(&self, comparison: &Comparison) -> Vec<Finding> {
        let mut found = Found { model: &comparison.candidate, findings: Vec::new() };
        let baseline = &comparison.baseline;
        for d in &comparison.differences {
            let p = if d.p_adjusted < 1e-4 {
                "below 0.0001".into()
            } else {
                format!("{:.4}", d.p_adjusted)
            };
            let evidence = format!(
                "{} ({}) is {:.4}, that of {baseline} {:.4}; the difference is {:+.4} ({:+.4} to {:+.4}), the \
                 corrected p {p}",
                d.measure,
                d.task,
                d.candidate,
                d.baseline,
                d.difference,
                d.interval.low,
                d.interval.high
            );
            match d.direction() {
                Direction::Better => found.note("better", evidence),
                Direction::Worse => {
                    let advice = format!(
                        "Look at the answers that were lost before this model replaces {baseline}."
                    );
                    found.warn("worse", evidence, &advice);
                }
                Direction::Undecided => {}
            }
        }
        for flips in &comparison.flips {
            let changed = flips.counts.only_first + flips.counts.only_second;
            let share = changed as f64 / flips.counts.n().max(1) as f64;
            let shown = comparison
                .differences
                .iter()
                .any(|d| d.task == flips.task && d.direction() != Direction::Undecided);
            if !shown && self.churn.is_some_and(|limit| share > limit) {
                let evidence = format!(
                    "{}: no difference is shown, but {changed} answers ({:.1} %) changed: {} lost, {} gained",
                    flips.task,
                    100.0 * share,
                    flips.lost.len(),
                    flips.gained.len()
                );
                found.warn(
                    "churn",
                    evidence,
                    "Inspect the changed answers: equal scores hide them.",
                );
            }
        }
        found.findings
    }

    fn calibration(&self, model: &ModelReport, found: &mut Found<'_>) {
        let Some(diagram) = &model.reliability else { return };
        let (Some(limit), Some(ece)) = (self.calibration_error, diagram.ece) else { return };
        if ece <= limit {
            return;
        }
        let n: u64 = diagram.bins.iter().map(|bin| bin.n).sum();
        let surplus: f64 =
            diagram.bins.iter().map(|bin| bin.n as f64 * (bin.confidence - bin.accuracy)).sum();
        let lean = match surplus > 0.0 {
            true => "too sure (a temperature above 1 helps)",
            false => "not sure enough (a temperature below 1 helps)",
        };
        let evidence = format!(
            "the expected calibration error is {ece:.4} over {n} answers, above {limit}; the model is {lean}"
        );
        found.warn(
            "calibration",
            evidence,
            "Fit a temperature on held-out data and divide the logits by it.",
        );
    }

    fn speed(&self, model: &ModelReport, found: &mut Found<'_>) {
        let Some(performance) = &model.performance else { return };
        if let Some(goal) = performance.objective {
            let quantile = 100.0 * goal.quantile;
            match performance.latency_at(goal.quantile) {
                Some(seconds) if seconds > goal.seconds => {
                    let evidence = format!(
                        "P{quantile} is {:.1} ms, above the objective of {:.1} ms ({})",
                        1e3 * seconds,
                        1e3 * goal.seconds,
                        performance.conditions
                    );
                    found.problem("latency", evidence, faster(performance.bottleneck));
                }
                Some(seconds) => {
                    let (seconds, goal) = (1e3 * seconds, 1e3 * goal.seconds);
                    found.note(
                        "latency",
                        format!(
                            "P{quantile} is {seconds:.1} ms, within the objective of {goal:.1} ms"
                        ),
                    );
                }
                None => {}
            }
        }
        if let (Some(limit), Some(half), Some(late)) =
            (self.tail, performance.latency_at(0.5), performance.latency_at(0.99))
            && late > limit * half
        {
            let evidence = format!(
                "P99 is {:.1} ms, {:.1} times the median of {:.1} ms",
                1e3 * late,
                late / half,
                1e3 * half
            );
            let advice = "Bound the length of requests or sort them by length, and look for queueing at this load.";
            found.warn("tail_latency", evidence, advice);
        }
        if let (Some(wanted), Some(rate)) =
            (self.requests_per_second, performance.requests_per_second)
            && rate < wanted
        {
            let evidence = format!("{rate:.1} requests/s are answered, below {wanted:.1}");
            let advice = "Batch requests that arrive together, or add instances.";
            found.problem("throughput", evidence, advice);
        }
    }

    fn memory(&self, model: &ModelReport, found: &mut Found<'_>) {
        let peak = model.performance.as_ref().and_then(|performance| performance.peak_memory_bytes);
        let (Some(budget), Some(peak)) = (self.memory_bytes, peak) else { return };
        if peak > budget {
            let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
            let evidence = format!(
                "peak memory is {:.2} GiB, above the budget of {:.2} GiB",
                gib(peak),
                gib(budget)
            );
            let advice =
                "Quantize the weights: int8 takes about a quarter of f32, int4 about an eighth.";
            found.problem("memory", evidence, advice);
        }
    }

    fn classes(&self, model: &ModelReport, found: &mut Found<'_>) {
        let Some(matrix) = &model.confusion else { return };
        let count = |class: usize| (matrix.counts[class][class], matrix.of_class(class));
        let all = (0..matrix.labels.len()).map(count);
        let sums = all.fold((0, 0), |sum, (right, n)| (sum.0 + right, sum.1 + n));
        for (class, label) in matrix.labels.iter().enumerate() {
            let (right, n) = count(class);
            let others = (sums.0 - right, sums.1 - n);
            if n == 0 {
                let evidence = format!("class '{label}' has no example; its recall is not known");
                found.warn(
                    "absent_class",
                    evidence,
                    &format!("Add examples of class '{label}' to the evaluation."),
                );
                continue;
            }
            let (Some(gap), Ok(interval)) = (self.recall_gap, newcombe((right, n), others, 0.95))
            else {
                continue;
            };
            if interval.high < -gap {
                let share = |(right, n): (u64, u64)| right as f64 / n as f64;
                let evidence = format!(
                    "recall of class '{label}' is {:.3} ({right} of {n}), of all others {:.3}; 95 % interval of the \
                     difference {:.3} to {:.3}",
                    share((right, n)),
                    share(others),
                    interval.low,
                    interval.high
                );
                let advice = format!(
                    "Collect more training examples of class '{label}', or weight it in the loss."
                );
                found.problem("class_recall", evidence, &advice);
            }
        }
        for (target, answer, count) in matrix.mistakes() {
            let share = count as f64 / matrix.of_class(target).max(1) as f64;
            if self.confusion.is_some_and(|limit| share > limit) {
                let (target, answer) = (&matrix.labels[target], &matrix.labels[answer]);
                let evidence = format!(
                    "{count} examples of class '{target}' ({:.1} %) are taken for '{answer}'",
                    100.0 * share
                );
                let advice = format!(
                    "Check that labels tell '{target}' from '{answer}', and add examples that differ in just that."
                );
                found.warn("confused_classes", evidence, &advice);
            }
        }
    }

    fn examples(&self, model: &ModelReport, found: &mut Found<'_>) {
        let Some(limit) = self.interval_width else { return };
        for report in &model.evaluations {
            let Some(measure) = report.measures.first() else { continue };
            let share = measure.higher_is_better && (0.0..=1.0).contains(&measure.value);
            let Some(interval) = model.interval(&report.task, measure).filter(|_| share) else {
                continue;
            };
            let width = interval.high - interval.low;
            if width > limit {
                // Widths shrink with the root of the number of examples.
                let wanted = (measure.n as f64 * (width / limit).powi(2)).ceil();
                let evidence = format!(
                    "{} ({}) of {} examples is known to {:.3} only ({:.4} to {:.4})",
                    measure.name, report.task, measure.n, width, interval.low, interval.high
                );
                let advice =
                    format!("Evaluate on about {wanted} examples for an interval of {limit}.");
                found.warn("few_examples", evidence, &advice);
            }
        }
    }
}

fn checks(model: &ModelReport, found: &mut Found<'_>) {
    for check in &model.checks {
        let evidence = format!("{}: {}", check.criterion, check.reason);
        match check.verdict {
            Verdict::Pass => {}
            Verdict::Fail => {
                found.problem(
                    "check",
                    evidence,
                    "Do not ship this model for this use; see the other findings.",
                );
            }
            Verdict::NotEnoughData { more_examples: Some(n) } => {
                found.warn("check", evidence, &format!("Evaluate on about {n} more examples."));
            }
            Verdict::NotEnoughData { more_examples: None } => {
                found.warn(
                    "check",
                    evidence,
                    "Give a measure with its spread, or move the limit away from the value.",
                );
            }
        }
    }
}

/// What makes a model faster, by what holds it back.
fn faster(bottleneck: Option<Bottleneck>) -> &'static str {
    match bottleneck {
        Some(Bottleneck::Compute) => {
            "Quantize weights and activations to int8: the time goes into arithmetic."
        }
        Some(Bottleneck::MemoryBandwidth) => {
            "Quantize the weights to int8 or int4: the time goes into reading them, and activations can stay as they are."
        }
        Some(Bottleneck::Queue) => {
            "Add instances or batch requests: the time goes into waiting for other requests."
        }
        None => {
            "Measure what holds the model back (arithmetic, memory, waiting) before choosing a remedy."
        }
    }
}

struct Found<'a> {
    model: &'a str,
    findings: Vec<Finding>,
}

impl Found<'_> {
    fn note(&mut self, rule: &str, evidence: String) {
        self.push(rule, Severity::Note, evidence, None);
    }

    fn warn(&mut self, rule: &str, evidence: String, advice: &str) {
        self.push(rule, Severity::Warning, evidence, Some(advice.into()));
    }

    fn problem(&mut self, rule: &str, evidence: String, advice: &str) {
        self.push(rule, Severity::Problem, evidence, Some(advice.into()));
    }

    fn push(&mut self, rule: &str, severity: Severity, evidence: String, advice: Option<String>) {
        let (rule, model) = (rule.into(), self.model.into());
        self.findings.push(Finding { rule, model, severity, evidence, advice });
    }
}
