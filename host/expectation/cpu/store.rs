//! store: weighted sums over the samples that count (spec 01 §7.1–7.4).
//!
//! For one image and orientation the shifts are summed first, as a single complex factor per pixel
//! Φ = Σ_t w e^{iφ_t}; masked and unmasked image share it.

use super::super::slices::project;
use super::super::{BatchItem, IterationInput};
use super::fine::Groups;
use super::insert::SumSlice;
use super::layout::GroupLayout;
use super::orientations::matrices;
use super::prepare::PreparedImage;
use num_complex::Complex32;
use rayon::prelude::*;
use std::ops::Range;

/// One weighted fine sample: which significant coarse sample it descends from, which children, w = W/Σ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kept {
    /// Index into [`Groups::samples`].
    pub sample: u32,
    /// Orientation child.
    pub orientation: u16,
    /// Shift child.
    pub shift: u16,
    /// w.
    pub weight: f32,
}

/// What one image contributes at one orientation, per image shell.
pub struct ImageShare {
    /// Image of the batch.
    pub image: usize,
    /// Class.
    pub class: usize,
    /// Σ w Re(conj(sCA)·F).
    pub xa: Vec<f64>,
    /// Σ w |sCA|².
    pub aa: Vec<f64>,
}

/// Sums of one coarse orientation.
pub struct ParentSums {
    /// Slices to be inserted.
    pub slices: Vec<SumSlice>,
    /// Shares of the images.
    pub shares: Vec<ImageShare>,
}

/// Sums of the parents in `range`; `kept` is sorted by sample (hence by parent).
pub fn sums(
    input: &IterationInput,
    layout: &GroupLayout,
    items: &[&BatchItem],
    images: &[PreparedImage],
    groups: &Groups,
    kept: &[Kept],
    range: Range<usize>,
) -> Vec<ParentSums> {
    groups.parents[range]
        .par_iter()
        .map(|samples| {
            let begin = kept.partition_point(|k| (k.sample as usize) < samples.start);
            let end = kept.partition_point(|k| (k.sample as usize) < samples.end);
            parent_sums(input, layout, items, images, groups, &kept[begin..end])
        })
        .collect()
}

fn parent_sums(
    input: &IterationInput,
    layout: &GroupLayout,
    items: &[&BatchItem],
    images: &[PreparedImage],
    groups: &Groups,
    kept: &[Kept],
) -> ParentSums {
    let mut out = ParentSums {
        slices: Vec::new(),
        shares: Vec::new(),
    };
    let Some(first) = kept.first() else {
        return out;
    };
    let parent = &groups.samples[first.sample as usize];
    let particle = items[parent.image as usize].particle;
    let premultiplied = input.optics[particle.optics_group].ctf_premultiplied;
    let children = matrices(
        input,
        particle,
        parent.orientation,
        input.options.oversampling,
    );
    let reference = &input.references[parent.class as usize];
    let (total, projected) = (layout.pixels.len(), layout.full_projected());
    let shells = layout.pixels.shell_ranges(projected);

    let mut order: Vec<&Kept> = kept.iter().collect();
    order.sort_by_key(|k| (k.orientation, groups.samples[k.sample as usize].image));
    for of_child in order.chunk_by(|a, b| a.orientation == b.orientation) {
        let axes = layout
            .plane
            .axes(&children[of_child[0].orientation as usize]);
        let mut slice = vec![0.0f32; 2 * projected];
        project(reference, &axes, &layout.pixels, projected, &mut slice);
        let mut sum = vec![[0.0f32; 3]; total];
        for of_image in of_child.chunk_by(|a, b| image_of(groups, a) == image_of(groups, b)) {
            let index = image_of(groups, of_image[0]);
            let image = &images[index];
            let mut phase = vec![Complex32::default(); total];
            let mut weight = 0.0f32;
            for k in of_image {
                let shift = groups.samples[k.sample as usize].shift as usize
                    * layout.shift_children
                    + k.shift as usize;
                weight += k.weight;
                add_scaled(&mut phase, layout.fine_phases.row(shift), k.weight);
            }
            let share = pulp::Arch::new().dispatch(|| {
                let share = image_share(input, image, &slice, &phase, weight, &shells);
                add_image(
                    input,
                    layout,
                    image,
                    premultiplied,
                    &phase,
                    weight,
                    &mut sum,
                );
                share
            });
            out.shares.push(ImageShare {
                image: index,
                class: parent.class as usize,
                xa: share.0,
                aa: share.1,
            });
        }
        out.slices.push(SumSlice {
            class: parent.class as usize,
            axes,
            values: in_rows(layout, &sum),
        });
    }
    out
}

fn image_of(groups: &Groups, kept: &Kept) -> usize {
    groups.samples[kept.sample as usize].image as usize
}

fn add_scaled(sum: &mut [Complex32], values: &[Complex32], weight: f32) {
    pulp::Arch::new().dispatch(|| {
        for (s, v) in sum.iter_mut().zip(values) {
            s.re += weight * v.re;
            s.im += weight * v.im;
        }
    });
}

/// Shell sums of Re(conj(sCA)·F) and |sCA|², with the scale used in sums.
#[inline(always)]
fn image_share(
    input: &IterationInput,
    image: &PreparedImage,
    slice: &[f32],
    phase: &[Complex32],
    weight: f32,
    shells: &[Range<usize>],
) -> (Vec<f64>, Vec<f64>) {
    let scale = image.sum_scale as f32;
    let corrected = input.references_ctf_corrected;
    let (mut xa, mut aa) = (
        Vec::with_capacity(shells.len()),
        Vec::with_capacity(shells.len()),
    );
    for range in shells {
        let (mut x, mut a) = (0.0f32, 0.0f32);
        for i in range.clone() {
            let factor = if corrected {
                scale * image.ctf[i]
            } else {
                scale
            };
            let (re, im) = (factor * slice[2 * i], factor * slice[2 * i + 1]);
            let f = image.masked[i] * phase[i];
            x += re * f.re + im * f.im;
            a += re * re + im * im;
        }
        xa.push(f64::from(x));
        aa.push(f64::from(weight) * f64::from(a));
    }
    (xa, aa)
}

/// Add Σ w·s·C·V·F̃ and Σ w·(s·C)²·V of one image (spec 01 §7.1).
#[inline(always)]
fn add_image(
    input: &IterationInput,
    layout: &GroupLayout,
    image: &PreparedImage,
    premultiplied: bool,
    phase: &[Complex32],
    weight: f32,
    sum: &mut [[f32; 3]],
) {
    let scale = image.sum_scale as f32;
    for (i, sum) in sum.iter_mut().enumerate() {
        let v = if input.options.no_map {
            1.0
        } else {
            layout.inverse_variance[i]
        };
        let c = scale * image.ctf[i];
        let (data, power) = if premultiplied {
            (v, c * v)
        } else {
            (c * v, c * c * v)
        };
        let f = image.unmasked[i] * phase[i];
        sum[0] += data * f.re;
        sum[1] += data * f.im;
        sum[2] += weight * power;
    }
}

/// From list order to rows y = −n/2+1…n/2 of n/2+1 pixels.
fn in_rows(layout: &GroupLayout, sum: &[[f32; 3]]) -> Vec<[f32; 3]> {
    let size = layout.pixels.size();
    let (width, half) = (size / 2 + 1, (size / 2) as i32);
    let mut rows = vec![[0.0f32; 3]; size * width];
    for (i, value) in sum.iter().enumerate() {
        let row = (layout.pixels.y[i] + half - 1) as usize;
        rows[row * width + layout.pixels.x[i] as usize] = *value;
    }
    rows
}
