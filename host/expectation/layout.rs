//! Data that all particles of an optics group share during an iteration: pixel lists, noise, phases of the shifts.

use super::signal::SignalInImages;
use super::slices::{ImagePlane, shell_ratio};
use super::{Criterion, ExpectationError, IterationInput, pixels::PixelList};
use crate::errors::{Code, Message};
use crate::fourier::{image::ImageTransform, shells};
use crate::geometry::Matrix3;
use crate::optics::demodulation;
use gpu::correlation::ExactSample;
use gpu::image::shift_phase;
use num_complex::Complex32;
use rayon::prelude::*;
use std::f64::consts::TAU;

/// Phase factors exp(−2πi(x t_x + y t_y)/N) of a list of shifts, one contiguous row of pixels a shift; real and
/// imaginary parts apart, so that loops over pixels vectorise.
pub(super) struct PhaseTable {
    length: usize,
    re: Vec<f32>,
    im: Vec<f32>,
}

impl PhaseTable {
    /// Phases of `shifts` (pixels) for the first `length` pixels of the list, images of `box_size` pixels.
    pub(super) fn new(
        pixels: &PixelList,
        length: usize,
        box_size: usize,
        shifts: &[[f64; 2]],
    ) -> Self {
        let mut re = vec![0.0; length * shifts.len()];
        let mut im = re.clone();
        let row = length.max(1);
        let rows = re.par_chunks_mut(row).zip(im.par_chunks_mut(row));
        rows.zip(shifts).for_each(|((re, im), &shift)| {
            for (i, (re, im)) in re.iter_mut().zip(im).enumerate() {
                let [cos, sin] = shift_phase(pixels.x[i], pixels.y[i], shift, box_size as u32);
                (*re, *im) = (cos as f32, sin as f32);
            }
        });
        Self { length, re, im }
    }

    /// All phases as (re, im), one row of `stride` values a shift, zeros behind the pixels.
    pub(super) fn interleaved(&self, stride: usize) -> Vec<[f32; 2]> {
        let mut values = vec![[0.0; 2]; self.re.len() / self.length.max(1) * stride];
        for (shift, to) in values.chunks_exact_mut(stride).enumerate() {
            let (re, im) = self.row(shift);
            for (to, (&re, &im)) in to.iter_mut().zip(re.iter().zip(im)) {
                *to = [re, im];
            }
        }
        values
    }

    /// Real and imaginary parts for one shift.
    pub(super) fn row(&self, shift: usize) -> (&[f32], &[f32]) {
        let range = shift * self.length..(shift + 1) * self.length;
        (&self.re[range.clone()], &self.im[range])
    }
}

/// One optics group in one iteration.
pub(super) struct GroupLayout {
    /// Box of the images, pixels.
    pub box_size: usize,
    /// Å per pixel.
    pub pixel_size: f64,
    /// Pixels of the n_g box.
    pub pixels: PixelList,
    /// Box of the first pass, pixels.
    pub coarse_size: usize,
    /// Box of the second pass, pixels.
    pub fine_size: usize,
    /// Model shell of every image shell.
    pub model_shell: Vec<usize>,
    /// V = 1/(f_σ σ²) per pixel, the origin included (spec 01 §5.1, §7).
    pub inverse_variance: Vec<f32>,
    /// Weight of a pixel in comparisons: V without the origin; in a CC iteration 1, and 2 where the redundant
    /// half of the x = 0 column counts as well (spec 01 §5.3).
    pub comparison_weight: Vec<f32>,
    /// The same in the box of the first pass.
    pub coarse_comparison_weight: Vec<f32>,
    /// V of the pixels that the second pass compares, for the constant ½ΣV|F|² of the likelihood; 0 elsewhere.
    pub power_weight: Vec<f32>,
    /// Σ ln(2πσ²) over the same pixels.
    pub log_norm: f64,
    /// How slices lie in the references.
    pub plane: ImagePlane,
    /// Multiplies image coefficients to undo anti-symmetric aberrations and differences between detectors.
    pub demodulation: Option<Vec<Complex32>>,
    /// Plans for the images.
    pub transform: ImageTransform,
    /// How the unwanted signal appears in the images; None where nothing is subtracted.
    pub signal: Option<SignalInImages>,
    /// R = D/2a, pixels.
    pub mask_radius: f32,
    /// Perturbed coarse shifts, pixels.
    pub coarse_shifts: Vec<[f64; 2]>,
    /// Perturbed children of every coarse shift, pixels: `children` consecutive ones a parent.
    pub fine_shifts: Vec<[f64; 2]>,
    /// Children of a coarse shift.
    pub shift_children: usize,
    coarse_phases: Option<PhaseTable>,
    fine_phases: Option<PhaseTable>,
}

/// How often each listed pixel counts in a cross-correlation over a box of `size`: twice on the x = 0 column, where
/// the mate (0, −y) is stored too, but not in the Nyquist row y = +size/2, which has none (spec 01 §5.3).
fn correlation_weights(pixels: &PixelList, size: usize) -> Vec<f32> {
    let nyquist = (size / 2) as i32;
    let weight = |(&x, &y): (&i32, &i32)| {
        if x == 0 && y > 0 && y < nyquist {
            2.0
        } else {
            1.0
        }
    };
    pixels.x.iter().zip(&pixels.y).map(weight).collect()
}

/// Returns 1/σ² of each listed pixel, with the factor of `--sigma2_fudge`; 0 beyond the model's box.
fn inverse_variance(
    input: &IterationInput,
    group: usize,
    pixels: &PixelList,
    model_shell: &[usize],
) -> Result<Vec<f32>, ExpectationError> {
    let noise = &input.model.noise[group];
    let mut inverse_variance = Vec::with_capacity(pixels.len());
    for &shell in &pixels.shell {
        let value = match noise.get(model_shell[shell]) {
            Some(&sigma2) if sigma2 > 0.0 && sigma2.is_finite() => {
                1.0 / (input.options.sigma2_fudge * sigma2)
            }
            Some(sigma2) => {
                return Err(Code::NOISE_SPECTRUM.says(format!(
                    "the noise spectrum of optics group '{}' is {sigma2} in shell {} (of {}), so images cannot be \
                     compared there. Likely causes: too few particles in the group, images that were filtered or \
                     are constant, or a wrong pixel size. Merge small optics groups or check their images.",
                    input.optics[group].name,
                    model_shell[shell],
                    noise.len().saturating_sub(1),
                )).into());
            }
            None => 0.0,
        };
        inverse_variance.push(value as f32);
    }
    Ok(inverse_variance)
}

/// Returns the coarse shifts and those of all their children, pixels of `pixel_size` Å, and the children per shift.
fn shifts(input: &IterationInput, pixel_size: f64) -> (Vec<[f64; 2]>, Vec<[f64; 2]>, usize) {
    if input.options.skip_align {
        // The sub-pixel remainder is applied to the image itself: a single, zero shift is left.
        return (vec![[0.0; 2]], vec![[0.0; 2]], 1);
    }
    let (sampling, oversampling) = (input.sampling, input.options.oversampling);
    let all = |oversampling| -> Vec<[f64; 2]> {
        (0..sampling.translations.len())
            .flat_map(|t| sampling.shifts(t, oversampling))
            .map(|shift| shift.map(|angstrom| angstrom / pixel_size))
            .collect()
    };
    let children = sampling.translation_children(oversampling);
    (all(0), all(oversampling), children)
}

impl GroupLayout {
    /// Layout of optics group `group`.
    pub(super) fn new(input: &IterationInput, group: usize) -> Result<Self, ExpectationError> {
        let (optics, sizes, options) = (&input.optics[group], input.sizes[group], input.options);
        let model = input.model;
        let pixels = PixelList::new(sizes.full);
        let remap = shell_ratio(optics, model.box_size, model.pixel_size);
        let noise = &model.noise[group];
        let model_shell: Vec<usize> = (0..=optics.box_size / 2)
            .map(|s| shells::round(remap * s as f64).max(0) as usize)
            .collect();
        let inverse_variance = inverse_variance(input, group, &pixels, &model_shell)?;
        let weights = |size: usize| match input.criterion {
            Criterion::Likelihood => {
                let mut weight = inverse_variance.clone();
                weight[0] = 0.0;
                weight
            }
            Criterion::CrossCorrelation => correlation_weights(&pixels, size),
        };
        let comparison_weight = weights(sizes.fine);
        let coarse_comparison_weight = weights(sizes.coarse);
        let mut power_weight = vec![0.0; pixels.len()];
        for i in pixels.compared(sizes.fine) {
            power_weight[i] = inverse_variance[i];
        }
        let log_norm = pixels
            .compared(sizes.fine)
            .filter_map(|i| noise.get(model_shell[pixels.shell[i]]))
            .map(|&sigma2| (TAU * sigma2).ln())
            .sum();
        let coordinates = pixels.x.iter().copied().zip(pixels.y.iter().copied());
        let demodulation =
            demodulation(input.optics, group, coordinates).map_err(|e| Message::of(&e))?;
        let padding = input.references[0].shape().padding;
        let signal = input
            .subtraction
            .map(|_| {
                SignalInImages::new(
                    input.optics,
                    group,
                    model.box_size,
                    model.pixel_size,
                    padding,
                )
            })
            .transpose()
            .map_err(|e| Message::of(&e))?;
        let (coarse_shifts, fine_shifts, shift_children) = shifts(input, optics.pixel_size);
        Ok(Self {
            box_size: optics.box_size,
            pixel_size: optics.pixel_size,
            coarse_size: sizes.coarse,
            fine_size: sizes.fine,
            model_shell,
            inverse_variance,
            comparison_weight,
            coarse_comparison_weight,
            power_weight,
            log_norm,
            plane: ImagePlane::new(optics, model.box_size, model.pixel_size, padding),
            demodulation,
            transform: ImageTransform::new(optics.box_size),
            signal,
            mask_radius: (options.particle_diameter / (2.0 * optics.pixel_size)) as f32,
            coarse_shifts,
            fine_shifts,
            shift_children,
            coarse_phases: None,
            fine_phases: None,
            pixels,
        })
    }

    /// The layout with its tables of phases, made by all threads: for an engine that reads them.
    pub(super) fn with_phases(self) -> Self {
        let table = |length: usize, shifts: &[[f64; 2]]| {
            Some(PhaseTable::new(&self.pixels, length, self.box_size, shifts))
        };
        Self {
            coarse_phases: table(self.coarse_projected(), &self.coarse_shifts),
            fine_phases: table(self.pixels.len(), &self.fine_shifts),
            ..self
        }
    }

    /// Phases of the coarse shifts over the coarse box.
    ///
    /// # Panics
    /// The layout was made without [`Self::with_phases`].
    pub(super) fn coarse_phases(&self) -> &PhaseTable {
        self.coarse_phases.as_ref().expect("made by the engine")
    }

    /// Phases of the fine shifts over the n_g box.
    ///
    /// # Panics
    /// The layout was made without [`Self::with_phases`].
    pub(super) fn fine_phases(&self) -> &PhaseTable {
        self.fine_phases.as_ref().expect("made by the engine")
    }

    /// A coarse sample in double precision: an orientation, coarse shift `shift`, image of a batch, class.
    pub(super) fn exact_sample(
        &self,
        orientation: &Matrix3,
        shift: usize,
        image: usize,
        class: usize,
    ) -> ExactSample {
        let [x_axis, y_axis] = self.plane.axes_f64(orientation);
        ExactSample {
            x_axis,
            y_axis,
            turns: self.coarse_shifts[shift].map(|t| t / self.box_size as f64),
            image: image as u32,
            class: class as u32,
        }
    }

    /// Number of coarse shifts.
    pub(super) fn shifts(&self) -> usize {
        self.coarse_shifts.len()
    }

    /// Pixels that carry a projected reference in the first pass.
    pub(super) fn coarse_projected(&self) -> usize {
        self.pixels.projected(self.coarse_size)
    }

    /// Pixels that carry a projected reference in the second pass.
    pub(super) fn fine_projected(&self) -> usize {
        self.pixels.projected(self.fine_size)
    }

    /// Pixels that carry a projected reference in the weighted sums.
    pub(super) fn full_projected(&self) -> usize {
        self.pixels.projected(self.pixels.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Σ over the stored box of |F|² counts (0, ±y) twice, (0, 0) and the Nyquist pixel (0, n/2) once, whatever the size
    /// of the list the box is part of.
    #[test]
    fn mates_count_twice_only_where_they_are_stored() {
        let pixels = PixelList::new(16);
        for size in [8, 12, 16] {
            let weights = correlation_weights(&pixels, size);
            let at = |x, y| {
                let found = (0..pixels.len()).find(|&i| (pixels.x[i], pixels.y[i]) == (x, y));
                weights[found.unwrap()]
            };
            let nyquist = size as i32 / 2;
            assert_eq!(at(0, 0), 1.0);
            assert_eq!(at(0, nyquist - 1), 2.0);
            assert_eq!(at(0, nyquist), 1.0);
            assert_eq!(at(nyquist, 0), 1.0);
        }
    }
}
