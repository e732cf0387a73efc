//! Fourier transforms, shells, projection and back-projection volumes, masks (spec 01 §1, 02 §1–2, §6).

pub mod backprojection;
pub mod circle;
pub mod fft;
pub mod image;
pub mod masks;
pub(crate) mod odd_transform;
pub(crate) mod padded;
pub mod reference;
pub mod resample;
pub mod shape;
pub mod shells;
pub mod shift;
pub mod sums;
pub mod window;
