//! getImg: one particle image → masked and unmasked transforms, CTF, powers (spec 01 §3).

use super::super::layout::GroupLayout;
use super::super::start::{ParticleStart, noise_image};
use super::super::{BatchItem, Criterion, ExpectationError, IterationInput};
use crate::fourier::image::{Background, logical_row, mask_particle, shell_power, shift_by_pixels};
use gpu::image::shift_phase;
use gpu::samples::model_factor;
use num_complex::Complex32;

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
    /// Scale and offsets.
    pub start: ParticleStart,
    /// Σ|F|² of the masked image per shell above n_g/2 (index 0 ↔ shell n_g/2+1).
    pub high_power: Vec<f64>,
    /// X_high: sum of `high_power`.
    pub high_power_sum: f64,
    /// ½ΣV|F|² over the pixels that the second pass compares (likelihood only).
    pub half_power: f64,
    /// Cross-correlation: √Σ|F|² over the box of the first pass and of the second.
    pub box_powers: [f64; 2],
}

/// Prepare one particle.
pub fn prepare(
    input: &IterationInput,
    layout: &GroupLayout,
    item: &BatchItem,
) -> Result<PreparedImage, ExpectationError> {
    let start = ParticleStart::new(input, layout, item)?;
    let n = layout.box_size;
    let mut image = item.image.single().into_owned();
    if start.factor != 1.0 {
        image.iter_mut().for_each(|v| *v *= start.factor);
    }
    let image = shift_by_pixels(&image, n, start.old_offset.map(|o| o as i32));
    let unmasked = layout.transform.forward(&image, layout.pixels.size() / 2);
    let mut masked_image = image;
    let edge = input.options.mask_edge as f32;
    let noise;
    let background = if input.options.zero_mask {
        Background::Mean
    } else {
        noise = noise_image(input, layout, item.particle);
        Background::Noise(&noise)
    };
    mask_particle(&mut masked_image, n, layout.mask_radius, edge, background);
    let masked = layout.transform.forward(&masked_image, n / 2);

    let full = layout.pixels.size();
    let power = shell_power(&masked, n);
    let high_power: Vec<f64> = power[(full / 2 + 1).min(power.len())..].to_vec();
    let high_power_sum = high_power.iter().sum();

    let box_powers = match input.criterion {
        Criterion::CrossCorrelation => {
            [layout.coarse_size, layout.fine_size].map(|size| box_power(&masked, n, size).sqrt())
        }
        Criterion::Likelihood => [0.0; 2],
    };

    let mut masked = layout.pixels.gather(&masked, n);
    let mut unmasked = layout.pixels.gather(&unmasked, n);
    if let Some(factors) = &layout.demodulation {
        for ((m, u), f) in masked.iter_mut().zip(&mut unmasked).zip(factors) {
            *m *= f;
            *u *= f;
        }
    }
    if input.options.skip_align {
        let remainder = start.remainder;
        for (i, (m, u)) in masked.iter_mut().zip(&mut unmasked).enumerate() {
            let (x, y) = (layout.pixels.x[i], layout.pixels.y[i]);
            let [cos, sin] = shift_phase(x, y, remainder, n as u32);
            let phase = Complex32::new(cos as f32, sin as f32);
            *m *= phase;
            *u *= phase;
        }
    }

    let ctf: Vec<f32> = if input.options.ctf {
        let ctf = item.ctf(input)?;
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
    let (scale, flags) = (
        start.scale as f32,
        input.store_flags(item.particle.optics_group),
    );
    let model_factor = ctf
        .iter()
        .map(|c| model_factor(scale, c * scale, flags))
        .collect();
    let half_power = match input.criterion {
        Criterion::CrossCorrelation => 0.0,
        Criterion::Likelihood => {
            let terms = layout.power_weight.iter().zip(&masked);
            let powers = terms.map(|(&v, f)| f64::from(v) * f64::from(f.norm_sqr()));
            powers.sum::<f64>() / 2.0
        }
    };
    Ok(PreparedImage {
        masked,
        unmasked,
        ctf,
        model_factor,
        start,
        high_power,
        high_power_sum,
        half_power,
        box_powers,
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
