//! FSC of two maps, phase randomisation, solvent-corrected FSC (spec 02 §6.4–6.5).

use super::MaximizationError;
use ndarray::Array3;

/// FSC of two N³ maps per shell 0…N/2; NaN where both are empty.
pub fn map_fsc(_map1: &Array3<f64>, _map2: &Array3<f64>) -> Result<Vec<f64>, MaximizationError> {
    todo!()
}

/// Replace all phases at Fourier radii ≥ `shell` by uniform random ones; amplitudes are kept.
pub fn randomise_phases(_map: &Array3<f64>, _shell: usize, _seed: u64) -> Array3<f64> {
    todo!()
}

/// Curves of a phase-randomised correction.
#[derive(Debug, Clone)]
pub struct SolventCorrectedFsc {
    /// Unmasked maps.
    pub unmasked: Vec<f64>,
    /// Masked maps.
    pub masked: Vec<f64>,
    /// Masked maps with phases randomised beyond `randomised_from`; empty if nothing was randomised.
    pub randomised: Vec<f64>,
    /// s_r; None when FSC never fell below 0.8 (then `corrected` = `unmasked`).
    pub randomised_from: Option<usize>,
    /// The curve to use, 0 beyond current size/2.
    pub corrected: Vec<f64>,
}

/// FSC of two un-regularised half maps corrected for the effect of `mask`; zero beyond `current_size`/2.
pub fn solvent_corrected_fsc(
    _half1: &Array3<f64>,
    _half2: &Array3<f64>,
    _mask: &Array3<f64>,
    _current_size: usize,
    _seed: u64,
) -> Result<SolventCorrectedFsc, MaximizationError> {
    todo!()
}
