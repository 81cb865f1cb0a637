//! Answers from sources.

use super::Objective;
use super::cross_entropy::{Weighting, cross_entropy_sum};
use super::tokens::labelled;
use burn::tensor::{Device, Int, Tensor, TensorData};
use nexus_core::Result;
use nexus_core::data::{Example, IGNORED, PairBatch, collate_pairs};
use nexus_core::model::{EncoderDecoder, Model, Pass, TokenBatch, ids_tensor};
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
        example.labelled_tokens()
    }

    fn check(&self, model: &EncoderDecoder, example: &Example) -> Result<(), String> {
        example.check(model.spec()).map_err(|why| format!("the source: {why}"))?;
        example.check_token_labels(model.spec())
    }

    fn loss_sum(
        &self,
        model: &EncoderDecoder,
        examples: &[Example],
        pad_id: u32,
        device: &Device,
        pass: &Pass,
    ) -> Result<Tensor<1>> {
        let batch = collate_pairs(examples, pad_id);
        let answers = shifted(&batch, model.config().start_token, pad_id);
        let (rows, targets) = labelled(&batch.labels);
        let memory = model.encode(&TokenBatch::new(&batch.source, device), pass)?;
        let ids = ids_tensor(&answers, [batch.source.rows, batch.columns], device);
        let hidden = model.decode(ids, &memory, pass);
        let [batch, time, width] = hidden.dims();
        let indices: Tensor<1, Int> =
            Tensor::from_data(TensorData::new(rows.clone(), [rows.len()]), device);
        let hidden = hidden.reshape([batch * time, width]).select(0, indices);
        Ok(match model.head_weight() {
            Some((weight, layout)) if self.weighting.smoothing == 0.0 => {
                linear_cross_entropy(hidden, weight, layout, &targets, pass.precision())
            }
            _ => cross_entropy_sum(model.logits(hidden, pass), &targets, &self.weighting),
        })
    }
}

/// What the decoder reads, `[B, U]`: the labels moved on by one. Ignored labels are read as padding.
fn shifted(batch: &PairBatch, start: u32, pad_id: u32) -> Vec<i32> {
    let read = |&label: &i32| if label == IGNORED { pad_id as i32 } else { label };
    let rows = batch.labels.chunks(batch.columns.max(1));
    rows.flat_map(|row| std::iter::once(start as i32).chain(row[..row.len() - 1].iter().map(read)))
        .collect()
}
