//! getDiff, first pass: squared differences of images with every coarse orientation and shift, as matrix products
//! orientations × pixels × (images · shifts) (spec 01 §5).
//!
//! Terms of the image alone (½X_high, ½ΣV|F|²) are left out here and added where likelihoods are reported.

use super::super::layout::GroupLayout;
use super::super::orientations::each_matrix;
use super::super::slices::project;
use super::super::{BatchItem, Criterion, IterationInput};
use super::columns::{WeightedImage, half_power, power_column};
use super::prepare::PreparedImage;
use super::product::{matrix_product, padded};
use crate::fourier::reference::ReferenceVolume;
use crate::geometry::Matrix3;
use rayon::prelude::*;

/// Orientations handled by one task: enough for an efficient product, few enough to stay in cache.
const CHUNK: usize = 96;

/// Shifted, weighted images: the right-hand sides of the products.
pub(super) struct Columns {
    /// One row of `cross_len` floats per image and shift: m·V·F e^{iφ_t}.
    pub cross: Vec<f32>,
    /// Padded length of those rows.
    pub cross_len: usize,
    /// One row of `power_len` floats per image: m²·V.
    pub power: Vec<f32>,
    /// Padded length of those rows.
    pub power_len: usize,
    /// Shifts per image.
    pub shifts: usize,
}

/// Columns of the given images for the first pass.
pub(super) fn columns(layout: &GroupLayout, images: &[&PreparedImage]) -> Columns {
    let count = layout.coarse_projected();
    let (cross_len, power_len, shifts) = (padded(2 * count), padded(count), layout.shifts());
    let mut cross = vec![0.0f32; images.len() * shifts * cross_len];
    let mut power = vec![0.0f32; images.len() * power_len];
    cross
        .par_chunks_mut(shifts * cross_len)
        .zip(power.par_chunks_mut(power_len))
        .zip(images)
        .for_each(|((cross, power), image)| {
            let weights = &layout.coarse_comparison_weight[..count];
            let weighted = WeightedImage::new(image, weights);
            for (t, row) in cross.chunks_exact_mut(cross_len).enumerate() {
                weighted.shifted(layout.coarse_phases().row(t), row);
            }
            power_column(image, weights, power);
        });
    Columns {
        cross,
        cross_len,
        power,
        power_len,
        shifts,
    }
}

/// Differences of all images with all orientations: `out[(orientation · images + image) · shifts + shift]`.
pub(super) fn differences(
    input: &IterationInput,
    layout: &GroupLayout,
    reference: &ReferenceVolume,
    orientations: &[Matrix3],
    images: &[&PreparedImage],
    columns: &Columns,
) -> Vec<f32> {
    let row = images.len() * columns.shifts;
    let mut out = vec![0.0f32; orientations.len() * row];
    out.par_chunks_mut(CHUNK * row)
        .zip(orientations.par_chunks(CHUNK))
        .for_each(|(out, orientations)| {
            chunk_differences(input, layout, reference, orientations, images, columns, out)
        });
    out
}

/// Differences of one image with its own orientations: `out[orientation · shifts + shift]`.
pub(super) fn own_differences(
    input: &IterationInput,
    layout: &GroupLayout,
    reference: &ReferenceVolume,
    orientations: &[u32],
    item: &BatchItem,
    image: &PreparedImage,
    columns: &Columns,
) -> Vec<f32> {
    let mut matrices: Vec<Matrix3> = Vec::with_capacity(orientations.len());
    each_matrix(input, item.particle, orientations, 0, |matrix| {
        matrices.push(matrix)
    });
    let mut out = vec![0.0f32; matrices.len() * columns.shifts];
    for (out, matrices) in out
        .chunks_mut(CHUNK * columns.shifts)
        .zip(matrices.chunks(CHUNK))
    {
        chunk_differences(input, layout, reference, matrices, &[image], columns, out);
    }
    out
}

fn chunk_differences(
    input: &IterationInput,
    layout: &GroupLayout,
    reference: &ReferenceVolume,
    orientations: &[Matrix3],
    images: &[&PreparedImage],
    columns: &Columns,
    out: &mut [f32],
) {
    let count = layout.coarse_projected();
    let mut slices = vec![0.0f32; orientations.len() * columns.cross_len];
    let mut powers = vec![0.0f32; orientations.len() * columns.power_len];
    for ((slice, power), a) in slices
        .chunks_exact_mut(columns.cross_len)
        .zip(powers.chunks_exact_mut(columns.power_len))
        .zip(orientations)
    {
        project(
            reference,
            &layout.plane.axes(a),
            &layout.pixels,
            count,
            slice,
        );
        half_power(slice, &mut power[..count]);
    }
    let mut norms = vec![0.0f32; orientations.len() * images.len()];
    matrix_product(&powers, &columns.power, columns.power_len, &mut norms);
    matrix_product(&slices, &columns.cross, columns.cross_len, out);
    for (cross, &norm) in out.chunks_exact_mut(columns.shifts).zip(&norms) {
        match input.criterion {
            Criterion::Likelihood => cross.iter_mut().for_each(|c| *c = norm - *c),
            Criterion::CrossCorrelation => cross
                .iter_mut()
                .for_each(|c| *c = -*c / (2.0 * norm).sqrt()),
        }
    }
    if input.criterion == Criterion::CrossCorrelation {
        for per_orientation in out.chunks_exact_mut(images.len() * columns.shifts) {
            for (cross, image) in per_orientation.chunks_exact_mut(columns.shifts).zip(images) {
                cross
                    .iter_mut()
                    .for_each(|c| *c /= image.box_powers[0] as f32);
            }
        }
    }
}
