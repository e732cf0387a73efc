//! Spectra of the start-up model (spec 02 §3.7, spec 01 §2.7).

use crate::fourier::fft::forward3;
use crate::fourier::shape::Dimensions;
use crate::fourier::shells::{logical, shell};
use crate::model::Model;
use ndarray::Array3;
use std::sync::Arc;

/// Set τ² (unless `fixed_tau2`: `--tau`) and ssnr of every class from its low-passed reference and the mean noise
/// spectrum; `particles`: number in this half-set.
pub fn initialize_spectra(model: &mut Model, particles: usize, fixed_tau2: bool) {
    let shells = model.box_size / 2 + 1;
    let noise = mean_noise(&model.noise, shells);
    let flat = model.dimensions() == Dimensions::Two;
    // A central slice of a map of N³ has N² times the power per pixel; a class average is compared as it is.
    let slices = match flat {
        true => 1.0,
        false => (model.box_size * model.box_size) as f64,
    };
    let mut before: Option<(Arc<Array3<f64>>, Vec<f64>)> = None;
    for class in &mut model.classes {
        if !fixed_tau2 {
            // Classes that begin as one map have one spectrum, and to transform a map takes long.
            let known = before
                .take()
                .filter(|(map, _)| Arc::ptr_eq(map, &class.map));
            let (map, power) = known.unwrap_or_else(|| (class.map.clone(), power(&class.map)));
            class.tau2 = power
                .iter()
                .map(|p| model.tau2_fudge * 0.5 * slices * p)
                .collect();
            before = Some((map, power));
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

/// Mean |F|² per shell 0…N/2 of the plain transform, over all stored coefficients.
fn power(map: &Array3<f64>) -> Vec<f64> {
    let (sections, n, _) = map.dim();
    let mut sums = vec![[0.0; 2]; n / 2 + 1];
    for ((z, y, x), value) in forward3(map).indexed_iter() {
        let r2 = logical(z, sections).pow(2) + logical(y, n).pow(2) + (x * x) as i64;
        if let Some(sum) = sums.get_mut(shell(r2)) {
            sum[0] += value.norm_sqr();
            sum[1] += 1.0;
        }
    }
    sums.into_iter().map(|[sum, count]| sum / count).collect()
}
