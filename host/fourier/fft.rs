//! Real-to-complex transforms with RELION's conventions: forward divided by the number of samples,
//! half-complex storage with x fastest (spec 01 §1.1).

use ndarray::Array3;
use num_complex::Complex64;

/// Half-complex transform of an N×N×N map: index (z, y, x) in FFT order, x = 0…N/2; no centring sign applied.
pub type HalfComplex3 = Array3<Complex64>;

/// Forward transform, divided by N³. Multi-threaded (rayon).
pub fn forward3(_map: &Array3<f64>) -> HalfComplex3 {
    todo!()
}

/// Inverse transform, unscaled; `n` is the real side length. Multi-threaded.
pub fn inverse3(_transform: HalfComplex3, _n: usize) -> Array3<f64> {
    todo!()
}
