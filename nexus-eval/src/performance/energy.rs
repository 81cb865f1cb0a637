//! Energy of processors and GPUs.

use super::rapl::{self, Zone};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Where a number of joules comes from, the most trustworthy first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnergySource {
    /// The processor's own counters; the whole socket, other programs included.
    Rapl,
    /// The GPU's own counter; the whole board.
    Nvml,
    /// Time times a power that the caller stated: no measurement.
    TdpEstimate,
    /// Nothing: there is no number.
    Unavailable,
}

/// The energy of one device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnergyReading {
    /// `package-0`, `package-0/dram`, `gpu-0`; `cpu` where no counter names it.
    pub device: String,
    /// Where the number comes from.
    pub source: EnergySource,
    /// Joules, unless the source is unavailable.
    pub joules: Option<f64>,
    /// Why there is no measurement.
    pub why: Option<String>,
}

/// The energy of a stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Energy {
    /// The stretch.
    pub seconds: f64,
    /// What each device took; never empty.
    pub readings: Vec<EnergyReading>,
}

impl Energy {
    /// The sum over all devices; `None` when one of them is unavailable.
    pub fn joules(&self) -> Option<f64> {
        self.readings.iter().map(|reading| reading.joules).sum()
    }

    /// The least trustworthy source that is in the sum.
    pub fn source(&self) -> EnergySource {
        let sources = self.readings.iter().map(|reading| reading.source);
        sources.max().unwrap_or(EnergySource::Unavailable)
    }
}

/// What an [`EnergyMeter`] reads.
#[derive(Clone, Debug, PartialEq)]
pub struct EnergyOptions {
    /// The powercap tree; `/sys/class/powercap` by default.
    pub powercap: PathBuf,
    /// Power of the processor in watts to estimate with where there is no counter, more than 0; none by default, and then
    /// there is no estimate.
    pub tdp_watts: Option<f64>,
    /// Indices of the GPUs; none by default.
    pub gpus: Vec<u32>,
}

impl Default for EnergyOptions {
    fn default() -> Self {
        Self { powercap: "/sys/class/powercap".into(), tdp_watts: None, gpus: Vec::new() }
    }
}

/// Measures energy from its start to its end: the difference of counters, not power times time. Processor counters wrap
/// after minutes under load: call [`sample`](Self::sample) in between, or use [`during`](Self::during), which does.
///
/// An idle machine takes energy too; to know what the work itself took, measure an idle stretch and subtract its power.
/// GPU counters move every 20 to 100 ms, and a GPU works on after a call returns: measure seconds, and wait for the
/// device before the end.
#[derive(Debug)]
pub struct EnergyMeter {
    start: Instant,
    options: EnergyOptions,
    zones: Result<Vec<Zone>, String>,
    gpus: Vec<GpuCounter>,
}

/// The index of a GPU and its counter at the start, in joules.
#[derive(Debug)]
struct GpuCounter {
    index: u32,
    start: Result<f64, String>,
}

/// Between two samples of [`EnergyMeter::during`]: far below the minutes after which counters wrap.
const SAMPLE: Duration = Duration::from_secs(10);

impl EnergyMeter {
    /// Starts to measure. Counters that cannot be read are not an error here: their readings say why.
    ///
    /// # Errors
    /// [`Error::Config`] for a power that is not a number of watts above 0.
    pub fn start(options: EnergyOptions) -> Result<Self> {
        if let Some(watts) = options.tdp_watts
            && !(watts > 0.0 && watts.is_finite())
        {
            return Err(Error::config("tdp_watts", watts, "a finite number above 0"));
        }
        let counter = |&index: &u32| GpuCounter { index, start: gpu_joules(index) };
        let gpus = options.gpus.iter().map(counter).collect();
        let zones = rapl::zones(&options.powercap);
        Ok(Self { start: Instant::now(), options, zones, gpus })
    }

    /// Reads the counters, so that a wrap is not missed.
    pub fn sample(&mut self) {
        let sampled = match &mut self.zones {
            Ok(zones) => zones.iter_mut().try_for_each(Zone::sample),
            Err(_) => return,
        };
        if let Err(why) = sampled {
            self.zones = Err(why);
        }
    }

    /// Ends the measurement.
    pub fn finish(mut self) -> Energy {
        self.sample();
        let seconds = self.start.elapsed().as_secs_f64();
        let mut readings = match self.zones {
            Ok(zones) => zones
                .iter()
                .map(|zone| measured(zone.name.clone(), EnergySource::Rapl, zone.joules()))
                .collect(),
            Err(why) => vec![without_counter(self.options.tdp_watts, seconds, why)],
        };
        for gpu in self.gpus {
            let device = format!("gpu-{}", gpu.index);
            let joules = gpu.start.and_then(|start| Ok(gpu_joules(gpu.index)? - start));
            readings.push(match joules {
                Ok(joules) => measured(device, EnergySource::Nvml, joules),
                Err(why) => unavailable(device, why),
            });
        }
        Energy { seconds, readings }
    }

    /// Measures the energy of `work`, with samples of the counters every ten seconds on a thread of their own.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn during<T>(options: EnergyOptions, work: impl FnOnce() -> T) -> Result<(T, Energy)> {
        let mut meter = Self::start(options)?;
        Ok(std::thread::scope(|scope| {
            let (working, ended) = channel::<()>();
            let sampler = scope.spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(SAMPLE) {
                    meter.sample();
                }
                meter.finish()
            });
            let result = work();
            drop(working);
            match sampler.join() {
                Ok(energy) => (result, energy),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }))
    }
}

fn measured(device: String, source: EnergySource, joules: f64) -> EnergyReading {
    EnergyReading { device, source, joules: Some(joules), why: None }
}

fn unavailable(device: String, why: String) -> EnergyReading {
    EnergyReading { device, source: EnergySource::Unavailable, joules: None, why: Some(why) }
}

fn without_counter(tdp_watts: Option<f64>, seconds: f64, why: String) -> EnergyReading {
    let mut reading = unavailable("cpu".into(), why);
    if let Some(watts) = tdp_watts {
        reading.source = EnergySource::TdpEstimate;
        reading.joules = Some(watts * seconds);
    }
    reading
}

#[cfg(feature = "nvml")]
fn gpu_joules(index: u32) -> Result<f64, String> {
    super::Gpu::open(index).and_then(|gpu| gpu.joules()).map_err(|why| why.to_string())
}

#[cfg(not(feature = "nvml"))]
fn gpu_joules(_: u32) -> Result<f64, String> {
    Err("compiled without the feature nvml, which reads the energy of GPUs".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(energy: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let zone = root.path().join("intel-rapl:0");
        std::fs::create_dir(&zone).unwrap();
        std::fs::write(zone.join("name"), "package-0\n").unwrap();
        std::fs::write(zone.join("max_energy_range_uj"), "5000000\n").unwrap();
        std::fs::write(zone.join("energy_uj"), energy).unwrap();
        root
    }

    fn options(root: &tempfile::TempDir, tdp_watts: Option<f64>) -> EnergyOptions {
        EnergyOptions { powercap: root.path().into(), tdp_watts, ..EnergyOptions::default() }
    }

    #[test]
    fn counters_are_measured_over_their_wrap() {
        let root = tree("4000000\n");
        let counter = root.path().join("intel-rapl:0/energy_uj");
        let set = |energy: &str| std::fs::write(&counter, energy).unwrap();
        // A power that the caller states does not replace a measurement.
        let mut meter = EnergyMeter::start(options(&root, Some(99.0))).unwrap();
        set("1500000\n");
        meter.sample();
        set("500000\n");
        let energy = meter.finish();
        assert_eq!(energy.source(), EnergySource::Rapl);
        // 1 + 1.5, then 3.5 + 0.5 J.
        assert_eq!(energy.joules(), Some(6.5));
        let work = || set("2500000\n");
        let ((), energy) = EnergyMeter::during(options(&root, None), work).unwrap();
        assert_eq!(energy.joules(), Some(2.0));
    }

    #[test]
    fn without_counters_there_is_an_estimate_only_where_the_caller_states_a_power() {
        let root = tempfile::tempdir().unwrap();
        let energy = EnergyMeter::start(options(&root, None)).unwrap().finish();
        assert_eq!((energy.source(), energy.joules()), (EnergySource::Unavailable, None));
        assert!(energy.readings[0].why.as_ref().unwrap().contains("no RAPL package"));
        let meter = EnergyMeter::start(options(&root, Some(50.0))).unwrap();
        let energy = meter.finish();
        assert_eq!(energy.joules(), Some(50.0 * energy.seconds));
        assert_eq!(energy.source(), EnergySource::TdpEstimate);
        assert!(energy.readings[0].why.is_some());
        let json = serde_json::to_string(&energy).unwrap();
        assert!(json.contains(r#""source":"tdp_estimate""#), "{json}");
        for watts in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = EnergyMeter::start(options(&root, Some(watts))).unwrap_err().to_string();
            assert!(error.contains("tdp_watts"), "{error}");
        }
    }

    #[test]
    fn a_counter_that_fails_on_the_way_leaves_no_number() {
        let root = tree("1\n");
        let meter = EnergyMeter::start(options(&root, None)).unwrap();
        std::fs::write(root.path().join("intel-rapl:0/energy_uj"), "nothing\n").unwrap();
        let energy = meter.finish();
        assert_eq!((energy.source(), energy.joules()), (EnergySource::Unavailable, None));
    }

    #[test]
    fn a_gpu_that_cannot_be_read_makes_the_sum_unavailable() {
        let root = tree("1\n");
        // No machine has this one.
        let options = EnergyOptions { gpus: vec![4_000_000], ..options(&root, None) };
        let energy = EnergyMeter::start(options).unwrap().finish();
        assert_eq!(energy.readings.len(), 2);
        assert_eq!(energy.readings[0].joules, Some(0.0));
        assert_eq!((energy.source(), energy.joules()), (EnergySource::Unavailable, None));
        let why = energy.readings[1].why.as_ref().unwrap();
        assert!(why.contains("nvml") || why.contains("NVML"), "{why}");
    }
}
