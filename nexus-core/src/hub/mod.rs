//! Models by their name on the Hugging Face hub, in place of a folder.
//!
//! [`resolve`] takes the path of a model folder, which it returns as it is, or `org/name` or `org/name@revision` with a
//! branch, a tag or a commit (default `main`). A named model is fetched into the cache that Python's huggingface_hub
//! uses too (`$HF_HUB_CACHE`, else `$HF_HOME/hub`, else `$XDG_CACHE_HOME/huggingface/hub`, else
//! `~/.cache/huggingface/hub`), so what either has fetched the other finds.
//!
//! - All files are of one commit. A commit in full that has been fetched once needs no network any more; a branch or a
//!   tag is asked for each time, and only files that changed are fetched.
//! - Only the files that this crate reads are fetched: safetensors weights, their index, the configs, the tokenizer and
//!   the chat template. Pickled weights (`.bin`, `.pt`, `.pth`, `.ckpt`, `.pkl`) never are.
//! - Each file is compared with the size and the checksum that the hub announces (SHA-256, or git's SHA-1 for small
//!   files) before it gets its name. An interrupted download goes on where it ended.
//! - The token goes to the endpoint alone, never to a host that the endpoint redirects to.
//!
//! This is the one module of the library that opens network connections; it is behind the feature `hub`.
//!
//! ```no_run
//! use nexus_core::hub::{self, Hub};
//!
//! // By the environment's settings, such as HF_HOME and HF_TOKEN:
//! let folder = hub::resolve("openai-community/gpt2")?;
//!
//! // By one's own settings, with a line for each file that is fetched:
//! let hub = Hub::new("/var/cache/models").with_token("hf_...")?;
//! let folder = hub.resolve("openai-community/gpt2@main", |progress| {
//!     if progress.done == progress.total {
//!         println!("{}: {} bytes", progress.file, progress.total);
//!     }
//! })?;
//! # Ok::<(), nexus_core::Error>(())
//! ```

mod cache;
mod client;
mod download;
mod fetch;
mod files;
mod lock;
mod model_name;
mod redirect;
mod retry;
mod settings;
mod status;

pub use settings::{DEFAULT_ENDPOINT, Hub};

use crate::{Error, Result};
use cache::Cache;
use model_name::ModelName;
use std::path::{Path, PathBuf};

/// How far the download of one file is. Files that are in the cache already are not told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file's name in the repository.
    pub file: &'a str,
    /// The bytes that are here, also those of an earlier attempt. Falls when a server can only start over.
    pub done: u64,
    /// The bytes of the whole file.
    pub total: u64,
}

/// The folder of a model: `name_or_folder` itself when it is a folder, else the snapshot of `org/name[@revision]` in the
/// cache, fetched as far as it is missing, by the [settings of the environment](Hub::from_env).
///
/// # Errors
/// As [`Hub::from_env`] and [`Hub::resolve`].
pub fn resolve(name_or_folder: &str) -> Result<PathBuf> {
    if Path::new(name_or_folder).is_dir() {
        return Ok(name_or_folder.into());
    }
    Hub::from_env()?.resolve(name_or_folder, |_| ())
}

impl Hub {
    /// As [`resolve`], by these settings; `progress` is called as the bytes of each file arrive.
    ///
    /// # Errors
    /// [`Error::Hub`] when the name is malformed; the hub or the network refuses (private or gated repository, unknown
    /// repository or revision, no connection, too many failures); the repository holds no safetensors weights or a
    /// file name that leads out of its folder; a file has another size or checksum than announced; or the cache lacks
    /// the model and nothing may be fetched. [`Error::Io`] when the cache cannot be read or written.
    pub fn resolve(
        &self,
        name_or_folder: &str,
        mut progress: impl FnMut(&Progress<'_>),
    ) -> Result<PathBuf> {
        if Path::new(name_or_folder).is_dir() {
            return Ok(name_or_folder.into());
        }
        let model = ModelName::parse(name_or_folder)?;
        let cache = Cache::new(&self.cache, &model);
        if self.offline {
            return fetch::cached(&cache);
        }
        match model.commit() {
            Some(commit) if cache.is_complete(commit) => Ok(cache.snapshot(commit)),
            _ => fetch::fetched(self, &model, &cache, &mut progress),
        }
    }
}

fn hub_error(what: impl Into<String>, why: impl Into<String>) -> Error {
    Error::Hub { what: what.into(), why: why.into() }
}
