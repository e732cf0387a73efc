//! Memory of the host that a device reads and writes by itself, while the host does something else.

use super::driver::failed;
use super::{Device, DeviceError};
use cudarc::driver::{CudaEvent, result, sys};

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

/// A part of pinned memory, and the end of the last copy from or to it, which is waited for before the memory goes.
pub(super) struct Slot {
    pub(super) memory: Pinned,
    pub(super) copied: CudaEvent,
}

impl Slot {
    /// `bytes` (not 0) for `device`, with any content.
    pub(super) fn new(device: &Device, bytes: usize) -> Result<Self, DeviceError> {
        let memory = Pinned::new(device, bytes)?;
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
        let copied = device.stream().context().new_event(Some(flags));
        Ok(Self {
            memory,
            copied: copied.map_err(|e| failed(device.ordinal(), "making an event", e))?,
        })
    }

    /// Waits for the last copy from or to it.
    pub(super) fn wait(&self, device: &Device) -> Result<(), DeviceError> {
        self.copied
            .synchronize()
            .map_err(|e| failed(device.ordinal(), "waiting for a copy", e))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // An error here could not be acted on.
        let _ = self.copied.synchronize();
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated above and freed once. An error here could not be acted on.
        let _ = unsafe { result::free_host(self.address.cast()) };
    }
}
