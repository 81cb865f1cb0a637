//! Energy counters of the processor (RAPL), through the powercap tree of Linux.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// A counter of energy that begins anew at its end.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    /// As the kernel names it: `package-0`, `package-0/dram`.
    pub(super) name: String,
    counter: PathBuf,
    /// Where the counter wraps, in microjoules.
    range: u64,
    last: u64,
    /// Since the zone was opened, in microjoules.
    total: u128,
}

impl Zone {
    /// Reads the counter and adds what it moved. It must be called more often than the counter wraps, since one wrap
    /// cannot be told from two: at 300 W a usual range of 262 kJ lasts 15 minutes.
    pub(super) fn sample(&mut self) -> Result<(), String> {
        let now = number(&self.counter)?;
        let moved = match now.checked_sub(self.last) {
            Some(moved) => moved,
            None => self
                .range
                .checked_sub(self.last)
                .map(|rest| rest.saturating_add(now))
                .ok_or_else(|| format!("{} passed its range", self.counter.display()))?,
        };
        self.last = now;
        self.total += u128::from(moved);
        Ok(())
    }

    /// Joules since the zone was opened.
    pub(super) fn joules(&self) -> f64 {
        self.total as f64 / 1e6
    }
}

/// The zones of a powercap tree that add up to the processors' energy without counting anything twice: each package, and
/// the memory (`dram`) of each, which is not part of it. Cores and graphics are parts of their package; `psys` and
/// `intel-rapl-mmio` count packages again.
///
/// # Errors
/// A sentence that says why there is none: no tree, or no permission.
pub(super) fn zones(root: &Path) -> Result<Vec<Zone>, String> {
    let entries = std::fs::read_dir(root).map_err(|why| explain(root, &why))?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    let mut zones = Vec::new();
    for name in &names {
        let Some(place) = name.strip_prefix("intel-rapl:") else { continue };
        let title = title(&root.join(name))?;
        let title = match place.split_once(':') {
            None if title.starts_with("package-") => title,
            Some((parent, _)) if title == "dram" => {
                format!("{}/dram", self::title(&root.join(format!("intel-rapl:{parent}")))?)
            }
            _ => continue,
        };
        let folder = root.join(name);
        let counter = folder.join("energy_uj");
        let (last, range) = (number(&counter)?, number(&folder.join("max_energy_range_uj"))?);
        zones.push(Zone { name: title, counter, range, last, total: 0 });
    }
    match zones.is_empty() {
        true => Err(format!("{} has no RAPL package; virtual machines have none", root.display())),
        false => Ok(zones),
    }
}

fn title(zone: &Path) -> Result<String, String> {
    let path = zone.join("name");
    let text = std::fs::read_to_string(&path).map_err(|why| explain(&path, &why))?;
    Ok(text.trim().to_string())
}

fn number(path: &Path) -> Result<u64, String> {
    let text = std::fs::read_to_string(path).map_err(|why| explain(path, &why))?;
    let text = text.trim();
    text.parse().map_err(|_| format!("{}: '{text}' is no number", path.display()))
}

fn explain(path: &Path, why: &Error) -> String {
    let path = path.display();
    match why.kind() {
        ErrorKind::PermissionDenied => format!(
            "{path}: {why}; energy counters are for root only since CVE-2020-8694: run as root, or let an administrator \
             make energy_uj readable"
        ),
        ErrorKind::NotFound => {
            format!("{path}: {why}; virtual machines and systems without powercap have no RAPL")
        }
        _ => format!("{path}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(root: &Path, place: &str, name: &str, energy: u64) {
        let folder = root.join(place);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("name"), format!("{name}\n")).unwrap();
        std::fs::write(folder.join("max_energy_range_uj"), "1000000\n").unwrap();
        set(root, place, energy);
    }

    fn set(root: &Path, place: &str, energy: u64) {
        std::fs::write(root.join(place).join("energy_uj"), format!("{energy}\n")).unwrap();
    }

    /// Two packages, one with memory, and everything that would count twice.
    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        zone(root.path(), "intel-rapl:0", "package-0", 100);
        zone(root.path(), "intel-rapl:0:0", "core", 50);
        zone(root.path(), "intel-rapl:0:1", "dram", 900_000);
        zone(root.path(), "intel-rapl:1", "package-1", 999_000);
        zone(root.path(), "intel-rapl:2", "psys", 5);
        zone(root.path(), "intel-rapl-mmio:0", "package-0", 100);
        std::fs::create_dir(root.path().join("intel-rapl")).unwrap();
        root
    }

    #[test]
    fn packages_and_their_memory_are_counted_once_and_over_the_wrap() {
        let root = tree();
        let root = root.path();
        let mut zones = zones(root).unwrap();
        let names: Vec<&str> = zones.iter().map(|zone| zone.name.as_str()).collect();
        assert_eq!(names, ["package-0", "package-0/dram", "package-1"]);
        let mut sample = |energies: [u64; 3]| {
            set(root, "intel-rapl:0", energies[0]);
            set(root, "intel-rapl:0:1", energies[1]);
            set(root, "intel-rapl:1", energies[2]);
            zones.iter_mut().for_each(|zone| zone.sample().unwrap());
            zones.iter().map(|zone| zone.total).collect::<Vec<_>>()
        };
        assert_eq!(sample([600, 900_000, 500]), [500, 0, 1500]);
        // A second wrap of package-1, 100,000 below its end.
        assert_eq!(sample([700, 0, 900_000]), [600, 100_000, 901_000]);
        assert_eq!(sample([700, 0, 400]), [600, 100_000, 1_001_400]);
        assert!((zones[2].joules() - 1.0014).abs() < 1e-12);
    }

    #[test]
    fn what_is_missing_is_said() {
        let root = tree();
        let why = zones(&root.path().join("missing")).unwrap_err();
        assert!(why.contains("missing") && why.contains("virtual machines"), "{why}");
        let empty = tempfile::tempdir().unwrap();
        assert!(zones(empty.path()).unwrap_err().contains("no RAPL package"));
        let denied = explain(Path::new("energy_uj"), &ErrorKind::PermissionDenied.into());
        assert!(denied.contains("root") && denied.contains("CVE-2020-8694"), "{denied}");
        std::fs::write(root.path().join("intel-rapl:0/energy_uj"), "many").unwrap();
        assert!(zones(root.path()).unwrap_err().contains("'many' is no number"));
    }

    #[test]
    fn a_counter_that_goes_away_or_beyond_its_range_is_an_error() {
        let root = tree();
        let mut zones = zones(root.path()).unwrap();
        set(root.path(), "intel-rapl:0", 2_000_000);
        zones[0].sample().unwrap();
        set(root.path(), "intel-rapl:0", 3);
        assert!(zones[0].sample().unwrap_err().contains("passed its range"));
        std::fs::remove_file(root.path().join("intel-rapl:1/energy_uj")).unwrap();
        assert!(zones[2].sample().unwrap_err().contains("energy_uj"));
    }
}
