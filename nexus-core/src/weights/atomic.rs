//! Writing that either happens whole or not at all.

use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// A folder that appears under its final name only when [`commit`](Self::commit) succeeds.
///
/// Files are written into a hidden sibling, each synced to disk; the commit syncs the folder and renames it. Dropped
/// without commit (an error, a full disk), the sibling is removed and whatever stood under the name stays.
#[derive(Debug)]
pub struct AtomicFolder {
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl AtomicFolder {
    /// Starts writing what is to become `target`.
    ///
    /// # Errors
    /// [`Error::Io`] when the parent cannot be created or written.
    pub fn create(target: &Path) -> Result<Self> {
        let name = target.file_name().map_or("out".into(), |n| n.to_string_lossy().into_owned());
        let parent = parent(target);
        fs::create_dir_all(&parent).map_err(Error::io("create", &parent))?;
        let temporary = parent.join(format!(".{name}.writing-{}", std::process::id()));
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(Error::io("remove", &temporary))?;
        }
        fs::create_dir(&temporary).map_err(Error::io("create", &temporary))?;
        Ok(Self { temporary, target: target.to_path_buf(), committed: false })
    }

    /// Where to write the files until the commit.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Syncs and renames. A folder that already stands under the name is replaced.
    ///
    /// # Errors
    /// [`Error::Io`]; the earlier folder is still there then.
    pub fn commit(mut self) -> Result<()> {
        sync(&self.temporary)?;
        let parent = parent(&self.target);
        let old = self.temporary.with_extension("old");
        let replaced = self.target.exists();
        if replaced {
            fs::rename(&self.target, &old).map_err(Error::io("rename", &self.target))?;
        }
        if let Err(source) = fs::rename(&self.temporary, &self.target) {
            if replaced {
                fs::rename(&old, &self.target).map_err(Error::io("restore", &self.target))?;
            }
            return Err(Error::io("rename", &self.temporary)(source));
        }
        self.committed = true;
        sync(&parent)?;
        if replaced {
            fs::remove_dir_all(&old).map_err(Error::io("remove", &old))?;
        }
        Ok(())
    }
}

impl Drop for AtomicFolder {
    fn drop(&mut self) {
        if !self.committed {
            // Best effort: the error that brought us here matters more.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// A file that is written whole, under a hidden name beside its own, until [`publish`](Self::publish) renames it.
///
/// Dropped before that, it is removed.
#[derive(Debug)]
pub(super) struct PendingFile {
    temporary: PathBuf,
    target: PathBuf,
}

impl PendingFile {
    /// Writes what is to become `target`, and syncs it to disk.
    pub(super) fn write(
        target: &Path,
        content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<Self> {
        let name = target.file_name().map_or("out".into(), |n| n.to_string_lossy().into_owned());
        let temporary = target.with_file_name(format!(".{name}.writing-{}", std::process::id()));
        let file = File::create(&temporary).map_err(Error::io("write", target))?;
        // From here on, dropping it removes the file.
        let pending = Self { temporary, target: target.to_path_buf() };
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        content(&mut writer)
            .and_then(|()| writer.into_inner().map_err(io::IntoInnerError::into_error))
            .and_then(|file| file.sync_all())
            .map_err(Error::io("write", target))?;
        Ok(pending)
    }

    /// Gives the file its name; a reader sees what was there before or all of this.
    pub(super) fn publish(self) -> Result<()> {
        fs::rename(&self.temporary, &self.target).map_err(Error::io("write", &self.target))?;
        sync(&parent(&self.target))
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        // After the rename there is nothing of this name; before, the error that brought us here matters more.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes `bytes` to `path` through a synced sibling and a rename, so that a reader sees the old file or the new one.
///
/// # Errors
/// [`Error::Io`].
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    PendingFile::write(path, |file| file.write_all(bytes))?.publish()
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// [`Error::Io`], or [`Error::Format`] when the file is larger.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::format(path, format!("larger than the {limit} bytes allowed here")));
    }
    Ok(bytes)
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", folder))
}
