//! Factors that undo what an optics group did to its images (spec 01 §3.7).

use super::mtf::MtfCorrection;
use super::{OpticsError, antisymmetric_phase};
use crate::dataset::OpticsGroup;
use num_complex::Complex32;

/// Factors of Fourier pixels (x, y) of the images of optics group `group` that undo anti-symmetric aberrations and bring
/// detectors to a common transfer, in the order of `pixels`; None where there is nothing to undo.
///
/// # Errors
/// The MTF of a detector cannot be used.
pub fn demodulation(
    optics: &[OpticsGroup],
    group: usize,
    pixels: impl Iterator<Item = (i32, i32)>,
) -> Result<Option<Vec<Complex32>>, OpticsError> {
    let phase = antisymmetric_phase(&optics[group]);
    let transfer = MtfCorrection::new(optics, group)?;
    if phase.is_none() && transfer.is_none() {
        return Ok(None);
    }
    let side = optics[group].box_size as f64 * optics[group].pixel_size;
    let factor = |(x, y): (i32, i32)| {
        let (sin, cos) = phase.as_ref().map_or(0.0, |phase| -phase(x, y)).sin_cos();
        let gain = transfer
            .as_ref()
            .map_or(1.0, |t| t.factor(f64::from(x).hypot(f64::from(y)) / side));
        Complex32::new((gain * cos) as f32, (gain * sin) as f32)
    };
    Ok(Some(pixels.map(factor).collect()))
}
