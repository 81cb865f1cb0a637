//! Language modelling: every token is predicted from those before it.

use super::Objective;
use burn::tensor::{Device, Tensor};
use nexus_core::Result;
use nexus_core::data::{Example, collate};
use nexus_core::model::{Decoder, Model, Pass, ids_tensor};

/// Mean cross-entropy of the labelled tokens, in nats per token.
#[derive(Clone, Copy, Debug, Default)]
pub struct CausalLm;

impl Objective<Decoder> for CausalLm {
    fn weight(&self, example: &Example) -> f64 {
        example.trained_tokens() as f64
    }

    fn labels(&self, example: &Example) -> usize {
        example.trained_tokens()
    }

    fn check(&self, model: &Decoder, example: &Example) -> Result<(), String> {
        example.check(model.spec())?;
        example.check_label_count()?;
        example.check_token_labels(model.spec())
    }

    fn loss_sum(
        &self,
        model: &Decoder,
        examples: &[Example],
        pad_id: u32,
        device: &Device,
        pass: &Pass,
    ) -> Result<Tensor<1>> {
        let batch = collate(examples, pad_id);
        let ids = ids_tensor(&batch.ids, [batch.rows, batch.columns], device);
        Ok(model.loss_sum(ids, &batch.labels, pass)?.sum)
    }
}
