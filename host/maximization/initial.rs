//! Spectra of the start-up model (spec 02 §3.7, spec 01 §2.7).

use crate::fourier::fft::forward3;
use crate::fourier::shape::Dimensions;
use crate::fourier::shells::{logical, shell};
use crate::model::Model;
use ndarray::{Array3, Axis};
use rayon::prelude::*;
use std::sync::Arc;

/// Set τ² (unless `fixed_tau2`: `--tau`) and ssnr of every class from its low-passed reference and the mean noise
/// spectrum; `particles`: number in this half-set.
pub fn initialize_spectra(
    model: &mut Model,
    particles: usize,
    fixed_tau2: bool,
    powers: &mut MapPowers,
) {
    let shells = model.box_size / 2 + 1;
    let noise = mean_noise(&model.noise, shells);
    let flat = model.dimensions() == Dimensions::Two;
    // A central slice of a map of N³ has N² times the power per pixel; a class average is compared as it is.
    let slices = match flat {
        true => 1.0,
        false => (model.box_size * model.box_size) as f64,
    };
    for class in &mut model.classes {
        if !fixed_tau2 {
            class.tau2 = powers
                .of(&class.map)
                .iter()
                .map(|p| model.tau2_fudge * 0.5 * slices * p)
                .collect();
        }
        class.ssnr = (0..shells)
            .map(|s| {
                if noise[s] <= 0.0 {
                    return 0.0;
                }
                let voxels_per_pixel = if s > 0 && !flat { 2.0 * s as f64 } else { 1.0 };
                let evidence = particles as f64 * class.fraction / noise[s] / voxels_per_pixel;
                evidence * class.tau2[s]
            })
            .collect();
    }
}

/// Plain mean over the optics groups that have a noise spectrum.
fn mean_noise(noise: &[Vec<f64>], shells: usize) -> Vec<f64> {
    let known: Vec<_> = noise
        .iter()
        .filter(|n| n.iter().any(|v| *v > 0.0))
        .collect();
    (0..shells)
        .map(|s| known.iter().map(|n| n[s]).sum::<f64>() / known.len().max(1) as f64)
        .collect()
}

/// Power spectrum of the last map that was asked for: classes and half-sets start from the same map, and its transform takes long.
#[derive(Debug, Default)]
pub struct MapPowers(Option<(Arc<Array3<f64>>, Vec<f64>)>);

impl MapPowers {
    fn of(&mut self, map: &Arc<Array3<f64>>) -> &[f64] {
        let is_known = |(known, _): &(Arc<_>, _)| Arc::ptr_eq(known, map);
        if !self.0.as_ref().is_some_and(is_known) {
            self.0 = None;
        }
        let (_, power) = self.0.get_or_insert_with(|| (map.clone(), power(map)));
        power
    }
}

/// Mean |F|² per shell 0…N/2 of the plain transform, over all stored coefficients.
fn power(map: &Array3<f64>) -> Vec<f64> {
    let (sections, n, _) = map.dim();
    let transform = forward3(map);
    let planes = transform.axis_iter(Axis(0)).into_par_iter().enumerate();
    let of_planes: Vec<Vec<[f64; 2]>> = planes
        .map(|(z, plane)| {
            let mut sums = vec![[0.0; 2]; n / 2 + 1];
            for ((y, x), value) in plane.indexed_iter() {
                let r2 = logical(z, sections).pow(2) + logical(y, n).pow(2) + (x * x) as i64;
                if let Some(sum) = sums.get_mut(shell(r2)) {
                    sum[0] += value.norm_sqr();
                    sum[1] += 1.0;
                }
            }
            sums
        })
        .collect();
    // Plane after plane: the spectrum does not depend on the number of threads.
    let total = |s: usize| {
        let add = |[a, b]: [f64; 2], plane: &Vec<[f64; 2]>| [a + plane[s][0], b + plane[s][1]];
        of_planes.iter().fold([0.0; 2], add)
    };
    (0..=n / 2)
        .map(total)
        .map(|[sum, count]| sum / count)
        .collect()
}
