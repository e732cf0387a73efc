//! getImg: one particle image → masked and unmasked transforms, CTF, powers (spec 01 §3).

use super::super::layout::GroupLayout;
use super::super::start::{ParticleStart, noise_image};
use super::super::subtraction::unwanted_signal;
use super::super::{BatchItem, Criterion, ExpectationError, IterationInput};
use crate::fourier::image::{Background, logical_row, mask_particle, shell_power, shift_by_pixels};
use gpu::image::shift_phase;
use gpu::samples::model_factor;
use num_complex::Complex32;

/// A particle ready for comparison; vectors run over the group's pixel list.
pub(super) struct PreparedImage {
    /// F: masked image, shifted by whole pixels only.
    pub masked: Vec<Complex32>,
    /// F̃: unmasked image, likewise.
    pub unmasked: Vec<Complex32>,
    /// The masked image without the unwanted signal, where that is subtracted.
    wanted: Option<Vec<Complex32>>,
    /// C (C² for premultiplied groups); 1 without CTF correction.
    pub ctf: Vec<f32>,
    /// Factor of the slices in comparisons: s·C, or s while references are not CTF corrected.
    pub model_factor: Vec<f32>,
    /// Scale and offsets.
    pub start: ParticleStart,
    /// Σ|F|² of the masked image per shell above n_g/2 (index 0 ↔ shell n_g/2+1).
    pub high_power: Vec<f64>,
    /// X_high: sum of the same of the compared image.
    pub high_power_sum: f64,
    /// ½ΣV|F|² of the compared image over the pixels that the second pass compares (likelihood only).
    pub half_power: f64,
    /// Cross-correlation: √Σ|F|² of the compared image over the box of the first pass and of the second.
    pub box_powers: [f64; 2],
}

impl PreparedImage {
    /// The masked image that is compared with references.
    pub(super) fn compared(&self) -> &[Complex32] {
        self.wanted.as_deref().unwrap_or(&self.masked)
    }
}

/// Prepare one particle.
pub(super) fn prepare(
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
    let moved = |image: &[f32]| shift_by_pixels(image, n, start.old_offset.map(|o| o as i32));
    let masked = |mut image: Vec<f32>, background: Background| {
        let edge = input.options.mask_edge as f32;
        mask_particle(&mut image, n, layout.mask_radius, edge, background);
        layout.transform.forward(&image, n / 2)
    };
    let wanted = unwanted_signal(input, layout, item, &start)?.map(|unwanted| {
        let pixels = image.iter().zip(unwanted);
        let wanted: Vec<f32> = pixels.map(|(image, unwanted)| image - unwanted).collect();
        // The spectrum of the noise is that of the whole image.
        masked(moved(&wanted), Background::Mean)
    });
    let image = moved(&image);
    let unmasked = layout.transform.forward(&image, layout.pixels.size() / 2);
    let masked = match input.options.zero_mask {
        true => masked(image, Background::Mean),
        false => {
            let noise = noise_image(input, layout, item.particle);
            masked(image, Background::Noise(&noise))
        }
    };

    let high_power = power_above(&masked, n, layout.pixels.size());
    let compared = wanted.as_ref().unwrap_or(&masked);
    let high_power_sum = power_above(compared, n, layout.pixels.size()).iter().sum();
    let box_powers = match input.criterion {
        Criterion::CrossCorrelation => {
            [layout.coarse_size, layout.fine_size].map(|size| box_power(compared, n, size).sqrt())
        }
        Criterion::Likelihood => [0.0; 2],
    };

    let [masked, unmasked] = [masked, unmasked].map(|full| listed(input, layout, &start, &full));
    let wanted = wanted.map(|full| listed(input, layout, &start, &full));

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
            let compared = wanted.as_ref().unwrap_or(&masked);
            let terms = layout.power_weight.iter().zip(compared);
            let powers = terms.map(|(&v, f)| f64::from(v) * f64::from(f.norm_sqr()));
            powers.sum::<f64>() / 2.0
        }
    };
    Ok(PreparedImage {
        masked,
        unmasked,
        wanted,
        ctf,
        model_factor,
        start,
        high_power,
        high_power_sum,
        half_power,
        box_powers,
    })
}

/// The pixels of the list from a transform, without what the optics did to them, moved by what `--skip_align` leaves of the offset.
fn listed(
    input: &IterationInput,
    layout: &GroupLayout,
    start: &ParticleStart,
    transform: &[Complex32],
) -> Vec<Complex32> {
    let mut values = layout.pixels.gather(transform, layout.box_size);
    if let Some(factors) = &layout.demodulation {
        for (value, factor) in values.iter_mut().zip(factors) {
            *value *= factor;
        }
    }
    if input.options.skip_align {
        for (i, value) in values.iter_mut().enumerate() {
            let (x, y) = (layout.pixels.x[i], layout.pixels.y[i]);
            let [cos, sin] = shift_phase(x, y, start.remainder, layout.box_size as u32);
            *value *= Complex32::new(cos as f32, sin as f32);
        }
    }
    values
}

/// Σ|F|² per shell above those of the box of `size`.
fn power_above(transform: &[Complex32], n: usize, size: usize) -> Vec<f64> {
    let power = shell_power(transform, n);
    power[(size / 2 + 1).min(power.len())..].to_vec()
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
