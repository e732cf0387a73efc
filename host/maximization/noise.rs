//! The spectra of the noise from the residuals of all particles (spec 01 §7.8, spec 02 §3.8).

use super::parameters::ParameterOptions;
use crate::expectation::WeightedSums;
use crate::fourier::shells::pixels_per_shell;
use crate::model::Model;

/// Updates σ² of the noise; optics groups without weight or residuals keep theirs.
pub(super) fn update(model: &mut Model, sums: &WeightedSums, options: &ParameterOptions) {
    let pixels = pixels_per_shell(model.box_size);
    let premultiplied = options.premultiplied.contains(&true);
    for ((noise, residual), &weight) in model
        .noise
        .iter_mut()
        .zip(&sums.noise)
        .zip(&sums.noise_weight)
    {
        if weight <= 0.0 || residual.iter().all(|v| *v == 0.0) {
            continue;
        }
        for shell in 0..noise.len() {
            let found = residual[shell] / (2.0 * weight * pixels[shell]);
            let mut value = options.mean(noise[shell], found);
            if premultiplied {
                value = value.max(1e-15);
            }
            if value < 1e-14 && shell > 0 {
                value = noise[shell - 1];
            }
            noise[shell] = value;
        }
    }
}
