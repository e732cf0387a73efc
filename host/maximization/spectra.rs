//! Radial statistics of the symmetrised sums: σ², τ², data-versus-prior, coverage (spec 02 §3.1–3.5).

use super::MaximizationError;
use crate::expectation::WeightedSums;
use crate::fourier::backprojection::BackProjection;

/// σ² of the reconstruction per shell 0…N/2 (spec 02 §3.1).
pub fn sigma2(_sums: &BackProjection, _box_size: usize) -> Result<Vec<f64>, MaximizationError> {
    todo!()
}

/// τ² and ssnr from an FSC curve (spec 02 §3.4); `joined`: the curve is turned into that of the whole data.
pub fn tau2_from_fsc(
    _fsc: &[f64],
    _sigma2: &[f64],
    _tau2_fudge: f64,
    _joined: bool,
) -> (Vec<f64>, Vec<f64>) {
    todo!()
}

/// Data versus prior per shell for a given τ² (spec 02 §3.2).
pub fn data_versus_prior(
    _sums: &BackProjection,
    _tau2: &[f64],
    _tau2_fudge: f64,
    _average_ctf2: Option<&[f64]>,
) -> Vec<f64> {
    todo!()
}

/// Share of the voxels of each shell whose weight is at least that of the prior (spec 02 §3.5).
pub fn coverage(_sums: &BackProjection, _tau2: &[f64], _tau2_fudge: f64) -> Vec<f64> {
    todo!()
}

/// Mean CTF² per shell over all optics groups, for premultiplied data (spec 02 §3.2).
pub fn average_ctf2(_sums: &WeightedSums, _box_size: usize) -> Vec<f64> {
    todo!()
}
