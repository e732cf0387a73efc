//! The line that says what the main kernels of an iteration took and did.

use crate::device::meter::{PARTS, Part, Work};
use crate::expectation::ExpectationError;
use crate::refinement::error::RunError;
use crate::refinement::parallel::workers::Engine;
use std::fmt;

/// Work of all devices of a rank in one iteration.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct KernelReport {
    /// Sums over the devices, in the order of [`Part::ALL`].
    pub work: [Work; PARTS],
    /// Bytes that buffers took at most so far, on the device where they took most.
    pub device_memory: usize,
}

/// Returns the time and work of the engines' devices since the last call; None without devices.
pub fn take(engines: &[Engine]) -> Result<Option<KernelReport>, RunError> {
    let mut report: Option<KernelReport> = None;
    for device in engines.iter().filter_map(|engine| engine.device()) {
        let sum = report.get_or_insert_default();
        let work = device.take_work().map_err(ExpectationError::from)?;
        for (sum, own) in sum.work.iter_mut().zip(work) {
            *sum += own;
        }
        sum.device_memory = sum.device_memory.max(device.peak_memory());
    }
    Ok(report)
}

impl fmt::Display for KernelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " Kernels: ")?;
        for (part, work) in Part::ALL.into_iter().zip(self.work) {
            write!(
                f,
                "{} {:.4} s {:.4} TFLOP {:.4} GB, ",
                part.name(),
                work.seconds,
                work.operations / 1e12,
                work.bytes / 1e9
            )?;
        }
        write!(f, "device memory {} MiB", self.device_memory >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_every_part() {
        let work = Work {
            seconds: 0.25,
            operations: 3e12,
            bytes: 5e9,
        };
        let report = KernelReport {
            work: [work; PARTS],
            device_memory: 700 << 20,
        };
        let text = report.to_string();
        assert!(
            text.starts_with(" Kernels: coarse products 0.2500 s 3.0000 TFLOP 5.0000 GB, local")
        );
        assert!(
            text.ends_with("orientations 0.2500 s 3.0000 TFLOP 5.0000 GB, device memory 700 MiB")
        );
    }
}
