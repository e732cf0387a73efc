//! Projections of a reference as they appear in a particle image: with its CTF and scale, where the particle is. What is subtracted
//! from images once (`relion_particle_subtract`, spec 06 §9.1) or in every iteration ([`super::subtraction`]).

use super::pixels::PixelList;
use super::slices::{ImagePlane, project};
use crate::dataset::{OpticsGroup, Particle};
use crate::fourier::image::{ImageTransform, logical_row};
use crate::fourier::reference::ReferenceVolume;
use crate::fourier::shells::stored;
use crate::fourier::shift::Phases;
use crate::geometry::euler;
use crate::optics::{Ctf, OpticsError, demodulation};
use num_complex::Complex32;

/// How references appear in the images of an optics group, at the full size of the images.
pub struct SignalInImages {
    transform: ImageTransform,
    pixels: PixelList,
    plane: ImagePlane,
    /// Multiplies the model as the optics multiplied the images.
    modulation: Option<Vec<Complex32>>,
    /// Å per pixel of the images.
    pixel_size: f64,
}

impl SignalInImages {
    /// For optics group `group` and references of `box_size` voxels of `pixel_size` Å, padded by `padding`.
    ///
    /// # Errors
    /// The MTF of a detector cannot be used.
    pub fn new(
        optics: &[OpticsGroup],
        group: usize,
        box_size: usize,
        pixel_size: f64,
        padding: f64,
    ) -> Result<Self, OpticsError> {
        let own = &optics[group];
        let pixels = PixelList::new(own.box_size);
        let coordinates = pixels.x.iter().copied().zip(pixels.y.iter().copied());
        let factors = demodulation(optics, group, coordinates)?;
        let inverse = |factor: &Complex32| factor.conj() / factor.norm_sqr();
        Ok(Self {
            transform: ImageTransform::new(own.box_size),
            plane: ImagePlane::new(own, box_size, pixel_size, padding),
            modulation: factors.map(|factors| factors.iter().map(inverse).collect()),
            pixel_size: own.pixel_size,
            pixels,
        })
    }

    /// Returns scale·C·projection of `reference` for the pose of a particle, moved to where the particle is by its whole offset, as
    /// an image of box² pixels. Without a CTF C is 1.
    pub fn image(
        &self,
        particle: &Particle,
        reference: &ReferenceVolume,
        ctf: Option<&Ctf>,
        scale: f64,
    ) -> Vec<f32> {
        let (n, count) = (self.pixels.size(), self.pixels.len());
        let width = n / 2 + 1;
        let a = euler::matrix(particle.rot, particle.tilt, particle.psi);
        let mut slice = vec![0.0; 2 * count];
        project(
            reference,
            &self.plane.axes(&a),
            &self.pixels,
            count,
            &mut slice,
        );
        let mut transform = vec![Complex32::default(); n * width];
        for i in 0..count {
            let (x, y) = (self.pixels.x[i], self.pixels.y[i]);
            let mut value = Complex32::new(slice[i], slice[count + i]);
            if let Some(factors) = &self.modulation {
                value *= factors[i];
            }
            transform[stored(i64::from(y), n) * width + x as usize] = value;
        }
        let back = particle.origin.map(|o| -o / self.pixel_size);
        let phases = Phases::new(back, n, n);
        for (row, values) in transform.chunks_exact_mut(width).enumerate() {
            let y = logical_row(row, n);
            phases.apply(y, 0, values);
            match ctf.map(|ctf| ctf.row(y, width)) {
                Some(contrast) => {
                    for (value, c) in values.iter_mut().zip(contrast) {
                        *value *= (scale * c) as f32;
                    }
                }
                None => values.iter_mut().for_each(|value| *value *= scale as f32),
            }
        }
        // The list leaves out the mates of the column x = 0.
        for y in 1..n / 2 {
            transform[(n - y) * width] = transform[y * width].conj();
        }
        self.transform.inverse(&transform)
    }
}
