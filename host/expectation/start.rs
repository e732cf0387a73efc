//! Data of a particle before its image is read: checked numbers, and the noise that may fill its
//! background (spec 01 §3).

use super::layout::GroupLayout;
use super::{BatchItem, ExpectationError, IterationInput};
use crate::dataset::Particle;
use crate::dataset::particle_checks::{norm_fault, origin_fault};
use crate::errors::Code;
use crate::fourier::image::{ImageTransform, logical_row};
use crate::fourier::shells;
use crate::geometry::random::CRandom;
use num_complex::Complex32;

/// A particle's numbers in pixels and factors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ParticleStart {
    /// Factor of the image: norm correction.
    pub factor: f32,
    /// s, unclamped.
    pub scale: f64,
    /// s, not below 0.001: used in the weighted sums.
    pub sum_scale: f64,
    /// r: old offset rounded to whole pixels.
    pub old_offset: [f64; 2],
    /// Sub-pixel rest of the old offset that is applied to the transforms; 0 unless `--skip_align`.
    pub remainder: [f64; 2],
    /// µ: prior centre of the offset, pixels.
    pub offset_prior: [f64; 2],
}

impl ParticleStart {
    /// Checks the particle of `item`; errors name it.
    pub(super) fn new(
        input: &IterationInput,
        layout: &GroupLayout,
        item: &BatchItem,
    ) -> Result<Self, ExpectationError> {
        let particle = item.particle;
        let failed = |message: String| ExpectationError::Particle {
            code: Code::PARTICLE_VALUE,
            image: item.name.clone(),
            message,
        };
        let factor = if input.options.norm {
            if let Some(fault) = norm_fault(particle.norm) {
                return Err(failed(fault));
            }
            (input.model.average_norm / particle.norm) as f32
        } else {
            1.0
        };
        let exact = particle.origin.map(|o| o / layout.pixel_size);
        let old_offset = exact.map(|o| shells::round(o) as f64);
        let side = layout.box_size as f64 * layout.pixel_size;
        if let Some(fault) = origin_fault(particle.origin, side) {
            return Err(failed(fault));
        }
        let scale = if input.options.scale {
            input.model.scales[particle.scale_group]
        } else {
            1.0
        };
        if scale > 10000.0 || !scale.is_finite() {
            return Err(failed(format!(
                "the intensity scale of its group {} is {scale}: the images are not on a common scale. Was the data \
                 normalised (background mean 0, standard deviation 1)? Re-extract with normalisation or run without --scale",
                particle.scale_group + 1
            )));
        }
        Ok(Self {
            factor,
            scale,
            sum_scale: scale.max(0.001),
            old_offset,
            remainder: if input.options.skip_align {
                std::array::from_fn(|i| exact[i] - old_offset[i])
            } else {
                [0.0; 2]
            },
            offset_prior: particle
                .origin_prior
                .map(|p| p.map_or(0.0, |v| v / layout.pixel_size)),
        })
    }
}

impl ParticleStart {
    /// r + t and the sub-pixel rest, pixels: where a shift `t` moves the particle to.
    pub(super) fn moved_by(&self, t: [f64; 2]) -> [f64; 2] {
        std::array::from_fn(|i| self.old_offset[i] + t[i] + self.remainder[i])
    }
}

/// Coloured noise with the spectrum of the particle's optics group, to fill the background of the mask without
/// `--zero_mask`; keyed by seed and particle (spec 01 §3.4).
pub(super) fn noise_image(
    input: &IterationInput,
    layout: &GroupLayout,
    particle: &Particle,
) -> Vec<f32> {
    let n = layout.box_size;
    let mut random = CRandom::new(input.options.random_seed.wrapping_add(particle.id as u32));
    let sigma: Vec<f32> = (0..=n / 2)
        .map(|s| {
            let sigma2 = input.model.noise[particle.optics_group]
                .get(layout.model_shell[s])
                .copied()
                .unwrap_or(0.0);
            (input.options.sigma2_fudge * sigma2).max(0.0).sqrt() as f32
        })
        .collect();
    let mut transform = vec![Complex32::default(); n * (n / 2 + 1)];
    for (i, row) in transform.chunks_exact_mut(n / 2 + 1).enumerate() {
        let y = logical_row(i, n);
        for (x, value) in row.iter_mut().enumerate() {
            let shell = shells::round(f64::from(x as i32 * x as i32 + y * y).sqrt()) as usize;
            if let Some(&sigma) = sigma.get(shell) {
                *value = Complex32::new(random.gaussian(0.0, sigma), random.gaussian(0.0, sigma));
            }
        }
    }
    ImageTransform::inverse(&layout.transform, &transform)
}
