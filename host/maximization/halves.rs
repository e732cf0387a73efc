//! Gold-standard halves: low-resolution join, down-sampled averages and their FSC (spec 02 §3.3, §5.6).

use super::MaximizationError;
use crate::fourier::backprojection::BackProjection;
use num_complex::Complex64;

/// Weighted averages A/W of one half on the unpadded grid, logical z, y in −h…h, x in 0…h with h = R + 1.
#[derive(Debug, Clone, PartialEq)]
pub struct HalfAverage {
    /// (2h+1)·(2h+1)·(h+1) values, x fastest.
    pub data: Vec<Complex64>,
    /// R, unpadded shells.
    pub r_max: usize,
}

/// Shell R_low up to which halves are averaged: `join_resolution` Å (`--low_resol_join_halves`), or the current
/// resolution ν (1/Å, 0 = none yet) if that is worse; never above `r_max`.
pub fn low_resolution_shell(
    _join_resolution: f64,
    _current_resolution: f64,
    _box_size: usize,
    _pixel_size: f64,
    _r_max: usize,
) -> usize {
    todo!()
}

/// Replace A and W of both halves by their means for |v|² ≤ round(p·`shell`)².
pub fn join_low_resolution(
    _half1: &mut BackProjection,
    _half2: &mut BackProjection,
    _shell: usize,
) -> Result<(), MaximizationError> {
    todo!()
}

/// Down-sample symmetrised sums: Σ A / Σ W over the padded voxels that round to one unpadded voxel.
pub fn half_average(_sums: &BackProjection) -> HalfAverage {
    todo!()
}

/// FSC per shell 0…N/2 between two averages; 1 in shell 0, 0 beyond R.
pub fn fsc(
    _half1: &HalfAverage,
    _half2: &HalfAverage,
    _box_size: usize,
) -> Result<Vec<f64>, MaximizationError> {
    todo!()
}
