//! When references are low-passed at `--ini_high` (spec 01 §2.3, spec 02 §3.8).

use crate::maximization::LowPass;
use crate::refinement::settings::Settings;

impl Settings {
    /// Returns the filter of `--ini_high` where it applies: to the references at the start (`iteration` 0), and again after a
    /// first iteration of cross-correlation. Maps, spectra and the current resolution follow it.
    pub fn initial_filter(&self, iteration: usize, pixel_size: f64) -> Option<LowPass> {
        let applies = iteration == 0 || (iteration == 1 && self.first_iteration_cc);
        let resolution = self.initial_low_pass.filter(|_| applies)?;
        Some(LowPass {
            resolution,
            pixel_size,
        })
    }
}
