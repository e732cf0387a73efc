//! The reference as an oversampled, half-complex Fourier volume that slices are cut from (spec 01 §1.5).

use super::shells::round;
use ndarray::Array3;
use num_complex::Complex32;

/// Oversampled transform of a reference: logical z, y in −h…h, x in 0…h with h = (side−1)/2, x fastest:
/// index = ((z+h)·side + (y+h))·(h+1) + x.
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

/// Sizes shared by reference volumes and back-projection sums (spec 01 §1.5 steps 2 and 4, spec 02 §1.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VolumeShape {
    /// Side 2(ROUND(P·r_max)+1)+1 of the full cube.
    pub side: usize,
    /// r_max = min(S/2, N/2); S = 0 means N.
    pub r_max: usize,
    /// Effective P = N_P/N.
    pub padding: f64,
    /// Side N_P of the padded real-space box (even).
    pub padded_box: usize,
}

/// Shape of a reference volume or back-projection for box N, `--pad` and current size.
pub fn volume_shape(box_size: usize, padding: f64, current_size: usize) -> VolumeShape {
    let mut padded_box = round(padding * box_size as f64) as usize;
    padded_box += padded_box % 2;
    // The effective factor is a single-precision number in the reference program.
    let padding = f64::from(padded_box as f32 / box_size as f32);
    let r_max = if current_size == 0 {
        box_size / 2
    } else {
        (current_size / 2).min(box_size / 2)
    };
    VolumeShape {
        side: 2 * (round(padding * r_max as f64) as usize + 1) + 1,
        r_max,
        padding,
        padded_box,
    }
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
