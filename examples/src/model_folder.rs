//! A model folder, or a name on the hub.

use crate::Failure;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nexus_core::hub::Hub;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// The folder of `model`: the folder itself where there is one, or else `org/name or org/name@revision` from the Hugging Face hub,
/// fetched into its cache with a progress bar on stderr.
///
/// # Errors
/// When there is neither a folder nor such a repository, or a file of it cannot be fetched.
pub fn model_folder(model: &Path) -> Result<PathBuf, Failure> {
    if model.is_dir() {
        return Ok(model.to_path_buf());
    }
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} [{eta}]")?);
    let name = model.to_string_lossy();
    let folder = Hub::from_env()?.resolve(&name, |progress| {
        bar.set_message(progress.file.to_string());
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    })?;
    bar.finish_and_clear();
    Ok(folder)
}
