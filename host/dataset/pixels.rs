//! Pixels of an image with as many digits as its stack has.

use crate::formats::mrc::{MrcError, StackReader};
use half::f16;
use std::borrow::Cow;

/// Pixels of an image, row-major, in half precision where the stack is: half the memory and half the way to a device.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels<'a> {
    /// 32-bit floats.
    Single(Cow<'a, [f32]>),
    /// 16-bit floats.
    Half(Cow<'a, [f16]>),
}

impl From<Vec<f32>> for Pixels<'_> {
    fn from(pixels: Vec<f32>) -> Self {
        Pixels::Single(pixels.into())
    }
}

impl From<Vec<f16>> for Pixels<'_> {
    fn from(pixels: Vec<f16>) -> Self {
        Pixels::Half(pixels.into())
    }
}

impl Pixels<'static> {
    /// One image of a stack (0-based), which must have `count` pixels if they are 32-bit floats.
    pub(super) fn read(reader: &StackReader, slice: usize, count: usize) -> Result<Self, MrcError> {
        if reader.is_half() {
            return reader.read_half(slice).map(Self::from);
        }
        let mut pixels = vec![0.0; count];
        reader.read_into(slice, &mut pixels)?;
        Ok(pixels.into())
    }
}

impl<'a> Pixels<'a> {
    /// As [`Pixels::read`], into `out`, which has the bytes of the image and is aligned to its pixels.
    pub(super) fn read_to(
        reader: &StackReader,
        slice: usize,
        out: &'a mut [u8],
    ) -> Result<Self, MrcError> {
        if reader.is_half() {
            let pixels: &mut [f16] = bytemuck::cast_slice_mut(out);
            reader.read_half_into(slice, pixels)?;
            return Ok(Pixels::Half(Cow::Borrowed(pixels)));
        }
        let pixels: &mut [f32] = bytemuck::cast_slice_mut(out);
        reader.read_into(slice, pixels)?;
        Ok(Pixels::Single(Cow::Borrowed(pixels)))
    }
}

impl Pixels<'_> {
    /// No pixels: the image is somewhere else.
    pub const NONE: Self = Pixels::Single(Cow::Borrowed(&[]));

    /// Number of pixels.
    pub fn len(&self) -> usize {
        match self {
            Pixels::Single(pixels) => pixels.len(),
            Pixels::Half(pixels) => pixels.len(),
        }
    }

    /// True without pixels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same pixels, not copied.
    pub fn borrowed(&self) -> Pixels<'_> {
        match self {
            Pixels::Single(pixels) => Pixels::Single(Cow::Borrowed(pixels)),
            Pixels::Half(pixels) => Pixels::Half(Cow::Borrowed(pixels)),
        }
    }

    /// In single precision.
    pub fn single(&self) -> Cow<'_, [f32]> {
        match self {
            Pixels::Single(pixels) => Cow::Borrowed(pixels),
            Pixels::Half(pixels) => Cow::Owned(pixels.iter().map(|v| v.to_f32()).collect()),
        }
    }

    /// As they lie in memory.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Pixels::Single(pixels) => bytemuck::cast_slice(pixels),
            Pixels::Half(pixels) => bytemuck::cast_slice(pixels),
        }
    }

    /// The first pixel that is infinite or not a number.
    pub fn first_not_finite(&self) -> Option<(usize, f32)> {
        match self {
            Pixels::Single(pixels) => pixels
                .iter()
                .position(|v| !v.is_finite())
                .map(|i| (i, pixels[i])),
            Pixels::Half(pixels) => pixels
                .iter()
                .position(|v| !v.is_finite())
                .map(|i| (i, pixels[i].to_f32())),
        }
    }

    /// True when every pixel is 0.
    pub fn are_zero(&self) -> bool {
        match self {
            Pixels::Single(pixels) => pixels.iter().all(|&v| v == 0.0),
            Pixels::Half(pixels) => pixels.iter().all(|&v| v == f16::ZERO),
        }
    }
}
