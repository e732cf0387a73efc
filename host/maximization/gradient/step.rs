//! One damped step of a reference in padded Fourier space (spec 05 §6.4).

use super::super::radial::Radial;
use super::super::reconstruct::to_real_space;
use super::moments::{Direction, amplitude, mean};
use crate::fourier::reference;
use ndarray::Array3;
use rayon::prelude::*;

/// Parameters of the length of a step.
#[derive(Debug, Clone, Copy)]
pub struct StepRule<'a> {
    /// η_k: [`class_step_size`].
    pub step_size: f64,
    /// T.
    pub tau2_fudge: f64,
    /// `rlnGoldStandardFsc` of the class, per shell: no shell counts for less.
    pub fsc: &'a [f64],
}

/// η_k of a class that held this fraction of the particles before the iteration: small classes take shorter steps.
pub fn class_step_size(step_size: f64, classes: usize, fraction: f64) -> f64 {
    let steepness = (3 * classes + 10) as f64;
    step_size * (1.0 - (-steepness * fraction).exp())
}

/// Returns the map (or class average) after a step along `direction`. Shells in which the pseudo-halves do not agree decay.
pub fn step(map: &Array3<f64>, direction: &Direction, rule: &StepRule) -> Array3<f64> {
    let shape = direction.shape;
    let radial = Radial::of(&shape);
    let mut transform = reference::transform(map, &shape);
    let amplitudes = radial.sum_by_shell(&transform, |_, value| [amplitude(value), 1.0]);
    let trust: Vec<f64> = amplitudes
        .into_iter()
        .map(mean)
        .zip(&direction.disagreement)
        .enumerate()
        .map(|(shell, (amplitude, &disagreement))| {
            let least = rule.fsc.get(shell).copied().unwrap_or(0.0);
            shell_trust(amplitude, disagreement, rule.tau2_fudge)
                .max(least)
                .min(1.0)
        })
        .collect();
    transform
        .par_chunks_mut(radial.plane())
        .zip(direction.data.par_chunks(radial.plane()))
        .enumerate()
        .for_each(|(z, (values, direction))| {
            radial.voxels(z).for_each(|(r2, i)| {
                if r2 < radial.radius2 {
                    let f = trust[radial.shell(r2)];
                    let value = &mut values[i];
                    *value += (direction[i] * f - *value * (1.0 - f)) * rule.step_size;
                }
            });
        });
    to_real_space(transform, &shape)
}

/// f = SNR/(1 + SNR) with SNR = 2T·a/ν; 0 where ν is 0.
fn shell_trust(amplitude: f64, disagreement: f64, tau2_fudge: f64) -> f64 {
    if disagreement <= 0.0 {
        return 0.0;
    }
    let snr = 2.0 * tau2_fudge * amplitude / disagreement;
    snr / (1.0 + snr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::shape::{Dimensions, VolumeShape};
    use num_complex::Complex64;

    /// A blob well inside the circle, band-limited.
    fn blob(dimensions: Dimensions, n: usize) -> Array3<f64> {
        let centre = (n / 2) as f64;
        let sections = dimensions.sections(n);
        Array3::from_shape_fn((sections, n, n), |(z, y, x)| {
            let dz = z as f64 - (sections / 2) as f64;
            let r2 = dz * dz + (y as f64 - centre).powi(2) + (x as f64 - centre + 1.0).powi(2);
            (-r2 / 12.5).exp()
        })
    }

    fn direction(
        map: &Array3<f64>,
        shape: VolumeShape,
        factor: f64,
        disagreement: f64,
    ) -> Direction {
        let data = reference::transform(map, &shape);
        Direction {
            data: data.into_iter().map(|v| v * factor).collect(),
            shape,
            disagreement: vec![disagreement; shape.r_max + 1],
            power: 0.0,
        }
    }

    fn relative_l2(a: &Array3<f64>, b: &Array3<f64>) -> f64 {
        let norm = |m: &Array3<f64>| m.iter().map(|v| v * v).sum::<f64>().sqrt();
        norm(&(a - b)) / norm(b)
    }

    /// With full trust a step along the reference itself makes it longer by η; without trust it shrinks by η.
    #[test]
    fn steps_follow_the_direction_and_decay_without_agreement() {
        for dimensions in [Dimensions::Two, Dimensions::Three] {
            let map = blob(dimensions, 24);
            let shape = VolumeShape::new(dimensions, 24, 2.0, 24);
            let full = [1.0; 13];
            let rule = StepRule {
                step_size: 0.25,
                tau2_fudge: 1.0,
                fsc: &full,
            };
            let longer = step(&map, &direction(&map, shape, 1.0, 1.0), &rule);
            assert!(
                relative_l2(&longer, &(&map * 1.25)) < 1e-4,
                "{dimensions:?}"
            );
            let shorter = step(
                &map,
                &direction(&map, shape, 1.0, 0.0),
                &StepRule { fsc: &[], ..rule },
            );
            assert!(
                relative_l2(&shorter, &(&map * 0.75)) < 1e-4,
                "{dimensions:?}"
            );
        }
    }

    #[test]
    fn trust_grows_with_amplitude_and_t() {
        assert_eq!(shell_trust(1.0, 0.0, 1.0), 0.0);
        assert_eq!(shell_trust(1.0, 2.0, 1.0), 0.5);
        assert_eq!(shell_trust(1.0, 2.0, 4.0), 0.8);
    }

    /// Nothing is left of the reference beyond Rp, and elements at exactly Rp keep theirs.
    #[test]
    fn references_are_limited_to_the_current_size() {
        let map = blob(Dimensions::Two, 24);
        let shape = VolumeShape::new(Dimensions::Two, 24, 2.0, 8);
        let mut along = direction(&map, shape, 0.0, 1.0);
        along.data.fill(Complex64::new(1e-3, 0.0));
        let rule = StepRule {
            step_size: 0.5,
            tau2_fudge: 1.0,
            fsc: &[1.0; 13],
        };
        let found = step(&map, &along, &rule);
        // Full size: what the step left out is seen beyond r_max only through the mask of the corners.
        let whole = VolumeShape::new(Dimensions::Two, 24, 2.0, 24);
        let transform = reference::transform(&found, &whole);
        let radial = Radial::of(&whole);
        let shells = radial.sum_by_shell(&transform, |_, v| [v.norm_sqr(), 1.0]);
        assert!(mean(shells[7]) < 1e-3 * mean(shells[2]), "{shells:?}");
    }

    /// Values of spec 05 §6.4.
    #[test]
    fn small_classes_take_shorter_steps() {
        assert!((class_step_size(1.0, 50, 1.0 / 50.0) - 0.96).abs() < 1e-3);
        assert!((class_step_size(1.0, 50, 0.1 / 50.0) - 0.27).abs() < 5e-3);
        assert!((class_step_size(0.5, 1, 1.0) - 0.5).abs() < 2e-6);
    }
}
