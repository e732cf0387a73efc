//! Data that host and device exchange in the course of a batch without waiting for each other: through pinned memory, in the
//! order of the device's stream.

use super::driver::failed;
use super::pinned::Pinned;
use super::{Buffer, Device, DeviceError, Element};
use cudarc::driver::sys;
use std::marker::PhantomData;
use std::sync::Arc;

/// Pieces begin at multiples of this many bytes.
const ALIGNMENT: usize = 64;
/// The least pinned memory that is taken at a time.
const LEAST: usize = 1 << 20;

/// Pinned memory, kept from batch to batch. What goes up is copied into it and read by the device when it gets there; what
/// comes down can be read after [`Staging::wait`].
pub struct Staging {
    device: Arc<Device>,
    /// The last one is being filled.
    blocks: Vec<Pinned>,
    /// Bytes of the last block that are in use.
    used: usize,
    /// Batches so far.
    batch: u64,
    /// Copies that were queued in this batch, and how many of them are known to be done.
    queued: u64,
    done: u64,
}

/// Values on their way from the device; [`Staging::values`] has them when they were waited for.
pub struct Coming<T> {
    place: Place,
    batch: u64,
    number: u64,
    element: PhantomData<T>,
}

/// A piece of pinned memory for some elements.
#[derive(Clone, Copy)]
struct Place {
    address: *mut u8,
    length: usize,
}

impl Drop for Staging {
    /// Nothing may be on its way to or from pinned memory that is given back.
    fn drop(&mut self) {
        // An error here could not be acted on.
        let _ = self.device.synchronise();
    }
}

impl Staging {
    /// For `device`; pinned memory is taken when it is first needed.
    pub fn new(device: Arc<Device>) -> Self {
        Self {
            device,
            blocks: Vec::new(),
            used: 0,
            batch: 0,
            queued: 0,
            done: 0,
        }
    }

    /// A new batch: the values of the last one are given up. Waits for what a batch that failed has left on its way.
    pub fn begin(&mut self) -> Result<(), DeviceError> {
        if self.done < self.queued {
            self.wait()?;
        }
        if self.blocks.len() > 1 {
            // One block of all that was needed and some more: pinning takes long, later batches should not have to.
            let bytes: usize = self.blocks.iter().map(Pinned::bytes).sum();
            self.blocks.clear();
            let block = Pinned::new(&self.device, bytes.next_power_of_two())?;
            self.blocks.push(block);
        }
        self.used = 0;
        self.batch += 1;
        (self.queued, self.done) = (0, 0);
        Ok(())
    }

    /// A copy of `values` on the device, for what is queued from now on.
    pub fn upload<T: Element>(&mut self, values: &[T]) -> Result<Buffer<T>, DeviceError> {
        // SAFETY: filled below.
        let buffer = unsafe { self.device.buffer::<T>(values.len())? };
        if values.is_empty() {
            return Ok(buffer);
        }
        let place = self.place::<T>(values.len())?;
        self.device.make_current()?;
        // SAFETY: the place has room for the values and nobody else refers to it until the batch is over; the buffer has
        // as many elements.
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), place.address.cast(), values.len());
            sys::cuMemcpyHtoDAsync_v2(
                buffer.view().address(),
                place.address.cast(),
                size_of_val(values),
                self.device.stream().cu_stream(),
            )
        }
        .result()
        .map_err(|e| failed(self.device.ordinal(), "copying to the device", e))?;
        self.queued += 1;
        Ok(buffer)
    }

    /// Copies `length` elements of `buffer`, from `begin` on, to the host after the work queued so far.
    pub fn fetch<T: Element>(
        &mut self,
        buffer: &Buffer<T>,
        begin: usize,
        length: usize,
    ) -> Result<Coming<T>, DeviceError> {
        assert!(
            begin + length <= buffer.len(),
            "more values than the buffer holds"
        );
        let place = self.place::<T>(length)?;
        self.queued += 1;
        let coming = Coming {
            place,
            batch: self.batch,
            number: self.queued,
            element: PhantomData,
        };
        if length == 0 {
            return Ok(coming);
        }
        self.device.make_current()?;
        // SAFETY: both sides hold the elements (checked above); nobody else refers to the place until the batch is over.
        unsafe {
            sys::cuMemcpyDtoHAsync_v2(
                place.address.cast(),
                buffer.view().offset(begin).address(),
                length * size_of::<T>(),
                self.device.stream().cu_stream(),
            )
        }
        .result()
        .map_err(|e| failed(self.device.ordinal(), "copying from the device", e))?;
        Ok(coming)
    }

    /// Waits for everything that was queued on the device.
    pub fn wait(&mut self) -> Result<(), DeviceError> {
        self.device.synchronise()?;
        self.done = self.queued;
        Ok(())
    }

    /// Values that have come.
    ///
    /// # Panics
    /// They are of another batch, or were not waited for.
    pub fn values<T: Element>(&self, coming: &Coming<T>) -> &[T] {
        assert_eq!(coming.batch, self.batch, "values of another batch");
        assert!(coming.number <= self.done, "values that may not be there");
        // SAFETY: a place of this batch, aligned for every element, that was written by a copy that is done; every
        // pattern of bits is an element.
        unsafe { std::slice::from_raw_parts(coming.place.address.cast(), coming.place.length) }
    }

    /// Room for `length` elements.
    fn place<T>(&mut self, length: usize) -> Result<Place, DeviceError> {
        let bytes = (length * size_of::<T>()).next_multiple_of(ALIGNMENT);
        let room = self.blocks.last().map_or(0, |b| b.bytes() - self.used);
        if self.blocks.is_empty() || bytes > room {
            let block = Pinned::new(&self.device, bytes.max(LEAST))?;
            self.blocks.push(block);
            self.used = 0;
        }
        let block = self.blocks.last().expect("made above");
        // SAFETY: there is room, so that the address lies within the block, or behind it for nothing.
        let address = unsafe { block.address().add(self.used) };
        self.used += bytes;
        Ok(Place { address, length })
    }
}
