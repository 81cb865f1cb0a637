//! Devices by name.

use crate::{Error, Result};
use burn::tensor::Device;

/// The backends that are compiled into this program, by the names that [`device`] takes.
pub const COMPILED: &[&str] = &[
    #[cfg(feature = "flex")]
    "flex",
    #[cfg(feature = "wgpu")]
    "wgpu",
    #[cfg(feature = "vulkan")]
    "vulkan",
    #[cfg(feature = "metal")]
    "metal",
    #[cfg(feature = "cuda")]
    "cuda",
    #[cfg(feature = "rocm")]
    "rocm",
];

/// The device with this name: `flex` (the CPU), or `wgpu`, `vulkan`, `metal`, `cuda`, `rocm`, each also with an index
/// such as `cuda:0`.
///
/// # Errors
/// [`Error::Device`] when the name is unknown or its backend is not compiled in.
pub fn device(name: &str) -> Result<Device> {
    let (backend, index) = match name.split_once(':') {
        None => (name, None),
        Some((backend, index)) => {
            let index = index.parse::<usize>().map_err(|_| Error::Device {
                name: name.into(),
                why: "expected a number after the colon, such as cuda:0".into(),
            })?;
            (backend, Some(index))
        }
    };
    if backend == "flex" && index.is_some_and(|index| index > 0) {
        return Err(Error::Device {
            name: name.into(),
            why: "there is one CPU device; write flex".into(),
        });
    }
    #[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
    let gpu = || match index {
        None => burn::tensor::DeviceKind::DefaultDevice,
        Some(index) => burn::tensor::DeviceKind::DiscreteGpu(index),
    };
    #[allow(unreachable_patterns, reason = "which names are left depends on the features")]
    match backend {
        #[cfg(feature = "flex")]
        "flex" => Ok(Device::flex()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(gpu())),
        #[cfg(feature = "vulkan")]
        "vulkan" => Ok(Device::vulkan(gpu())),
        #[cfg(feature = "metal")]
        "metal" => Ok(Device::metal(gpu())),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(index.unwrap_or(0))),
        #[cfg(feature = "rocm")]
        "rocm" => Ok(Device::rocm(index.unwrap_or(0))),
        known @ ("flex" | "wgpu" | "vulkan" | "metal" | "cuda" | "rocm") => Err(Error::Device {
            name: name.into(),
            why: format!(
                "not compiled in; build with --features {known} (compiled in: {})",
                COMPILED.join(", ")
            ),
        }),
        _ => Err(Error::Device {
            name: name.into(),
            why: format!("unknown; compiled in: {}", COMPILED.join(", ")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::device;

    #[test]
    fn a_name_gives_a_device_or_says_what_to_do() {
        assert!(device("flex").is_ok());
        for (name, part) in [
            ("cuda", "--features cuda"),
            ("gpu", "unknown"),
            ("cuda:x", "number"),
            ("flex:3", "one CPU"),
        ] {
            let error = device(name).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
