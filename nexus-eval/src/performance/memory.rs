//! Memory of this process and sizes on disk.

use crate::{Error, Result};
use serde::Serialize;
use std::path::Path;

/// Memory of this process in bytes, as the kernel counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessMemory {
    /// Resident now (`VmRSS`), shared and mapped pages included.
    pub resident: u64,
    /// The most that was ever resident (`VmHWM`), or since [`reset_peak_memory`].
    pub peak_resident: u64,
}

/// Files of a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FolderSize {
    /// Sum of their lengths.
    pub bytes: u64,
    /// Their number.
    pub files: u64,
}

const STATUS: &str = "/proc/self/status";

/// Resident and peak resident memory of this process, from `/proc/self/status`.
///
/// # Errors
/// [`Error::Refused`] on systems other than Linux, which have no such file; [`Error::Io`] and [`Error::Format`] where it
/// cannot be read.
pub fn process_memory() -> Result<ProcessMemory> {
    if !cfg!(target_os = "linux") {
        let why = "resident memory is read from /proc, which this system does not have";
        return Err(Error::Refused(why.into()));
    }
    let path = Path::new(STATUS);
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    of_status(&text).map_err(|why| Error::format(path, why))
}

/// Makes the peak of [`process_memory`] begin anew, so that it belongs to what follows.
///
/// # Errors
/// [`Error::Io`] where the kernel does not allow it, as on systems other than Linux.
pub fn reset_peak_memory() -> Result<()> {
    let path = Path::new("/proc/self/clear_refs");
    // 5 resets the high-water mark of resident memory: proc(5).
    std::fs::write(path, "5").map_err(Error::io("write", path))
}

fn of_status(text: &str) -> std::result::Result<ProcessMemory, String> {
    let bytes = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let value = value.ok_or_else(|| format!("there is no {name}"))?.trim();
        let kibibytes = value.strip_suffix("kB").and_then(|number| number.trim().parse().ok());
        kibibytes
            .and_then(|number: u64| number.checked_mul(1024))
            .ok_or_else(|| format!("{name} is '{value}', expected a number of kB"))
    };
    Ok(ProcessMemory { resident: bytes("VmRSS")?, peak_resident: bytes("VmHWM")? })
}

/// The size of a model on disk: all files of a folder and of the folders in it. Links to files count as the files, as in
/// the cache of the Hugging Face hub; links to folders are not followed.
///
/// # Errors
/// [`Error::Io`] when the folder or a file of it cannot be read.
pub fn folder_size(folder: &Path) -> Result<FolderSize> {
    let mut size = FolderSize::default();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(Error::io("read", &folder))?;
        for entry in entries {
            let path = entry.map_err(Error::io("read", &folder))?.path();
            let linked = path.symlink_metadata().map_err(Error::io("read", &path))?.is_symlink();
            let file = path.metadata().map_err(Error::io("read", &path))?;
            if file.is_file() {
                size.bytes += file.len();
                size.files += 1;
            } else if file.is_dir() && !linked {
                folders.push(path);
            }
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_process() {
        let text = "Name:\tnexus\nVmPeak:\t  9 kB\nVmHWM:\t   20 kB\nVmRSS:\t    3 kB\n";
        let wanted = ProcessMemory { resident: 3 * 1024, peak_resident: 20 * 1024 };
        assert_eq!(of_status(text), Ok(wanted));
        assert!(of_status("VmHWM: 1 kB").unwrap_err().contains("no VmRSS"));
        let huge = "VmHWM: 1 kB\nVmRSS: 99999999999999999 kB";
        for bad in ["VmHWM: 1 kB\nVmRSS: x kB", "VmHWM: 1 kB\nVmRSS: 3 MB", huge] {
            assert!(of_status(bad).unwrap_err().contains("expected a number of kB"));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_holds_memory_that_is_given_back() {
        const SIZE: u64 = 64 << 20;
        let pages = vec![1u8; SIZE as usize];
        let with = process_memory().unwrap();
        assert!(std::hint::black_box(&pages).iter().all(|&page| page == 1));
        drop(pages);
        // Other tests of this process only add.
        assert!(with.resident >= SIZE, "{with:?}");
        let after = process_memory().unwrap();
        // The system sums counters of every processor, each a little behind, so the peak may be below `with.resident`.
        assert!(after.peak_resident >= SIZE, "{after:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_counts_its_files_through_links_and_ends_in_cycles() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = tempfile::tempdir().unwrap();
        std::fs::write(blobs.path().join("blob"), [0; 100]).unwrap();
        std::fs::write(folder.path().join("config.json"), [0; 10]).unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join("a"), [0; 5]).unwrap();
        let link = |to: &Path, name| {
            std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
        };
        link(&blobs.path().join("blob"), "model.safetensors");
        link(folder.path(), "cycle");
        let size = folder_size(folder.path()).unwrap();
        assert_eq!(size, FolderSize { bytes: 115, files: 3 });
        let error = folder_size(&folder.path().join("missing")).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
    }
}
