//! Benchmarks of Nexus beside its peers.

use std::error::Error;

/// The most memory that this process has held, in bytes (VmHWM).
///
/// # Errors
/// Where the system does not say so.
pub fn peak_rss() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: u64 = line.ok_or("no VmHWM")?.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}
