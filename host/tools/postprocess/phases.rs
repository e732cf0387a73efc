//! Random phases drawn in RELION's order from the C library's generator, so that the curves of a run can be compared with
//! RELION's shell by shell (spec 02 §6.5, 06 §10).

use crate::fourier::fft::{forward3, inverse3};
use crate::fourier::shells::logical;
use crate::geometry::random::CRandom;
use ndarray::Array3;
use num_complex::Complex64;
use std::f32::consts::PI;

/// Returns both half maps with the phases of all Fourier components at radii ≥ `shell` replaced by random ones: those of
/// half 1 first, component by component with x fastest; amplitudes stay.
pub(crate) fn randomise_phases_of_both(
    halves: &[Array3<f64>; 2],
    shell: usize,
    seed: u32,
) -> [Array3<f64>; 2] {
    let mut random = CRandom::new(seed);
    let limit2 = (shell * shell) as i64;
    [0, 1].map(|half| {
        let map = &halves[half];
        let n = map.dim().0;
        let mut transform = forward3(map);
        for ((z, y, x), value) in transform.indexed_iter_mut() {
            let r2 = logical(z, n).pow(2) + logical(y, n).pow(2) + (x * x) as i64;
            if r2 >= limit2 {
                let phase = random.uniform(0.0, 2.0 * PI);
                *value = Complex64::from_polar(value.norm(), f64::from(phase));
            }
        }
        inverse3(transform, n)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maximization::map_fsc::map_fsc;
    use gpu::random::uniform;

    #[test]
    fn low_shells_stay_and_high_ones_lose_their_phases() {
        let n = 24;
        let map = Array3::from_shape_fn((n, n, n), |(z, y, x)| {
            uniform(3, ((z * n + y) * n + x) as u64) - 0.5
        });
        let halves = [map.clone(), map];
        let random = randomise_phases_of_both(&halves, 5, 0);
        let curve = map_fsc(&halves[0], &random[0]).unwrap();
        assert!(curve[..4].iter().all(|c| (c - 1.0).abs() < 1e-9));
        assert!(curve[7..].iter().all(|c| c.abs() < 0.35), "{curve:?}");
        // The halves get phases of their own, and a seed always the same.
        let between = map_fsc(&random[0], &random[1]).unwrap();
        assert!(between[7..].iter().all(|c| c.abs() < 0.35), "{between:?}");
        assert_eq!(random, randomise_phases_of_both(&halves, 5, 0));
        assert_ne!(random, randomise_phases_of_both(&halves, 5, 2));
    }
}
