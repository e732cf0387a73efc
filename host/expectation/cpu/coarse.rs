//! getDiff, first pass: squared differences of images with every coarse orientation and shift, as matrix products
//! orientations × pixels × (images · shifts) (spec 01 §5).
//!
//! Terms of the image alone (½X_high, ½ΣV|F|²) are left out here and added where likelihoods are reported.

use super::super::layout::GroupLayout;
use super::super::orientations::{each_matrix, half_turns};
use super::super::{BatchItem, Criterion, IterationInput};
use super::columns::{Slices, WeightedImage, power_column};
use super::panels::{COLUMNS, Panels, ROWS, pack_panel, tile};
use super::prepare::PreparedImage;
use super::product::{matrix_product, padded, small_product};
use crate::fourier::reference::ReferenceVolume;
use crate::geometry::Matrix3;
use gpu::slice::SliceAxes;
use pulp::Arch;
use rayon::prelude::*;

/// Slices handled by one task: enough for efficient products, few enough to stay in cache.
const CHUNK: usize = 96;

/// Shifted, weighted images of a global search: the right-hand sides of the products.
pub(super) struct GridColumns {
    /// m·V·F e^{iφ_t} per image and shift, real parts and then imaginary parts.
    cross: Panels<COLUMNS>,
    /// Image of each of them.
    image_of: Vec<u32>,
    /// m²·V per image, rows of `power_len`.
    power: Vec<f32>,
    power_len: usize,
    /// Shifts per image.
    shifts: usize,
}

/// Columns of the images of a global search.
pub(super) fn grid_columns(layout: &GroupLayout, images: &[&PreparedImage]) -> GridColumns {
    let count = layout.coarse_projected();
    let (power_len, shifts) = (padded(count), layout.shifts());
    let weights = &layout.coarse_comparison_weight[..count];
    let weighted: Vec<WeightedImage> = images
        .par_iter()
        .map(|image| WeightedImage::new(image, weights))
        .collect();
    let cross = Panels::new(2 * count, images.len() * shifts, |column, vector| {
        let phases = layout.coarse_phases().row(column % shifts);
        weighted[column / shifts].shifted(phases, vector);
    });
    let mut power = vec![0.0f32; images.len() * power_len];
    for (image, power) in images.iter().zip(power.chunks_exact_mut(power_len)) {
        power_column(image, weights, power);
    }
    GridColumns {
        cross,
        image_of: (0..images.len() * shifts)
            .map(|column| (column / shifts) as u32)
            .collect(),
        power,
        power_len,
        shifts,
    }
}

/// One class of a global search.
pub(super) struct GridClass<'a> {
    pub reference: &'a ReferenceVolume,
    /// Orientations (direction · n_psi + psi) and their matrices.
    pub index: &'a [u32],
    pub matrices: &'a [Matrix3],
}

/// Differences of all images with all orientations of some classes, class by class: `out[(row · images + image) · shifts + shift]`.
///
/// One of each two orientations that differ by a half turn in the plane is projected: let P be the products of real parts and
/// Q those of imaginary parts, then the other slice, which is the complex conjugate, has P − Q in the place of P + Q
/// (docs/kernels.md).
pub(super) fn differences(
    input: &IterationInput,
    layout: &GroupLayout,
    classes: &[GridClass],
    images: &[&PreparedImage],
    columns: &GridColumns,
) -> Vec<f32> {
    let row = images.len() * columns.shifts;
    let n_psi = input.sampling.n_psi();
    // Class (of these) and orientation of each row, and its matrix.
    let of_class = |(c, class): (usize, &GridClass)| {
        let index = class.index.iter();
        index.map(move |&o| (c as u32, o)).collect::<Vec<_>>()
    };
    let rows: Vec<(u32, u32)> = classes.iter().enumerate().flat_map(of_class).collect();
    let matrices: Vec<&Matrix3> = classes.iter().flat_map(|class| class.matrices).collect();
    let directions = rows.len().div_ceil(n_psi);
    // Averages are one direction each, and few of them a task already.
    let share = match input.sampling.in_plane {
        true => directions,
        false => directions.div_ceil(2 * rayon::current_num_threads()),
    };
    let at_once = n_psi * (2 * CHUNK / n_psi).min(share).max(1);
    let mut out = vec![0.0f32; rows.len() * row];
    out.par_chunks_mut((at_once * row).max(1))
        .zip(rows.par_chunks(at_once))
        .zip(matrices.par_chunks(at_once))
        .for_each_init(Scratch::default, |scratch, ((out, rows), matrices)| {
            let pairs = half_turns(rows, n_psi);
            let axes: Vec<SliceAxes> = pairs
                .iter()
                .map(|pair| layout.plane.axes(matrices[pair[0] as usize]))
                .collect();
            let class_of = |pair: &[u32; 2]| rows[pair[0] as usize].0;
            let mut rest = axes.as_slice();
            let of_classes: Vec<_> = pairs
                .chunk_by(|a, b| class_of(a) == class_of(b))
                .map(|pairs| {
                    let (axes, others) = rest.split_at(pairs.len());
                    rest = others;
                    (classes[class_of(&pairs[0]) as usize].reference, axes)
                })
                .collect();
            let scales = scratch.project_pairs(input, layout, &of_classes, images, columns);
            scratch.multiply(input.criterion, layout, &pairs, &scales, columns, out);
        });
    out
}

/// Returns what turns a product of an orientation and an image into a difference: ½Σ|m A|²V, which it is taken from, or in a
/// cross-correlation the norms that it is divided by.
fn scale(criterion: Criterion, norm: f32, box_power: f64) -> f32 {
    match criterion {
        Criterion::Likelihood => norm,
        Criterion::CrossCorrelation => (2.0 * norm).sqrt() * box_power as f32,
    }
}

/// Difference of a product; `scale` as [`scale`] returns it.
#[inline(always)]
fn difference(criterion: Criterion, scale: f32, product: f32) -> f32 {
    match criterion {
        Criterion::Likelihood => scale - product,
        Criterion::CrossCorrelation => -product / scale,
    }
}

/// Work space of a thread.
#[derive(Default)]
pub(super) struct Scratch {
    slices: Slices,
    norms: Vec<f32>,
    /// Slices in panels of [`ROWS`]: real parts of all, then imaginary parts.
    panels: [Vec<f32>; 2],
    vectors: Vec<f32>,
}

impl Scratch {
    /// Projects one orientation of each pair, class by class, and packs the slices; returns their scales with every image.
    fn project_pairs(
        &mut self,
        input: &IterationInput,
        layout: &GroupLayout,
        references: &[(&ReferenceVolume, &[SliceAxes])],
        images: &[&PreparedImage],
        columns: &GridColumns,
    ) -> Vec<f32> {
        let count = layout.coarse_projected();
        let slices: usize = references.iter().map(|(_, axes)| axes.len()).sum();
        self.slices
            .cut(references, layout, count, [2 * count, columns.power_len]);
        for (part, panels) in self.panels.iter_mut().enumerate() {
            panels.resize(slices.next_multiple_of(ROWS) * count, 0.0);
            let slices: Vec<&[f32]> = self
                .slices
                .values
                .chunks_exact(2 * count)
                .map(|slice| &slice[part * count..(part + 1) * count])
                .collect();
            for (number, panel) in panels.chunks_exact_mut(ROWS * count).enumerate() {
                pack_panel::<ROWS>(panel, count, &mut self.vectors, |lane, vector| {
                    let slice = slices.get(number * ROWS + lane);
                    if let Some(slice) = slice {
                        vector.copy_from_slice(slice);
                    }
                    slice.is_some()
                });
            }
        }
        let mut scales = vec![0.0f32; slices * images.len()];
        matrix_product(
            &self.slices.half_powers,
            &columns.power,
            columns.power_len,
            &mut scales,
        );
        for scales in scales.chunks_exact_mut(images.len()) {
            for (value, image) in scales.iter_mut().zip(images) {
                *value = scale(input.criterion, *value, image.box_powers[0]);
            }
        }
        scales
    }

    /// Differences of the packed slices with all columns, written to the rows of both orientations of each pair.
    fn multiply(
        &self,
        criterion: Criterion,
        layout: &GroupLayout,
        pairs: &[[u32; 2]],
        scales: &[f32],
        columns: &GridColumns,
        out: &mut [f32],
    ) {
        let count = layout.coarse_projected();
        let row = columns.cross.count();
        let images = row / columns.shifts;
        let [real, imaginary] = &self.panels;
        for (first, panel) in columns.cross.iter() {
            let image_of = &columns.image_of[first..(first + COLUMNS).min(row)];
            let (of_real, of_imaginary) = panel.split_at(COLUMNS * count);
            let rows = real
                .chunks_exact(ROWS * count)
                .zip(imaginary.chunks_exact(ROWS * count));
            for ((rows, pairs), scales) in rows
                .zip(pairs.chunks(ROWS))
                .zip(scales.chunks(ROWS * images))
            {
                let parts = [tile(rows.0, of_real), tile(rows.1, of_imaginary)];
                Arch::new().dispatch(|| {
                    for (i, (pair, scales)) in
                        pairs.iter().zip(scales.chunks_exact(images)).enumerate()
                    {
                        let mut scale_of = [1.0; COLUMNS];
                        for (scale, &image) in scale_of.iter_mut().zip(image_of) {
                            *scale = scales[image as usize];
                        }
                        let mut values = [[0.0; COLUMNS]; 2];
                        for c in 0..COLUMNS {
                            let (p, q, scale) = (parts[0][i][c], parts[1][i][c], scale_of[c]);
                            values[0][c] = difference(criterion, scale, p + q);
                            values[1][c] = difference(criterion, scale, p - q);
                        }
                        // The first comes last: where it has no half turn, both are one row.
                        for side in [1, 0] {
                            let begin = pair[side] as usize * row + first;
                            let out = &mut out[begin..begin + image_of.len()];
                            out.copy_from_slice(&values[side][..image_of.len()]);
                        }
                    }
                });
            }
        }
    }
}

/// Shifted, weighted images of a search around each particle's own orientation.
pub(super) struct Columns {
    /// One row of `cross_len` floats per shift: m·V·F e^{iφ_t}.
    cross: Vec<f32>,
    /// Padded length of those rows.
    cross_len: usize,
    /// m²·V.
    power: Vec<f32>,
    /// Shifts.
    pub shifts: usize,
}

/// Columns of an image for the first pass.
pub(super) fn columns(layout: &GroupLayout, image: &PreparedImage) -> Columns {
    let count = layout.coarse_projected();
    let (cross_len, shifts) = (padded(2 * count), layout.shifts());
    let mut cross = vec![0.0f32; shifts * cross_len];
    let mut power = vec![0.0f32; padded(count)];
    let weights = &layout.coarse_comparison_weight[..count];
    let weighted = WeightedImage::new(image, weights);
    for (t, row) in cross.chunks_exact_mut(cross_len).enumerate() {
        weighted.shifted(layout.coarse_phases().row(t), row);
    }
    power_column(image, weights, &mut power);
    Columns {
        cross,
        cross_len,
        power,
        shifts,
    }
}

/// Differences of one image with its own orientations: `out[orientation · shifts + shift]`.
pub(super) fn own_differences(
    input: &IterationInput,
    layout: &GroupLayout,
    (reference, orientations): (&ReferenceVolume, &[u32]),
    item: &BatchItem,
    image: &PreparedImage,
    columns: &Columns,
    scratch: &mut Scratch,
) -> Vec<f32> {
    let mut axes: Vec<SliceAxes> = Vec::with_capacity(orientations.len());
    each_matrix(input, item.particle, orientations, 0, |matrix| {
        axes.push(layout.plane.axes(&matrix))
    });
    let (cross_len, power_len) = (columns.cross_len, columns.power.len());
    let count = layout.coarse_projected();
    let mut out = vec![0.0f32; axes.len() * columns.shifts];
    for (out, axes) in out
        .chunks_mut(CHUNK * columns.shifts)
        .zip(axes.chunks(CHUNK))
    {
        let Scratch { slices, norms, .. } = &mut *scratch;
        slices.cut(&[(reference, axes)], layout, count, [cross_len, power_len]);
        norms.resize(axes.len(), 0.0);
        small_product(&slices.half_powers, &columns.power, power_len, norms);
        small_product(&slices.values, &columns.cross, cross_len, out);
        for (out, &norm) in out.chunks_exact_mut(columns.shifts).zip(&scratch.norms) {
            let scale = scale(input.criterion, norm, image.box_powers[0]);
            out.iter_mut()
                .for_each(|product| *product = difference(input.criterion, scale, *product));
        }
    }
    out
}
