//! The reference as an oversampled, half-complex Fourier volume that slices are cut from (spec 01 §1.5).

use ndarray::Array3;
use num_complex::Complex32;

/// Oversampled transform of a reference: logical z, y in −h…h, x in 0…h with h = (side−1)/2, x fastest.
#[derive(Debug, Clone)]
pub struct ReferenceVolume {
    /// Values, `side · side · (side/2+1)`.
    pub data: Vec<Complex32>,
    /// 2(ROUND(P·r_max)+1)+1.
    pub side: usize,
    /// r_max = min(S/2, N/2), unpadded shells.
    pub r_max: usize,
    /// Effective padding factor P = N_P/N.
    pub padding: f64,
}

/// A reference ready for projection, with the power spectrum measured on the way.
pub struct PreparedReference {
    /// Fourier volume.
    pub volume: ReferenceVolume,
    /// Half the mean |F|² per shell 0…N/2 (τ² of classification; spec 01 §1.5 step 6).
    pub power: Vec<f64>,
}

/// Gridding-correct, pad, transform and crop a map for current size `current_size` (spec 01 §1.5 steps 1–7).
/// `lowres_limit_shell`: shells up to this one are zeroed after the spectrum (`--strict_lowres_exp`).
pub fn prepare(
    _map: &Array3<f64>,
    _padding: f64,
    _current_size: usize,
    _lowres_limit_shell: Option<usize>,
) -> PreparedReference {
    todo!()
}
