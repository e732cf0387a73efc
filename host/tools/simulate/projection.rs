//! Exact projections of point atoms: rotated, splatted on a grid finer than the pixel, and finished in Fourier space,
//! so that no 3D interpolation enters.

use super::plane::PlaneTransform;
use crate::formats::atoms::Atom;
use crate::geometry::Matrix3;
use num_complex::Complex64;

/// Largest pixel of the grid that atoms are splatted on, Å.
const FINEST: f64 = 0.9;

/// Turns atoms into images of one box and pixel size.
pub struct Projector {
    box_size: usize,
    pixel_size: f64,
    oversampling: usize,
    fine: PlaneTransform,
    image: PlaneTransform,
    /// Gaussian envelope exp(−B s²/4) over the transform of the bilinear splat, with the centring sign; one value a
    /// half-complex pixel.
    filter: Vec<f64>,
}

impl Projector {
    /// For images of `box_size`² pixels of `pixel_size` Å with envelope `b_factor` (Å²).
    pub fn new(box_size: usize, pixel_size: f64, b_factor: f64) -> Self {
        let oversampling = (pixel_size / FINEST).ceil().max(1.0) as usize;
        let fine = pixel_size / oversampling as f64;
        let mut filter = Vec::with_capacity(box_size * (box_size / 2 + 1));
        for (sx, sy) in frequencies(box_size, pixel_size) {
            let splat = (sinc(sx * fine) * sinc(sy * fine)).powi(2);
            filter.push((-b_factor / 4.0 * (sx * sx + sy * sy)).exp() / splat);
        }
        for (i, f) in filter.iter_mut().enumerate() {
            let (y, x) = (i / (box_size / 2 + 1), i % (box_size / 2 + 1));
            if (x + y) % 2 == 1 {
                *f = -*f;
            }
        }
        Self {
            box_size,
            pixel_size,
            oversampling,
            fine: PlaneTransform::new(box_size * oversampling, box_size / 2 + 1),
            image: PlaneTransform::new(box_size, box_size / 2 + 1),
            filter,
        }
    }

    /// Half-complex spectrum (FFT of the image as stored, particle centre at pixel N/2) of the projection of `atoms`
    /// seen at orientation `rotation` (reference frame → image frame) and displaced by `shift` pixels.
    /// Row N/2 is the frequency −1/2; an image pixel holds the summed weight of what projects on it.
    pub fn spectrum(&self, atoms: &[Atom], rotation: &Matrix3, shift: [f64; 2]) -> Vec<Complex64> {
        let m = self.box_size * self.oversampling;
        let mut grid = vec![0.0; m * m];
        self.splat(atoms, rotation, &mut grid);
        let fine = self.fine.forward(&mut grid);
        let (n, w) = (self.box_size, self.box_size / 2 + 1);
        // phase ramps are separable: two short tables in place of a complex exponential per pixel
        let ramp = |k: f64, s: f64| {
            Complex64::from_polar(1.0, -2.0 * std::f64::consts::PI * k * s / n as f64)
        };
        let columns: Vec<Complex64> = (0..w).map(|x| ramp(x as f64, shift[0])).collect();
        let mut out = Vec::with_capacity(n * w);
        for y in 0..n {
            let (k, source) = if y < n / 2 {
                (y as f64, y)
            } else {
                (y as f64 - n as f64, y + m - n)
            };
            let row = ramp(k, shift[1]);
            for x in 0..w {
                out.push(fine[source * w + x] * (row * columns[x]) * self.filter[y * w + x]);
            }
        }
        out
    }

    /// Image (row-major) of a spectrum.
    pub fn image(&self, spectrum: Vec<Complex64>) -> Vec<f64> {
        self.image.inverse(spectrum)
    }

    /// Spectrum of an image, which is used as scratch space.
    pub fn transform(&self, image: &mut [f64]) -> Vec<Complex64> {
        self.image.forward(image)
    }

    /// Bilinear splat, with the centre at index 0 (wrapping), as the transform expects it.
    fn splat(&self, atoms: &[Atom], rotation: &Matrix3, grid: &mut [f64]) {
        let m = (self.box_size * self.oversampling) as i64;
        let scale = self.oversampling as f64 / self.pixel_size;
        for atom in atoms {
            let p = atom.position;
            let at = |r: [f64; 3]| (r[0] * p[0] + r[1] * p[1] + r[2] * p[2]) * scale;
            let (gx, gy) = (at(rotation[0]), at(rotation[1]));
            let (wx, wy) = (gx - gx.floor(), gy - gy.floor());
            let (x, y) = (gx.floor() as i64, gy.floor() as i64);
            let [x0, x1] = [x.rem_euclid(m), (x + 1).rem_euclid(m)];
            let [y0, y1] = [y.rem_euclid(m) * m, (y + 1).rem_euclid(m) * m];
            grid[(y0 + x0) as usize] += (1.0 - wx) * (1.0 - wy) * atom.weight;
            grid[(y0 + x1) as usize] += wx * (1.0 - wy) * atom.weight;
            grid[(y1 + x0) as usize] += (1.0 - wx) * wy * atom.weight;
            grid[(y1 + x1) as usize] += wx * wy * atom.weight;
        }
    }
}

/// (s_x, s_y) in 1/Å of every half-complex pixel in storage order; row N/2 is −1/(2a).
pub fn frequencies(box_size: usize, pixel_size: f64) -> impl Iterator<Item = (f64, f64)> {
    let step = 1.0 / (box_size as f64 * pixel_size);
    (0..box_size).flat_map(move |y| {
        let k = signed(y, box_size);
        (0..=box_size / 2).map(move |x| (x as f64 * step, f64::from(k) * step))
    })
}

/// Frequency index of FFT row `i` of `n`: 0…n/2−1, −n/2…−1.
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
        let image =
            projector.image(projector.spectrum(&[carbon([0.0, 5.1, 20.0])], &turn, [1.5, -2.0]));
        let variance = b / (8.0 * std::f64::consts::PI.powi(2)) / (a * a);
        for (i, v) in image.iter().enumerate() {
            let dx = (i % n) as f64 - (n / 2) as f64 - 3.0 - 1.5;
            let dy = (i / n) as f64 - (n / 2) as f64 + 2.0;
            let expected = 6.0 / (2.0 * std::f64::consts::PI * variance)
                * (-(dx * dx + dy * dy) / (2.0 * variance)).exp();
            assert!(
                (v - expected).abs() < 2e-3,
                "pixel {i}: {v}, expected {expected}"
            );
        }
    }

    #[test]
    fn total_weight_is_kept() {
        let projector = Projector::new(16, 4.0, 50.0);
        let atoms = [carbon([3.3, -7.1, 2.0]), carbon([-11.0, 4.0, 0.2])];
        let image = projector.image(projector.spectrum(&atoms, &IDENTITY, [0.3, 0.9]));
        assert!((image.iter().sum::<f64>() - 12.0).abs() < 1e-9);
    }
}
