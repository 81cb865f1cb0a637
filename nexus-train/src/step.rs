//! One optimizer step: gradients over micro-batches, clipping, update.

use crate::adamw::{AdamW, StepScale};
use crate::config::TrainConfig;
use crate::objective::Objective;
use burn::module::{ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Gradients, Tensor};
use nexus_core::adapter::parameter_name;
use nexus_core::data::Example;
use nexus_core::model::{Model, Pass, Spec};
use nexus_core::{Error, Result};
use nexus_kernels::sum_squares;
use std::collections::HashMap;
use std::sync::Arc;

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

/// Sums the gradients of the micro-batches of `examples`, each divided by the weight of the whole step, so that the
/// result does not depend on how the step is divided. Each example comes with its number in the data, for errors.
pub(crate) fn step_gradient<M: Model>(
    model: &M,
    objective: &dyn Objective<M>,
    examples: Vec<(usize, Example)>,
    pad_id: u32,
    step: usize,
    config: &TrainConfig,
) -> Result<StepGradient> {
    let device = model
        .devices()
        .first()
        .cloned()
        .ok_or_else(|| Error::Refused("the model has no parameters".into()))?;
    let seed = mix(mix(config.seed, u64::MAX), step as u64);
    let (numbers, examples): (Vec<usize>, Vec<Example>) = examples
        .into_iter()
        .enumerate()
        .map(|(i, (number, example))| {
            (number, objective.prepare(example, mix(seed, u64::MAX - i as u64)))
        })
        .unzip();
    for (number, example) in numbers.iter().zip(&examples) {
        let checked = objective.check(model, example);
        checked.map_err(|why| {
            Error::Refused(format!("step {step}: training example {number}, counted from 0: {why}"))
        })?;
    }
    let weight: f64 = examples.iter().map(|example| objective.weight(example)).sum();
    let trained_tokens = examples.iter().map(|example| objective.labels(example)).sum();
    if trained_tokens == 0 || weight <= 0.0 {
        return Err(Error::Refused(format!(
            "step {step} has no trained token; encode the data again, dropping such records"
        )));
    }
    let mut sum = SumGradients { taken: None, gradients: HashMap::new() };
    let mut loss = 0.0;
    for (micro, examples) in examples.chunks(config.batch_size).enumerate() {
        if examples.iter().all(|example| objective.labels(example) == 0) {
            continue;
        }
        // Every micro-batch of a run has its own masks.
        let pass = Pass::training(mix(seed, micro as u64)).with_precision(config.precision.into());
        let part = objective.loss_sum(model, examples, pad_id, &device, &pass)? / weight;
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
    pub(crate) fn apply<M: Model>(
        self,
        model: M,
        optimizer: &mut AdamW,
        rate: f64,
        max_norm: Option<f64>,
    ) -> M {
        // As torch.nn.utils.clip_grad_norm_, its 1e-6 included.
        let clip = max_norm.map_or(1.0, |max_norm| (max_norm / (self.norm + 1e-6)).min(1.0));
        optimizer.begin_step();
        let spec = Arc::clone(model.spec());
        model.map(&mut Apply {
            path: Vec::new(),
            spec,
            gradients: self.gradients,
            optimizer,
            scale: StepScale { rate, clip },
        })
    }

    fn first_non_finite(&self, model: &impl Model) -> String {
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

/// A uniform number in `[0, 1)` from a seed.
pub(crate) fn unit(seed: u64) -> f64 {
    (mix(seed, 0) >> 11) as f64 / (1u64 << 53) as f64
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
    spec: Arc<Spec>,
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
