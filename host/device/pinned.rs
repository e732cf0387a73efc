//! Memory of the host that a device reads and writes by itself, while the host does something else.

use super::driver::failed;
use super::{Device, DeviceError};
use cudarc::driver::result;

/// Pinned memory, freed when dropped.
pub(super) struct Pinned {
    address: *mut u8,
    bytes: usize,
}

// SAFETY: the memory belongs to this value alone.
unsafe impl Send for Pinned {}

impl Pinned {
    /// `bytes` (not 0) for `device`, with any content.
    pub(super) fn new(device: &Device, bytes: usize) -> Result<Self, DeviceError> {
        device.make_current()?;
        // SAFETY: freed below.
        let address = unsafe { result::malloc_host(bytes, 0) }
            .map_err(|e| failed(device.ordinal(), "pinning memory of the host", e))?;
        Ok(Self {
            address: address.cast(),
            bytes,
        })
    }

    /// The first byte; aligned to pages.
    pub(super) fn address(&self) -> *mut u8 {
        self.address
    }

    /// Its size.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated above and freed once. An error here could not be acted on.
        let _ = unsafe { result::free_host(self.address.cast()) };
    }
}
