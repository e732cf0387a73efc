//! Prior probabilities of orientations in local searches (spec 01 §4.5).

use super::sampling::Sampling;

/// Widths of the local-search priors, degrees; ≤ 0 = not used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalSearch {
    /// σ of rot.
    pub sigma_rot: f64,
    /// σ of tilt.
    pub sigma_tilt: f64,
    /// σ of psi.
    pub sigma_psi: f64,
}

/// Orientations near a particle's prior and their probabilities; both lists keep index order and sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalOrientations {
    /// (index of coarse direction, prior).
    pub directions: Vec<(usize, f64)>,
    /// (index of coarse psi, prior).
    pub psis: Vec<(usize, f64)>,
}

/// Select directions and psi angles within 3σ of the prior centre (degrees) by the rules of spec 01 §4.5.
pub fn local_orientations(
    _sampling: &Sampling,
    _centre: [f64; 3],
    _search: &LocalSearch,
) -> LocalOrientations {
    todo!()
}
