//! Soft masks and shell filters in real and Fourier space (spec 01 §2.3, §2.10; 02 §6).

use ndarray::Array3;

/// Raised-cosine sphere of `radius` and `edge` (pixels) multiplied onto a map (background → 0).
pub fn soft_sphere(_map: &mut Array3<f64>, _radius: f64, _edge: f64) {
    todo!()
}

/// Low-pass with a two-shell cosine edge at `resolution` Å (spec 01 §2.3).
pub fn low_pass(_map: &Array3<f64>, _pixel_size: f64, _resolution: f64) -> Array3<f64> {
    todo!()
}
