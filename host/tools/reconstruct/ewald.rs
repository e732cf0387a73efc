//! The two sides of the Ewald sphere in one image (spec 06 §8.3).

use crate::dataset::{CtfFields, OpticsGroup};
use crate::fourier::image::{Background, ImageTransform, logical_row, mask_particle};
use crate::optics::{Ctf, wavelength};
use num_complex::Complex32;
use std::f64::consts::FRAC_2_PI;

/// How images are corrected for the curvature of the Ewald sphere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EwaldSettings {
    /// `--mask_diameter`, Å; needed by mask and weighting.
    pub mask_diameter: Option<f64>,
    /// `--width_mask_edge`, pixels.
    pub mask_edge: f64,
    /// `--reverse_curvature`.
    pub reversed: bool,
    /// `--sectors`.
    pub sectors: usize,
    /// Mask the filtered images (off with `--skip_mask`).
    pub masked: bool,
    /// Weigh by how well the two sides can be told apart (off with `--skip_weighting`).
    pub weighted: bool,
}

/// The two sides of one image: centred half-complex transforms.
pub struct Sides {
    /// P, above the plane.
    pub above: Vec<Complex32>,
    /// Q, below it.
    pub below: Vec<Complex32>,
}

/// Directions of the pixels of a half-complex image: θ = arccos(y/√(x²+y²)) in degrees, 0 at the origin.
pub struct Directions(Vec<f64>);

impl Directions {
    /// For images of `n`² pixels.
    pub fn new(n: usize) -> Self {
        let angle = |(x, y): (i32, i32)| match (x, y) {
            (0, 0) => 0.0,
            _ => (f64::from(y) / f64::from(x).hypot(f64::from(y)))
                .acos()
                .to_degrees(),
        };
        Self(half_plane(n).map(angle).collect())
    }
}

/// Stored pixels (x, y) of a half-complex image of `n`² pixels.
pub fn half_plane(n: usize) -> impl Iterator<Item = (i32, i32)> {
    (0..n).flat_map(move |row| (0..=n / 2).map(move |x| (x as i32, logical_row(row, n))))
}

/// Which side of the sphere a filtered image shows at a pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Same,
    Exchanged,
    Outside,
}

/// One sector: the filter's sign changes at β, and the image that it gives is used around β + 90°.
struct Sector {
    beta: f64,
    width: f64,
}

impl Sector {
    /// The filter of a pass with `sign` at direction θ is −sin γ + i·(this sign)·cos γ.
    fn sign(&self, theta: f64, sign: f64) -> f64 {
        if theta >= self.beta { sign } else { -sign }
    }

    /// Where the filtered image goes at direction θ.
    fn place(&self, theta: f64) -> Place {
        let low = self.beta + 90.0 - self.width / 2.0;
        let high = self.beta + 90.0 + self.width / 2.0;
        if low >= 180.0 {
            return match (low - 180.0..high - 180.0).contains(&theta) {
                true => Place::Exchanged,
                false => Place::Outside,
            };
        }
        if (low..high).contains(&theta) {
            Place::Same
        } else if theta < high - 180.0 {
            Place::Exchanged
        } else {
            Place::Outside
        }
    }
}

/// Splits the transform of an image (centred, aberrations removed) into the two sides of the sphere.
///
/// The filters −sin γ ± i·cos γ of a sector share their first term, and masking is linear: what both terms make of the image is
/// masked once each, and the filtered images are their sum and difference.
pub fn sides(
    image: &[Complex32],
    ctf: &Ctf,
    pixel_size: f64,
    transform: &ImageTransform,
    directions: &Directions,
    settings: &EwaldSettings,
) -> Sides {
    let n = transform.size();
    let width = n / 2 + 1;
    let masked = |mut filtered: Vec<Complex32>| match settings.mask_diameter {
        Some(diameter) if settings.masked => {
            complete_zero_column(&mut filtered, n);
            let radius = (diameter / (2.0 * pixel_size)).round() as f32;
            masked(&filtered, transform, radius, settings.mask_edge as f32)
        }
        _ => filtered,
    };
    let (mut even, mut cosines) = (
        Vec::with_capacity(image.len()),
        Vec::with_capacity(image.len()),
    );
    for (row, values) in image.chunks_exact(width).enumerate() {
        for (wave, value) in ctf.waves(logical_row(row, n), width).iter().zip(values) {
            even.push(value * wave.re as f32);
            cosines.push(value * wave.im as f32);
        }
    }
    let even = masked(even);
    let mut sides = Sides {
        above: vec![Complex32::default(); image.len()],
        below: vec![Complex32::default(); image.len()],
    };
    let span = 180.0 / settings.sectors as f64;
    let first = if settings.reversed { -1.0 } else { 1.0 };
    for sector in 0..settings.sectors {
        let sector = Sector {
            beta: sector as f64 * span,
            width: span,
        };
        let odd = cosines.iter().zip(&directions.0).map(|(value, &theta)| {
            let sign = sector.sign(theta, first) as f32;
            Complex32::new(-sign * value.im, sign * value.re)
        });
        let odd = masked(odd.collect());
        let Sides { above, below } = &mut sides;
        for (i, &theta) in directions.0.iter().enumerate() {
            let (plus, minus) = (even[i] + odd[i], even[i] - odd[i]);
            match sector.place(theta) {
                Place::Same => (above[i], below[i]) = (plus, minus),
                Place::Exchanged => (above[i], below[i]) = (minus, plus),
                Place::Outside => {}
            }
        }
    }
    sides
}

/// The redundant half of the column x = 0, y < 0, becomes the conjugate of its mate.
fn complete_zero_column(transform: &mut [Complex32], n: usize) {
    let width = n / 2 + 1;
    for row in n / 2 + 1..n {
        transform[row * width] = transform[(n - row) * width].conj();
    }
}

/// Masks in real space, background replaced by its mean.
fn masked(
    transform: &[Complex32],
    plans: &ImageTransform,
    radius: f32,
    edge: f32,
) -> Vec<Complex32> {
    let n = plans.size();
    let mut image = plans.inverse(transform);
    mask_particle(&mut image, n, radius, edge, Background::Mean);
    plans.forward(&image, n / 2)
}

/// How well the two sides can be told apart within the mask: W_E as a function of the pixel.
pub struct Overlap {
    ctf: Ctf,
    /// 2λ/D per (Å·1/Å).
    factor: f64,
    /// Defocus as a quadratic form of the direction: xx, xy, yy (Å).
    defocus: [f64; 3],
    /// 1/Å per Fourier pixel.
    step: f64,
}

impl Overlap {
    /// For a particle of an optics group, masked to `diameter` Å. `ctf` is that of the particle.
    pub fn new(ctf: &Ctf, fields: &CtfFields, group: &OpticsGroup, diameter: f64) -> Self {
        let (sin, cos) = fields.defocus_angle.to_radians().sin_cos();
        let (u, v) = (fields.defocus_u, fields.defocus_v);
        Self {
            ctf: ctf.undamped(),
            factor: 2.0 * wavelength(group.voltage.unwrap_or(0.0)) / diameter,
            defocus: [
                u * cos * cos + v * sin * sin,
                (u - v) * sin * cos,
                u * sin * sin + v * cos * cos,
            ],
            step: 1.0 / (group.box_size as f64 * group.pixel_size),
        }
    }

    /// W_E at the Fourier pixels (0…`width` − 1, `y`): ½(1 + O·(2|C| − 1)), O the overlap of the two displaced images in the mask.
    pub fn row(&self, y: i32, width: usize) -> Vec<f64> {
        let mut row = self.ctf.row(y, width);
        let y = f64::from(y);
        let [xx, xy, yy] = self.defocus;
        for (x, value) in row.iter_mut().enumerate() {
            let (x, c) = (x as f64, value.abs());
            let r2 = x * x + y * y;
            let defocus = match r2 > 0.0 {
                true => (xx * x * x + 2.0 * xy * x * y + yy * y * y) / r2,
                false => 0.0,
            };
            let displaced = defocus.abs() * self.factor * self.step * r2.sqrt();
            let overlap = match displaced < 1.0 {
                true => {
                    FRAC_2_PI
                        * (displaced.acos() - displaced * (1.0 - displaced * displaced).sqrt())
                }
                false => 0.0,
            };
            *value = 0.5 * (1.0 + overlap * (2.0 * c - 1.0));
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every direction is in one sector, and whatever the sectors, a pixel sees the same sign of the filter.
    #[test]
    fn sectors_cover_all_directions_once() {
        for count in [1, 2, 3, 5] {
            let width = 180.0 / f64::from(count);
            for theta in [0.0, 10.0, 44.0, 46.0, 91.0, 134.0, 137.0, 178.0] {
                let mut seen = Vec::new();
                for sector in 0..count {
                    let sector = Sector {
                        beta: f64::from(sector) * width,
                        width,
                    };
                    match sector.place(theta) {
                        Place::Same => seen.push(sector.sign(theta, 1.0)),
                        Place::Exchanged => seen.push(-sector.sign(theta, 1.0)),
                        Place::Outside => {}
                    }
                }
                assert_eq!(seen, [1.0], "{count} sectors, {theta}°");
            }
        }
    }

    /// Without displacement the sides cannot be told apart, and the weight is the CTF; far apart it is ½.
    #[test]
    fn weights_go_from_the_ctf_to_a_half() {
        let group = OpticsGroup {
            voltage: Some(100.0),
            spherical_aberration: Some(2.0),
            amplitude_contrast: Some(0.1),
            ..OpticsGroup::new(2.0, 64)
        };
        let fields = CtfFields {
            defocus_u: 20_000.0,
            defocus_v: 18_000.0,
            defocus_angle: 30.0,
            b_factor: 50.0,
            scale: 1.0,
            phase_shift: 0.0,
        };
        let ctf = Ctf::new(&fields, &group, Default::default()).unwrap();
        let wide = Overlap::new(&ctf, &fields, &group, 1e9);
        assert!((wide.row(-5, 8)[7] - ctf.undamped().value(7, -5).abs()).abs() < 1e-5);
        assert!((wide.row(0, 1)[0] - 0.1).abs() < 1e-12);
        let narrow = Overlap::new(&ctf, &fields, &group, 100.0);
        assert_eq!(narrow.row(20, 21)[20], 0.5);
    }
}
