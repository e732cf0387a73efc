//! Exact projections of point atoms: rotated, splatted on a grid finer than the pixel, and finished in Fourier space,
//! so that no 3D interpolation enters.

use crate::formats::atoms::Atom;
use crate::fourier::image::ImageTransform;
use crate::geometry::Matrix3;
use num_complex::Complex32;

/// Largest pixel of the grid that atoms are splatted on, Å.
const FINEST: f64 = 0.9;

/// Most points of that grid per pixel along an axis: with so many, what the grid folds back is 2·10⁻⁵ of the signal at the image's
/// highest frequency, and less below.
const MOST_POINTS: usize = 8;

/// Turns atoms into images of one box and pixel size.
pub struct Projector {
    box_size: usize,
    pixel_size: f64,
    oversampling: usize,
    fine: ImageTransform,
    image: ImageTransform,
    /// Gaussian envelope exp(−B s²/4) over the transform of the splat; one value a half-complex pixel.
    filter: Vec<f32>,
}

impl Projector {
    /// For images of `box_size`² pixels of `pixel_size` Å with envelope `b_factor` (Å²).
    pub fn new(box_size: usize, pixel_size: f64, b_factor: f64) -> Self {
        let oversampling = (pixel_size / FINEST).ceil().clamp(1.0, MOST_POINTS as f64) as usize;
        let fine = pixel_size / oversampling as f64;
        // transforms are divided by their number of pixels, of which the fine grid has more
        let scale = (oversampling * oversampling) as f64;
        let filter = frequencies(box_size, pixel_size)
            .map(|(sx, sy)| {
                let splat = (sinc(sx * fine) * sinc(sy * fine)).powi(4);
                (scale * (-b_factor / 4.0 * (sx * sx + sy * sy)).exp() / splat) as f32
            })
            .collect();
        Self {
            box_size,
            pixel_size,
            oversampling,
            fine: ImageTransform::new(box_size * oversampling),
            image: ImageTransform::new(box_size),
            filter,
        }
    }

    /// Transforms of images of this box.
    pub fn image_transform(&self) -> &ImageTransform {
        &self.image
    }

    /// Centred half-complex transform of the projection of `atoms` seen at orientation `rotation` (reference frame →
    /// image frame) and displaced by `shift` pixels; a pixel of the image holds the summed weight of what projects
    /// on it.
    pub fn transform(&self, atoms: &[Atom], rotation: &Matrix3, shift: [f64; 2]) -> Vec<Complex32> {
        let (n, w) = (self.box_size, self.box_size / 2 + 1);
        let m = n * self.oversampling;
        let fine = self.fine.forward(&self.splat(atoms, rotation), n / 2);
        // phase ramps are separable: two short tables in place of a complex exponential per pixel
        let ramp = |k: i32, s: f64| -> Complex32 {
            let phase = -2.0 * std::f64::consts::PI * f64::from(k) * s / n as f64;
            Complex32::from_polar(1.0, phase as f32)
        };
        let columns: Vec<Complex32> = (0..w).map(|x| ramp(x as i32, shift[0])).collect();
        let mut out = Vec::with_capacity(n * w);
        for y in 0..n {
            let row = ramp(signed(y, n), shift[1]);
            let first = (if y < n / 2 { y } else { y + m - n }) * (m / 2 + 1);
            for x in 0..w {
                out.push(fine[first + x] * (row * columns[x]) * self.filter[y * w + x]);
            }
        }
        out
    }

    /// Splat with a cubic B-spline on the fine grid, centre at its pixel m/2, wrapping.
    fn splat(&self, atoms: &[Atom], rotation: &Matrix3) -> Vec<f32> {
        let m = self.box_size * self.oversampling;
        let scale = self.oversampling as f64 / self.pixel_size;
        let mut grid = vec![0.0; m * m];
        for atom in atoms {
            let p = atom.position;
            let at =
                |r: [f64; 3]| (r[0] * p[0] + r[1] * p[1] + r[2] * p[2]) * scale + (m / 2) as f64;
            let (x, wx) = spline(at(rotation[0]), m);
            let (y, wy) = spline(at(rotation[1]), m);
            for (y, wy) in y.into_iter().zip(wy) {
                for (x, wx) in x.into_iter().zip(wx) {
                    grid[y * m + x] += (wx * wy * atom.weight) as f32;
                }
            }
        }
        grid
    }
}

/// The four grid points (of `m`, wrapping) around coordinate `g` and their cubic B-spline weights, which sum to 1.
/// The transform of this spline is sinc⁴: what a grid folds back into the image falls with the fourth power of
/// frequency over grid frequency, and the in-band droop is divided out.
pub fn spline(g: f64, m: usize) -> ([usize; 4], [f64; 4]) {
    let f = g - g.floor();
    let first = g.floor() as i64 - 1;
    let at = std::array::from_fn(|i| (first + i as i64).rem_euclid(m as i64) as usize);
    let (f2, f3) = (f * f, f * f * f);
    let weights = [
        (1.0 - f).powi(3) / 6.0,
        (3.0 * f3 - 6.0 * f2 + 4.0) / 6.0,
        (-3.0 * f3 + 3.0 * f2 + 3.0 * f + 1.0) / 6.0,
        f3 / 6.0,
    ];
    (at, weights)
}

/// (s_x, s_y) in 1/Å of every half-complex pixel in storage order.
pub fn frequencies(box_size: usize, pixel_size: f64) -> impl Iterator<Item = (f64, f64)> {
    let step = 1.0 / (box_size as f64 * pixel_size);
    (0..box_size).flat_map(move |y| {
        let k = f64::from(signed(y, box_size));
        (0..=box_size / 2).map(move |x| (x as f64 * step, k * step))
    })
}

/// Frequency of row `i` of a transform of side `n`; the Nyquist row, which a real image cannot tell from its mate, is
/// taken as −n/2 here, as numpy takes it.
pub fn signed(i: usize, n: usize) -> i32 {
    if i < n / 2 {
        i as i32
    } else {
        i as i32 - n as i32
    }
}

/// sin(πx)/(πx).
pub fn sinc(x: f64) -> f64 {
    let a = std::f64::consts::PI * x;
    if a.abs() < 1e-12 { 1.0 } else { a.sin() / a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_complex::Complex64;

    const IDENTITY: Matrix3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    fn carbon(position: [f64; 3]) -> Atom {
        Atom {
            position,
            weight: 6.0,
        }
    }

    /// A point with envelope exp(−B s²/4) is a Gaussian of variance B/(8π²) in real space.
    #[test]
    fn an_atom_becomes_a_gaussian_at_its_projected_place() {
        let (n, a, b) = (32, 1.7, 400.0);
        let projector = Projector::new(n, a, b);
        // the atom is 5.1 Å along y and seen after a quarter turn about z that brings y to x
        let turn = [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
        let transform = projector.transform(&[carbon([0.0, 5.1, 20.0])], &turn, [1.5, -2.0]);
        let image = projector.image_transform().inverse(&transform);
        let variance = b / (8.0 * std::f64::consts::PI.powi(2)) / (a * a);
        for (i, v) in image.iter().enumerate() {
            let dx = (i % n) as f64 - (n / 2) as f64 - 3.0 - 1.5;
            let dy = (i / n) as f64 - (n / 2) as f64 + 2.0;
            let expected = 6.0 / (2.0 * std::f64::consts::PI * variance)
                * (-(dx * dx + dy * dy) / (2.0 * variance)).exp();
            assert!(
                (f64::from(*v) - expected).abs() < 1e-4,
                "pixel {i}: {v}, expected {expected}"
            );
        }
    }

    /// Pixels that are many times as large as the finest grid: the transform is the sum over the atoms.
    #[test]
    fn coarse_pixels_keep_the_transform() {
        let (n, a, b) = (16, 100.0, 500.0);
        let projector = Projector::new(n, a, b);
        let atoms: Vec<Atom> = (0..40)
            .map(f64::from)
            .map(|t| carbon([300.0 * (0.7 * t).sin(), 250.0 * (1.1 * t).cos(), 9.0 * t]))
            .collect();
        let found = projector.transform(&atoms, &IDENTITY, [0.0, 0.0]);
        let (mut difference, mut power) = (0.0, 0.0);
        for (value, (sx, sy)) in found.iter().zip(frequencies(n, a)) {
            let envelope = (-b / 4.0 * (sx * sx + sy * sy)).exp();
            let exact: Complex64 = atoms
                .iter()
                .map(|atom| {
                    let [x, y, _] = atom.position;
                    let phase = -std::f64::consts::TAU * (sx * x + sy * y);
                    Complex64::from_polar(atom.weight * envelope, phase)
                })
                .sum();
            let value = Complex64::new(f64::from(value.re), f64::from(value.im));
            difference += (value * (n * n) as f64 - exact).norm_sqr();
            power += exact.norm_sqr();
        }
        let relative = (difference / power).sqrt();
        assert!(relative < 1e-4, "{relative}");
    }

    #[test]
    fn total_weight_is_kept() {
        let projector = Projector::new(16, 4.0, 50.0);
        let atoms = [carbon([3.3, -7.1, 2.0]), carbon([-11.0, 4.0, 0.2])];
        let transform = projector.transform(&atoms, &IDENTITY, [0.3, 0.9]);
        let image = projector.image_transform().inverse(&transform);
        assert!((image.iter().sum::<f32>() - 12.0).abs() < 1e-4);
    }
}
