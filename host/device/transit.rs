//! Large arrays between the host and a device, through pinned memory, each value turned into another on the way by all cores.
//!
//! Left to itself the driver copies from and to ordinary memory with one thread, which also has to take every new page of it from the
//! system: 64 MiB into a new array took 44 ms on an H200, where the copy into pinned memory takes 1.4 ms.

use super::driver::failed;
use super::pinned::Slot;
use super::{Buffer, Device, DeviceError, Element, View};
use cudarc::driver::sys;
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of pinned memory that are copied while as many are worked on.
const SLOT: usize = 8 << 20;
/// Values that a thread turns into others at a time.
const PIECE: usize = 1 << 14;

/// Pinned memory of a device for its large arrays; taken when it is first needed. What is in use is not among it, so that several threads
/// can copy at the same time.
#[derive(Default)]
pub(super) struct Transit {
    free: Mutex<Vec<[Slot; 2]>>,
}

/// Returns whether an array of so many bytes is worth the way through pinned memory.
pub(super) fn is_large(bytes: usize) -> bool {
    bytes >= SLOT / 2
}

impl Device {
    /// The values, turned into elements by `convert`, on the device.
    pub fn upload_as<S: Sync, T: Element>(
        &self,
        values: &[S],
        convert: impl Fn(&S) -> T + Sync,
    ) -> Result<Buffer<T>, DeviceError> {
        // SAFETY: filled below.
        let buffer = unsafe { self.buffer(values.len())? };
        // SAFETY: the buffer holds as many elements.
        unsafe { self.write_as(values, buffer.view(), convert)? };
        Ok(buffer)
    }

    /// The elements of `buffer`, turned into other values by `convert`. Waits for the queued work.
    pub fn download_as<T: Element, U: Send>(
        &self,
        buffer: &Buffer<T>,
        convert: impl Fn(T) -> U + Sync,
    ) -> Result<Vec<U>, DeviceError> {
        // SAFETY: these are the elements of the buffer.
        unsafe { self.read_as(buffer.view(), buffer.len(), convert) }
    }

    /// Returns the `length` elements from `from` on, turned into other values by `convert`. Waits for the queued work.
    ///
    /// # Safety
    /// The elements exist.
    pub(super) unsafe fn read_as<T: Element, U: Send>(
        &self,
        from: View<T>,
        length: usize,
        convert: impl Fn(T) -> U + Sync,
    ) -> Result<Vec<U>, DeviceError> {
        let mut values: Vec<U> = Vec::with_capacity(length);
        let out = &mut values.spare_capacity_mut()[..length];
        let step = SLOT / size_of::<T>();
        let slots = self.take_slots()?;
        self.count_wait();
        let queue = |piece: usize| {
            let first = piece * step;
            let slot = &slots[piece % 2];
            slot.wait(self)?;
            // SAFETY: the elements exist by the caller's word; the slot holds as many, and nobody looks at it before its event.
            unsafe {
                sys::cuMemcpyDtoHAsync_v2(
                    slot.memory.address().cast(),
                    from.offset(first).address(),
                    step.min(length - first) * size_of::<T>(),
                    self.stream().cu_stream(),
                )
            }
            .result()
            .and_then(|()| slot.copied.record(self.stream()))
            .map_err(|e| failed(self.ordinal(), "copying from the device", e))
        };
        let pieces = length.div_ceil(step);
        if pieces > 0 {
            queue(0)?;
        }
        for (piece, out) in out.chunks_mut(step).enumerate() {
            if piece + 1 < pieces {
                queue(piece + 1)?;
            }
            let slot = &slots[piece % 2];
            slot.wait(self)?;
            // SAFETY: the copy into the slot is done, of as many elements; every pattern of bits is one.
            let read: &[T] =
                unsafe { std::slice::from_raw_parts(slot.memory.address().cast(), out.len()) };
            out.par_chunks_mut(PIECE)
                .zip(read.par_chunks(PIECE))
                .for_each(|(out, read)| {
                    for (out, &value) in out.iter_mut().zip(read) {
                        *out = MaybeUninit::new(convert(value));
                    }
                });
        }
        self.give_back(slots);
        // SAFETY: all of them were written above.
        unsafe { values.set_len(length) };
        Ok(values)
    }

    /// Copies `values`, turned into elements by `convert`, to `to`. The values are not needed any more when the call returns.
    ///
    /// # Safety
    /// There is room for all of them.
    pub(super) unsafe fn write_as<S: Sync, T: Element>(
        &self,
        values: &[S],
        to: View<T>,
        convert: impl Fn(&S) -> T + Sync,
    ) -> Result<(), DeviceError> {
        let step = SLOT / size_of::<T>();
        let slots = self.take_slots()?;
        for (piece, values) in values.chunks(step).enumerate() {
            let slot = &slots[piece % 2];
            slot.wait(self)?;
            // SAFETY: pinned memory with room for as many elements, aligned to pages, that the device has read.
            let out: &mut [MaybeUninit<T>] = unsafe {
                std::slice::from_raw_parts_mut(slot.memory.address().cast(), values.len())
            };
            out.par_chunks_mut(PIECE)
                .zip(values.par_chunks(PIECE))
                .for_each(|(out, values)| {
                    for (out, value) in out.iter_mut().zip(values) {
                        *out = MaybeUninit::new(convert(value));
                    }
                });
            // SAFETY: both sides hold the elements; the slot is not touched before its event.
            unsafe {
                sys::cuMemcpyHtoDAsync_v2(
                    to.offset(piece * step).address(),
                    slot.memory.address().cast(),
                    size_of_val(out),
                    self.stream().cu_stream(),
                )
            }
            .result()
            .and_then(|()| slot.copied.record(self.stream()))
            .map_err(|e| failed(self.ordinal(), "copying to the device", e))?;
        }
        self.give_back(slots);
        Ok(())
    }

    /// Two slots that nobody else has.
    fn take_slots(&self) -> Result<[Slot; 2], DeviceError> {
        self.make_current()?;
        match self.free_slots().pop() {
            Some(slots) => Ok(slots),
            None => Ok([Slot::new(self, SLOT)?, Slot::new(self, SLOT)?]),
        }
    }

    /// Copies from or to them may still be under way.
    fn give_back(&self, slots: [Slot; 2]) {
        self.free_slots().push(slots);
    }

    /// A thread that panicked ends the run, whatever it held.
    fn free_slots(&self) -> MutexGuard<'_, Vec<[Slot; 2]>> {
        let free = &self.transit().free;
        free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
