//! Where a program computes.

use crate::Failure;
use burn::tensor::Device;
use clap::Args;

/// The device and its threads.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    #[arg(long, value_name = "NAME", default_value = "flex", help = device_help())]
    device: String,
    /// Threads of the CPU; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

impl DeviceArgs {
    /// Sets the number of threads and opens the device. Call it once, before any computation.
    ///
    /// # Errors
    /// When the device is unknown or not compiled in, or the threads cannot be started.
    pub fn open(&self) -> Result<Device, Failure> {
        self.build(rayon::ThreadPoolBuilder::new())
    }

    /// As [`open`](Self::open), with the calling thread as one of the threads, so that it begins an operation itself instead
    /// of waking others and waiting. No other thread may compute: it would wait for this one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_for_this_thread(&self) -> Result<Device, Failure> {
        self.build(rayon::ThreadPoolBuilder::new().use_current_thread())
    }

    fn build(&self, threads: rayon::ThreadPoolBuilder) -> Result<Device, Failure> {
        threads.num_threads(self.threads).build_global()?;
        Ok(nexus_core::device(&self.device)?)
    }

    /// The device's name, as given.
    pub fn name(&self) -> &str {
        &self.device
    }
}

fn device_help() -> String {
    let compiled = nexus_core::COMPILED.join(", ");
    format!(
        "Device to compute on: flex is the CPU, cuda:0 the first GPU of CUDA [compiled in: {compiled}]"
    )
}
