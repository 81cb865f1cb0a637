//! Attaching adapters to a model, merging them, taking them off.

use super::config::{AdapterConfig, Modules};
use super::detached::{Adapter, Site, each_site};
use super::names::VOCABULARY;
use super::select::Selection;
use super::train::train_all;
use crate::model::{Adaptable, AdapterState, Head, LowRank, Model, ModelConfig, normal, unit};
use crate::{Error, Result};
use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// Freezes the model and attaches fresh adapters: A uniform in `±1/sqrt(inputs)` (PEFT's Kaiming uniform with
/// a = sqrt 5), B zero; of an embedding A zero, B standard normal; DoRA's magnitudes the norms of the weight. So the
/// model's outputs do not change. `modules_to_save` stay trainable.
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
    config.fan_in_fan_out = spec.conv1d();
    if spec.resized {
        config.stored_vocabulary = VOCABULARY.map(Into::into).into();
    }
    let selection = Selection::new(&config)?;
    let mut model = model;
    let (mut parts, mut modules) = (BTreeMap::new(), BTreeSet::new());
    let mut saved = Vec::new();
    each_site(&mut model, |site| {
        if !selection.targets(&site.module, site.table) {
            return Ok(());
        }
        if selection.saves(&site.module) {
            saved.push(site.module);
            return Ok(());
        }
        let part = fresh(&site, &selection, &config, seed)?;
        parts.insert(site.path, part);
        modules.insert(site.module);
        Ok(())
    })?;
    // PEFT stumbles over a module that is a target and saved whole (DistilBERT's pre_classifier).
    if !saved.is_empty() && config.exclude_modules.is_none() {
        config.exclude_modules = Some(Modules::Names(saved));
    }
    if parts.is_empty() {
        return Err(selects_nothing(&mut model, &config));
    }
    Adapter { config: Arc::new(config), parts, whole: BTreeMap::new(), modules }.on(model)
}

/// An adapter for `site` that changes nothing yet.
fn fresh(
    site: &Site<'_>,
    selection: &Selection<'_>,
    config: &AdapterConfig,
    seed: u64,
) -> Result<LowRank> {
    let settings = selection.settings(&site.module, config.lora_dropout, site.salt);
    let rank = settings.rank;
    let [inputs, outputs] = site.target.dims();
    if rank > inputs.min(outputs) {
        return Err(Error::config(
            format!("r of {}", site.module),
            rank,
            format!("at most {}, the projection's smaller side", inputs.min(outputs)),
        ));
    }
    let weight = site.target.weight().without_autodiff();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(site.salt);
    let matrix = |values: Vec<f32>, shape: [usize; 2]| {
        Tensor::<2>::from_data(TensorData::new(values, shape), &weight.device())
    };
    let zeros = |shape: [usize; 2]| matrix(vec![0.0; shape[0] * shape[1]], shape);
    if site.table {
        if config.use_dora {
            return Err(no_dora(&site.module));
        }
        let b = matrix(normal(&mut rng, rank * outputs, 1.0), [rank, outputs]);
        return Ok(LowRank::new(zeros([inputs, rank]), b, settings));
    }
    let bound = (inputs as f64).powf(-0.5);
    let uniform = |_| (bound * (2.0 * unit(&mut rng) - 1.0)) as f32;
    let a = matrix((0..inputs * rank).map(uniform).collect(), [inputs, rank]);
    let part = LowRank::new(a, zeros([rank, outputs]), settings);
    Ok(match config.use_dora {
        true => {
            let squares = weight.clone() * weight;
            part.with_magnitude(squares.sum_dim(0).sqrt().squeeze_dim::<1>(0))
        }
        false => part,
    })
}

/// The error for DoRA on an embedding.
pub(super) fn no_dora(module: &str) -> Error {
    Error::config(format!("use_dora of {module}"), true, "false; embeddings have LoRA only")
}

fn selects_nothing<M: Model>(model: &mut M, config: &AdapterConfig) -> Error {
    Error::Adapter {
        why: format!(
            "target_modules {} selects no module of this model; its modules end in {}",
            serde_json::to_string(&config.target_modules).unwrap_or_default(),
            module_endings(model).join(", ")
        ),
    }
}

/// Brings every adapter of the model into `state`: merged into the base, beside it, or without effect.
pub fn set_adapter_state<M: Model>(mut model: M, state: AdapterState) -> M {
    for (_, projection) in model.projections_mut() {
        projection.set_adapter_state(state);
    }
    model.embedding_mut().set_adapter_state(state);
    model
}

/// Takes every adapter off; a product that was merged stays in its base.
pub fn unload<M: Model>(model: M) -> M {
    let mut model = model;
    for (_, projection) in model.projections_mut() {
        projection.detach();
    }
    model.embedding_mut().detach();
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
