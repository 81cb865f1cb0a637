//! Classification and regression of whole sequences.

use crate::likelihood::{Progress, ScoreOptions};
use crate::metrics::classification::{
    Average, FScore, LabelCounts, accuracy, average_scores, cross_entropy, label_counts,
    multi_label_counts, softmax,
};
use crate::stats::mean;
use burn::tensor::Tensor;
use nexus_core::data::{Example, Problem, Target, collate};
use nexus_core::model::{Classify, Pass, TokenBatch};
use nexus_core::report::{EvalReport, Measure};
use nexus_core::stage::Evaluator;
use nexus_core::{Error, Result};
use serde::Serialize;
use std::time::Instant;

/// What a model with a classification head makes of examples with a target.
///
/// | problem | measures |
/// |---|---|
/// | single label | `accuracy`, `macro_f1`, `loss` (mean cross-entropy, in nats) |
/// | several labels | `micro_f1`, `macro_f1`, `exact_match`; a label is given where its probability is above 1/2 |
/// | regression | `mse`, `mae` over all values |
///
/// F1 is that of scikit-learn with `zero_division = 0`; the macro average is over the classes that occur in targets or
/// answers. Accuracy, exact match, loss and errors carry standard errors over examples.
#[derive(Clone, Debug)]
pub struct Classification {
    /// Name in the report; `classification` by default.
    pub task: String,
    examples: Vec<Example>,
    batch_size: usize,
    pad_id: u32,
}

/// What the model made of one example.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassificationOutcome {
    /// Index of the example.
    pub index: usize,
    /// 1 when all labels are right, else 0; for regression the mean squared error, of which less is better.
    pub score: f64,
    /// The class with the largest logit, of single labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<usize>,
    /// The right class, of single labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<usize>,
    /// The logits, or the values of a regression, `[C]`.
    pub logits: Vec<f32>,
}

impl ClassificationOutcome {
    /// The probability of each class, `[C]`, of single labels: the softmax of the logits.
    pub fn probabilities(&self) -> Vec<f64> {
        softmax(&self.logits.iter().map(|&logit| f64::from(logit)).collect::<Vec<_>>())
    }
}

impl Classification {
    /// Measures on `examples`, as [`SequenceEncoder`](nexus_core::data::SequenceEncoder) gives them.
    ///
    /// # Errors
    /// [`Error::Config`] for a batch size of 0; [`Error::Refused`] when there is no example, or one has no target.
    pub fn new(examples: Vec<Example>, batch_size: usize, pad_id: u32) -> Result<Self> {
        ScoreOptions { batch_size, ..ScoreOptions::default() }.check()?;
        if examples.is_empty() {
            return Err(Error::Refused("there is no example to classify".into()));
        }
        match examples.iter().position(|example| example.target == Target::Unset) {
            Some(i) => Err(Error::Refused(format!("example {i} has no label to compare with"))),
            None => Ok(Self { task: "classification".into(), examples, batch_size, pad_id }),
        }
    }

    /// Number of examples, at least one.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// The example with this index alone; `None` when there are not so many.
    pub fn only(&self, index: usize) -> Option<Self> {
        let examples = vec![self.examples.get(index)?.clone()];
        let (batch_size, pad_id) = (self.batch_size, self.pad_id);
        Some(Self { task: self.task.clone(), examples, batch_size, pad_id })
    }

    /// The report and what was answered, example by example; `progress` sees how many are done.
    ///
    /// # Errors
    /// [`Error::Refused`] when the model has no classification head, or a target does not fit it; otherwise as the
    /// model's forward pass.
    pub fn measure<M: Classify>(
        &self,
        model: &M,
        progress: &mut Progress<'_>,
    ) -> Result<(EvalReport, Vec<ClassificationOutcome>)> {
        let start = Instant::now();
        let Some(classes) = model.spec().classes() else {
            return Err(Error::Refused("the model has no classification head".into()));
        };
        let logits = class_logits(model, &self.examples, self.batch_size, self.pad_id, progress)?;
        let (measures, scores) = match classes.problem {
            Problem::SingleLabel => self.single(&logits)?,
            Problem::MultiLabel => self.several(&logits)?,
            Problem::Regression => self.values(&logits)?,
        };
        let single = classes.problem == Problem::SingleLabel;
        let outcome = |(index, (logits, score)): (usize, (Vec<f32>, f64))| ClassificationOutcome {
            index,
            score,
            chosen: single.then(|| argmax(&logits)),
            answer: wanted_class(&self.examples[index].target, logits.len()).ok(),
            logits,
        };
        let outcomes = logits.into_iter().zip(scores).enumerate().map(outcome).collect();
        let report = EvalReport {
            task: self.task.clone(),
            measures,
            examples: self.examples.len(),
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok((report, outcomes))
    }

    /// The class of every example and the one with its largest logit.
    fn answers(&self, logits: &[Vec<f32>]) -> Result<(Vec<usize>, Vec<usize>)> {
        let pair = |(example, logits): (&Example, &Vec<f32>)| {
            Ok((wanted_class(&example.target, logits.len())?, argmax(logits)))
        };
        self.examples.iter().zip(logits).map(pair).collect()
    }

    fn single(&self, logits: &[Vec<f32>]) -> Result<Found> {
        let n = logits.len();
        let (wanted, answers) = self.answers(logits)?;
        let right = accuracy(&wanted, &answers)?;
        let losses: Vec<f64> = logits
            .iter()
            .zip(&wanted)
            .filter_map(|(row, &class)| cross_entropy(row, class))
            .collect();
        let mut measures = vec![Measure::higher("accuracy", right.value, right.stderr, n)];
        let counts = label_counts(&wanted, &answers)?;
        measures.push(Measure::higher("macro_f1", f1(&counts, Average::Macro)?, None, n));
        if let Some(loss) = mean(&losses) {
            measures.push(Measure::lower("loss", loss.value, loss.stderr, n));
        }
        let scores = wanted.iter().zip(&answers).map(|(w, a)| f64::from(w == a)).collect();
        Ok((measures, scores))
    }

    fn several(&self, logits: &[Vec<f32>]) -> Result<Found> {
        let n = logits.len();
        let (mut wanted, mut answers) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for (example, logits) in self.examples.iter().zip(logits) {
            let target = fitting(&example.target, logits.len())?;
            wanted.push(target.iter().map(|&value| value > 0.5).collect::<Vec<bool>>());
            answers.push(logits.iter().map(|&logit| logit > 0.0).collect::<Vec<bool>>());
        }
        let counts = multi_label_counts(&wanted, &answers)?;
        let exact = accuracy(&wanted, &answers)?;
        let measures = vec![
            Measure::higher("micro_f1", f1(&counts, Average::Micro)?, None, n),
            Measure::higher("macro_f1", f1(&counts, Average::Macro)?, None, n),
            Measure::higher("exact_match", exact.value, exact.stderr, n),
        ];
        let scores = wanted.iter().zip(&answers).map(|(w, a)| f64::from(w == a)).collect();
        Ok((measures, scores))
    }

    fn values(&self, logits: &[Vec<f32>]) -> Result<Found> {
        let (mut squares, mut distances) = (Vec::new(), Vec::new());
        for (example, found) in self.examples.iter().zip(logits) {
            let target = fitting(&example.target, found.len())?;
            let errors: Vec<f64> =
                found.iter().zip(target).map(|(f, t)| f64::from(f - t)).collect();
            let count = errors.len() as f64;
            squares.push(errors.iter().map(|error| error * error).sum::<f64>() / count);
            distances.push(errors.iter().map(|error| error.abs()).sum::<f64>() / count);
        }
        let measure = |name: &str, values: &[f64]| {
            mean(values).map(|m| Measure::lower(name, m.value, m.stderr, values.len()))
        };
        let measures = [measure("mse", &squares), measure("mae", &distances)];
        Ok((measures.into_iter().flatten().collect(), squares))
    }
}

impl<M: Classify> Evaluator<M> for Classification {
    fn evaluate(&self, model: &M) -> Result<EvalReport> {
        Ok(self.measure(model, &mut |_, _| {})?.0)
    }
}

/// The measures, and the score of each example.
type Found = (Vec<Measure>, Vec<f64>);

/// The logits `[C]` of every example, in their order. Examples of like length share a batch.
///
/// # Errors
/// As [`Classify::class_logits`]; [`Error::Refused`] for an example that the model cannot read, and for logits that are
/// not finite.
pub fn class_logits<M: Classify>(
    model: &M,
    examples: &[Example],
    batch_size: usize,
    pad_id: u32,
    progress: &mut Progress<'_>,
) -> Result<Vec<Vec<f32>>> {
    let Some(device) = model.devices().into_iter().next() else {
        return Err(Error::Refused("the model has no parameters".into()));
    };
    for (i, example) in examples.iter().enumerate() {
        let checked = example.check(model.spec());
        checked.map_err(|why| Error::Refused(format!("example {i}, counted from 0: {why}")))?;
    }
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(examples[i].ids.len()));
    let mut all = vec![Vec::new(); examples.len()];
    let mut done = 0;
    for chunk in order.chunks(batch_size.max(1)) {
        let rows: Vec<Example> = chunk.iter().map(|&i| examples[i].clone()).collect();
        let tokens = TokenBatch::new(&collate(&rows, pad_id), &device);
        let logits: Tensor<2> = model.class_logits(&tokens, &Pass::inference())?;
        let width = logits.dims()[1];
        let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
        for (&i, row) in chunk.iter().zip(values.chunks(width.max(1))) {
            if let Some(value) = row.iter().find(|value| !value.is_finite()) {
                return Err(Error::Refused(format!("example {i}: a logit is {value}")));
            }
            all[i] = row.to_vec();
        }
        done += chunk.len();
        progress(done, examples.len());
    }
    Ok(all)
}

/// F1 with 0 for 0 / 0, which is never undefined.
fn f1(counts: &[LabelCounts], average: Average) -> Result<f64> {
    Ok(average_scores(counts, average, &FScore::default())?.f.unwrap_or(0.0))
}

/// The first of the largest.
fn argmax(logits: &[f32]) -> usize {
    (0..logits.len()).reduce(|best, i| if logits[i] > logits[best] { i } else { best }).unwrap_or(0)
}

fn wanted_class(target: &Target, count: usize) -> Result<usize> {
    match target {
        Target::Class(class) if (*class as usize) < count => Ok(*class as usize),
        other => Err(misfit(other, count)),
    }
}

fn fitting(target: &Target, count: usize) -> Result<&[f32]> {
    match target {
        Target::Values(values) if values.len() == count => Ok(values),
        other => Err(misfit(other, count)),
    }
}

fn misfit(target: &Target, count: usize) -> Error {
    Error::Refused(format!("the target {target:?} does not fit the model's {count} classes"))
}
