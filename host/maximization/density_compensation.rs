//! Iterative density compensation (`--dont_skip_gridding`; spec 02 §2.3, after Pipe & Menon and Matej).

use super::radial::Radial;
use crate::fourier::backprojection::BackProjection;
use crate::fourier::fft;
use crate::fourier::shells::{logical, stored};
use gpu::volume::{BLOB_SAMPLES, blob_sample};
use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis};
use num_complex::Complex64;
use rayon::slice::ParallelSliceMut;
use std::f64::consts::PI;

/// Radius of the blob, padded voxels: 1.9·2 whatever the padding.
const RADIUS: f64 = 3.8;
/// α of the blob (order 0).
const ALPHA: f64 = 15.0;

/// Turn the data into A·D, D the density compensation found in `iterations` rounds.
pub(super) fn divide(
    sums: &mut BackProjection,
    radial: &Radial,
    class_weight: f64,
    iterations: usize,
) {
    if class_weight > 0.0 {
        sums.data.par_iter_mut().for_each(|a| *a /= class_weight);
        sums.weight.par_iter_mut().for_each(|w| *w /= class_weight);
    }
    let density = densities(radial, &sums.weight, iterations, sums.shape.padded_box);
    sums.data
        .par_iter_mut()
        .zip(&density)
        .for_each(|(a, d)| *a *= d);
}

/// D of every voxel after `iterations` rounds; 0 outside of the sphere.
pub(super) fn densities(
    radial: &Radial,
    weight: &[f64],
    iterations: usize,
    padded_box: usize,
) -> Vec<f64> {
    let blob = BlobTransform::new(padded_box);
    let plane = radial.plane();
    let mut density = vec![0.0; weight.len()];
    density
        .par_chunks_mut(plane)
        .enumerate()
        .for_each(|(z, density)| {
            for (r2, i) in radial.voxels(z) {
                if r2 < radial.radius2 {
                    density[i] = 1.0;
                }
            }
        });
    for _ in 0..iterations {
        let convolved = blob.convolve(radial, &density, weight);
        density
            .par_chunks_mut(plane)
            .enumerate()
            .for_each(|(z, density)| {
                let width = radial.half as usize + 1;
                let z_fft = stored(z as i64 - radial.half, radial.side);
                for (r2, i) in radial.voxels(z) {
                    if r2 < radial.radius2 {
                        let y = stored((i / width) as i64 - radial.half, radial.side);
                        density[i] /= convolved[[z_fft, y, i % width]].norm().max(1e-6);
                    }
                }
            });
    }
    density
}

/// Plane of the sums for plane `z` of an FFT-ordered array.
fn sums_plane(z: usize, radial: &Radial) -> usize {
    (logical(z, radial.side) + radial.half) as usize
}

/// Fourier transform of a Kaiser–Bessel blob relative to its value at the origin, tabulated: [`BLOB_SAMPLES`] values.
pub(super) fn blob_table() -> Vec<f64> {
    let origin = transform(0.0);
    let step = 0.5 / f64::from(BLOB_SAMPLES);
    (0..BLOB_SAMPLES)
        .map(|i| transform(f64::from(i) * step) / origin)
        .collect()
}

/// The table with the scale of its samples.
struct BlobTransform {
    table: Vec<f64>,
    /// N·p, voxels.
    padded_box: usize,
}

impl BlobTransform {
    fn new(padded_box: usize) -> Self {
        Self {
            table: blob_table(),
            padded_box,
        }
    }

    /// Value at a distance of √`r2` voxels from the origin of the padded real-space grid.
    fn at(&self, r2: i64) -> f64 {
        let sample = blob_sample(r2 as u32, self.padded_box as u32);
        self.table.get(sample as usize).copied().unwrap_or(0.0)
    }

    /// D·W convolved with the blob, in FFT order.
    fn convolve(&self, radial: &Radial, density: &[f64], weight: &[f64]) -> Array3<Complex64> {
        let (side, width) = (radial.side, radial.half as usize + 1);
        let mut product = Array3::<Complex64>::zeros((side, side, width));
        product
            .axis_iter_mut(Axis(0))
            .into_par_iter()
            .enumerate()
            .for_each(|(z, mut plane)| {
                let from = sums_plane(z, radial) * radial.plane();
                for ((y, x), value) in plane.indexed_iter_mut() {
                    let i = from + (logical(y, side) + radial.half) as usize * width + x;
                    *value = Complex64::new(density[i] * weight[i], 0.0);
                }
            });
        let mut real = fft::inverse3(product, side);
        real.axis_iter_mut(Axis(0))
            .into_par_iter()
            .enumerate()
            .for_each(|(z, mut plane)| {
                let z2 = logical(z, side).pow(2);
                for ((y, x), value) in plane.indexed_iter_mut() {
                    let r2 = z2 + logical(y, side).pow(2) + logical(x, side).pow(2);
                    *value *= self.at(r2);
                }
            });
        fft::forward3(&real)
    }
}

/// Transform of the blob at frequency `w`, up to a constant: I_{3/2}(z)/z^{3/2}, J_{3/2} beyond 2πρw = α.
fn transform(w: f64) -> f64 {
    let k = 2.0 * PI * RADIUS * w;
    let z2 = ALPHA * ALPHA - k * k;
    let z = z2.abs().sqrt();
    if z < 1e-3 {
        // Both branches approach 1/3 of √(2/π).
        return (2.0 / PI).sqrt() / 3.0;
    }
    let half_integer = if z2 > 0.0 {
        z.cosh() - z.sinh() / z
    } else {
        z.sin() / z - z.cos()
    };
    (2.0 / PI).sqrt() * half_integer / (z * z)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blob_transform_is_smooth_where_the_branches_meet() {
        let meeting = ALPHA / (2.0 * PI * RADIUS);
        let values = [-2e-6, -1e-9, 1e-9, 2e-6].map(|d| transform(meeting + d));
        for pair in values.windows(2) {
            assert!((pair[0] / pair[1] - 1.0).abs() < 1e-3, "{values:?}");
        }
        let blob = BlobTransform::new(64);
        assert_eq!(blob.at(0), 1.0);
        assert!(blob.at(10 * 10) > blob.at(11 * 11));
        assert_eq!(blob.at(32 * 32), 0.0);
    }
}
