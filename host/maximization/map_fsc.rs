//! FSC of two maps, phase randomisation, solvent-corrected FSC (spec 02 §6.4–6.5).

use super::MaximizationError;
use crate::errors::Code;
use crate::fourier::fft::{HalfComplex3, forward3, inverse3};
use crate::fourier::shells::{logical, shell};
use gpu::random::uniform;
use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis};
use num_complex::Complex64;

/// FSC above which phases count as meaningful: randomisation starts below it.
const RANDOMISE_BELOW: f64 = 0.8;

/// FSC of two N³ maps per shell 0…N/2; NaN where both are empty.
pub fn map_fsc(map1: &Array3<f64>, map2: &Array3<f64>) -> Result<Vec<f64>, MaximizationError> {
    if map1.dim() != map2.dim() {
        return Err(Code::MAPS_DIFFER
            .says(format!(
                "maps of {} and {} voxels a side cannot be compared: both must have one box.",
                map1.dim().0,
                map2.dim().0
            ))
            .into());
    }
    Ok(transform_fsc(&forward3(map1), &forward3(map2)))
}

fn transform_fsc(a: &HalfComplex3, b: &HalfComplex3) -> Vec<f64> {
    let n = a.dim().0;
    let mut sums = vec![[0.0; 3]; n / 2 + 1];
    for (((z, y, x), a), b) in a.indexed_iter().zip(b) {
        let r2 = logical(z, n).pow(2) + logical(y, n).pow(2) + (x * x) as i64;
        if let Some(sum) = sums.get_mut(shell(r2)) {
            sum[0] += (a.conj() * b).re;
            sum[1] += a.norm_sqr();
            sum[2] += b.norm_sqr();
        }
    }
    curve_of(&sums)
}

/// FSC from Σ Re(a·b*), Σ|a|², Σ|b|² per shell.
pub(super) fn curve_of(sums: &[[f64; 3]]) -> Vec<f64> {
    sums.iter()
        .map(|[cross, p1, p2]| cross / (p1 * p2).sqrt())
        .collect()
}

/// Replace all phases at Fourier radii ≥ `shell` by uniform random ones; amplitudes are kept.
pub fn randomise_phases(map: &Array3<f64>, shell: usize, seed: u64) -> Array3<f64> {
    let n = map.dim().0;
    let limit2 = (shell * shell) as i64;
    let mut transform = forward3(map);
    transform
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .enumerate()
        .for_each(|(z, mut plane)| {
            let z2 = logical(z, n).pow(2);
            for ((y, x), value) in plane.indexed_iter_mut() {
                if z2 + logical(y, n).pow(2) + (x * x) as i64 >= limit2 {
                    let at = ((z * n + y) * n + x) as u64;
                    let phase = 2.0 * std::f64::consts::PI * uniform(seed, at);
                    *value = Complex64::from_polar(value.norm(), phase);
                }
            }
        });
    inverse3(transform, n)
}

/// Curves of a phase-randomised correction.
#[derive(Debug, Clone)]
pub struct SolventCorrectedFsc {
    /// Unmasked maps.
    pub unmasked: Vec<f64>,
    /// Masked maps.
    pub masked: Vec<f64>,
    /// Masked maps with phases randomised beyond `randomised_from`; empty if nothing was randomised.
    pub randomised: Vec<f64>,
    /// s_r; None when FSC never fell below 0.8 (then `corrected` = `unmasked`).
    pub randomised_from: Option<usize>,
    /// The curve to use, 0 beyond current size/2.
    pub corrected: Vec<f64>,
}

/// FSC of two un-regularised half maps corrected for the effect of `mask`; zero beyond `current_size`/2.
pub fn solvent_corrected_fsc(
    half1: &Array3<f64>,
    half2: &Array3<f64>,
    mask: &Array3<f64>,
    current_size: usize,
    seed: u64,
) -> Result<SolventCorrectedFsc, MaximizationError> {
    if mask.dim() != half1.dim() {
        return Err(Code::MAPS_DIFFER.says(format!(
            "the solvent mask has {} voxels a side but the half maps have {}: both must have one box.",
            mask.dim().0,
            half1.dim().0
        )).into());
    }
    let seeds = seeds(seed);
    corrected(current_size, |curve| match curve {
        Curve::Unmasked => map_fsc(half1, half2),
        Curve::Masked => map_fsc(&(half1 * mask), &(half2 * mask)),
        Curve::Randomised { from } => {
            let random1 = randomise_phases(half1, from, seeds[0]);
            let random2 = randomise_phases(half2, from, seeds[1]);
            map_fsc(&(random1 * mask), &(random2 * mask))
        }
    })
}

/// Seeds of the phases of both halves.
pub(super) fn seeds(seed: u64) -> [u64; 2] {
    [2 * seed, 2 * seed + 1]
}

/// A curve of two half maps that the correction is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    /// Of the maps.
    Unmasked,
    /// Of the maps within the mask.
    Masked,
    /// Of the maps with random phases from a shell on, within the mask.
    Randomised {
        /// The shell.
        from: usize,
    },
}

/// The correction, from curves that `curve` works out.
pub(super) fn corrected(
    current_size: usize,
    curve: impl Fn(Curve) -> Result<Vec<f64>, MaximizationError>,
) -> Result<SolventCorrectedFsc, MaximizationError> {
    let unmasked = curve(Curve::Unmasked)?;
    let masked = curve(Curve::Masked)?;
    let randomised_from = (1..unmasked.len()).find(|&s| unmasked[s] < RANDOMISE_BELOW);
    let mut randomised = Vec::new();
    let mut corrected = unmasked.clone();
    if let Some(from) = randomised_from {
        randomised = curve(Curve::Randomised { from })?;
        corrected = (0..masked.len())
            .map(|s| correct(masked[s], randomised[s], s < from + 2))
            .collect();
    }
    for value in corrected.iter_mut().skip(current_size / 2 + 1) {
        *value = 0.0;
    }
    Ok(SolventCorrectedFsc {
        unmasked,
        masked,
        randomised,
        randomised_from,
        corrected,
    })
}

/// Subtracts the part of the FSC that the mask alone explains.
fn correct(masked: f64, randomised: f64, keep: bool) -> f64 {
    if keep {
        masked
    } else if randomised > masked {
        0.0
    } else {
        (masked - randomised) / (1.0 - randomised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::masks::{low_pass, soft_sphere};

    fn noise(n: usize, seed: u64) -> Array3<f64> {
        Array3::from_shape_fn((n, n, n), |(z, y, x)| {
            uniform(seed, ((z * n + y) * n + x) as u64) - 0.5
        })
    }

    #[test]
    fn identities_of_the_curve() {
        let (a, b) = (noise(16, 1), noise(16, 2));
        let close = |v: Vec<f64>, to: f64| v.iter().all(|v| (v - to).abs() < 1e-12);
        assert!(close(map_fsc(&a, &a).unwrap(), 1.0));
        assert!(close(map_fsc(&a, &(&a * -2.0)).unwrap(), -1.0));
        assert_eq!(map_fsc(&a, &b).unwrap(), map_fsc(&b, &a).unwrap());
        assert!(map_fsc(&a, &noise(12, 3)).is_err());
    }

    #[test]
    fn randomising_keeps_low_shells_and_decorrelates_high_ones() {
        let map = noise(32, 4);
        let curve = map_fsc(&map, &randomise_phases(&map, 6, 9)).unwrap();
        assert!(curve[..5].iter().all(|v| (v - 1.0).abs() < 1e-9));
        assert!(curve[8..].iter().all(|v| v.abs() < 0.3), "{curve:?}");
    }

    /// Independent noise that shares only a mask: the masked curve is too good, the corrected one is not.
    #[test]
    fn the_correction_removes_what_the_mask_explains() {
        let n = 32;
        let signal = low_pass(&noise(n, 5), 1.0, n as f64 / 5.0);
        let mut mask = Array3::ones((n, n, n));
        soft_sphere(&mut mask, 3.0, 1.0);
        let halves = [6, 7].map(|seed| &signal + &(noise(n, seed) * 0.2 + 0.3));
        let found = solvent_corrected_fsc(&halves[0], &halves[1], &mask, 28, 1).unwrap();
        let from = found.randomised_from.unwrap();
        assert!((4..=7).contains(&from), "{from}");
        assert_eq!(found.corrected[..from + 2], found.masked[..from + 2]);
        let mean = |c: &[f64]| c[from + 2..=14].iter().sum::<f64>() / (13 - from) as f64;
        assert!(mean(&found.masked) > mean(&found.corrected));
        assert!(found.corrected[15..].iter().all(|v| *v == 0.0));
        let same = solvent_corrected_fsc(&halves[0], &halves[0], &mask, 28, 1).unwrap();
        assert_eq!((same.randomised_from, same.corrected[9]), (None, 1.0));
    }
}
