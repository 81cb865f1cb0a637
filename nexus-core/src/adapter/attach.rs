//! Attaching adapters to a model, merging them, taking them off.

use super::config::AdapterConfig;
use super::select::Selection;
use crate::model::{AdapterState, Decoder, LowRank, LowRankSettings, split_path};
use crate::{Error, Result};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;
use std::sync::Arc;

/// Freezes the model and attaches fresh adapters: A uniform in `±1/sqrt(inputs)` (PEFT's Kaiming uniform with
/// a = sqrt 5), B zero, so that the model's outputs do not change. `modules_to_save` stay trainable.
///
/// # Errors
/// [`Error::Config`] for a configuration out of range; [`Error::Adapter`] when an adapter is attached already or no
/// module is selected.
pub fn attach(model: Decoder, config: &AdapterConfig, seed: u64) -> Result<Decoder> {
    attach_with(model, config, |salt, rank, [inputs, outputs], device| {
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
pub(super) fn attach_with(
    model: Decoder,
    config: &AdapterConfig,
    mut factors: impl FnMut(u64, usize, [usize; 2], &Device) -> Result<Factors>,
) -> Result<Decoder> {
    if model.adapter().is_some() {
        return Err(Error::Adapter {
            why: "the model has one already; merge it or take it off first".into(),
        });
    }
    let selection = Selection::new(config)?;
    let mut model = model.no_grad();
    let spec = Arc::clone(&model.spec);
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
    let mut model = train_matching(model, |module| selection.saves(module))?;
    let mut config = config.clone();
    config.fan_in_fan_out = spec.conv1d();
    model.adapter = Some(Arc::new(config));
    Ok(model)
}

/// Makes every parameter trainable, for full fine-tuning.
pub fn train_all(model: Decoder) -> Decoder {
    model.set_require_grad(true)
}

/// Brings every adapter of the model into `state`: merged into the base, beside it, or without effect.
pub fn set_adapter_state(mut model: Decoder, state: AdapterState) -> Decoder {
    for (_, projection) in model.projections_mut() {
        projection.set_adapter_state(state);
    }
    model
}

/// Takes every adapter off; a product that was merged stays in its base.
pub fn unload(model: Decoder) -> Decoder {
    let mut model = model;
    for (_, projection) in model.projections_mut() {
        projection.detach();
    }
    model.adapter = None;
    model
}

/// Folds every adapter into its base and takes it off: a plain model of the same outputs, all parameters trainable.
pub fn merge_and_unload(model: Decoder) -> Decoder {
    train_all(unload(set_adapter_state(model, AdapterState::Merged)))
}

fn module_endings(model: &mut Decoder) -> Vec<String> {
    let spec = Arc::clone(&model.spec);
    let mut seen = HashSet::new();
    let paths = model.projections_mut().into_iter().map(|(path, _)| spec.module_name(&path));
    paths
        .filter_map(|module| module.rsplit('.').next().map(str::to_string))
        .filter(|ending| seen.insert(ending.clone()))
        .collect()
}

/// Makes the parameters of every module trainable whose Hugging Face path `wanted` accepts.
fn train_matching(model: Decoder, wanted: impl Fn(&str) -> bool) -> Result<Decoder> {
    struct Mapper<F: Fn(&str) -> bool> {
        path: Vec<String>,
        wanted: F,
    }
    impl<F: Fn(&str) -> bool> ModuleMapper for Mapper<F> {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let path = self.path.join(".");
            let (module, _) = split_path(&path);
            if module.ends_with(".adapter") || !(self.wanted)(module) {
                return param;
            }
            param.set_require_grad(true)
        }
    }
    let spec = Arc::clone(&model.spec);
    let mut mapper =
        Mapper { path: Vec::new(), wanted: |module: &str| wanted(&spec.module_name(module)) };
    Ok(model.map(&mut mapper))
}
