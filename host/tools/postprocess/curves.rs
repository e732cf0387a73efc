//! FSC curves of post-processing: unmasked, masked, with phases randomised, corrected.

use super::phases::randomise_phases_of_both;
use super::{PostprocessError, PostprocessSettings};
use crate::errors::Code;
use crate::maximization::map_fsc::map_fsc;
use crate::tools::density::is_of_one_map;
use ndarray::Array3;

/// FSC below this is no signal.
const THRESHOLD: f64 = 0.143;

/// FSC per shell 0…N/2; the middle ones only where a mask was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// Of the maps as they are.
    pub unmasked: Vec<f64>,
    /// Of the masked maps.
    pub masked: Option<Vec<f64>>,
    /// Of the masked maps after randomising phases.
    pub randomised: Option<Vec<f64>>,
    /// First shell with random phases.
    pub randomised_from: Option<usize>,
    /// The curve that the resolution is read from.
    pub corrected: Vec<f64>,
}

impl Curves {
    /// Curves of two half maps (spec 02 §7.1 steps 1–3).
    pub(in crate::tools) fn new(
        halves: &[Array3<f64>; 2],
        mask: Option<&Array3<f64>>,
        settings: &PostprocessSettings,
        pixel_size: f64,
        warnings: &mut Vec<String>,
    ) -> Result<Self, PostprocessError> {
        let unmasked = finite(map_fsc(&halves[0], &halves[1])?);
        if is_of_one_map(&unmasked) {
            return Err(Code::MAPS_DIFFER
                .says(format!(
                    "{} and the other half map are the same, or multiples of each other: their FSC is 1 in every shell, \
                     which says nothing about the resolution. Give the unfiltered maps of the two half-sets (--i and --i2)",
                    settings.half1.display()
                ))
                .into());
        }
        let Some(mask) = mask else {
            return Ok(Self {
                corrected: unmasked.clone(),
                unmasked,
                masked: None,
                randomised: None,
                randomised_from: None,
            });
        };
        let extent = halves[0].dim().0 as f64 * pixel_size;
        let from = match settings.randomise_at {
            Some(resolution) => (extent / resolution).floor() as usize,
            None => (1..unmasked.len())
                .find(|&s| unmasked[s] < settings.randomise_below)
                .ok_or_else(|| {
                    Code::SHARPENING.says(format!(
                        "the FSC of the half maps never drops below {}, so phases cannot be randomised from there on; give \
                         --randomize_at_A",
                        settings.randomise_below
                    ))
                })?,
        };
        let masked_fsc = |a: &Array3<f64>, b: &Array3<f64>| -> Result<Vec<f64>, PostprocessError> {
            let mut curve = finite(map_fsc(&(a * mask), &(b * mask))?);
            if curve[0] <= 0.0 {
                curve[0] = 1.0;
            }
            Ok(curve)
        };
        let masked = masked_fsc(&halves[0], &halves[1])?;
        let [random1, random2] = randomise_phases_of_both(halves, from, settings.seed);
        let randomised = masked_fsc(&random1, &random2)?;
        let mut corrected = correct(&masked, &randomised, from);
        let shell = resolution_shell(&corrected);
        if resolution_shell(&unmasked) > shell {
            let text = format!(
                "the unmasked maps reach {:.2} Å, further than the masked ones: the mask is probably wrong",
                extent / resolution_shell(&unmasked) as f64
            );
            if settings.force_mask {
                warnings.push(text);
            } else {
                warnings.push(format!(
                    "{text}; the unmasked curve is used (--force_mask keeps the mask)"
                ));
                corrected.clone_from(&unmasked);
            }
        } else if randomised[shell] > 0.1 {
            warnings.push(format!(
                "with random phases the masked maps still have an FSC of {:.2} at the resolution found: the mask is too tight, \
                 make it softer or wider",
                randomised[shell]
            ));
        }
        Ok(Self {
            unmasked,
            masked: Some(masked),
            randomised: Some(randomised),
            randomised_from: Some(from),
            corrected,
        })
    }
}

/// The FSC that the mask alone explains is subtracted from two shells behind the start of randomisation on.
pub(crate) fn correct(masked: &[f64], randomised: &[f64], from: usize) -> Vec<f64> {
    masked
        .iter()
        .zip(randomised)
        .enumerate()
        .map(|(s, (m, r))| {
            if s < from + 2 {
                *m
            } else {
                (m - r) / (1.0 - r)
            }
        })
        .collect()
}

/// Last shell before the curve first falls below 0.143 (0 when shell 0 does).
pub fn resolution_shell(curve: &[f64]) -> usize {
    curve
        .iter()
        .position(|c| *c < THRESHOLD)
        .unwrap_or(curve.len())
        .saturating_sub(1)
}

/// Resolution (Å) of a shell as RELION states it: 999 for shell 0.
pub fn resolution_of_shell(shell: usize, extent: f64) -> f64 {
    match shell {
        0 => 999.0,
        s => extent / s as f64,
    }
}

/// Returns where the curve crosses 0.143, linearly between the last shell above and the first below it, in Å
/// (`--interpolate`); None where it never falls below, or in shell 0 already.
pub fn interpolated_resolution(curve: &[f64], extent: f64) -> Option<f64> {
    let below = curve.iter().position(|c| *c < THRESHOLD)?;
    let above = below.checked_sub(1)?;
    let step = (curve[above] - THRESHOLD) / (curve[above] - curve[below]);
    Some(extent / (above as f64 + step))
}

/// Empty shells correlate with nothing.
fn finite(mut curve: Vec<f64>) -> Vec<f64> {
    for value in curve.iter_mut().filter(|v| v.is_nan()) {
        *value = 0.0;
    }
    curve
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolution_is_the_last_shell_before_the_first_fall() {
        assert_eq!(resolution_shell(&[1.0, 0.9, 0.5, 0.1, 0.8]), 2);
        assert_eq!(resolution_shell(&[1.0, 0.9, 0.5]), 2);
        assert_eq!(resolution_shell(&[0.1, 0.9]), 0);
    }

    #[test]
    fn crossing_is_between_the_shells_around_it() {
        let found = interpolated_resolution(&[1.0, 0.343, 0.043], 100.0).unwrap();
        assert!((found - 100.0 / (1.0 + 0.2 / 0.3)).abs() < 1e-9, "{found}");
        assert_eq!(interpolated_resolution(&[1.0, 0.5], 100.0), None);
        assert_eq!(interpolated_resolution(&[0.0, 0.5], 100.0), None);
        assert_eq!(resolution_of_shell(0, 100.0), 999.0);
    }

    #[test]
    fn correction_starts_two_shells_late_and_is_not_clipped() {
        let found = correct(&[1.0, 0.9, 0.8, 0.6, 0.1], &[1.0, 0.5, 0.5, 0.2, 0.2], 1);
        assert_eq!(&found[..3], &[1.0, 0.9, 0.8]);
        assert!((found[3] - 0.5).abs() < 1e-12);
        assert!((found[4] + 0.125).abs() < 1e-12);
    }
}
