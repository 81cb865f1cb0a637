//! The cache of huggingface_hub, which other programs read and write at the same time.
//!
//! ```text
//! models--org--name/refs/main                 the commit that the branch had
//!                  /blobs/<etag>              the content of a file
//!                  /snapshots/<commit>/<file> a link to its content
//!                  /.no_exist/<commit>/<file> an empty file: the commit has no such file
//! .locks/models--org--name/<etag>.lock        held while the content is fetched
//! ```

use super::files::{ADAPTER, ADAPTER_CONFIG, INDEX, SINGLE, SMALL, shards};
use super::lock::Lock;
use super::model_name::is_commit;
use super::{ModelName, hub_error};
use crate::weights::{read_bounded, write_file};
use crate::{Error, Result};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The longest index of shards that is read, as in the loader.
const MAX_INDEX_BYTES: u64 = 256 << 20;

/// The part of the cache that belongs to one model.
#[derive(Debug)]
pub(super) struct Cache<'a> {
    model: &'a ModelName,
    root: &'a Path,
    folder: PathBuf,
}

impl<'a> Cache<'a> {
    pub(super) fn new(root: &'a Path, model: &'a ModelName) -> Self {
        Self { model, root, folder: root.join(model.folder()) }
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// Whether the file is there with its content.
    pub(super) fn has(&self, commit: &str, file: &str) -> bool {
        self.snapshot(commit).join(file).is_file()
    }

    fn absent(&self, commit: &str, file: &str) -> bool {
        self.folder.join(".no_exist").join(commit).join(file).is_file()
    }

    /// Notes which of the files that a model can have are not in this commit.
    pub(super) fn note_absent(&self, commit: &str, there: &[String]) {
        let folder = self.folder.join(".no_exist").join(commit);
        for file in SMALL.iter().chain(&[SINGLE, INDEX, ADAPTER]) {
            if !there.iter().any(|name| name == file) && !folder.join(file).exists() {
                // Only spares later requests, so a cache that cannot be written is no error here.
                let _ = fs::create_dir_all(&folder).and_then(|()| File::create(folder.join(file)));
            }
        }
    }

    /// The first file that the weights of this commit still lack.
    pub(super) fn missing_weights(&self, commit: &str) -> Result<Option<String>> {
        let has = |file: &str| self.has(commit, file);
        if has(SINGLE) {
            return Ok(None);
        }
        if has(INDEX) {
            return Ok(self.shards(commit)?.into_iter().find(|shard| !has(shard)));
        }
        Ok((!(has(ADAPTER) && has(ADAPTER_CONFIG))).then(|| SINGLE.into()))
    }

    /// The shards that the index of this commit names.
    pub(super) fn shards(&self, commit: &str) -> Result<Vec<String>> {
        let index = read_bounded(&self.snapshot(commit).join(INDEX), MAX_INDEX_BYTES)?;
        shards(self.model, &index)
    }

    /// Whether every file that would be chosen is here, as far as can be told without asking.
    pub(super) fn is_complete(&self, commit: &str) -> bool {
        let has = |file: &str| self.has(commit, file);
        let known = |file: &str| has(file) || self.absent(commit, file);
        SMALL.iter().chain(&[ADAPTER]).all(|file| known(file))
            && (has(SINGLE) || (known(SINGLE) && known(INDEX)))
            && matches!(self.missing_weights(commit), Ok(None))
    }

    fn reference(&self) -> PathBuf {
        self.folder.join("refs").join(&self.model.revision)
    }

    /// The commit that the model's revision had when it was last fetched.
    pub(super) fn commit(&self) -> Result<Option<String>> {
        if let Some(commit) = self.model.commit() {
            return Ok(Some(commit.into()));
        }
        let path = self.reference();
        if !path.is_file() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&read_bounded(&path, 4096)?).trim().to_owned();
        if !is_commit(&text) {
            return Err(Error::format(path, "not a commit; remove the file and fetch again"));
        }
        Ok(Some(text))
    }

    /// Notes the commit of the model's revision.
    pub(super) fn set_commit(&self, commit: &str) -> Result<()> {
        if matches!(self.commit(), Ok(Some(noted)) if noted == commit) {
            return Ok(());
        }
        let path = self.reference();
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let _lock = self.lock("refs")?;
        write_file(&path, commit.as_bytes())
    }

    /// Makes the file of the commit a link to its content. The lock of `etag` is held.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<()> {
        let snapshot = self.snapshot(commit);
        fs::create_dir_all(&snapshot).map_err(Error::io("create", &snapshot))?;
        let path = snapshot.join(file);
        if path.is_file() {
            return Ok(());
        }
        // A link whose content is gone.
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(Error::io("remove", &path)(source));
            }
            _ => {}
        }
        // Relative, so that the cache can be moved.
        let target = Path::new("../../blobs").join(etag);
        symlink(&target, &self.blob(etag), &path).map_err(Error::io("link", &path))
    }

    /// Waits for the lock `name` of this model.
    pub(super) fn lock(&self, name: &str) -> Result<Lock> {
        let folder = self.root.join(".locks").join(self.model.folder());
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        Lock::wait(&folder.join(format!("{name}.lock")))
    }

    /// What to say when the cache lacks something and nothing may be fetched.
    pub(super) fn not_cached(&self, what: &str) -> Error {
        hub_error(
            self.model.to_string(),
            format!(
                "{what} is not in the cache {} and nothing is fetched offline; unset HF_HUB_OFFLINE \
                 (or set offline to false) to fetch it",
                self.root.display()
            ),
        )
    }
}

#[cfg(unix)]
fn symlink(target: &Path, _: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Where links need a privilege, the content is copied, as huggingface_hub does.
#[cfg(not(unix))]
fn symlink(_: &Path, content: &Path, link: &Path) -> std::io::Result<()> {
    fs::copy(content, link).map(|_| ())
}
