//! `checkpoint-N/` folders: everything that a run needs to go on as if it had not stopped.

use crate::adamw::{AdamW, Moments};
use crate::config::TrainPlan;
use crate::state::TrainerState;
use burn::tensor::{Device, Tensor, TensorData};
use nexus_core::adapter::{load_adapter, train_alike, unload};
use nexus_core::data::Tokenizer;
use nexus_core::model::Model;
use nexus_core::weights::{
    self, AtomicFolder, OwnedTensor, StoredDtype, TensorFile, read_bounded, write_file,
};
use nexus_core::{Error, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const OPTIMIZER: &str = "optimizer.safetensors";
const SCHEDULER: &str = "scheduler.json";
const POSITION: &str = "rng_state.json";
const STATE: &str = "trainer_state.json";
const MANIFEST: &str = "manifest.json";

/// Where a run stands in its random numbers and its data. Both are functions of the seed and the step, so the numbers
/// here are for checking that the run goes on with the settings it began with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct DataPosition {
    seed: u64,
    step: usize,
    epoch: usize,
    step_in_epoch: usize,
    records_per_step: usize,
    examples: usize,
    shuffle: bool,
    group_by_length: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    nexus_version: String,
    step: usize,
    files: BTreeMap<String, FileEntry>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FileEntry {
    bytes: u64,
    sha256: String,
}

/// What [`save`] writes besides the plan.
pub(crate) struct Snapshot<'a, M> {
    pub(crate) model: &'a M,
    pub(crate) optimizer: &'a AdamW,
    pub(crate) state: &'a TrainerState,
    pub(crate) tokenizer: Option<&'a Tokenizer>,
    pub(crate) base: &'a str,
    pub(crate) examples: usize,
}

/// The folder of the checkpoint after `step` steps.
pub(crate) fn folder(out: &Path, step: usize) -> PathBuf {
    out.join(format!("checkpoint-{step}"))
}

/// The latest checkpoint in `out`: the highest N of the folders `checkpoint-N`.
///
/// # Errors
/// [`Error::Io`] when `out` cannot be read; a folder that does not exist has none.
pub fn last_checkpoint(out: &Path) -> Result<Option<PathBuf>> {
    Ok(steps(out)?.last().map(|&step| folder(out, step)))
}

fn steps(out: &Path) -> Result<Vec<usize>> {
    if !out.is_dir() {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    for entry in fs::read_dir(out).map_err(Error::io("read", out))? {
        let entry = entry.map_err(Error::io("read", out))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("checkpoint-"));
        steps.extend(number.and_then(|number| number.parse::<usize>().ok()));
    }
    steps.sort_unstable();
    Ok(steps)
}

/// Writes the checkpoint of the snapshot's step: into a hidden folder, synced, with a manifest, then renamed.
pub(crate) fn save<M: Model>(
    out: &Path,
    plan: &TrainPlan,
    snapshot: &Snapshot<'_, M>,
) -> Result<PathBuf> {
    let step = snapshot.state.global_step;
    let target = folder(out, step);
    let writing = AtomicFolder::create(&target)?;
    let path = writing.path();
    match snapshot.model.adapter() {
        Some(_) => weights::save_adapted(snapshot.model, snapshot.base, path)?,
        None => weights::save(snapshot.model, path, StoredDtype::F32)?,
    }
    if let Some(tokenizer) = snapshot.tokenizer {
        tokenizer.save(path)?;
    }
    let mut tensors = BTreeMap::new();
    for (name, moments) in &snapshot.optimizer.moments {
        for (kind, tensor) in [("exp_avg", &moments.first), ("exp_avg_sq", &moments.second)] {
            let values: Vec<f32> = tensor.to_data().iter::<f32>().collect();
            tensors.insert(format!("{kind}.{name}"), OwnedTensor::f32(&values, &tensor.dims()));
        }
    }
    weights::write_tensors(&path.join(OPTIMIZER), &tensors)?;
    write_json(&path.join(SCHEDULER), &plan.schedule)?;
    write_json(&path.join(POSITION), &position(plan, step, snapshot.examples))?;
    write_json(&path.join(STATE), snapshot.state)?;
    let manifest = Manifest {
        nexus_version: env!("CARGO_PKG_VERSION").into(),
        step,
        files: hash_files(path)?,
    };
    write_json(&path.join(MANIFEST), &manifest)?;
    writing.commit()?;
    Ok(target)
}

/// Removes the oldest checkpoints beyond `limit`, never the best nor the latest.
pub(crate) fn rotate(out: &Path, limit: usize, best: Option<usize>) -> Result<()> {
    let steps = steps(out)?;
    let mut excess = steps.len().saturating_sub(limit);
    let latest = steps.last().copied();
    for step in steps {
        if excess == 0 {
            break;
        }
        if Some(step) == best || Some(step) == latest {
            continue;
        }
        let old = folder(out, step);
        fs::remove_dir_all(&old).map_err(Error::io("remove", &old))?;
        excess -= 1;
    }
    Ok(())
}

/// Reads a checkpoint's model into the shape of `model` (its base, when the checkpoint holds an adapter).
pub(crate) fn load_model<M: Model>(checkpoint: &Path, model: M, device: &Device) -> Result<M> {
    match model.adapter() {
        Some(_) => load_adapter(unload(model), checkpoint),
        None => {
            let loaded: M = weights::load(checkpoint, device)?;
            if loaded.spec().config != model.spec().config {
                return Err(Error::format(checkpoint, "holds a model of another shape"));
            }
            Ok(train_alike(loaded, &model))
        }
    }
}

/// Reads everything but the model, after checking every file against the manifest.
pub(crate) fn load_progress(
    checkpoint: &Path,
    plan: &TrainPlan,
    examples: usize,
    optimizer: &mut AdamW,
    device: &Device,
) -> Result<TrainerState> {
    verify(checkpoint)?;
    let state: TrainerState = read_json(&checkpoint.join(STATE))?;
    let path = checkpoint.join(POSITION);
    let found: DataPosition = read_json(&path)?;
    let expected = position(plan, state.global_step, examples);
    if found != expected {
        return Err(Error::format(
            &path,
            format!(
                "the run cannot go on with other data or settings: the checkpoint has {}, this run {}",
                serde_json::to_string(&found).unwrap_or_default(),
                serde_json::to_string(&expected).unwrap_or_default()
            ),
        ));
    }
    let mut file = TensorFile::open(&checkpoint.join(OPTIMIZER))?;
    let names: Vec<String> =
        file.names().filter_map(|name| name.strip_prefix("exp_avg.").map(Into::into)).collect();
    for name in names {
        let mut read = |kind: &str| -> Result<Tensor<2>> {
            let key = format!("{kind}.{name}");
            let (values, shape) = file.read_f32(&key)?;
            let [rows, columns] = shape[..] else {
                return Err(Error::Weights {
                    key,
                    expected: "two dimensions".into(),
                    found: format!("{shape:?}"),
                });
            };
            Ok(Tensor::from_data(TensorData::new(values, [rows, columns]), device))
        };
        let moments = Moments { first: read("exp_avg")?, second: read("exp_avg_sq")? };
        optimizer.moments.insert(name, moments);
    }
    optimizer.steps = state.global_step;
    Ok(state)
}

fn position(plan: &TrainPlan, step: usize, examples: usize) -> DataPosition {
    DataPosition {
        seed: plan.config.seed,
        step,
        epoch: step / plan.steps_per_epoch,
        step_in_epoch: step % plan.steps_per_epoch,
        records_per_step: plan.records_per_step,
        examples,
        shuffle: plan.config.shuffle,
        group_by_length: plan.config.group_by_length,
    }
}

fn verify(checkpoint: &Path) -> Result<()> {
    let path = checkpoint.join(MANIFEST);
    let manifest: Manifest = read_json(&path)?;
    let found = hash_files(checkpoint)?;
    for (name, entry) in &manifest.files {
        if found.get(name) != Some(entry) {
            return Err(Error::format(
                &path,
                format!("{name} is missing or damaged; resume from an earlier checkpoint"),
            ));
        }
    }
    Ok(())
}

fn hash_files(path: &Path) -> Result<BTreeMap<String, FileEntry>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
        let entry = entry.map_err(Error::io("read", path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == MANIFEST || !entry.path().is_file() {
            continue;
        }
        let file = nexus_core::report::DataFile::hash(&entry.path(), 0)?;
        let bytes = entry.metadata().map_err(Error::io("read", entry.path()))?.len();
        files.insert(name, FileEntry { bytes, sha256: file.sha256 });
    }
    Ok(files)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|why| Error::format(path, why))?;
    write_file(path, (text + "\n").as_bytes())
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read_bounded(path, 1 << 30)?;
    serde_json::from_slice(&bytes).map_err(|why| Error::format(path, why))
}
