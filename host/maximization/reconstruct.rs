//! From sums to a map (spec 02 §2.1–2.5).

use super::MaximizationOptions;
use super::density_compensation;
use super::prior::InversePrior;
use super::radial::Radial;
use crate::fourier::backprojection::BackProjection;
use crate::fourier::masks::{for_each_radius, mask_corners};
use crate::fourier::padded;
use crate::fourier::shape::{Dimensions, VolumeShape, gridding_factor};
use gpu::volume::weight_floor;
use ndarray::Array3;
use num_complex::Complex64;
use rayon::prelude::*;

/// Reconstruct a map, or a class average (spec 04 §8).
///
/// `tau2`: regularise with this spectrum (`options.regularise` permitting); None: un-regularised ("unfil") map.
/// `class_weight` only limits magnitudes on the gridding path. Works in place on the sums.
pub fn reconstruct(
    mut sums: BackProjection,
    tau2: Option<&[f64]>,
    class_weight: f64,
    options: &MaximizationOptions,
) -> Array3<f64> {
    let radial = Radial::new(&sums);
    if let Some(tau2) = tau2.filter(|_| options.regularise) {
        let prior = InversePrior::new(tau2, options.tau2_fudge, &sums.shape);
        regularise(&mut sums.weight, &radial, &prior, options.minres_map);
    }
    match options.gridding_iterations {
        Some(iterations) => {
            density_compensation::divide(&mut sums, &radial, class_weight, iterations)
        }
        None => divide(&mut sums, &radial),
    }
    let BackProjection {
        data,
        weight,
        shape,
    } = sums;
    drop(weight);
    let mut map = to_real_space(data, &shape);
    for_each_radius(&mut map, |r, v| {
        *v /= gridding_factor(r, shape.box_size, shape.padding)
    });
    map
}

/// Adds the inverse prior variance to the weights, from shell `first` on (spec 02 §2.1).
pub(super) fn regularise(weight: &mut [f64], radial: &Radial, prior: &InversePrior, first: usize) {
    weight
        .par_chunks_mut(radial.plane())
        .enumerate()
        .for_each(|(z, weight)| {
            radial.voxels(z).for_each(|(r2, i)| {
                if r2 < radial.radius2 {
                    let shell = radial.shell(r2);
                    if shell >= first {
                        weight[i] = prior.regularised(shell, weight[i]);
                    }
                }
            });
        });
}

/// Divides data by weights that are no lower than a thousandth of the mean of their shell (spec 02 §2.2). Nothing is left beyond
/// |v|² ≤ Rp².
fn divide(sums: &mut BackProjection, radial: &Radial) {
    let bins = sums.shape.r_max.max(1);
    let table: Vec<u32> = (0..=radial.radius2)
        .map(|r2| (((r2 as f64).sqrt() / sums.shape.padding) as usize).min(bins - 1) as u32)
        .collect();
    let bin = |r2: i64| table[r2 as usize] as usize;
    let floor: Vec<f64> = radial
        .sum_by(&sums.weight, bins, bin, |_, w| [w, 1.0])
        .into_iter()
        .map(weight_floor)
        .collect();
    sums.data
        .par_chunks_mut(radial.plane())
        .zip(sums.weight.par_chunks(radial.plane()))
        .enumerate()
        .for_each(|(z, (data, weight))| {
            radial.voxels(z).for_each(|(r2, i)| {
                if r2 > radial.radius2 {
                    data[i] = Complex64::default();
                    return;
                }
                let weight = weight[i].max(floor[bin(r2)]);
                if weight > 0.0 {
                    data[i] /= weight;
                }
            });
        });
}

/// Inverse transform, scale, corner mask (spec 02 §2.4 steps 1–5). Nothing may be beyond |v|² ≤ Rp².
pub(super) fn to_real_space(data: Vec<Complex64>, shape: &VolumeShape) -> Array3<f64> {
    let mut map = padded::inverse(data, shape);
    let scale = 1.0 / shape.amplitude_scale();
    match shape.dimensions {
        // Averages have a thread per class.
        Dimensions::Two => map.mapv_inplace(|v| v * scale),
        Dimensions::Three => map.par_mapv_inplace(|v| v * scale),
    }
    mask_corners(&mut map);
    map
}
