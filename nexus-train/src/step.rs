//! One optimizer step: gradients over micro-batches, clipping, update.

use crate::adamw::{AdamW, StepScale};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Gradients, Tensor};
use nexus_core::adapter::parameter_name;
use nexus_core::data::{Batch, Example, collate};
use nexus_core::model::{Decoder, Pass, Spec, ids_tensor};
use nexus_core::{Error, Result};
use nexus_kernels::sum_squares;
use std::collections::HashMap;

/// The gradient of a whole step.
pub(crate) struct StepGradient {
    /// By parameter, `[1, n]` or `[n, m]`.
    gradients: HashMap<ParamId, Tensor<2>>,
    /// Mean loss over the trained tokens of the step.
    pub(crate) loss: f64,
    /// Norm of the whole gradient.
    pub(crate) norm: f64,
    /// Tokens without padding.
    pub(crate) tokens: usize,
    /// Tokens with a label.
    pub(crate) trained_tokens: usize,
}

/// Sums the gradients of the micro-batches of `examples`, each weighted by its share of the step's trained tokens, so
/// that the result does not depend on how the step is divided.
pub(crate) fn step_gradient(
    model: &Decoder,
    examples: &[Example],
    batch_size: usize,
    pad_id: u32,
    step: usize,
    seed: u64,
) -> Result<StepGradient> {
    let device = model
        .devices()
        .first()
        .cloned()
        .ok_or_else(|| Error::Refused("the model has no parameters".into()))?;
    let trained_tokens: usize = examples.iter().map(Example::trained_tokens).sum();
    if trained_tokens == 0 {
        return Err(Error::Refused(format!(
            "step {step} has no trained token; encode the data again, dropping such records"
        )));
    }
    let vocabulary = model.config().vocab_size;
    if let Some(id) = examples.iter().flat_map(|e| &e.ids).find(|&&id| id as usize >= vocabulary) {
        return Err(Error::Refused(format!(
            "step {step}: token id {id} is outside the model's vocabulary of {vocabulary}; \
             was the data encoded with another tokenizer?"
        )));
    }
    let mut sum = SumGradients { taken: None, gradients: HashMap::new() };
    let mut loss = 0.0;
    for (micro, examples) in examples.chunks(batch_size).enumerate() {
        let batch: Batch = collate(examples, pad_id);
        if batch.trained_tokens() == 0 {
            continue;
        }
        // Every micro-batch of a run has its own masks.
        let pass = Pass::training(mix(mix(seed, step as u64), micro as u64));
        let ids = ids_tensor(&batch.ids, [batch.rows, batch.columns], &device);
        let part = model.loss_sum(ids, &batch.labels, &pass)?.sum / trained_tokens as f64;
        let gradients = part.backward();
        loss += f64::from(part.into_scalar::<f32>());
        sum.taken = Some(gradients);
        model.visit(&mut sum);
    }
    let gradients = sum.gradients;
    if !loss.is_finite() {
        return Err(Error::NonFinite { step, tensor: "the loss".into() });
    }
    let norm = global_norm(&gradients);
    let gradient = StepGradient {
        gradients,
        loss,
        norm,
        tokens: examples.iter().map(|example| example.ids.len()).sum(),
        trained_tokens,
    };
    if !norm.is_finite() {
        return Err(Error::NonFinite { step, tensor: gradient.first_non_finite(model) });
    }
    if norm == 0.0 {
        return Err(Error::Refused(format!(
            "step {step}: every gradient is zero, so nothing would be learned; \
             is any parameter trainable, and any label not its own input?"
        )));
    }
    Ok(gradient)
}

impl StepGradient {
    /// Applies the step and gives the changed model back.
    pub(crate) fn apply(
        self,
        model: Decoder,
        optimizer: &mut AdamW,
        rate: f64,
        max_norm: Option<f64>,
    ) -> Decoder {
        // As torch.nn.utils.clip_grad_norm_, its 1e-6 included.
        let clip = max_norm.map_or(1.0, |max_norm| (max_norm / (self.norm + 1e-6)).min(1.0));
        optimizer.begin_step();
        let spec = model.spec().clone();
        model.map(&mut Apply {
            path: Vec::new(),
            spec,
            gradients: self.gradients,
            optimizer,
            scale: StepScale { rate, clip },
        })
    }

    fn first_non_finite(&self, model: &Decoder) -> String {
        nexus_core::weights::parameters(model)
            .iter()
            .find(|parameter| {
                self.gradients.get(&parameter.id).is_some_and(|gradient| {
                    !gradient.clone().sum().into_scalar::<f32>().is_finite()
                })
            })
            .map_or("the gradient".into(), |parameter| {
                format!("the gradient of {}", parameter_name(model.spec(), &parameter.path))
            })
    }
}

fn global_norm(gradients: &HashMap<ParamId, Tensor<2>>) -> f64 {
    // Summed in a fixed order: floating-point sums depend on it, and a resumed run must repeat them.
    let mut squares: Vec<f64> =
        gradients.values().map(|gradient| sum_squares(gradient.clone())).collect();
    squares.sort_by(f64::total_cmp);
    squares.iter().sum::<f64>().sqrt()
}

/// A well-mixed function of two numbers (the finaliser of SplitMix64).
pub(crate) fn mix(seed: u64, value: u64) -> u64 {
    let mut z = seed ^ value.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `[n]` as `[1, n]`; every parameter has one or two dimensions.
fn as_matrix<const D: usize>(tensor: Tensor<D>) -> Tensor<2> {
    let dims = tensor.dims();
    match dims[..] {
        [n] => tensor.reshape([1, n]),
        [n, m] => tensor.reshape([n, m]),
        _ => {
            let count = dims.iter().product::<usize>();
            tensor.reshape([1, count])
        }
    }
}

struct SumGradients {
    taken: Option<Gradients>,
    gradients: HashMap<ParamId, Tensor<2>>,
}

impl ModuleVisitor for SumGradients {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradients) = &mut self.taken else { return };
        let Some(gradient) = param.val().grad_remove(gradients) else { return };
        let gradient = as_matrix(gradient);
        let sum = match self.gradients.remove(&param.id) {
            Some(sum) => sum + gradient,
            None => gradient,
        };
        self.gradients.insert(param.id, sum);
    }
}

struct Apply<'a> {
    path: Vec<String>,
    spec: Spec,
    gradients: HashMap<ParamId, Tensor<2>>,
    optimizer: &'a mut AdamW,
    scale: StepScale,
}

impl ModuleMapper for Apply<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove(&param.id) else { return param };
        let name = parameter_name(&self.spec, &self.path.join("."));
        param.map(|value| {
            let dims = value.dims();
            let value = as_matrix(value.without_autodiff());
            let value = self.optimizer.update(&name, value, gradient, D >= 2, self.scale);
            Tensor::from_inner(value.reshape(dims)).require_grad()
        })
    }
}
