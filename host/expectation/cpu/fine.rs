//! getDiff, second pass: all children of the significant coarse samples, grouped by coarse orientation so that every
//! child is projected once per batch (spec 01 §5, §6.3).

use super::super::layout::GroupLayout;
use super::super::orientations::matrices;
use super::super::{BatchItem, Criterion, IterationInput};
use super::columns::{Slices, WeightedImage, power_column};
use super::prepare::PreparedImage;
use super::product::{padded, small_product};
use gpu::slice::SliceAxes;
use rayon::prelude::*;
use std::ops::Range;

/// A significant coarse sample of one image of the batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Significant {
    /// Class.
    pub class: u32,
    /// Coarse orientation (direction · n_psi + psi).
    pub orientation: u32,
    /// Image of the batch.
    pub image: u32,
    /// Coarse shift.
    pub shift: u32,
    /// ln of the prior relative to its mean; children inherit it.
    pub log_prior: f64,
}

/// Significant samples in order (class, orientation, image, shift), grouped by coarse orientation.
pub(super) struct Groups {
    /// Samples.
    pub samples: Vec<Significant>,
    /// Ranges of samples with the same class and orientation (with fixed orientations: and image).
    pub parents: Vec<Range<usize>>,
}

impl Groups {
    /// Sort and group. `own_orientations`: orientations are particle-specific and must not be merged over images.
    pub(super) fn new(mut samples: Vec<Significant>, own_orientations: bool) -> Self {
        samples.par_sort_unstable_by_key(|s| (s.class, s.orientation, s.image, s.shift));
        let mut parents = Vec::new();
        let mut begin = 0;
        for i in 1..=samples.len() {
            let same = i < samples.len() && {
                let (a, b) = (&samples[begin], &samples[i]);
                a.class == b.class
                    && a.orientation == b.orientation
                    && (!own_orientations || a.image == b.image)
            };
            if !same {
                if begin < i {
                    parents.push(begin..i);
                }
                begin = i;
            }
        }
        Self { samples, parents }
    }
}

/// Shifted, weighted images at all children of the shifts they need.
struct FineColumns {
    /// Where the children of a coarse shift begin (in columns); None when not needed.
    slot: Vec<Option<u32>>,
    /// Columns: m·V·F e^{iφ}, padded.
    cross: Vec<f32>,
    /// m²·V, padded.
    power: Vec<f32>,
}

/// Differences of all children: `values[(sample · orientation children + o) · shift children + t]`; image constants
/// are not included.
pub(super) fn differences(
    input: &IterationInput,
    layout: &GroupLayout,
    items: &[&BatchItem],
    images: &[PreparedImage],
    groups: &Groups,
    orientation_children: usize,
) -> Vec<f32> {
    let count = layout.fine_projected();
    let (cross_len, power_len) = (padded(2 * count), padded(count));
    let shift_children = layout.shift_children;
    let columns = fine_columns(layout, images, groups, count);
    let per_sample = orientation_children * shift_children;
    let mut values = vec![0.0f32; groups.samples.len() * per_sample];

    let mut outputs: Vec<(&Range<usize>, &mut [f32])> = Vec::with_capacity(groups.parents.len());
    let mut rest = values.as_mut_slice();
    for range in &groups.parents {
        let (mine, others) = rest.split_at_mut(range.len() * per_sample);
        outputs.push((range, mine));
        rest = others;
    }
    let work = || (Slices::default(), vec![0.0f32; orientation_children]);
    outputs
        .into_par_iter()
        .for_each_init(work, |(slices, norms), (range, out)| {
            let samples = &groups.samples[range.clone()];
            let first = &samples[0];
            let reference = input.host_compared(first.class as usize);
            let particle = items[first.image as usize].particle;
            let children = matrices(
                input,
                particle,
                first.orientation,
                input.options.oversampling,
            );
            let axes: Vec<SliceAxes> = children.iter().map(|a| layout.plane.axes(a)).collect();
            slices.cut(&[(reference, &axes)], layout, count, [cross_len, power_len]);
            let mut norms_of = None;
            for (sample, out) in samples.iter().zip(out.chunks_exact_mut(per_sample)) {
                let column = &columns[sample.image as usize];
                if norms_of != Some(sample.image) {
                    small_product(&slices.half_powers, &column.power, power_len, norms);
                    norms_of = Some(sample.image);
                }
                let begin = column.slot[sample.shift as usize]
                    .expect("columns exist for significant shifts")
                    as usize;
                let cross = &column.cross[begin * cross_len..(begin + shift_children) * cross_len];
                small_product(&slices.values, cross, cross_len, out);
                for (out, &norm) in out.chunks_exact_mut(shift_children).zip(&*norms) {
                    match input.criterion {
                        Criterion::Likelihood => out.iter_mut().for_each(|c| *c = norm - *c),
                        Criterion::CrossCorrelation => {
                            let scale = (2.0 * norm).sqrt()
                                * images[sample.image as usize].box_powers[1] as f32;
                            out.iter_mut().for_each(|c| *c = -*c / scale);
                        }
                    }
                }
            }
        });
    values
}

fn fine_columns(
    layout: &GroupLayout,
    images: &[PreparedImage],
    groups: &Groups,
    count: usize,
) -> Vec<FineColumns> {
    let (cross_len, power_len) = (padded(2 * count), padded(count));
    let mut needed = vec![vec![false; layout.shifts()]; images.len()];
    for sample in &groups.samples {
        needed[sample.image as usize][sample.shift as usize] = true;
    }
    images
        .par_iter()
        .zip(needed)
        .map(|(image, needed)| {
            let mut slot = vec![None; needed.len()];
            let mut cross = Vec::new();
            let weights = &layout.comparison_weight[..count];
            let weighted = WeightedImage::new(image, weights);
            for (t, _) in needed.iter().enumerate().filter(|(_, n)| **n) {
                slot[t] = Some((cross.len() / cross_len) as u32);
                for child in 0..layout.shift_children {
                    let begin = cross.len();
                    cross.resize(begin + cross_len, 0.0);
                    let phases = layout.fine_phases().row(t * layout.shift_children + child);
                    weighted.shifted(phases, &mut cross[begin..]);
                }
            }
            let mut power = vec![0.0f32; power_len];
            power_column(image, weights, &mut power);
            FineColumns { slot, cross, power }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_equal_orientations_together() {
        let s = |class, orientation, image| Significant {
            class,
            orientation,
            image,
            shift: 0,
            log_prior: 0.0,
        };
        let samples = vec![s(0, 5, 1), s(1, 5, 0), s(0, 5, 0), s(0, 2, 1)];
        let groups = Groups::new(samples.clone(), false);
        assert_eq!(groups.parents, [0..1, 1..3, 3..4]);
        assert_eq!(Groups::new(samples, true).parents.len(), 4);
        assert!(Groups::new(Vec::new(), false).parents.is_empty());
    }
}
