//! Back-projection sums A (data) and W (weight) on the oversampled half-complex grid (spec 02 §1).

use num_complex::Complex64;

/// Weighted sums in Fourier space; layout as `ReferenceVolume`.
#[derive(Debug, Clone)]
pub struct BackProjection {
    /// Σ γ c X/σ².
    pub data: Vec<Complex64>,
    /// Σ γ c²/σ².
    pub weight: Vec<f64>,
    /// 2(ROUND(P·r_max)+1)+1.
    pub side: usize,
    /// r_max in unpadded shells.
    pub r_max: usize,
    /// Padding factor P.
    pub padding: f64,
}

impl BackProjection {
    /// Zeroed sums for a box `n`, padding and current size (spec 02 §1.1).
    pub fn new(_box_size: usize, _padding: f64, _current_size: usize) -> Self {
        todo!()
    }
}
