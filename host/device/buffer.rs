//! Device memory with an element type.

use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr};
use gpu::correlation::ExactSample;
use gpu::ctf::CtfCoefficients;
use gpu::image::ImageTask;
use gpu::samples::{Alignment, Pair, Parent, Sample, Selection};
use gpu::slice::{SliceAxes, VolumeShape};
use half::f16;

use super::ledger::Ledger;

/// What arrays on the device are made of.
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
    u64,
    f32,
    f64,
    [f64; 2],
    [f32; 2],
    [f32; 4],
    [i16; 2],
    ExactSample,
    ImageTask,
    CtfCoefficients<f64>,
    SliceAxes,
    VolumeShape,
    Selection,
    Sample,
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

/// The address of an array in device memory, as kernels take it.
pub struct Pointer<T> {
    address: u64,
    element: PhantomData<T>,
}

impl<T> Clone for Pointer<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Pointer<T> {}

impl<T> Pointer<T> {
    /// What a kernel takes as "not given".
    pub fn null() -> Self {
        Self {
            address: 0,
            element: PhantomData,
        }
    }

    /// The address of element `index`, counted from this one.
    pub fn offset(self, index: usize) -> Self {
        Self {
            address: self.address + (index * size_of::<T>()) as u64,
            element: PhantomData,
        }
    }

    /// The same address for another element type.
    pub fn cast<U>(self) -> Pointer<U> {
        Pointer {
            address: self.address,
            element: PhantomData,
        }
    }

    /// The number.
    pub fn address(self) -> u64 {
        self.address
    }
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

    /// Address of the first element. Kernels may write through it too: the device's one stream keeps them in order.
    pub fn pointer(&self) -> Pointer<T> {
        let (address, _) = self.bytes.device_ptr(self.bytes.stream());
        Pointer {
            address,
            element: PhantomData,
        }
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
