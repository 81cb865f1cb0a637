//! A vocabulary of another size.

use super::family::{ModelConfig, Spec};
use super::network::Model;
use crate::{Error, Result};
use burn::module::{ModuleMapper, Param};
use burn::tensor::Tensor;
use std::sync::Arc;

/// The most rows that a vocabulary can be given.
const MAX_SIZE: usize = 1 << 24;

/// Gives the model a vocabulary of `size` tokens: rows are added at the end of the embedding and of an untied head, or
/// taken away there. A new row is the mean of the old ones, around which transformers' `resize_token_embeddings` draws
/// its own with a variance of 1e-9.
///
/// Parameters keep whether they are trained. An adapter that is attached afterwards stores the embedding in full beside
/// its factors, as PEFT does, because the base alone no longer has it.
///
/// # Errors
/// [`Error::Config`] for a size of 0 or above 2^24; [`Error::Adapter`] when an adapter is attached.
pub fn resize_vocabulary<M: Model>(model: M, size: usize) -> Result<M> {
    if size == 0 || size > MAX_SIZE {
        return Err(Error::config("vocabulary size", size, format!("from 1 to {MAX_SIZE}")));
    }
    if model.adapter().is_some() {
        return Err(Error::Adapter {
            why: "the vocabulary cannot change under an adapter; merge it or take it off first"
                .into(),
        });
    }
    let old = model.spec().vocab_size();
    if size == old {
        return Ok(model);
    }
    let mut spec: Spec = (**model.spec()).clone();
    match &mut spec.config {
        ModelConfig::Decoder(config) => config.vocab_size = size,
        ModelConfig::Encoder(config) => config.vocab_size = size,
        ModelConfig::EncoderDecoder(config) => config.vocab_size = size,
    }
    spec.json.insert("vocab_size".into(), size.into());
    spec.resized = true;
    let mut model = model.map(&mut Resize { path: Vec::new(), size });
    model.set_spec(Arc::new(spec));
    Ok(model)
}

struct Resize {
    path: Vec<String>,
    size: usize,
}

impl ModuleMapper for Resize {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // Our projections are `[inputs, outputs]`, so a head has its tokens in the second dimension.
        let dim = match self.path.join(".").as_str() {
            "embedding.weight" | "masked.bias" => 0,
            "head.weight" => 1,
            _ => return param,
        };
        param.map(|weight| {
            let trainable = weight.is_require_grad();
            let weight = weight.detach();
            let old = weight.dims()[dim];
            let weight = match self.size.checked_sub(old) {
                None | Some(0) => weight.narrow(dim, 0, self.size.min(old)),
                Some(added) => {
                    let new = weight.clone().mean_dim(dim).repeat_dim(dim, added);
                    Tensor::cat(vec![weight, new], dim)
                }
            };
            weight.set_require_grad(trainable)
        })
    }
}
