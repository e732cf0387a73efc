//! The map that simulated images are projections of.

use super::projection::{signed, sinc, spline};
use crate::formats::atoms::Atom;
use crate::fourier::fft;
use ndarray::Array3;
use num_complex::Complex64;

/// Largest side of the grid that atoms are splatted on: bounds memory (192³ doubles are 57 MB).
const LARGEST_GRID: usize = 192;
/// Pixel of that grid that is fine enough, Å.
const FINEST: f64 = 0.9;

/// Map (z, y, x) of `box_size`³ voxels of `pixel_size` Å with envelope `b_factor` (Å²) and the atoms' origin at voxel
/// N/2; summing it along the view gives the images of [`super::projection::Projector`].
pub fn truth_map(atoms: &[Atom], box_size: usize, pixel_size: f64, b_factor: f64) -> Array3<f64> {
    let n = box_size;
    let finest = (pixel_size / FINEST).ceil().max(1.0) as usize;
    let oversampling = (LARGEST_GRID / n).clamp(1, finest);
    let (m, fine) = (n * oversampling, pixel_size / oversampling as f64);
    let transform = fft::forward3(&splat(atoms, m, fine));
    // per-axis factor: envelope over the transform of the splat, and the scale of the coarser grid
    let factor: Vec<f64> = (0..n)
        .map(|i| {
            let s = f64::from(signed(i, n)) / (n as f64 * pixel_size);
            (-b_factor / 4.0 * s * s).exp() / sinc(s * fine).powi(4) * oversampling as f64
        })
        .collect();
    let source = |i: usize| if i < n / 2 { i } else { i + m - n };
    let cropped = Array3::from_shape_fn((n, n, n / 2 + 1), |(z, y, x)| -> Complex64 {
        transform[[source(z), source(y), x]] * (factor[z] * factor[y] * factor[x])
    });
    fft::inverse3(cropped, n)
}

/// Splat with a cubic B-spline on an `m`³ grid of `pixel` Å, origin at m/2, wrapping.
fn splat(atoms: &[Atom], m: usize, pixel: f64) -> Array3<f64> {
    let mut grid = Array3::zeros((m, m, m));
    for atom in atoms {
        let [(x, wx), (y, wy), (z, wz)] =
            atom.position.map(|p| spline(p / pixel + (m / 2) as f64, m));
        for (z, wz) in z.into_iter().zip(wz) {
            for (y, wy) in y.into_iter().zip(wy) {
                for (x, wx) in x.into_iter().zip(wx) {
                    grid[[z, y, x]] += wx * wy * wz * atom.weight;
                }
            }
        }
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::simulate::projection::Projector;

    /// The sum of the map along z is the projection seen at rot = tilt = psi = 0.
    #[test]
    fn map_projects_to_the_image() {
        let atoms: Vec<Atom> = (0..60)
            .map(|i| {
                let t = i as f64;
                Atom {
                    position: [
                        20.0 * (0.7 * t).sin(),
                        15.0 * (1.1 * t).cos(),
                        0.5 * t - 15.0,
                    ],
                    weight: 6.0 + (i % 3) as f64,
                }
            })
            .collect();
        let (n, a, b) = (32, 3.0, 150.0);
        let map = truth_map(&atoms, n, a, b);
        let projector = Projector::new(n, a, b);
        let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let transform = projector.transform(&atoms, &identity, [0.0, 0.0]);
        let image = projector.image_transform().inverse(&transform);
        let (mut difference, mut power) = (0.0, 0.0);
        for y in 0..n {
            for x in 0..n {
                let sum: f64 = (0..n).map(|z| map[[z, y, x]]).sum();
                difference += (sum - f64::from(image[y * n + x])).powi(2);
                power += sum * sum;
            }
        }
        let relative = (difference / power).sqrt();
        assert!(relative < 0.003, "relative difference {relative}");
    }
}
