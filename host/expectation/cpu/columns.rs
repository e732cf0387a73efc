//! Slices and shifted, weighted images: the rows and columns of the matrix products. Real parts first, then imaginary parts.

use super::super::layout::GroupLayout;
use super::super::slices::project_all;
use super::prepare::PreparedImage;
use crate::fourier::reference::ReferenceVolume;
use gpu::slice::SliceAxes;

/// m·V·F of an image for the first `weights.len()` pixels, real and imaginary parts apart.
pub(super) struct WeightedImage {
    re: Vec<f32>,
    im: Vec<f32>,
}

impl WeightedImage {
    /// `weights` is V (or the weight of a pixel in cross-correlations).
    pub(super) fn new(image: &PreparedImage, weights: &[f32]) -> Self {
        let (mut re, mut im) = (
            Vec::with_capacity(weights.len()),
            Vec::with_capacity(weights.len()),
        );
        for ((f, m), v) in image
            .compared()
            .iter()
            .zip(&image.model_factor)
            .zip(weights)
        {
            re.push(v * m * f.re);
            im.push(v * m * f.im);
        }
        Self { re, im }
    }

    /// Write the image shifted by `phases` to `column` (zero beyond twice the number of pixels).
    pub(super) fn shifted(&self, phases: (&[f32], &[f32]), column: &mut [f32]) {
        let n = self.re.len();
        let (out_re, rest) = column.split_at_mut(n);
        let out_im = &mut rest[..n];
        let (p_re, p_im) = (&phases.0[..n], &phases.1[..n]);
        let (f_re, f_im) = (&self.re[..n], &self.im[..n]);
        pulp::Arch::new().dispatch(|| {
            for i in 0..n {
                out_re[i] = f_re[i] * p_re[i] - f_im[i] * p_im[i];
                out_im[i] = f_re[i] * p_im[i] + f_im[i] * p_re[i];
            }
        });
    }
}

/// m²·V for the first `weights.len()` pixels.
pub(super) fn power_column(image: &PreparedImage, weights: &[f32], column: &mut [f32]) {
    for ((out, m), v) in column.iter_mut().zip(&image.model_factor).zip(weights) {
        *out = v * m * m;
    }
}

/// ½|A|² of a slice of `out.len()` pixels.
pub(super) fn half_power(slice: &[f32], out: &mut [f32]) {
    let n = out.len();
    let (re, im) = (&slice[..n], &slice[n..2 * n]);
    pulp::Arch::new().dispatch(|| {
        for i in 0..n {
            out[i] = 0.5 * (re[i] * re[i] + im[i] * im[i]);
        }
    });
}

/// Slices of a reference, and ½|A|² of their pixels, in memory that is used again. Rows have the same lengths each time, so that
/// the zeros behind them are never overwritten.
#[derive(Default)]
pub(super) struct Slices {
    /// A row per slice: real parts, then imaginary parts.
    pub values: Vec<f32>,
    /// A row per slice.
    pub half_powers: Vec<f32>,
}

impl Slices {
    /// Cuts slices of `count` pixels of one reference after the other, each at its own axes, into rows of `lengths` values.
    pub(super) fn cut(
        &mut self,
        references: &[(&ReferenceVolume, &[SliceAxes])],
        layout: &GroupLayout,
        count: usize,
        lengths: [usize; 2],
    ) {
        let slices: usize = references.iter().map(|(_, axes)| axes.len()).sum();
        self.values.resize(slices * lengths[0], 0.0);
        self.half_powers.resize(slices * lengths[1], 0.0);
        let mut rest = self.values.as_mut_slice();
        for (reference, axes) in references {
            let (values, others) = rest.split_at_mut(axes.len() * lengths[0]);
            project_all(reference, axes, &layout.pixels, count, values);
            rest = others;
        }
        let slices = self.values.chunks_exact(lengths[0]);
        for (slice, power) in slices.zip(self.half_powers.chunks_exact_mut(lengths[1])) {
            half_power(slice, &mut power[..count]);
        }
    }
}
