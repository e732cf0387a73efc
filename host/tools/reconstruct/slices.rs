//! From a particle's image to the slices that are back-projected (spec 06 §8.2–8.3).

use super::ewald::{EwaldSettings, Overlap, SidesOfGroup, half_plane};
use super::{Correction, ReconstructError};
use crate::dataset::{OpticsGroup, Particle, ParticleSet};
use crate::errors::{Code, Message};
use crate::expectation::cpu::SumSlice;
use crate::expectation::slices::{ImagePlane, shell_ratio};
use crate::fourier::circle::Circle;
use crate::fourier::image::{ImageTransform, logical_row};
use crate::fourier::shape::VolumeShape;
use crate::fourier::shells::stored;
use crate::fourier::shift::Phases;
use crate::geometry::{Matrix3, euler};
use crate::optics::{Ctf, demodulation, wavelength};
use gpu::slice::Bend;
use num_complex::Complex32;
use std::ops::Range;

/// Data that all images of an optics group share.
pub(super) struct GroupSlices<'a> {
    group: &'a OpticsGroup,
    correction: &'a Correction,
    transform: ImageTransform,
    /// Box of the slices, pixels: what lies beyond is not inserted.
    pub size: usize,
    /// Largest x² + y² that is inserted.
    limit2: f64,
    plane: ImagePlane,
    /// The grid that slices are inserted into, where image pixels are its shells: then some lie exactly on the outermost one.
    shared_grid: Option<VolumeShape>,
    /// Steps of the reference per image pixel, for directions out of the plane.
    out_of_plane: f64,
    demodulation: Option<Vec<Complex32>>,
    /// Where the images are corrected for the curvature of the sphere.
    sides: Option<SidesOfGroup>,
}

impl<'a> GroupSlices<'a> {
    /// For optics group `number` of a set and sums of `shape`, voxels of `pixel_size` Å.
    pub(super) fn new(
        set: &'a ParticleSet,
        number: usize,
        shape: &VolumeShape,
        pixel_size: f64,
        correction: &'a Correction,
    ) -> Result<Self, ReconstructError> {
        let group = &set.optics[number];
        let n = group.box_size;
        if let Correction::Ewald(..) = correction {
            check_ewald(group)?;
        }
        let ratio = shell_ratio(group, shape.box_size, pixel_size);
        let radius = slice_radius(group, shape.r_max as f64 / ratio);
        let demodulation =
            demodulation(&set.optics, number, half_plane(n)).map_err(|e| Message::of(&e))?;
        let transform = ImageTransform::new(n);
        let sides = match correction {
            Correction::Ewald(_, settings) => {
                Some(SidesOfGroup::new(&transform, pixel_size, settings))
            }
            _ => None,
        };
        Ok(Self {
            group,
            correction,
            transform,
            size: (2 * (radius.ceil() as usize + 1)).min(n),
            limit2: radius * radius,
            plane: ImagePlane::new(group, shape.box_size, pixel_size, shape.padding),
            shared_grid: (ratio == 1.0 && is_identity(&group.magnification)).then_some(*shape),
            out_of_plane: shape.padding * ratio,
            demodulation,
            sides,
        })
    }

    /// Slices of an image: one, or two with the curvature of the sphere.
    pub(super) fn per_image(&self) -> usize {
        1 + usize::from(self.sides.is_some())
    }

    /// Slices of one image (one, or the two sides of the Ewald sphere), all weights multiplied by `figure_of_merit`.
    pub(super) fn of(
        &self,
        particle: &Particle,
        image: &[f32],
        figure_of_merit: f64,
    ) -> Result<Vec<SumSlice>, ReconstructError> {
        let a = euler::matrix(particle.rot, particle.tilt, particle.psi);
        let ctf = |flags| Ctf::new(&particle.ctf, self.group, flags).map_err(|e| Message::of(&e));
        match self.correction {
            Correction::None => Ok(vec![self.plain(particle, image, &a, None, figure_of_merit)]),
            Correction::Ctf(flags) => {
                let ctf = ctf(*flags)?;
                Ok(vec![self.plain(
                    particle,
                    image,
                    &a,
                    Some(&ctf),
                    figure_of_merit,
                )])
            }
            Correction::Ewald(flags, settings) => {
                let ctf = ctf(*flags)?;
                Ok(self.two_sides(particle, image, &a, &ctf, settings, figure_of_merit))
            }
        }
    }

    /// C·X with weight C², or X with weight 1; the origin counts in the weight only.
    fn plain(
        &self,
        particle: &Particle,
        image: &[f32],
        a: &Matrix3,
        ctf: Option<&Ctf>,
        figure_of_merit: f64,
    ) -> SumSlice {
        let transform = self.transform.forward(image, self.size / 2);
        let phases = Phases::new(self.shift(particle), self.group.box_size, self.size);
        // C of premultiplied images is C² already.
        let premultiplied = ctf.is_some() && self.group.ctf_premultiplied;
        let mut values = self.rows(|y, columns, first, out| {
            let range = first + columns.start..first + columns.end;
            let mut row = transform[range.clone()].to_vec();
            phases.apply(y, columns.start, &mut row);
            if let Some(factors) = &self.demodulation {
                for (value, factor) in row.iter_mut().zip(&factors[range]) {
                    *value *= factor;
                }
            }
            let merit = figure_of_merit;
            let Some(ctf) = ctf else {
                for (value, out) in row.iter().zip(out.iter_mut()) {
                    let value = value * merit as f32;
                    *out = [value.re, value.im, merit as f32];
                }
                return;
            };
            let contrast = &ctf.row(y, columns.end)[columns.clone()];
            for ((value, c), out) in row.iter().zip(contrast).zip(out.iter_mut()) {
                let (factor, weight) = match premultiplied {
                    true => (1.0, *c),
                    false => (*c, c * c),
                };
                let value = value * (factor * merit) as f32;
                *out = [value.re, value.im, (weight * merit) as f32];
            }
        });
        self.leave_circle(particle, &mut values);
        let [re, im, _] = &mut values[self.origin()];
        (*re, *im) = (0.0, 0.0);
        SumSlice {
            volume: 0,
            axes: self.plane.axes(a),
            bend: None,
            values,
        }
    }

    /// Leaves out the pixels exactly on the outermost shell that the reference program leaves out: rounding decides there.
    fn leave_circle(&self, particle: &Particle, values: &mut [[f32; 3]]) {
        let Some(shape) = &self.shared_grid else {
            return;
        };
        let circle = Circle::new(shape, [particle.rot, particle.tilt, particle.psi]);
        let limit2 = (shape.r_max * shape.r_max) as i32;
        self.fill_rows(values, |y, columns, _, out| {
            let x = f64::from(limit2 - y * y).sqrt() as i32;
            if x * x + y * y == limit2 && columns.contains(&(x as usize)) && !circle.takes(x, y) {
                out[x as usize - columns.start] = [0.0; 3];
            }
        });
    }

    /// P above and Q below the plane, each with weight W².
    fn two_sides(
        &self,
        particle: &Particle,
        image: &[f32],
        a: &Matrix3,
        ctf: &Ctf,
        settings: &EwaldSettings,
        figure_of_merit: f64,
    ) -> Vec<SumSlice> {
        let (group, n) = (self.group, self.group.box_size);
        let Some(sides) = &self.sides else {
            return Vec::new();
        };
        let mut transform = self.transform.forward(image, n / 2);
        let phases = Phases::new(self.shift(particle), n, n);
        for (row, values) in transform.chunks_exact_mut(n / 2 + 1).enumerate() {
            phases.apply(logical_row(row, n), 0, values);
        }
        if let Some(factors) = &self.demodulation {
            for (value, factor) in transform.iter_mut().zip(factors) {
                *value *= factor;
            }
        }
        let sides = sides.of(&transform, ctf);
        let overlap = settings
            .mask_diameter
            .filter(|_| settings.weighted)
            .map(|diameter| Overlap::new(ctf, &particle.ctf, group, diameter));
        let weights = self.rows(|y, columns, _, out| {
            let row = match &overlap {
                Some(overlap) => overlap.row(y, columns.end),
                None => ctf.row(y, columns.end),
            };
            for (w, out) in row[columns].iter().zip(out) {
                out[2] = (w * w * figure_of_merit) as f32;
            }
        });
        let slice = |side: &[Complex32], sign: f64| {
            let merit = figure_of_merit as f32;
            let mut values = weights.clone();
            self.fill_rows(&mut values, |_, columns, first, out| {
                let side = &side[first + columns.start..first + columns.end];
                for (value, out) in side.iter().zip(out) {
                    (out[0], out[1]) = (value.re * merit, value.im * merit);
                }
            });
            SumSlice {
                volume: 0,
                axes: self.plane.axes(a),
                bend: Some(self.bend(a, sign)),
                values,
            }
        };
        vec![slice(&sides.above, 1.0), slice(&sides.below, -1.0)]
    }

    /// w = ±(u² + v²)/(2·r_E) with (u, v) = M·(x, y), r_E = N·a/λ pixels.
    fn bend(&self, a: &Matrix3, sign: f64) -> Bend {
        let group = self.group;
        let lambda = wavelength(group.voltage.unwrap_or(0.0));
        let radius = group.box_size as f64 * group.pixel_size / lambda;
        let [[xx, xy], [yx, yy]] = group.magnification;
        let form = [
            xx * xx + yx * yx,
            2.0 * (xx * xy + yx * yy),
            xy * xy + yy * yy,
        ];
        let out = sign * self.out_of_plane;
        Bend {
            axis: a[2].map(|v| (v * out) as f32),
            form: form.map(|v| (v / (2.0 * radius)) as f32),
        }
    }

    /// Offset in pixels of the image.
    fn shift(&self, particle: &Particle) -> [f64; 2] {
        particle.origin.map(|o| o / self.group.pixel_size)
    }

    /// Values of the pixels of a slice, zeros where nothing is inserted; `fill` as in [`Self::fill_rows`].
    fn rows(&self, fill: impl FnMut(i32, Range<usize>, usize, &mut [[f32; 3]])) -> Vec<[f32; 3]> {
        let mut values = vec![[0.0; 3]; self.size * (self.size / 2 + 1)];
        self.fill_rows(&mut values, fill);
        values
    }

    /// Has `fill` write the pixels that are inserted, row by row: it gets y, the columns, the index of column 0 in the
    /// transform of the image, and the values of these columns.
    fn fill_rows(
        &self,
        values: &mut [[f32; 3]],
        mut fill: impl FnMut(i32, Range<usize>, usize, &mut [[f32; 3]]),
    ) {
        let (n, half) = (self.group.box_size, (self.size / 2) as i32);
        for (y, row) in (1 - half..=half).zip(values.chunks_exact_mut(self.size / 2 + 1)) {
            let reach2 = self.limit2 - f64::from(y * y);
            if reach2 < 0.0 {
                continue;
            }
            let begin = usize::from(y < 0);
            let end = (reach2.sqrt() as usize + 1).min(row.len());
            let first = stored(i64::from(y), n) * (n / 2 + 1);
            if begin < end {
                fill(y, begin..end, first, &mut row[begin..end]);
            }
        }
    }

    /// Index of the origin among the values of a slice.
    fn origin(&self) -> usize {
        (self.size / 2 - 1) * (self.size / 2 + 1)
    }
}

fn is_identity(magnification: &[[f64; 2]; 2]) -> bool {
    *magnification == [[1.0, 0.0], [0.0, 1.0]]
}

/// Refuses optics groups whose images cannot be corrected for the curvature.
fn check_ewald(group: &OpticsGroup) -> Result<(), Message> {
    if group.ctf_premultiplied || group.ctf_corrected {
        return Err(Code::CTF_PARAMETERS.says(format!(
            "the images of optics group '{}' are already multiplied by their CTF or corrected for it, so the two sides of the \
             Ewald sphere cannot be told apart in them; extract the particles without this, or leave out --ewald",
            group.name
        )));
    }
    Ok(())
}

/// Returns the radius of the circle of image pixels that holds all up to `shells` shells, whatever the magnification.
fn slice_radius(group: &OpticsGroup, shells: f64) -> f64 {
    let [[a, b], [c, d]] = group.magnification;
    // The smallest singular value: |M·v| ≥ σ|v|.
    let (sum, det) = (a * a + b * b + c * c + d * d, a * d - b * c);
    let smallest2 = (sum - (sum * sum - 4.0 * det * det).max(0.0).sqrt()) / 2.0;
    // A little more, since the limit of insertion has a tolerance.
    shells / smallest2.sqrt().max(0.1) * (1.0 + 1e-5)
}
