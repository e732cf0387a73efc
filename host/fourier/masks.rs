//! Soft masks and shell filters in real and Fourier space (spec 01 §2.3, §2.10; 02 §2.4, §6.1).

use super::fft;
use super::shells::logical;
use gpu::mask::{background_share, low_pass_factor};
use ndarray::Array3;
use ndarray::Axis;
use ndarray::parallel::prelude::*;

/// Raised cosine outside `radius`: 1 inside, 0 beyond `radius + edge` (spec 02 §0).
fn soft_edge(r: f64, radius: f64, edge: f64) -> f64 {
    1.0 - background_share(r, radius, edge)
}

/// Call `f(r, value)` for every voxel of a map or class average, r the distance from the box centre in voxels; in
/// parallel over z.
pub(crate) fn for_each_radius(map: &mut Array3<f64>, f: impl Fn(f64, &mut f64) + Sync) {
    let (middle, centre) = ((map.dim().0 / 2) as i64, (map.dim().1 / 2) as i64);
    map.axis_iter_mut(Axis(0))
        .into_par_iter()
        .enumerate()
        .for_each(|(z, mut plane)| {
            let z2 = (z as i64 - middle).pow(2);
            for ((y, x), value) in plane.indexed_iter_mut() {
                let r2 = z2 + (y as i64 - centre).pow(2) + (x as i64 - centre).pow(2);
                f((r2 as f64).sqrt(), value);
            }
        });
}

/// Raised-cosine sphere of `radius` and `edge` (pixels) multiplied onto a map (background → 0).
pub fn soft_sphere(map: &mut Array3<f64>, radius: f64, edge: f64) {
    for_each_radius(map, |r, value| *value *= soft_edge(r, radius, edge));
}

/// Replace what lies outside the inscribed sphere or circle, behind an edge of three voxels, by its own mean (spec 02 §2.4 step 5).
pub fn mask_corners(map: &mut Array3<f64>) {
    const EDGE: f64 = 3.0;
    let radius = (map.dim().1 / 2) as f64;
    fill_outside(map, radius, EDGE);
}

/// Replace what lies outside a sphere or circle of `radius`, behind a soft edge of `edge` voxels, by its own weighted mean
/// (spec 01 §3.4).
pub fn fill_outside(map: &mut Array3<f64>, radius: f64, edge: f64) {
    let (middle, centre) = ((map.dim().0 / 2) as i64, (map.dim().1 / 2) as i64);
    // Sums by plane, added in order: the same for any number of threads.
    let planes: Vec<[f64; 2]> = map
        .axis_iter(Axis(0))
        .into_par_iter()
        .enumerate()
        .map(|(z, plane)| {
            let z2 = (z as i64 - middle).pow(2);
            let mut sums = [0.0; 2];
            for ((y, x), value) in plane.indexed_iter() {
                let r2 = z2 + (y as i64 - centre).pow(2) + (x as i64 - centre).pow(2);
                let outside = background_share((r2 as f64).sqrt(), radius, edge);
                sums[0] += outside * value;
                sums[1] += outside;
            }
            sums
        })
        .collect();
    let sum: f64 = planes.iter().map(|s| s[0]).sum();
    let share: f64 = planes.iter().map(|s| s[1]).sum();
    let mean = if share > 0.0 { sum / share } else { 0.0 };
    for_each_radius(map, |r, value| {
        let inside = soft_edge(r, radius, edge);
        *value = inside * *value + (1.0 - inside) * mean;
    });
}

/// Low-pass with a two-shell cosine edge at `resolution` Å (spec 01 §2.3).
pub fn low_pass(map: &Array3<f64>, pixel_size: f64, resolution: f64) -> Array3<f64> {
    let (sections, n, _) = map.dim();
    let limit = n as f64 * pixel_size / resolution;
    let mut transform = fft::forward3(map);
    transform
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .enumerate()
        .for_each(|(z, mut plane)| {
            let z2 = logical(z, sections).pow(2);
            for ((y, x), value) in plane.indexed_iter_mut() {
                let r2 = z2 + logical(y, n).pow(2) + (x * x) as i64;
                *value *= low_pass_factor((r2 as f64).sqrt(), limit);
            }
        });
    fft::inverse3(transform, n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::fft::tests::noise;
    use std::f64::consts::PI;

    #[test]
    fn the_sphere_has_a_core_an_edge_and_nothing_outside() {
        let mut map = Array3::ones((32, 32, 32));
        soft_sphere(&mut map, 8.0, 4.0);
        assert_eq!(map[[16, 16, 16 + 7]], 1.0);
        assert!((map[[16, 16 + 10, 16]] - 0.5).abs() < 1e-12);
        assert_eq!(map[[16 + 13, 16, 16]], 0.0);
    }

    #[test]
    fn corners_become_their_mean_and_the_sphere_stays() {
        let mut map = noise(16);
        let before = map.clone();
        mask_corners(&mut map);
        assert_eq!(map[[8, 8, 8]], before[[8, 8, 8]]);
        assert_eq!(map[[8, 8, 15]], before[[8, 8, 15]]);
        assert_eq!(map[[0, 0, 0]], map[[15, 15, 15]]);
        let mut flat = Array3::from_elem((16, 16, 16), 2.5);
        mask_corners(&mut flat);
        assert!(flat.iter().all(|v| (v - 2.5).abs() < 1e-12));
    }

    /// The filter keeps waves below its edge, halves the one at the limit, and removes those above.
    #[test]
    fn low_pass_acts_by_shell() {
        let n = 32;
        for (k, factor) in [(5, 1.0), (7, 1.0), (8, 0.5), (9, 0.0), (12, 0.0)] {
            let wave = Array3::from_shape_fn((n, n, n), |(_, y, _)| {
                (2.0 * PI * (k * y) as f64 / n as f64).cos()
            });
            // 32 pixels of 2 Å at 8 Å: shell 8.
            let filtered = low_pass(&wave, 2.0, 8.0);
            let worst = (&filtered - &(&wave * factor))
                .iter()
                .fold(0.0f64, |w, d| w.max(d.abs()));
            assert!(worst < 1e-12, "shell {k}: {worst}");
        }
    }
}
