//! Attaching adapters to a model, merging them, taking them off.

use super::config::AdapterConfig;
use super::select::Selection;
use crate::model::{AdapterState, Head, LowRank, LowRankSettings, Model, ModelConfig, split_path};
use crate::{Error, Result};
use burn::module::{ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;
use std::sync::Arc;

/// Freezes the model and attaches fresh adapters: A uniform in `±1/sqrt(inputs)` (PEFT's Kaiming uniform with
/// a = sqrt 5), B zero, so that the model's outputs do not change. `modules_to_save` stay trainable.
///
/// What the file of the adapter says of its purpose follows the model's head. A classification head is trained whole
/// beside the adapters, as PEFT does.
///
/// # Errors
/// [`Error::Config`] for a configuration out of range; [`Error::Adapter`] when an adapter is attached already or no
/// module is selected.
pub fn attach<M: Model>(model: M, config: &AdapterConfig, seed: u64) -> Result<M> {
    let mut config = config.clone();
    let spec = model.spec();
    config.task_type = match (&spec.head, &spec.config) {
        (Head::Language, ModelConfig::Decoder(_)) => Some("CAUSAL_LM"),
        (Head::Language, ModelConfig::EncoderDecoder(_)) => Some("SEQ_2_SEQ_LM"),
        (Head::Language, ModelConfig::Encoder(_)) | (Head::Features, _) => {
            Some("FEATURE_EXTRACTION")
        }
        (Head::Sequence(_), _) => Some("SEQ_CLS"),
        (Head::Tokens(_), _) => Some("TOKEN_CLS"),
    }
    .map(Into::into);
    if spec.classes().is_some() {
        let saved = config.modules_to_save.get_or_insert_default();
        for name in ["classifier", "score"] {
            if !saved.iter().any(|known| known == name) {
                saved.push(name.into());
            }
        }
    }
    attach_with(model, &config, |salt, rank, [inputs, outputs], device| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(salt);
        let bound = (inputs as f64).powf(-0.5);
        let a = (0..inputs * rank)
            .map(|_| (bound * (2.0 * crate::model::unit(&mut rng) - 1.0)) as f32)
            .collect();
        Ok(Factors { a, b: vec![0.0; rank * outputs], device: device.clone() })
    })
}

/// The values of one adapter: `a: [inputs, r]`, `b: [r, outputs]`, row major.
pub(super) struct Factors {
    pub(super) a: Vec<f32>,
    pub(super) b: Vec<f32>,
    pub(super) device: Device,
}

/// As [`attach`], with the factors of `(salt, rank, [inputs, outputs], device)` from a function. The
/// salt is the number of the projection, counted over all projections of the model.
pub(super) fn attach_with<M: Model>(
    model: M,
    config: &AdapterConfig,
    mut factors: impl FnMut(u64, usize, [usize; 2], &Device) -> Result<Factors>,
) -> Result<M> {
    if model.adapter().is_some() {
        return Err(Error::Adapter {
            why: "the model has one already; merge it or take it off first".into(),
        });
    }
    let selection = Selection::new(config)?;
    let mut model = model.no_grad();
    let spec = Arc::clone(model.spec());
    let mut attached = 0;
    for (salt, (path, projection)) in model.projections_mut().into_iter().enumerate() {
        let module = spec.module_name(&path);
        if !selection.targets(&module) || selection.saves(&module) {
            continue;
        }
        let (rank, alpha, scale) = selection.scale(&module);
        let [inputs, outputs] = projection.dims();
        if rank > inputs.min(outputs) {
            return Err(Error::config(
                format!("r of {module}"),
                rank,
                format!("at most {}, the projection's smaller side", inputs.min(outputs)),
            ));
        }
        let salt = salt as u64;
        let Factors { a, b, device } =
            factors(salt, rank, [inputs, outputs], &projection.weight().device())?;
        let matrix = |values, shape: [usize; 2]| {
            Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), &device))
        };
        let settings = LowRankSettings { rank, alpha, scale, dropout: config.lora_dropout, salt };
        projection.attach(LowRank::new(
            matrix(a, [inputs, rank]),
            matrix(b, [rank, outputs]),
            settings,
        ));
        attached += 1;
    }
    if attached == 0 {
        return Err(Error::Adapter {
            why: format!(
                "target_modules {} selects no module of this model; its modules end in {}",
                serde_json::to_string(&config.target_modules).unwrap_or_default(),
                module_endings(&mut model).join(", ")
            ),
        });
    }
    let mut model = train_matching(model, |module| selection.saves(module));
    let mut config = config.clone();
    config.fan_in_fan_out = spec.conv1d();
    model.set_adapter(Some(Arc::new(config)));
    Ok(model)
}

/// Makes every parameter trainable, for full fine-tuning.
pub fn train_all<M: Model>(model: M) -> M {
    model.set_require_grad(true)
}

/// Brings every adapter of the model into `state`: merged into the base, beside it, or without effect.
pub fn set_adapter_state<M: Model>(mut model: M, state: AdapterState) -> M {
    for (_, projection) in model.projections_mut() {
        projection.set_adapter_state(state);
    }
    model
}

/// Takes every adapter off; a product that was merged stays in its base.
pub fn unload<M: Model>(model: M) -> M {
    let mut model = model;
    for (_, projection) in model.projections_mut() {
        projection.detach();
    }
    model.set_adapter(None);
    model
}

/// Folds every adapter into its base and takes it off: a plain model of the same outputs, all parameters trainable.
pub fn merge_and_unload<M: Model>(model: M) -> M {
    train_all(unload(set_adapter_state(model, AdapterState::Merged)))
}

fn module_endings<M: Model>(model: &mut M) -> Vec<String> {
    let spec = Arc::clone(model.spec());
    let mut seen = HashSet::new();
    let paths = model.projections_mut().into_iter().map(|(path, _)| spec.module_name(&path));
    paths
        .filter_map(|module| module.rsplit('.').next().map(str::to_string))
        .filter(|ending| seen.insert(ending.clone()))
        .collect()
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
fn train_matching<M: Model>(model: M, wanted: impl Fn(&str) -> bool) -> M {
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
