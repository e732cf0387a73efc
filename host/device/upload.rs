//! The way of large data to a device beside its work: through pinned memory, on a stream of its own.

use super::driver::failed;
use super::pinned::Slot;
use super::{Buffer, Device, DeviceError, Element};
use cudarc::driver::{CudaStream, sys};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of pinned memory that are filled while as many are on their way.
const SLOT: usize = 32 << 20;
/// Pieces begin at multiples of this many bytes, where their elements are smaller.
const ALIGNMENT: usize = 16;

/// Copies pieces from the host to blocks on a device, while kernels that were queued on the device go on.
pub struct Uploader {
    device: Arc<Device>,
    stream: Arc<CudaStream>,
    slots: [Option<Slot>; 2],
}

impl Drop for Uploader {
    /// Nothing may be on its way out of pinned memory that is given back.
    fn drop(&mut self) {
        // An error here could not be acted on.
        let _ = self.stream.synchronize();
    }
}

/// Pieces on the device.
pub struct Uploaded<T> {
    /// All of them.
    pub block: Buffer<T>,
    /// The element at which each piece begins.
    pub begins: Vec<usize>,
    device: Arc<Device>,
}

impl<T> Drop for Uploaded<T> {
    /// The block goes back in the order of the uploader's stream, which is made to wait for the kernels that read it.
    fn drop(&mut self) {
        // The next call that waits gives the error again.
        let _ = self.block.stream().join(self.device.stream());
    }
}

impl Uploader {
    /// For `device`; pinned memory is taken when it is first needed.
    pub fn new(device: Arc<Device>) -> Result<Self, DeviceError> {
        let stream = device.new_stream()?;
        Ok(Self {
            device,
            stream,
            slots: [None, None],
        })
    }

    /// Brings pieces of `counts` elements into a new block; `fill` writes piece `i`, called from several threads. Pieces of
    /// elements of 16 bytes or more lie without gaps; others begin at multiples of 16 bytes. All is there when the call
    /// returns.
    ///
    /// # Errors
    /// The device is full, or fails; nothing is left of the block then.
    pub fn upload<T: Element>(
        &mut self,
        counts: &[usize],
        fill: impl Fn(usize, &mut [T]) + Sync,
    ) -> Result<Uploaded<T>, DeviceError> {
        let uploaded = self.copy_all(counts, fill)?;
        self.stream
            .synchronize()
            .map_err(|e| self.failed("copying to the device", e))?;
        Ok(uploaded)
    }

    /// As [`Uploader::upload`], but it is the device that waits: all is there for the work that is queued on it from now
    /// on.
    pub fn queue<T: Element>(
        &mut self,
        counts: &[usize],
        fill: impl Fn(usize, &mut [T]) + Sync,
    ) -> Result<Uploaded<T>, DeviceError> {
        let uploaded = self.copy_all(counts, fill)?;
        self.device
            .stream()
            .join(&self.stream)
            .map_err(|e| self.failed("copying to the device", e))?;
        Ok(uploaded)
    }

    /// Queues all copies.
    fn copy_all<T: Element>(
        &mut self,
        counts: &[usize],
        fill: impl Fn(usize, &mut [T]) + Sync,
    ) -> Result<Uploaded<T>, DeviceError> {
        let step = (ALIGNMENT / size_of::<T>()).max(1);
        let mut begins = Vec::with_capacity(counts.len());
        let mut total = 0;
        for count in counts {
            begins.push(total);
            total += count.next_multiple_of(step);
        }
        // SAFETY: filled below, before anybody gets it.
        let block = unsafe { self.device.buffer_on::<T>(&self.stream, total)? };
        let end_of = |piece: usize| begins[piece] + counts[piece];
        let mut next = 0;
        let mut turn = 0;
        while next < counts.len() {
            let mut end = next + 1;
            while end < counts.len() && (end_of(end) - begins[next]) * size_of::<T>() <= SLOT {
                end += 1;
            }
            let elements = begins[next]..end_of(end - 1);
            let slot = self.slot(turn, elements.len() * size_of::<T>())?;
            slot.fill(next..end, &begins, counts, &fill);
            self.copy(turn, &block, elements)?;
            next = end;
            turn = 1 - turn;
        }
        Ok(Uploaded {
            block,
            begins,
            device: self.device.clone(),
        })
    }

    /// Slot `turn` with room for `bytes`, after the last copy out of it.
    fn slot(&mut self, turn: usize, bytes: usize) -> Result<&mut Slot, DeviceError> {
        let fits = |slot: &Slot| slot.memory.bytes() >= bytes;
        if let Some(slot) = &self.slots[turn] {
            slot.wait(&self.device)?;
        }
        if !self.slots[turn].as_ref().is_some_and(fits) {
            self.slots[turn] = Some(Slot::new(&self.device, bytes.max(SLOT))?);
        }
        Ok(self.slots[turn].as_mut().expect("made above"))
    }

    /// Queues the copy of the beginning of slot `turn` to `elements` of `block`.
    fn copy<T: Element>(
        &self,
        turn: usize,
        block: &Buffer<T>,
        elements: Range<usize>,
    ) -> Result<(), DeviceError> {
        let copying = |e| self.failed("copying to the device", e);
        let slot = self.slots[turn].as_ref().expect("filled before");
        self.device.make_current()?;
        // SAFETY: both sides hold the elements; the slot is not touched before its event.
        unsafe {
            sys::cuMemcpyHtoDAsync_v2(
                block.view().offset(elements.start).address(),
                slot.memory.address().cast(),
                elements.len() * size_of::<T>(),
                self.stream.cu_stream(),
            )
        }
        .result()
        .map_err(copying)?;
        slot.copied.record(&self.stream).map_err(copying)
    }

    fn failed(&self, doing: &str, error: cudarc::driver::DriverError) -> DeviceError {
        failed(self.device.ordinal(), doing, error)
    }
}

impl Slot {
    /// Fills the slot with `pieces`, the first of them at its beginning.
    fn fill<T: Element>(
        &mut self,
        pieces: Range<usize>,
        begins: &[usize],
        counts: &[usize],
        fill: &(impl Fn(usize, &mut [T]) + Sync),
    ) {
        // SAFETY: pinned memory of so many bytes, aligned to pages, that nobody else refers to and that the device has
        // read; every pattern of bits is an element.
        let mut rest: &mut [T] = unsafe {
            let length = self.memory.bytes() / size_of::<T>();
            std::slice::from_raw_parts_mut(self.memory.address().cast(), length)
        };
        let mut at = begins[pieces.start];
        let mut parts = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let (_, from_here) = rest.split_at_mut(begins[piece] - at);
            let (part, after) = from_here.split_at_mut(counts[piece]);
            at = begins[piece] + counts[piece];
            parts.push((piece, part));
            rest = after;
        }
        parts
            .into_par_iter()
            .for_each(|(piece, part)| fill(piece, part));
    }
}
