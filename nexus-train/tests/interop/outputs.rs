//! The same inputs for Nexus and transformers, and what Nexus computes from them.

use crate::case::Case;
use burn::module::Module;
use burn::tensor::Tensor;
use nexus_core::data::Example;
use nexus_core::model::{
    Classify, Decoder, Encoder, EncoderDecoder, Head, Model, Pass, TokenBatch, ids_tensor,
};
use nexus_core::weights::OwnedTensor;
use std::collections::BTreeMap;

/// The batch of a golden case.
pub(crate) struct Inputs {
    /// By the name of transformers' argument: values and `[B, T]`.
    tensors: BTreeMap<&'static str, (Vec<i32>, [usize; 2])>,
    /// The same rows for training.
    pub(crate) examples: Vec<Example>,
}

impl Inputs {
    pub(crate) fn of(case: &mut Case) -> Self {
        let mut tensors = BTreeMap::new();
        for name in ["input_ids", "attention_mask", "token_type_ids", "decoder_input_ids"] {
            if let Ok((values, shape)) = case.expect.read_i64(name) {
                let values: Vec<i32> = values.into_iter().map(|value| value as i32).collect();
                tensors.insert(name, (values, [shape[0], shape[1]]));
            }
        }
        // The batches of the decoders have no padding, and train every token.
        let (ids, [_, columns]) = &tensors["input_ids"];
        let examples = match tensors.contains_key("attention_mask") {
            true => case.examples(),
            false => ids
                .chunks(*columns)
                .map(|row| Example::new(row.iter().map(|&id| id as u32).collect(), row.to_vec()))
                .collect(),
        };
        Self { tensors, examples }
    }

    /// `[B, T]`.
    pub(crate) fn shape(&self) -> [usize; 2] {
        self.tensors["input_ids"].1
    }

    /// As check.py reads them.
    pub(crate) fn owned(&self) -> impl Iterator<Item = (String, OwnedTensor)> {
        self.tensors.iter().map(|(name, (values, shape))| {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            (format!("in.{name}"), OwnedTensor::f32(&values, shape))
        })
    }

    fn tokens(&self, model: &impl Module) -> TokenBatch {
        let device = &model.devices()[0];
        let tensor = |name| {
            let (values, shape) = self.tensors.get(name)?;
            Some(ids_tensor(values, *shape, device))
        };
        let [rows, columns] = self.shape();
        let lengths = match self.tensors.get("attention_mask") {
            Some((mask, _)) => {
                mask.chunks(columns).map(|row| row.iter().sum::<i32>() as usize).collect()
            }
            None => vec![columns; rows],
        };
        TokenBatch { ids: tensor("input_ids").unwrap(), types: tensor("token_type_ids"), lengths }
    }

    /// The number of every position of the batch.
    fn positions(&self) -> Vec<i32> {
        let [rows, columns] = self.shape();
        (0..(rows * columns) as i32).collect()
    }
}

/// Values by the field of transformers' result.
pub(crate) type Fields = Vec<(&'static str, OwnedTensor)>;

fn owned<const D: usize>(tensor: Tensor<D>, shape: &[usize]) -> OwnedTensor {
    OwnedTensor::f32(&tensor.into_data().iter::<f32>().collect::<Vec<_>>(), shape)
}

/// Rows `[B * T, N]` as `[B, T, N]`.
fn by_token(rows: Tensor<2>, [batch, time]: [usize; 2]) -> OwnedTensor {
    let width = rows.dims()[1];
    owned(rows, &[batch, time, width])
}

/// A model with what its head computes.
pub(crate) trait Outputs: Model {
    fn outputs(&self, inputs: &Inputs) -> Fields;
}

fn of_classes(model: &impl Classify, inputs: &Inputs) -> Fields {
    let logits = model.class_logits(&inputs.tokens(model), &Pass::inference()).unwrap();
    let shape = logits.dims();
    vec![("logits", owned(logits, &shape))]
}

impl Outputs for Decoder {
    fn outputs(&self, inputs: &Inputs) -> Fields {
        if matches!(self.spec().head, Head::Sequence(_)) {
            return of_classes(self, inputs);
        }
        let pass = Pass::inference();
        let hidden = self.hidden(inputs.tokens(self).ids, &pass).unwrap();
        let rows = hidden.flatten(0, 1);
        vec![("logits", by_token(self.logits(rows, &pass), inputs.shape()))]
    }
}

impl Outputs for Encoder {
    fn outputs(&self, inputs: &Inputs) -> Fields {
        let (tokens, rows, pass) = (inputs.tokens(self), inputs.positions(), Pass::inference());
        let logits = match self.spec().head {
            Head::Sequence(_) => return of_classes(self, inputs),
            Head::Tokens(_) => self.token_logits(&tokens, &rows, &pass),
            Head::Language => self.masked_logits(&tokens, &rows, &pass),
            Head::Features => {
                let hidden = self.hidden(&tokens, &pass).unwrap();
                let shape = hidden.dims();
                let mut fields = vec![("last_hidden_state", owned(hidden.clone(), &shape))];
                // check.py misses the field where only Nexus has no pooler.
                if let Ok(pooled) = self.pooled(hidden, &pass) {
                    let shape = pooled.dims();
                    fields.push(("pooler_output", owned(pooled, &shape)));
                }
                return fields;
            }
        };
        vec![("logits", by_token(logits.unwrap(), inputs.shape()))]
    }
}

impl Outputs for EncoderDecoder {
    fn outputs(&self, inputs: &Inputs) -> Fields {
        let pass = Pass::inference();
        let memory = self.encode(&inputs.tokens(self), &pass).unwrap();
        let (ids, shape) = &inputs.tensors["decoder_input_ids"];
        let hidden = self.decode(ids_tensor(ids, *shape, &self.devices()[0]), &memory, &pass);
        vec![("logits", by_token(self.logits(hidden.flatten(0, 1), &pass), *shape))]
    }
}
