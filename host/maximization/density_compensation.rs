//! Iterative density compensation (`--dont_skip_gridding`; spec 02 §2.3, after Pipe & Menon and Matej).

mod rounds;

use super::radial::Radial;
use crate::fourier::backprojection::BackProjection;
use gpu::volume::{BLOB_SAMPLES, blob_sample};
use rayon::prelude::*;
use rounds::Rounds;
use std::f64::consts::PI;

pub use rounds::bytes;

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
    if class_weight > 0.0 && class_weight != 1.0 {
        sums.data.par_iter_mut().for_each(|a| *a /= class_weight);
        sums.weight.par_iter_mut().for_each(|w| *w /= class_weight);
    }
    let rounds = Rounds::new(radial, sums.shape.padded_box);
    let found = rounds.run(&sums.weight, iterations);
    rounds.for_each_plane(&found, &sums.weight, &mut sums.data, |data, densities| {
        for (a, d) in data.iter_mut().zip(densities) {
            *a *= d;
        }
    });
}

/// Returns D of every voxel after `iterations` rounds; 0 outside of the sphere, and where the weight is 0, as the data are there.
pub(super) fn densities(
    radial: &Radial,
    weight: &[f64],
    iterations: usize,
    padded_box: usize,
) -> Vec<f64> {
    let rounds = Rounds::new(radial, padded_box);
    let found = rounds.run(weight, iterations);
    let mut out = vec![0.0; weight.len()];
    rounds.for_each_plane(&found, weight, &mut out, |out, densities| {
        out.copy_from_slice(densities);
    });
    out
}

/// Fourier transform of a Kaiser–Bessel blob relative to its value at the origin, tabulated: [`BLOB_SAMPLES`] values.
pub(super) fn blob_table() -> Vec<f64> {
    let origin = transform(0.0);
    let step = 0.5 / f64::from(BLOB_SAMPLES);
    (0..BLOB_SAMPLES)
        .map(|i| transform(f64::from(i) * step) / origin)
        .collect()
}

/// Values of the table at every squared distance from the origin of a real-space grid of `side`³ voxels, over their number; up to the
/// last that is not 0.
fn blob_window(side: usize, padded_box: usize) -> Vec<f64> {
    let table = blob_table();
    let unscaled = 1.0 / (side as f64).powi(3);
    (0..=3 * (side / 2).pow(2))
        .map_while(|r2| table.get(blob_sample(r2 as u32, padded_box as u32) as usize))
        .map(|value| value * unscaled)
        .collect()
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
    use crate::fourier::fft::{forward3, inverse3};
    use crate::fourier::shape::{Dimensions, VolumeShape};
    use crate::fourier::shells::{logical, stored};
    use gpu::random::uniform;
    use ndarray::Array3;
    use num_complex::Complex64;

    #[test]
    fn the_blob_transform_is_smooth_where_the_branches_meet() {
        let meeting = ALPHA / (2.0 * PI * RADIUS);
        let values = [-2e-6, -1e-9, 1e-9, 2e-6].map(|d| transform(meeting + d));
        for pair in values.windows(2) {
            assert!((pair[0] / pair[1] - 1.0).abs() < 1e-3, "{values:?}");
        }
        let window = blob_window(67, 64).into_iter().map(|v| v * 67f64.powi(3));
        let window: Vec<f64> = window.collect();
        assert!((window[0] - 1.0).abs() < 1e-15);
        assert!(window[10 * 10] > window[11 * 11]);
        assert_eq!(window.len(), 32 * 32);
    }

    /// The rounds as the specification has them, by transforms of the whole cube.
    fn by_whole_transforms(shape: &VolumeShape, weight: &[f64], iterations: usize) -> Vec<f64> {
        let (side, half) = (shape.side, shape.half() as i64);
        let window = blob_window(side, shape.padded_box);
        let mut density = vec![0.0; weight.len()];
        let place = |[z, y, x]: [i64; 3]| {
            let (row, length) = (
                ((z + half) * side as i64 + y + half) as usize,
                half as usize + 1,
            );
            row * length + x as usize
        };
        let all = |side: usize, width: usize| {
            let rows = (0..side).flat_map(move |z| (0..side).map(move |y| (z, y)));
            rows.flat_map(move |(z, y)| (0..width).map(move |x| [z, y, x]))
        };
        let at = |v: [usize; 3]| v.map(|i| logical(i, side));
        let square = |v: [i64; 3]| v.iter().map(|i| i * i).sum::<i64>();
        let half_cube = || all(side, half as usize + 1).map(at);
        let within = |v: &[i64; 3]| square(*v) < shape.radius2();
        half_cube()
            .filter(within)
            .for_each(|v| density[place(v)] = 1.0);
        for _ in 0..iterations {
            let mut product = Array3::zeros([side, side, half as usize + 1]);
            for v in half_cube() {
                let stored = v.map(|i| stored(i, side));
                product[stored] = Complex64::from(density[place(v)] * weight[place(v)]);
            }
            let mut real = inverse3(product, side);
            for v in all(side, side) {
                real[v] *= window.get(square(at(v)) as usize).copied().unwrap_or(0.0);
            }
            let convolved = forward3(&real).mapv(|v| v * (side as f64).powi(3));
            for v in half_cube().filter(within) {
                let stored = v.map(|i| stored(i, side));
                density[place(v)] /= convolved[stored].norm().max(1e-6);
            }
        }
        density
    }

    /// Boxes whose blocks of lines are full and not, the sphere of the sums smaller than the box and as large, with lengths that are primes and
    /// products; weights with Friedel mates on the plane x = 0 as sums have them.
    #[test]
    fn rounds_are_those_of_whole_transforms() {
        for (n, padding, size) in [(12, 2.0, 0), (20, 1.0, 0), (16, 2.0, 0), (20, 2.0, 10)] {
            let shape = VolumeShape::new(Dimensions::Three, n, padding, size);
            let (side, width) = (shape.side, shape.half() + 1);
            let mut weight: Vec<f64> = (0..shape.voxels() as u64)
                .map(|i| 5.0 * uniform(3, i).powi(4))
                .collect();
            let last = side * side - 1;
            for row in 0..last / 2 {
                let sum = weight[row * width] + weight[(last - row) * width];
                weight[row * width] = sum;
                weight[(last - row) * width] = sum;
            }
            let expected = by_whole_transforms(&shape, &weight, 3);
            let found = densities(&Radial::of(&shape), &weight, 3, shape.padded_box);
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let difference = (found - expected).abs();
                assert!(
                    difference <= 1e-9 * expected.abs(),
                    "box {n}, padding {padding}, voxel {i}: {found} for {expected}"
                );
            }
            let none = densities(&Radial::of(&shape), &weight, 0, shape.padded_box);
            assert_eq!(none, by_whole_transforms(&shape, &weight, 0));
        }
    }
}
