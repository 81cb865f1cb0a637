//! How fast a model answers, and what it takes: latency, throughput, memory, energy.
//!
//! ```text
//! Load (closed or open) -> run_load(request) -> LatencyHistogram, counts -> LoadReport -> EvalReport
//! process_memory, folder_size, EnergyMeter, Gpu (feature `nvml`)      -> bytes, joules
//! ```
//!
//! What cannot be measured is never guessed: a percentile with too few samples says how many it needs
//! ([`Percentile`]), memory and energy that the system does not show are an error or
//! [`EnergySource::Unavailable`], with the reason.

mod arrivals;
mod curve;
mod energy;
mod feed;
mod latency;
mod load;
mod load_options;
mod load_report;
mod memory;
#[cfg(feature = "nvml")]
mod nvml;
mod percentile;
mod rapl;
mod recorder;

pub use arrivals::Arrivals;
pub use curve::{Curve, SATURATED, latency_curve};
pub use energy::{Energy, EnergyMeter, EnergyOptions, EnergyReading, EnergySource};
pub use latency::LatencyHistogram;
pub use load::{Response, run_load};
pub use load_options::{Load, LoadOptions, Objective};
pub use load_report::{Goodput, LoadReport, SendLag};
pub use memory::{FolderSize, ProcessMemory, folder_size, process_memory, reset_peak_memory};
#[cfg(feature = "nvml")]
pub use nvml::{Gpu, GpuMemory, GpuUtilization};
pub use percentile::{LatencySummary, Percentile};
