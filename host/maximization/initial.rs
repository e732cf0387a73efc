//! Spectra of the start-up model (spec 02 §3.7, spec 01 §2.7).

use crate::model::Model;

/// Set τ² (unless `fixed_tau2`: `--tau`) and ssnr of every class from its low-passed reference and the mean noise
/// spectrum; `particles`: number in this half-set.
pub fn initialize_spectra(_model: &mut Model, _particles: usize, _fixed_tau2: bool) {
    todo!()
}
