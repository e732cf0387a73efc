//! Rotated copies of a map by interpolation in its oversampled Fourier transform (spec 05 §14).

use crate::fourier::fft;
use crate::fourier::reference;
use crate::fourier::shells::{logical, round};
use crate::geometry::{Matrix3, euler};
use gpu::slice::{VolumeShape, slice_value};
use ndarray::Array3;
use ndarray::Axis;
use ndarray::parallel::prelude::*;
use num_complex::Complex64;
use std::f64::consts::TAU;

/// The oversampled transform of a map, from which turned copies are made.
pub struct Turner {
    values: Vec<[f32; 2]>,
    shape: VolumeShape,
    box_size: usize,
    padding: f64,
    r_max: usize,
    /// |p|² (padded voxels) from which the nearest voxel is taken instead of an interpolated value.
    nearest_from: Option<f64>,
}

impl Turner {
    /// Transforms a cubic map, gridding-corrected and padded by `padding`, and keeps shells up to `r_max` (0: all).
    pub fn new(map: &Array3<f64>, padding: f64, r_max: usize) -> Self {
        let volume = reference::prepare(map, padding, 2 * r_max, None).volume;
        Self {
            shape: volume.shape.for_kernels(),
            box_size: volume.shape.box_size,
            padding: volume.shape.padding,
            r_max: volume.shape.r_max,
            values: bytemuck::cast_vec(volume.data),
            nearest_from: None,
        }
    }

    /// Takes the nearest voxel in place of an interpolated value from this shell on.
    pub fn nearest_from(mut self, shell: f64) -> Self {
        self.nearest_from = Some((shell * self.padding).powi(2));
        self
    }

    /// Last shell that is known.
    pub fn r_max(&self) -> usize {
        self.r_max
    }

    /// Returns the matrix that [`Turner::value`] takes for a map turned to the frame of the image, out(r) = in(Aᵀ r).
    pub fn steps(&self, a: &Matrix3) -> Steps {
        let inverse = euler::transpose(a);
        Steps(inverse.map(|row| row.map(|v| (v * self.padding) as f32)))
    }

    /// Transform of the turned map at a frequency (x, y, z) in whole units of 1/(N·pixel): its amplitude times N,
    /// origin at the box centre. 0 beyond the last shell.
    #[inline]
    pub fn value(&self, steps: &Steps, frequency: [f32; 3]) -> [f32; 2] {
        let mut p = steps
            .0
            .map(|row| row[0] * frequency[0] + row[1] * frequency[1] + row[2] * frequency[2]);
        if let Some(from) = self.nearest_from
            && f64::from(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]) >= from
        {
            p = p.map(|v| round(f64::from(v)) as f32);
        }
        slice_value(&self.values, &self.shape, p)
    }

    /// Returns the mean of the map turned by each of the orthogonal matrices, out(r) = in(Aᵀ r), in the box of the map.
    pub fn turned(&self, matrices: &[Matrix3]) -> Array3<f64> {
        self.turned_and_moved(matrices, [0.0; 3])
    }

    /// As [`Turner::turned`], moved by (x, y, z) voxels afterwards.
    pub fn turned_and_moved(&self, matrices: &[Matrix3], shift: [f64; 3]) -> Array3<f64> {
        let n = self.box_size;
        let steps: Vec<Steps> = matrices.iter().map(|a| self.steps(a)).collect();
        let limit = (self.r_max * self.r_max) as i64;
        let scale = 1.0 / (n * matrices.len()) as f64;
        let phases = shift.map(|shift| {
            let phase = |i| {
                let turns = logical(i, n) as f64 * shift / n as f64;
                Complex64::from_polar(1.0, -TAU * turns)
            };
            (0..n).map(phase).collect::<Vec<_>>()
        });
        let mut transform = Array3::<Complex64>::zeros((n, n, n / 2 + 1));
        transform
            .axis_iter_mut(Axis(0))
            .into_par_iter()
            .enumerate()
            .for_each(|(z, mut plane)| {
                let kz = logical(z, n);
                for ((y, x), out) in plane.indexed_iter_mut() {
                    let (ky, kx) = (logical(y, n), x as i64);
                    if kz * kz + ky * ky + kx * kx > limit {
                        continue;
                    }
                    let at = [kx as f32, ky as f32, kz as f32];
                    let mut sum = Complex64::default();
                    for step in &steps {
                        let [re, im] = self.value(step, at);
                        sum += Complex64::new(f64::from(re), f64::from(im));
                    }
                    // The origin goes back from the centre of the box to its corner.
                    let sign = if (kx + ky + kz) % 2 == 0 {
                        scale
                    } else {
                        -scale
                    };
                    *out = sum * sign * phases[0][x] * phases[1][y] * phases[2][z];
                }
            });
        fft::inverse3(transform, n)
    }
}

/// Where frequencies of a turned map lie in the transform: P·Aᵀ.
pub struct Steps([[f32; 3]; 3]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maximization::map_fsc::map_fsc;

    /// Gaussians of 2.5 voxels at places off the axes, all turned by `a`.
    fn blobs(n: usize, a: &Matrix3) -> Array3<f64> {
        let places = [[5.0, 0.0, 1.0], [0.0, 6.0, -2.0], [-3.0, -3.0, 4.0]];
        let centre = (n / 2) as f64;
        Array3::from_shape_fn((n, n, n), |(z, y, x)| {
            let r = [x, y, z].map(|i| i as f64 - centre);
            let of = |place: &[f64; 3]| {
                let c = euler::apply(a, *place);
                let d: f64 = r.iter().zip(c).map(|(r, c)| (r - c).powi(2)).sum();
                (-d / 12.5).exp()
            };
            places.iter().map(of).sum()
        })
    }

    #[test]
    fn maps_are_turned_to_the_frame_of_the_image() {
        let n = 32;
        let identity = euler::matrix(0.0, 0.0, 0.0);
        let a = euler::matrix(37.0, 71.0, -20.0);
        let turner = Turner::new(&blobs(n, &identity), 2.0, 0);
        let expected = blobs(n, &a);
        let turned = turner.turned(&[a]);
        let worst = (&turned - &expected)
            .iter()
            .fold(0.0f64, |w, d| w.max(d.abs()));
        assert!(worst < 0.02, "{worst}");
        let nearest = Turner::new(&blobs(n, &identity), 2.0, 0).nearest_from(3.0);
        let fsc = map_fsc(&nearest.turned(&[a]), &expected).unwrap();
        assert!(fsc[1..5].iter().all(|v| *v > 0.98), "{fsc:?}");
    }

    #[test]
    fn shells_beyond_the_last_are_left_out() {
        let map = blobs(24, &euler::matrix(0.0, 0.0, 0.0));
        let turner = Turner::new(&map, 2.0, 6);
        assert_eq!(turner.r_max(), 6);
        let steps = turner.steps(&euler::matrix(10.0, 20.0, 30.0));
        assert_eq!(turner.value(&steps, [0.0, 7.0, 0.0]), [0.0; 2]);
        assert_ne!(turner.value(&steps, [0.0, 5.0, 0.0]), [0.0; 2]);
    }

    /// The mean over two copies is the mean of the copies.
    #[test]
    fn means_are_taken_over_the_matrices() {
        let map = blobs(24, &euler::matrix(0.0, 0.0, 0.0));
        let turner = Turner::new(&map, 2.0, 0);
        let (a, b) = (
            euler::matrix(10.0, 20.0, 30.0),
            euler::matrix(0.0, 90.0, 0.0),
        );
        let mean = (turner.turned(&[a]) + turner.turned(&[b])) / 2.0;
        let worst = (&turner.turned(&[a, b]) - &mean)
            .iter()
            .fold(0.0f64, |w, d| w.max(d.abs()));
        assert!(worst < 1e-6, "{worst}");
    }
}
