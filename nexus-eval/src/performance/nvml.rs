//! Memory, utilisation and energy of NVIDIA GPUs, through NVML.

use crate::{Error, Result};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use serde::Serialize;

/// An NVIDIA GPU. The library is looked for at run time; without it [`open`](Self::open) is an error.
#[derive(Debug)]
pub struct Gpu {
    nvml: Nvml,
    index: u32,
}

/// Memory of a GPU in bytes, that of all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GpuMemory {
    /// Allocated.
    pub used: u64,
    /// In all.
    pub total: u64,
}

/// How busy a GPU was over its last sample period (a sixth of a second to a second), in percent of the time. A kernel
/// that runs on a single core of the GPU counts as busy: this is not how much of its power was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GpuUtilization {
    /// Time in which a kernel ran.
    pub compute: u32,
    /// Time in which memory was read or written.
    pub memory: u32,
}

impl Gpu {
    /// Opens the GPU with this index, as `nvidia-smi` counts them.
    ///
    /// # Errors
    /// [`Error::Device`] without NVIDIA's library or without such a GPU.
    pub fn open(index: u32) -> Result<Self> {
        let nvml = Nvml::init().map_err(|why| {
            refused(index, &why, "it comes with the driver of NVIDIA GPUs (libnvidia-ml)")
        })?;
        let gpu = Self { nvml, index };
        gpu.device()?;
        Ok(gpu)
    }

    /// Its name, such as `NVIDIA H100 80GB HBM3`.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver does not say it.
    pub fn name(&self) -> Result<String> {
        self.device()?.name().map_err(|why| self.silent(&why))
    }

    /// Its memory.
    ///
    /// # Errors
    /// As [`name`](Self::name).
    pub fn memory(&self) -> Result<GpuMemory> {
        let memory = self.device()?.memory_info().map_err(|why| self.silent(&why))?;
        Ok(GpuMemory { used: memory.used, total: memory.total })
    }

    /// Its utilisation.
    ///
    /// # Errors
    /// As [`name`](Self::name).
    pub fn utilization(&self) -> Result<GpuUtilization> {
        let rates = self.device()?.utilization_rates().map_err(|why| self.silent(&why))?;
        Ok(GpuUtilization { compute: rates.gpu, memory: rates.memory })
    }

    /// Its energy since the driver was loaded, in joules. GPUs from the Volta generation on count it.
    ///
    /// # Errors
    /// As [`name`](Self::name).
    pub fn joules(&self) -> Result<f64> {
        let millis = self.device()?.total_energy_consumption().map_err(|why| self.silent(&why))?;
        Ok(millis as f64 / 1e3)
    }

    fn device(&self) -> Result<nvml_wrapper::Device<'_>> {
        self.nvml.device_by_index(self.index).map_err(|why| {
            refused(
                self.index,
                &why,
                "nvidia-smi lists the GPUs of this machine with their indices",
            )
        })
    }

    fn silent(&self, why: &NvmlError) -> Error {
        refused(self.index, why, "the GPU or its driver does not tell this")
    }
}

fn refused(index: u32, why: &NvmlError, remedy: &str) -> Error {
    Error::Device { name: format!("gpu-{index}"), why: format!("NVML: {why}; {remedy}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On any machine: with the library and a GPU its numbers are sound, without it the error says what is missing.
    #[test]
    fn the_first_gpu_or_why_there_is_none() {
        match Gpu::open(0) {
            Ok(gpu) => {
                let memory = gpu.memory().unwrap();
                assert!(0 < memory.total && memory.used <= memory.total, "{memory:?}");
                assert!(gpu.utilization().unwrap().compute <= 100);
                assert!(!gpu.name().unwrap().is_empty());
            }
            Err(why) => {
                let why = why.to_string();
                assert!(why.contains("gpu-0") && why.contains("NVML"), "{why}");
            }
        }
    }
}
