//! The inverse prior variance that regularises a reconstruction (spec 02 §2.1).

use crate::fourier::shape::VolumeShape;
use gpu::volume::{NO_POWER, evidence_ratio, regularised};

/// Stands for 1/(c_p·T·τ²) where a shell has no prior power.
const NO_PRIOR: f64 = -1.0;

/// The inverse prior variance I of every shell; what it does to a voxel is in [`gpu::volume`].
pub(super) struct InversePrior {
    /// 1/(c_p·T·τ²) per shell, or [`NO_PRIOR`].
    inverse: Vec<f64>,
}

impl InversePrior {
    /// For τ² per shell and sums of `shape`; shells beyond the end of `tau2` have no power.
    pub(super) fn new(tau2: &[f64], tau2_fudge: f64, shape: &VolumeShape) -> Self {
        let factor = shape.oversampling() * tau2_fudge;
        let inverse = |&t: &f64| match t > NO_POWER {
            true => 1.0 / (factor * t),
            false => NO_PRIOR,
        };
        Self {
            inverse: tau2.iter().map(inverse).collect(),
        }
    }

    /// The values per shell, as kernels take them in double precision.
    pub(super) fn per_shell(&self) -> &[f64] {
        &self.inverse
    }

    /// The values per shell as other kernels take them.
    pub(super) fn for_kernels(&self) -> Vec<f32> {
        self.inverse.iter().map(|&v| v as f32).collect()
    }

    /// Returns W + I of a voxel with weight W.
    pub(super) fn regularised(&self, shell: usize, weight: f64) -> f64 {
        regularised(weight, self.of_shell(shell))
    }

    /// Returns W/I of a voxel with weight W; 0 where I is 0.
    pub(super) fn ratio(&self, shell: usize, weight: f64) -> f64 {
        evidence_ratio(weight, self.of_shell(shell))
    }

    fn of_shell(&self, shell: usize) -> f64 {
        self.inverse.get(shell).copied().unwrap_or(NO_PRIOR)
    }
}
