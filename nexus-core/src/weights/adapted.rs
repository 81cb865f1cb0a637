//! An adapter's folder together with the folder of its base.

use super::checkpoint::{INDEX, SINGLE};
use super::load::{Headed, load, load_with_head, read_spec};
use super::parameters::parameters;
use super::save::{CONFIG, write_config};
use super::tensor_write::StoredDtype;
use crate::adapter::{is_adapter_folder, load_adapter, save_adapter};
use crate::model::{Head, Model, split_path};
use crate::{Error, Result};
use burn::tensor::Device;
use std::fs;
use std::path::Path;

/// Writes the attached adapter into `folder`, as [`save_adapter`] does; `base` is recorded as the base model's name.
///
/// A model with classes gets its `config.json` beside the adapter, because neither the base nor PEFT's files say how
/// many classes there are and what they are called. [`load_adapted`] reads it.
///
/// # Errors
/// As [`save_adapter`].
pub fn save_adapted(model: &impl Model, base: &str, folder: &Path) -> Result<()> {
    let config = folder.join(CONFIG);
    let spec = model.spec();
    // What an earlier adapter with classes left behind would be taken for this one's.
    if spec.classes().is_none()
        && config.is_file()
        && is_adapter_folder(folder)
        && !has_weights(folder)
    {
        fs::remove_file(&config).map_err(Error::io("remove", &config))?;
    }
    save_adapter(model, base, folder)?;
    match spec.classes() {
        Some(_) => write_config(spec, folder, StoredDtype::F32),
        None => Ok(()),
    }
}

/// Loads the model in `base` and attaches the adapter in `adapter`, frozen base and trainable adapter.
///
/// Where the adapter's folder has a `config.json`, the model gets the head that it names, whatever the head of the base:
/// the classes of a classifier are in the adapter.
///
/// # Errors
/// As [`load`] and [`load_adapter`]; [`Error::Format`] when the `config.json` beside the adapter is that of another
/// shape; [`Error::Adapter`] when neither base nor adapter holds a module of the head.
pub fn load_adapted<M: Model>(base: &Path, adapter: &Path, device: &Device) -> Result<M> {
    let Some(head) = own_head(base, adapter)? else {
        return load_adapter(load(base, device)?, adapter);
    };
    let Headed { model, fresh } = load_with_head::<M>(base, device, head, 0)?;
    let model = load_adapter(model, adapter)?;
    // What the adapter holds whole is trainable, the rest of the base is not; only a device with gradients tells.
    let spec = model.spec();
    let made_up = parameters(&model.clone().train()).into_iter().find(|parameter| {
        let (module, _) = split_path(&parameter.path);
        !parameter.trainable && fresh.contains(&spec.module_name(module))
    });
    match made_up {
        None => Ok(model),
        Some(parameter) => Err(Error::Adapter {
            why: format!(
                "neither {} nor {} holds {}, so its values are lost; train again with it in modules_to_save",
                base.display(),
                adapter.display(),
                spec.stored_as(&parameter.path).key
            ),
        }),
    }
}

/// The head that the adapter's folder names, where the base has another.
fn own_head(base: &Path, adapter: &Path) -> Result<Option<Head>> {
    if !adapter.join(CONFIG).is_file() {
        return Ok(None);
    }
    let spec = read_spec(adapter)?;
    let stored = read_spec(base);
    if let Ok(stored) = &stored
        && stored.config != spec.config
    {
        return Err(Error::format(
            adapter.join(CONFIG),
            format!(
                "has another shape than {}; was the adapter trained on another base?",
                base.display()
            ),
        ));
    }
    // A base whose head is unknown here may still get this one.
    let same = stored.is_ok_and(|stored| stored.head == spec.head);
    Ok((!same).then_some(spec.head))
}

fn has_weights(folder: &Path) -> bool {
    [SINGLE, INDEX].iter().any(|name| folder.join(name).is_file())
}
