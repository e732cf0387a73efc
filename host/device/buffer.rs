//! Device memory with an element type.

use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr};
use gpu::correlation::ExactSample;
use gpu::ctf::CtfCoefficients;
use gpu::image::ImageTask;
use gpu::launch::View;
use gpu::samples::{Alignment, OwnOrientation, Pair, Parent, Sample, Selection};
use gpu::slice::{Bend, SliceAxes, VolumeShape};
use half::f16;

use super::ledger::Ledger;

/// Element of an array on the device.
///
/// # Safety
/// `#[repr(C)]` or primitive, the same on host and device, and valid for every pattern of bits.
pub unsafe trait Element: Copy + Send + Sync {}

macro_rules! elements {
    ($($element:ty),* $(,)?) => {
        // SAFETY: numbers, arrays of numbers, and `#[repr(C)]` structs of numbers.
        $(unsafe impl Element for $element {})*
    };
}
elements!(
    u8,
    f16,
    u32,
    [u32; 2],
    u64,
    f32,
    f64,
    [f64; 2],
    [f32; 2],
    [f32; 3],
    [f32; 4],
    [i16; 2],
    ExactSample,
    ImageTask,
    CtfCoefficients<f64>,
    SliceAxes,
    Bend,
    VolumeShape,
    Selection,
    Sample,
    OwnOrientation,
    Pair,
    Parent,
    Alignment,
);

/// An array in device memory, freed when dropped (in the order of the stream).
pub struct Buffer<T> {
    bytes: CudaSlice<u8>,
    ledger: Arc<Ledger>,
    length: usize,
    element: PhantomData<T>,
}

impl<T> Buffer<T> {
    /// `bytes` are entered in `ledger`, which they leave with the buffer.
    pub(super) fn new(bytes: CudaSlice<u8>, length: usize, ledger: Arc<Ledger>) -> Self {
        Self {
            bytes,
            ledger,
            length,
            element: PhantomData,
        }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True without elements.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Describes all of the array to a kernel, which may write to it too: the device's one stream keeps kernels in order.
    pub fn view(&self) -> View<T> {
        let (address, _) = self.bytes.device_ptr(self.bytes.stream());
        View::new(address, self.length)
    }

    /// The stream in whose order it was taken and goes back.
    pub(super) fn stream(&self) -> &Arc<CudaStream> {
        self.bytes.stream()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut CudaSlice<u8> {
        &mut self.bytes
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        self.ledger.give_back(self.bytes.len());
    }
}
