//! Curves of the half maps that several checks look at.

use super::ValidateError;
use super::inputs::Inputs;
use crate::errors::{Code, Coded};
use crate::fourier::fft::{HalfComplex3, forward3};
use crate::fourier::shells::{logical, shell};
use crate::tools::postprocess::{
    Curves, PostprocessSettings, resolution_of_shell, resolution_shell,
};
use std::path::PathBuf;

/// Measurements on the half maps.
pub(super) struct Measured {
    /// FSC per shell, with and without the mask.
    pub curves: Curves,
    /// FSC within the mask.
    pub masked: Vec<f64>,
    /// The same with random phases.
    pub randomised: Vec<f64>,
    /// Last shell before the corrected curve falls below 0.143.
    pub shell: usize,
    /// Its resolution, Å.
    pub resolution: f64,
    /// Independent Fourier components per shell of the unmasked maps.
    pub components: Vec<f64>,
    /// For the user.
    pub warnings: Vec<String>,
}

/// Measures the curves, as post-processing does.
pub(super) fn measure(inputs: &Inputs) -> Result<Measured, ValidateError> {
    let mut warnings = Vec::new();
    let mut settings = PostprocessSettings::new(inputs.half1.clone(), PathBuf::new());
    settings.force_mask = true;
    let new = |settings: &PostprocessSettings, warnings: &mut Vec<String>| {
        let mask = Some(&inputs.support.mask);
        Curves::new(&inputs.halves, mask, settings, inputs.pixel_size, warnings)
    };
    // Where the FSC never falls to 0.8, phases are randomised in the upper half of the shells.
    let curves = match new(&settings, &mut warnings) {
        Ok(curves) => curves,
        Err(error) if error.code() == Code::SHARPENING => {
            settings.randomise_at = Some(4.0 * inputs.pixel_size);
            new(&settings, &mut warnings).map_err(|e| ValidateError::of(&e))?
        }
        Err(error) => return Err(ValidateError::of(&error)),
    };
    let shell = resolution_shell(&curves.corrected);
    Ok(Measured {
        masked: curves.masked.clone().unwrap_or_default(),
        randomised: curves.randomised.clone().unwrap_or_default(),
        shell,
        resolution: resolution_of_shell(shell, inputs.extent()),
        components: components(inputs.n()),
        curves,
        // What these say of the mask is a check of its own.
        warnings: Vec::new(),
    })
}

/// Number of components of half of Fourier space per shell 0…N/2.
fn components(n: usize) -> Vec<f64> {
    let mut count = vec![0.0; n / 2 + 1];
    for z in 0..n {
        for y in 0..n {
            for x in 0..=n / 2 {
                let r2 = logical(z, n).pow(2) + logical(y, n).pow(2) + (x * x) as i64;
                if let Some(count) = count.get_mut(shell(r2)) {
                    // The plane x = 0 holds each component twice.
                    *count += if x == 0 { 0.5 } else { 1.0 };
                }
            }
        }
    }
    count
}

/// Transforms of both half maps times the mask.
pub(super) fn masked_transforms(inputs: &Inputs) -> [HalfComplex3; 2] {
    inputs
        .halves
        .each_ref()
        .map(|half| forward3(&(half * &inputs.support.mask)))
}
