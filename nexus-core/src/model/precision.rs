//! Frozen weights in half the memory.

use super::network::Model;
use burn::module::{ModuleMapper, Param};
use burn::tensor::{DType, FloatDType, Tensor};

/// Tables that are small, and that are added to f32 activations rather than multiplied.
const KEPT: [&str; 3] = ["positions", "types", "relative_bias"];

/// Stores the frozen matrices of the model, those of projections and the token embedding, as bf16: 2 bytes a value, and
/// products in bf16 (see [`Precision`](super::Precision)). Norms, biases, position tables, and whatever is trained, the
/// factors of adapters among it, stay f32. Rounding is to the nearest, ties to even, and cannot be undone; a weight that
/// comes from a bf16 file loses nothing.
///
/// Freeze the model first (attach an adapter, or [`train_head`](crate::adapter::train_head)): of a model that is trained
/// in full nothing is stored as bf16.
pub fn store_bf16<M: Model>(model: M) -> M {
    // Only on a device with gradients does a parameter say whether it is trained.
    let trained = crate::weights::parameters(&model.clone().train());
    let trained = trained.into_iter().filter(|parameter| parameter.trainable);
    let trained = trained.map(|parameter| parameter.path).collect();
    model.map(&mut Store { path: Vec::new(), trained })
}

/// f32 of what may be bf16.
pub(super) fn widened<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match x.dtype() {
        DType::BF16 => x.cast(FloatDType::F32),
        _ => x,
    }
}

struct Store {
    path: Vec<String>,
    trained: std::collections::HashSet<String>,
}

impl ModuleMapper for Store {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let module = self.path.iter().rev().nth(1).map_or("", String::as_str);
        let path = self.path.join(".");
        if D != 2 || KEPT.contains(&module) || self.trained.contains(&path) {
            return param;
        }
        param.map(|weight| weight.detach().cast(FloatDType::BF16).set_require_grad(false))
    }
}
