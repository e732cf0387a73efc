//! Errors of a GPU, with remedies.

use crate::errors::{Code, Coded};

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Built without kernels.
    #[error(
        "this program was built without GPU kernels: {0}. Run without --gpu, or install the compiler for kernels (`make setup`) and build again"
    )]
    NoKernels(String),
    /// libcuda is not there.
    #[error(
        "--gpu was given but this machine has no NVIDIA driver (libcuda.so.1 cannot be loaded). Run without --gpu to use the CPU, or install the driver; in a container, start it with the GPUs (`--gpus all`, `--nv`)"
    )]
    NoDriver,
    /// The driver knows no device.
    #[error("the NVIDIA driver finds no GPU{}. Check `nvidia-smi` and CUDA_VISIBLE_DEVICES", reason(.0))]
    NoDevice(String),
    /// A device number beyond the last.
    #[error(
        "--gpu asks for device {asked}, but this process sees {available} (numbered from 0, after CUDA_VISIBLE_DEVICES). Give --gpu without a list to use those"
    )]
    OutOfRange {
        /// Number given.
        asked: usize,
        /// Devices there are.
        available: usize,
    },
    /// The driver cannot take any of the embedded modules.
    #[error(
        "the NVIDIA driver supports CUDA {driver}, too old for the kernels of this program, which need CUDA {needed}. Have the driver updated, or run without --gpu"
    )]
    DriverTooOld {
        /// Of the driver, as 12.1.
        driver: String,
        /// Of the oldest embedded module.
        needed: String,
    },
    /// Older than Volta.
    #[error(
        "device {ordinal} ({name}) has compute capability {major}.{minor}; 7.0 (Volta) or higher is needed. Choose another with --gpu, or run without it"
    )]
    Unsupported {
        /// Number of the device.
        ordinal: usize,
        /// Name of the card.
        name: String,
        /// Compute capability.
        major: i32,
        /// Compute capability.
        minor: i32,
    },
    /// A library of the CUDA toolkit is missing.
    #[error(
        "{library} cannot be loaded. It comes with the CUDA toolkit (11 to 13), or with `pip install {package}`; set LD_LIBRARY_PATH or CUDA_HOME to where it is"
    )]
    NoLibrary {
        /// Such as cuFFT.
        library: &'static str,
        /// Package on PyPI.
        package: &'static str,
    },
    /// An allocation failed.
    #[error(
        "device {ordinal} is full: {asked_mib} MiB were asked for with {free_mib} of {total_mib} MiB free. Stop other programs on it (`nvidia-smi`), choose another with --gpu, or lower --gpu_memory"
    )]
    Full {
        /// Number of the device.
        ordinal: usize,
        /// Size of the allocation.
        asked_mib: usize,
        /// Free memory then.
        free_mib: usize,
        /// Memory of the card.
        total_mib: usize,
    },
    /// The text of `--gpu` makes no sense.
    #[error(
        "--gpu {text}: '{part}' is not a device number. Write the devices of a rank with commas and ranks with colons, as in 0,1:2,3"
    )]
    Map {
        /// Value that was given.
        text: String,
        /// The part that is wrong.
        part: String,
    },
    /// NCCL is missing or reports something.
    #[error("NCCL, {doing}: {message}. With --no_nccl sums go through the host")]
    Nccl {
        /// Operation that failed.
        doing: &'static str,
        /// In NCCL's words.
        message: String,
    },
    /// An array is shorter than the kernel states.
    #[error(
        "device {ordinal}: {short}. This is a fault of this program: please report it with the command line"
    )]
    ShortArray {
        /// Number of the device.
        ordinal: usize,
        /// Which, and by how much.
        short: gpu::launch::TooShort,
    },
    /// Anything else the driver or a library reports.
    #[error("device {ordinal}: {doing} failed with {code}{}", hint(.code))]
    Call {
        /// Number of the device.
        ordinal: usize,
        /// Operation that failed.
        doing: String,
        /// Name of the error code.
        code: String,
    },
}

impl Coded for DeviceError {
    fn code(&self) -> Code {
        match self {
            Self::NoKernels(_) => Code::NO_KERNELS,
            Self::NoDriver | Self::NoDevice(_) => Code::NO_GPU,
            Self::OutOfRange { .. } => Code::NO_SUCH_DEVICE,
            Self::DriverTooOld { .. } => Code::DRIVER_TOO_OLD,
            Self::Unsupported { .. } => Code::DEVICE_TOO_OLD,
            Self::NoLibrary { .. } => Code::NO_LIBRARY,
            Self::Full { .. } => Code::DEVICE_FULL,
            Self::Map { .. } => Code::BAD_VALUE,
            Self::Nccl { .. } => Code::NCCL,
            Self::ShortArray { .. } | Self::Call { .. } => Code::DEVICE_FAILED,
        }
    }
}

impl DeviceError {
    /// True when less memory would have helped: halve the batch and try again.
    pub fn is_full(&self) -> bool {
        matches!(self, DeviceError::Full { .. })
    }
}

fn reason(code: &str) -> String {
    if code.is_empty() {
        String::new()
    } else {
        format!(" ({code})")
    }
}

/// Explains the codes that users meet.
fn hint(code: &str) -> &'static str {
    if code.contains("ILLEGAL_ADDRESS") || code.contains("LAUNCH_FAILED") {
        ": a kernel read or wrote where it must not. This is a fault of this program: please report it, with the output of `compute-sanitizer` if you can"
    } else if code.contains("ECC") || code.contains("HARDWARE") {
        ": the card reports a hardware fault. Choose another with --gpu and have this one looked at (`nvidia-smi -q`, `dmesg`)"
    } else if code.contains("DEVICE_UNAVAILABLE") || code.contains("EXCLUSIVE") {
        ": another program holds the card in exclusive mode. Choose another with --gpu (see `nvidia-smi`)"
    } else {
        ". Look at `nvidia-smi` and `dmesg`, and try another card with --gpu"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_try() {
        let full = DeviceError::Full {
            ordinal: 1,
            asked_mib: 2000,
            free_mib: 100,
            total_mib: 24_000,
        };
        assert!(full.is_full());
        assert!(full.to_string().contains("--gpu_memory"));
        assert!(DeviceError::NoDriver.to_string().contains("without --gpu"));
        let fault = DeviceError::Call {
            ordinal: 0,
            doing: "fine differences".into(),
            code: "CUDA_ERROR_ILLEGAL_ADDRESS".into(),
        };
        assert!(fault.to_string().contains("compute-sanitizer"));
    }
}
