//! A lock that several programs respect.

use crate::{Error, Result};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

/// A held lock; released when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock with this file, by flock(2) as huggingface_hub does.
    pub(super) fn wait(path: &Path) -> Result<Self> {
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)
                .map_err(Error::io("create", path))?;
            match file.lock() {
                Ok(()) => {}
                // A file system without locks: two programs may then fetch the same file, and the checksum says
                // whether they got in each other's way.
                Err(source) if source.kind() == ErrorKind::Unsupported => {}
                Err(source) => return Err(Error::io("lock", path)(source)),
            }
            // Who held it before may have removed the file, and someone else may hold its successor.
            if !removed(&file).map_err(Error::io("lock", path))? {
                return Ok(Self { _file: file });
            }
        }
    }
}

#[cfg(unix)]
fn removed(file: &File) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.nlink() == 0)
}

#[cfg(not(unix))]
fn removed(_: &File) -> std::io::Result<bool> {
    Ok(false)
}
