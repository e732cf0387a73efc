//! getImg: one particle image → masked and unmasked transforms, CTF, powers (spec 01 §3).

use super::super::{BatchItem, Criterion, ExpectationError, IterationInput};
use super::layout::GroupLayout;
use crate::fourier::image::{
    Background, ImageTransform, logical_row, mask_particle, shell_power, shift_by_pixels,
};
use crate::fourier::shells;
use crate::geometry::random::CRandom;
use crate::optics::Ctf;
use num_complex::Complex32;
use std::f64::consts::TAU;

/// A particle ready for comparison; vectors run over the group's pixel list.
pub struct PreparedImage {
    /// F: masked image, shifted by whole pixels only.
    pub masked: Vec<Complex32>,
    /// F̃: unmasked image, likewise.
    pub unmasked: Vec<Complex32>,
    /// C (C² for premultiplied groups); 1 without CTF correction.
    pub ctf: Vec<f32>,
    /// Factor of the slices in comparisons: s·C, or s while references are not CTF corrected.
    pub model_factor: Vec<f32>,
    /// s, unclamped.
    pub scale: f64,
    /// s, not below 0.001: used in the weighted sums.
    pub sum_scale: f64,
    /// r: old offset rounded to whole pixels.
    pub old_offset: [f64; 2],
    /// Sub-pixel remainder of the old offset that was applied to the transforms (only without alignment).
    pub remainder: [f64; 2],
    /// µ: prior centre of the offset, pixels.
    pub offset_prior: [f64; 2],
    /// Σ|F|² of the masked image per shell above n_g/2 (index 0 ↔ shell n_g/2+1).
    pub high_power: Vec<f64>,
    /// X_high: sum of `high_power`.
    pub high_power_sum: f64,
    /// Coarse pass: ½ΣV|F|² over compared pixels; in a CC iteration √Σ|F|² over the whole box.
    pub coarse_power: f64,
    /// Second pass: likewise.
    pub fine_power: f64,
}

/// Prepare one particle.
pub fn prepare(
    input: &IterationInput,
    layout: &GroupLayout,
    item: &BatchItem,
) -> Result<PreparedImage, ExpectationError> {
    let particle = item.particle;
    let failed = |message: String| ExpectationError::Particle {
        image: item.name.clone(),
        message,
    };
    let n = layout.box_size;
    let mut image = item.image.clone();
    if input.options.norm {
        if particle.norm.is_nan() || particle.norm <= 0.0 {
            return Err(failed(format!(
                "its rlnNormCorrection is {}; it must be positive. Set it to 1 or remove the column",
                particle.norm
            )));
        }
        let factor = (input.model.average_norm / particle.norm) as f32;
        image.iter_mut().for_each(|v| *v *= factor);
    }
    let exact = particle.origin.map(|o| o / layout.pixel_size);
    let old_offset = exact.map(|o| shells::round(o) as f64);
    if old_offset
        .iter()
        .any(|o| !o.is_finite() || o.abs() > 2.0 * n as f64)
    {
        return Err(failed(format!(
            "its origin offset ({}, {}) Å lies outside the image of {} × {} Å",
            particle.origin[0],
            particle.origin[1],
            n as f64 * layout.pixel_size,
            n as f64 * layout.pixel_size
        )));
    }
    let image = shift_by_pixels(&image, n, old_offset.map(|o| o as i32));
    let unmasked = layout.transform.forward(&image, layout.pixels.size() / 2);
    let mut masked_image = image;
    let edge = input.options.mask_edge as f32;
    let noise;
    let background = if input.options.zero_mask {
        Background::Mean
    } else {
        noise = noise_image(input, layout, particle.id, particle.optics_group);
        Background::Noise(&noise)
    };
    mask_particle(&mut masked_image, n, layout.mask_radius, edge, background);
    let masked = layout.transform.forward(&masked_image, n / 2);

    let full = layout.pixels.size();
    let power = shell_power(&masked, n);
    let high_power: Vec<f64> = power[(full / 2 + 1).min(power.len())..].to_vec();
    let high_power_sum = high_power.iter().sum();

    let (coarse_corr, fine_corr) = match input.criterion {
        Criterion::CrossCorrelation => (
            box_power(&masked, n, layout.coarse_size).sqrt(),
            box_power(&masked, n, layout.fine_size).sqrt(),
        ),
        Criterion::Likelihood => (0.0, 0.0),
    };

    let mut masked = layout.pixels.gather(&masked, n);
    let mut unmasked = layout.pixels.gather(&unmasked, n);
    if let Some(factors) = &layout.demodulation {
        for ((m, u), f) in masked.iter_mut().zip(&mut unmasked).zip(factors) {
            *m *= f;
            *u *= f;
        }
    }
    let mut remainder = [0.0; 2];
    if input.options.skip_align {
        remainder = std::array::from_fn(|i| exact[i] - old_offset[i]);
        for (i, (m, u)) in masked.iter_mut().zip(&mut unmasked).enumerate() {
            let turns = (f64::from(layout.pixels.x[i]) * remainder[0]
                + f64::from(layout.pixels.y[i]) * remainder[1])
                / n as f64;
            let phase = Complex32::from_polar(1.0, (-TAU * turns) as f32);
            *m *= phase;
            *u *= phase;
        }
    }

    let scale = if input.options.scale {
        input.model.scales[particle.scale_group]
    } else {
        1.0
    };
    if scale > 10000.0 || !scale.is_finite() {
        return Err(failed(format!(
            "the intensity scale of its group {} is {scale}: the images are not on a common scale. Was the data normalised \
             (background mean 0, standard deviation 1)? Re-extract with normalisation or run without --scale",
            particle.scale_group + 1
        )));
    }
    let ctf: Vec<f32> = if input.options.ctf {
        let group = &input.optics[particle.optics_group];
        let ctf = Ctf::new(&particle.ctf, group, input.options.ctf_flags)
            .map_err(|e| failed(e.to_string()))?;
        layout
            .pixels
            .x
            .iter()
            .zip(&layout.pixels.y)
            .map(|(&x, &y)| ctf.value(x, y) as f32)
            .collect()
    } else {
        vec![1.0; layout.pixels.len()]
    };
    let model_factor = if input.references_ctf_corrected {
        ctf.iter().map(|c| c * scale as f32).collect()
    } else {
        vec![scale as f32; ctf.len()]
    };
    let compared_power = |size: usize| -> f64 {
        layout
            .pixels
            .participating(size)
            .skip(1)
            .map(|i| f64::from(layout.inverse_variance[i]) * f64::from(masked[i].norm_sqr()))
            .sum::<f64>()
            / 2.0
    };
    let (coarse_power, fine_power) = match input.criterion {
        Criterion::CrossCorrelation => (coarse_corr, fine_corr),
        Criterion::Likelihood => (
            compared_power(layout.coarse_size),
            compared_power(layout.fine_size),
        ),
    };
    Ok(PreparedImage {
        masked,
        unmasked,
        ctf,
        model_factor,
        scale,
        sum_scale: scale.max(0.001),
        old_offset,
        remainder,
        offset_prior: particle
            .origin_prior
            .map(|p| p.map_or(0.0, |v| v / layout.pixel_size)),
        high_power,
        high_power_sum,
        coarse_power,
        fine_power,
    })
}

/// Σ|F|² over every stored coefficient of the cropped box of `size`: corners and the redundant half of x = 0
/// included (spec 01 §5.3).
fn box_power(transform: &[Complex32], n: usize, size: usize) -> f64 {
    let (width, half) = (n / 2 + 1, (size / 2) as i32);
    let mut sum = 0.0;
    for (i, row) in transform.chunks_exact(width).enumerate() {
        let y = logical_row(i, n);
        if y > -half && y <= half {
            sum += row[..=size / 2]
                .iter()
                .map(|v| f64::from(v.norm_sqr()))
                .sum::<f64>();
        }
    }
    sum
}

/// Coloured noise with the spectrum of the particle's optics group, to fill the background of the mask without
/// `--zero_mask`; keyed by seed and particle (spec 01 §3.4).
pub fn noise_image(
    input: &IterationInput,
    layout: &GroupLayout,
    id: usize,
    group: usize,
) -> Vec<f32> {
    let n = layout.box_size;
    let mut random = CRandom::new(input.options.random_seed.wrapping_add(id as u32));
    let sigma: Vec<f32> = (0..=n / 2)
        .map(|s| {
            let sigma2 = input.model.noise[group]
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
