//! Noise, scales, fractions, direction priors, offsets, averages from the sums (spec 01 §7.8, spec 02 §3.8).

use crate::expectation::WeightedSums;
use crate::model::Model;

/// Which parameters are updated, and limits.
#[derive(Debug, Clone)]
pub struct ParameterOptions {
    /// Update the mean normalisation (`--norm`).
    pub norm: bool,
    /// Update group scales (`--scale`); never in a CC iteration.
    pub scale: bool,
    /// The iteration used the cross-correlation criterion: noise and scales are left alone.
    pub cross_correlation: bool,
    /// `--fix_sigma_noise`.
    pub fix_sigma_noise: bool,
    /// `--fix_sigma_offset`.
    pub fix_sigma_offset: bool,
    /// Å².
    pub min_sigma2_offset: f64,
    /// Update direction priors (off with `--skip_align`, `--skip_rotate`).
    pub directions: bool,
    /// Per optics group: data are CTF-premultiplied.
    pub premultiplied: Vec<bool>,
}

/// Update all model parameters other than the maps and their spectra.
pub fn update_parameters(_model: &mut Model, _sums: &WeightedSums, _options: &ParameterOptions) {
    todo!()
}

/// Number of half-plane pixels per shell 0…N/2 of the model box (spec 01 §1.6).
pub fn pixels_per_shell(_box_size: usize) -> Vec<f64> {
    todo!()
}
