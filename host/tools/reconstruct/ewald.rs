//! The two sides of the Ewald sphere in one image (spec 06 §8.3).

use crate::dataset::{CtfFields, OpticsGroup};
use crate::fourier::image::{Background, CircularMask, ImageTransform, logical_row};
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
pub(super) struct Sides {
    /// P, above the plane.
    pub above: Vec<Complex32>,
    /// Q, below it.
    pub below: Vec<Complex32>,
}

/// Plans and tables that images of one size and the same settings share.
pub(super) struct SidesOfGroup {
    transform: ImageTransform,
    /// Mask of the filtered images; None: they are not masked.
    mask: Option<CircularMask>,
    /// Pixels of a half-complex image, for each sector.
    sectors: Vec<Vec<SectorPixel>>,
}

/// A pixel in the image that the filter of a sector gives.
#[derive(Debug, Clone, Copy)]
struct SectorPixel {
    /// Sign of the filter's cosine.
    sign: f32,
    place: Place,
}

/// Stored pixels (x, y) of a half-complex image of `n`² pixels.
pub(super) fn half_plane(n: usize) -> impl Iterator<Item = (i32, i32)> {
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

impl SidesOfGroup {
    /// For images that `transform` takes, and maps of voxels of `pixel_size` Å.
    pub(super) fn new(
        transform: &ImageTransform,
        pixel_size: f64,
        settings: &EwaldSettings,
    ) -> Self {
        let n = transform.size();
        // θ = arccos(y/√(x²+y²)) in degrees, 0 at the origin.
        let direction = |(x, y): (i32, i32)| match (x, y) {
            (0, 0) => 0.0,
            _ => (f64::from(y) / f64::from(x).hypot(f64::from(y)))
                .acos()
                .to_degrees(),
        };
        let directions: Vec<f64> = half_plane(n).map(direction).collect();
        let width = 180.0 / settings.sectors as f64;
        let first = if settings.reversed { -1.0 } else { 1.0 };
        let pixels = |number: usize| {
            let sector = Sector {
                beta: number as f64 * width,
                width,
            };
            let pixel = |&theta: &f64| SectorPixel {
                sign: sector.sign(theta, first) as f32,
                place: sector.place(theta),
            };
            directions.iter().map(pixel).collect()
        };
        let diameter = settings.mask_diameter.filter(|_| settings.masked);
        Self {
            transform: transform.clone(),
            mask: diameter.map(|diameter| {
                let radius = (diameter / (2.0 * pixel_size)).round() as f32;
                CircularMask::new(n, radius, settings.mask_edge as f32)
            }),
            sectors: (0..settings.sectors).map(pixels).collect(),
        }
    }

    /// Splits the transform of an image (centred, aberrations removed) into the two sides of the sphere.
    ///
    /// The filters −sin γ ± i·cos γ of a sector share their first term, and masking is linear: what both terms make of the image is
    /// masked once each, and the filtered images are their sum and difference.
    pub(super) fn of(&self, image: &[Complex32], ctf: &Ctf) -> Sides {
        let n = self.transform.size();
        let width = n / 2 + 1;
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
        let even = self.masked(even);
        let mut sides = Sides {
            above: vec![Complex32::default(); image.len()],
            below: vec![Complex32::default(); image.len()],
        };
        for pixels in &self.sectors {
            let odd = cosines.iter().zip(pixels).map(|(value, pixel)| {
                Complex32::new(-pixel.sign * value.im, pixel.sign * value.re)
            });
            let odd = self.masked(odd.collect());
            let filtered = even.iter().zip(&odd).zip(pixels);
            let both = sides.above.iter_mut().zip(&mut sides.below);
            for (((even, odd), pixel), (above, below)) in filtered.zip(both) {
                match pixel.place {
                    Place::Same => (*above, *below) = (even + odd, even - odd),
                    Place::Exchanged => (*above, *below) = (even - odd, even + odd),
                    Place::Outside => {}
                }
            }
        }
        sides
    }

    /// Masks in real space, background replaced by its mean.
    fn masked(&self, mut filtered: Vec<Complex32>) -> Vec<Complex32> {
        let Some(mask) = &self.mask else {
            return filtered;
        };
        let n = self.transform.size();
        complete_zero_column(&mut filtered, n);
        let mut image = self.transform.inverse(&filtered);
        mask.apply(&mut image, Background::Mean);
        self.transform.forward(&image, n / 2)
    }
}

/// The redundant half of the column x = 0, y < 0, becomes the conjugate of its mate.
fn complete_zero_column(transform: &mut [Complex32], n: usize) {
    let width = n / 2 + 1;
    for row in n / 2 + 1..n {
        transform[row * width] = transform[(n - row) * width].conj();
    }
}

/// How well the two sides can be told apart within the mask: W_E as a function of the pixel.
pub(super) struct Overlap {
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
    pub(super) fn new(ctf: &Ctf, fields: &CtfFields, group: &OpticsGroup, diameter: f64) -> Self {
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
    pub(super) fn row(&self, y: i32, width: usize) -> Vec<f64> {
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
