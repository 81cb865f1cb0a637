//! Which parameters of a model are trained.

use crate::model::{Model, split_path};
use crate::{Error, Result};
use burn::module::{ModuleMapper, Param};
use burn::tensor::Tensor;
use std::collections::HashSet;
use std::sync::Arc;

/// Makes every parameter trainable, for full fine-tuning.
pub fn train_all<M: Model>(model: M) -> M {
    model.set_require_grad(true)
}

/// Makes the head trainable and freezes the rest: what stands on top of the last block and its norm, the pooler
/// included.
///
/// # Errors
/// [`Error::Config`] when the model has no head with parameters of its own.
pub fn train_head<M: Model>(model: M) -> Result<M> {
    let head = |path: &str| {
        let part = path.split('.').next();
        matches!(part, Some("head" | "classes" | "pooler" | "masked"))
    };
    let model = model.no_grad().map(&mut Trainable { path: Vec::new(), wanted: head });
    let any = crate::weights::parameters(&model).iter().any(|parameter| head(&parameter.path));
    match any {
        true => Ok(model),
        false => {
            Err(Error::config("method", "head", "full or lora: the model has no head of its own"))
        }
    }
}

/// Makes the same parameters of `model` trainable that are so in `like`, a model of the same shape.
pub fn train_alike<M: Model>(model: M, like: &M) -> M {
    // Only on a device with gradients does a parameter say whether it is trained.
    let like = like.clone().train();
    let trained: HashSet<String> = crate::weights::parameters(&like)
        .into_iter()
        .filter(|parameter| parameter.trainable)
        .map(|parameter| parameter.path)
        .collect();
    let wanted = |path: &str| trained.contains(path);
    model.no_grad().map(&mut Trainable { path: Vec::new(), wanted })
}

/// Makes the parameters of every module trainable whose Hugging Face path `wanted` accepts.
pub(super) fn train_matching<M: Model>(model: M, wanted: impl Fn(&str) -> bool) -> M {
    let spec = Arc::clone(model.spec());
    let wanted = |path: &str| {
        let (module, _) = split_path(path);
        !module.ends_with(".adapter") && wanted(&spec.module_name(module))
    };
    model.map(&mut Trainable { path: Vec::new(), wanted })
}

/// Makes parameters trainable by their path.
struct Trainable<F: Fn(&str) -> bool> {
    path: Vec<String>,
    wanted: F,
}

impl<F: Fn(&str) -> bool> ModuleMapper for Trainable<F> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match (self.wanted)(&self.path.join(".")) {
            true => param.set_require_grad(true),
            false => param,
        }
    }
}
