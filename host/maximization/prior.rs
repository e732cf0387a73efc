//! The inverse prior variance that regularises a reconstruction (spec 02 §2.1).

/// τ² below this counts as 0.
const NO_POWER: f64 = 1e-20;

/// c_p of a 3D reference.
pub(super) fn oversampling(padding: f64) -> f64 {
    padding.powi(3)
}

/// What I(shell, W) is made of.
pub(super) struct InversePrior {
    /// 1/(c_p·T·τ²) per shell; None where the shell has no prior power.
    inverse: Vec<Option<f64>>,
}

impl InversePrior {
    /// For τ² per shell; shells beyond the end of `tau2` have no power.
    pub fn new(tau2: &[f64], tau2_fudge: f64, padding: f64) -> Self {
        let factor = oversampling(padding) * tau2_fudge;
        Self {
            inverse: tau2
                .iter()
                .map(|&t| (t > NO_POWER).then(|| 1.0 / (factor * t)))
                .collect(),
        }
    }

    /// 1/(c_p·T·τ²) per shell as kernels take it: −1 where the shell has no prior power.
    pub fn for_kernels(&self) -> Vec<f32> {
        self.inverse
            .iter()
            .map(|inverse| inverse.map_or(-1.0, |v| v as f32))
            .collect()
    }

    /// I of a voxel with weight `weight`. A shell without prior power gets 1/(0.001·W): a large penalty where little
    /// was measured.
    pub fn value(&self, shell: usize, weight: f64) -> f64 {
        match self.inverse.get(shell).copied().flatten() {
            Some(inverse) => inverse,
            None if weight > NO_POWER => 1.0 / (0.001 * weight),
            None => 0.0,
        }
    }
}
