//! Peak performance of a card, from the properties that its driver reports.

use cudarc::driver::{result, sys};

use super::DeviceError;
use super::driver::{devices, failed};

/// Upper limits of a card.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceilings {
    /// Single-precision operations a second, of all fused multiply-adds at the highest clock, without tensor cores.
    pub operations: f64,
    /// Bytes a second between memory and processors: memory clock, both edges, width of the bus.
    pub bytes: f64,
}

impl Ceilings {
    /// Of device `ordinal`; None where the driver does not tell its clocks.
    pub fn of(ordinal: usize) -> Result<Option<Self>, DeviceError> {
        use sys::CUdevice_attribute_enum as Attribute;
        let available = devices()?.len();
        if ordinal >= available {
            return Err(DeviceError::OutOfRange {
                asked: ordinal,
                available,
            });
        }
        let attribute = |attribute| {
            let inner = || {
                let device = result::device::get(ordinal as i32)?;
                // SAFETY: the device was just obtained.
                unsafe { result::device::get_attribute(device, attribute) }
            };
            inner()
                .map(f64::from)
                .map_err(|e| failed(ordinal, "describing the device", e))
        };
        let capability = (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)? as u32,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)? as u32,
        );
        Ok(Self::from_attributes(
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            lanes(capability),
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?,
        ))
    }

    /// Clocks in kHz, width of the bus in bits.
    fn from_attributes(
        multiprocessors: f64,
        lanes: f64,
        clock: f64,
        memory_clock: f64,
        bus: f64,
    ) -> Option<Self> {
        let found = Self {
            operations: 2.0 * multiprocessors * lanes * clock * 1e3,
            bytes: 2.0 * memory_clock * 1e3 * bus / 8.0,
        };
        (found.operations > 0.0 && found.bytes > 0.0).then_some(found)
    }
}

/// Single-precision fused multiply-adds of a multiprocessor in a clock cycle (CUDA C++ Programming Guide, arithmetic
/// instructions).
fn lanes(capability: (u32, u32)) -> f64 {
    match capability {
        (..8, _) | (8, 0) => 64.0,
        _ => 128.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An H200: 132 multiprocessors, 1.98 GHz, 6,144 bits at 3.201 GHz.
    #[test]
    fn the_ceilings_of_a_known_card() {
        let found =
            Ceilings::from_attributes(132.0, lanes((9, 0)), 1.98e6, 3.201e6, 6144.0).unwrap();
        assert!((found.operations / 66.9e12 - 1.0).abs() < 1e-3, "{found:?}");
        assert!((found.bytes / 4.917e12 - 1.0).abs() < 1e-3, "{found:?}");
        assert_eq!(
            [lanes((7, 5)), lanes((8, 0)), lanes((8, 6))],
            [64.0, 64.0, 128.0]
        );
        assert_eq!(Ceilings::from_attributes(1.0, 1.0, 0.0, 0.0, 0.0), None);
    }
}
