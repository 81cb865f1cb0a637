//! Answers from sources.

use super::cross_entropy::{Weighting, cross_entropy_sum};
use super::tokens::labelled;
use super::{Objective, check_ids};
use burn::tensor::{Device, Int, Tensor, TensorData};
use nexus_core::Result;
use nexus_core::data::{Example, IGNORED, collate};
use nexus_core::model::{EncoderDecoder, Pass, TokenBatch, ids_tensor};
use nexus_kernels::linear_cross_entropy;

/// Mean cross-entropy of the answers' tokens, in nats per token. The decoder reads the answer shifted by one: the start
/// token first, so that every token is predicted from those before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seq2Seq {
    weighting: Weighting,
}

impl Seq2Seq {
    /// Without smoothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Spreads this share of a target over the vocabulary.
    ///
    /// # Errors
    /// [`Error::Config`](nexus_core::Error::Config) unless it is from 0 up to below 1.
    pub fn with_label_smoothing(mut self, smoothing: f64) -> Result<Self> {
        self.weighting.smoothing = smoothing;
        self.weighting.check()?;
        Ok(self)
    }
}

impl Objective<EncoderDecoder> for Seq2Seq {
    fn weight(&self, example: &Example) -> f64 {
        Objective::<EncoderDecoder>::labels(self, example) as f64
    }

    fn labels(&self, example: &Example) -> usize {
        example.labels.iter().filter(|&&label| label != IGNORED).count()
    }

    fn check(&self, model: &EncoderDecoder, example: &Example) -> Result<(), String> {
        if example.ids.is_empty() {
            return Err("the source has no token".into());
        }
        let labels: Vec<u32> =
            example.labels.iter().filter(|&&l| l != IGNORED).map(|&l| l as u32).collect();
        check_ids(model, example.ids.iter().chain(&labels))
    }

    fn loss_sum(
        &self,
        model: &EncoderDecoder,
        examples: &[Example],
        pad_id: u32,
        device: &Device,
        pass: &Pass,
    ) -> Result<Tensor<1>> {
        let sources: Vec<Example> =
            examples.iter().map(|e| Example::new(e.ids.clone(), Vec::new())).collect();
        let source = collate(&sources, pad_id);
        let (answers, labels, columns) = shifted(examples, model.config().start_token, pad_id);
        let (rows, targets) = labelled(&labels);
        let memory = model.encode(&TokenBatch::new(&source, device), pass);
        let ids = ids_tensor(&answers, [examples.len(), columns], device);
        let hidden = model.decode(ids, &memory, pass);
        let [batch, time, width] = hidden.dims();
        let indices: Tensor<1, Int> =
            Tensor::from_data(TensorData::new(rows.clone(), [rows.len()]), device);
        let hidden = hidden.reshape([batch * time, width]).select(0, indices);
        Ok(match model.head_weight() {
            Some((weight, layout)) if self.weighting.smoothing == 0.0 => {
                linear_cross_entropy(hidden, weight, layout, &targets)
            }
            _ => cross_entropy_sum(model.logits(hidden, pass), &targets, &self.weighting),
        })
    }
}

/// What the decoder reads `[B, U]`, what it should predict `[B, U]`, and U. Ignored labels are read as padding.
fn shifted(examples: &[Example], start: u32, pad_id: u32) -> (Vec<i32>, Vec<i32>, usize) {
    let columns = examples.iter().map(|e| e.labels.len()).max().unwrap_or(0).max(1);
    let (mut answers, mut labels) = (Vec::new(), Vec::new());
    for (row, example) in examples.iter().enumerate() {
        let end = (row + 1) * columns;
        labels.extend(&example.labels);
        labels.resize(end, IGNORED);
        let read = |&label: &i32| if label == IGNORED { pad_id as i32 } else { label };
        let before_last = &example.labels[..example.labels.len().min(columns - 1)];
        answers.push(start as i32);
        answers.extend(before_last.iter().map(read));
        answers.resize(end, pad_id as i32);
    }
    (answers, labels, columns)
}
