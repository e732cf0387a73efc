//! store: weighted sums over the samples that count (spec 01 §7.1–7.4).
//!
//! For one image and orientation the shifts are summed first, as a single complex factor per pixel
//! Φ = Σ_t w e^{iφ_t}; masked and unmasked image share it.

use super::super::layout::GroupLayout;
use super::super::noise_and_norm::ClassShells;
use super::super::orientations::matrices;
use super::super::slices::project_all;
use super::super::{BatchItem, IterationInput};
use super::columns::half_power;
use super::fine::Groups;
use super::insert::SumSlice;
use super::prepare::PreparedImage;
use crate::fourier::reference::ReferenceVolume;
use crate::geometry::Matrix3;
use gpu::samples::{model_factor, residual, residual_factor, slice_sum};
use gpu::slice::SliceAxes;
use pulp::NullaryFnOnce;
use rayon::prelude::*;
use std::ops::Range;

/// One weighted fine sample: which significant coarse sample it descends from, which children, w = W/Σ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Kept {
    /// Index into [`Groups::samples`].
    pub sample: u32,
    /// Orientation child.
    pub orientation: u16,
    /// Shift child.
    pub shift: u16,
    /// w.
    pub weight: f32,
}

/// Contribution of one image at one orientation, per image shell.
pub(super) struct ImageShare {
    /// Image of the batch.
    pub image: usize,
    /// Its sums over one class.
    pub shells: ClassShells,
}

/// Sums of one coarse orientation.
pub(super) struct ParentSums {
    /// Slices to be inserted.
    pub slices: Vec<SumSlice>,
    /// Shares of the images.
    pub shares: Vec<ImageShare>,
}

/// Sums of the parents in `range`; `kept` is sorted by sample (hence by parent).
pub(super) fn sums(
    input: &IterationInput,
    layout: &GroupLayout,
    items: &[&BatchItem],
    images: &[StoreImage],
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

/// One image with everything that does not depend on the orientation multiplied in; parts apart for vectorisation.
pub(super) struct StoreImage {
    /// s·C·F of the masked image, over the pixels that carry a reference.
    model: [Vec<f32>; 2],
    /// (s·C)², likewise.
    model_power: Vec<f32>,
    /// s·C·V·F̃ (V·F̃ for premultiplied data) of the unmasked image, over all pixels.
    data: [Vec<f32>; 2],
    /// (s·C)²·V (s·C·V for premultiplied data).
    data_power: Vec<f32>,
    /// Factors of the reference in residuals, where they are not `data_power`; else empty.
    residual: Vec<f32>,
}

impl StoreImage {
    /// Factors of spec 01 §7.1–7.2; the scale is the one used in sums.
    pub(super) fn new(
        input: &IterationInput,
        layout: &GroupLayout,
        group: usize,
        image: &PreparedImage,
    ) -> Self {
        let scale = image.start.sum_scale as f32;
        let flags = input.store_flags(group);
        let model = |i: usize| model_factor(scale, scale * image.ctf[i], flags);
        let projected = layout.full_projected();
        let mut out = Self {
            model: [0, 1].map(|_| Vec::with_capacity(projected)),
            model_power: (0..projected).map(|i| model(i) * model(i)).collect(),
            data: [0, 1].map(|_| Vec::with_capacity(layout.pixels.len())),
            data_power: Vec::with_capacity(layout.pixels.len()),
            residual: Vec::new(),
        };
        if input.gradient && !input.references_ctf_corrected {
            let factor = |i: usize| {
                residual_factor(
                    scale,
                    scale * image.ctf[i],
                    layout.inverse_variance[i],
                    flags,
                )
            };
            out.residual = (0..projected).map(factor).collect();
        }
        for (i, f) in image.masked[..projected].iter().enumerate() {
            out.model[0].push(model(i) * f.re);
            out.model[1].push(model(i) * f.im);
        }
        for (i, f) in image.unmasked.iter().enumerate() {
            let (c, v) = (scale * image.ctf[i], layout.inverse_variance[i]);
            let [re, im, power] = slice_sum([f.re, f.im], 1.0, c, v, flags);
            out.data[0].push(re);
            out.data[1].push(im);
            out.data_power.push(power);
        }
        out
    }
}

fn parent_sums(
    input: &IterationInput,
    layout: &GroupLayout,
    items: &[&BatchItem],
    images: &[StoreImage],
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
    let children = matrices(
        input,
        particle,
        parent.orientation,
        input.options.oversampling,
    );
    let reference = input.host_reference(parent.class as usize);
    let (total, projected) = (layout.pixels.len(), layout.full_projected());
    let shells = layout.pixels.shell_ranges(projected);

    let half_of = |kept: &Kept| input.pseudo_half(items[image_of(groups, kept)].particle);
    let mut order: Vec<&Kept> = kept.iter().collect();
    order.sort_by_key(|k| (k.orientation, half_of(k), image_of(groups, k)));
    let same = |a: &&Kept, b: &&Kept| a.orientation == b.orientation && half_of(a) == half_of(b);
    let of_children: Vec<&[&Kept]> = order.chunk_by(same).collect();
    let (axes, slices) = slices_of(reference, layout, &of_children, &children);
    let mut power = vec![0.0f32; projected];
    let mut products = [0, 1].map(|_| vec![0.0f32; projected]);
    let mut phase = [0, 1].map(|_| vec![0.0f32; total]);
    for (of_child, (axes, slice)) in of_children.into_iter().zip(axes) {
        let slice = &slices[slice * 2 * projected..(slice + 1) * 2 * projected];
        half_power(slice, &mut power);
        let mut sum = [0, 1, 2].map(|_| vec![0.0f32; total]);
        let mut factors = Vec::new();
        for of_image in of_child.chunk_by(|a, b| image_of(groups, a) == image_of(groups, b)) {
            let index = image_of(groups, of_image[0]);
            phase.iter_mut().for_each(|p| p.fill(0.0));
            let mut weight = 0.0f32;
            for k in of_image {
                let coarse = groups.samples[k.sample as usize].shift as usize;
                let shift = coarse * layout.shift_children + k.shift as usize;
                weight += k.weight;
                add_scaled(&mut phase, layout.fine_phases().row(shift), k.weight);
            }
            let image = &images[index];
            let arch = pulp::Arch::new();
            arch.dispatch(ModelProducts {
                image,
                slice,
                half_power: &power,
                phase: &phase,
                out: &mut products,
            });
            arch.dispatch(AddImage {
                image,
                phase: &phase,
                weight,
                sum: &mut sum,
            });
            add_residual_factors(&mut factors, &image.residual, weight);
            out.shares.push(ImageShare {
                image: index,
                shells: ClassShells {
                    class: parent.class as usize,
                    xa: shell_sums(&products[0], &shells),
                    aa: shell_sums(&products[1], &shells)
                        .into_iter()
                        .map(|a| f64::from(weight) * a)
                        .collect(),
                },
            });
        }
        if input.gradient {
            subtract_reference(&mut sum, slice, &factors);
        }
        let half = half_of(of_child[0]);
        out.slices.push(SumSlice {
            volume: half * input.references.len() + parent.class as usize,
            axes: axes.scaled(input.sums_scale()),
            bend: None,
            values: in_rows(layout, &sum),
        });
    }
    out
}

/// Projects the children of an orientation; the pseudo-halves of a child, which follow each other, share its slice. Returns the axes and the
/// number of the slice for each of `of_children`, and the slices.
fn slices_of(
    reference: &ReferenceVolume,
    layout: &GroupLayout,
    of_children: &[&[&Kept]],
    children: &[Matrix3],
) -> (Vec<(SliceAxes, usize)>, Vec<f32>) {
    let mut axes: Vec<SliceAxes> = Vec::with_capacity(of_children.len());
    let mut last = None;
    let mut slice_of = Vec::with_capacity(of_children.len());
    for kept in of_children {
        let child = kept[0].orientation;
        if last != Some(child) {
            axes.push(layout.plane.axes(&children[child as usize]));
            last = Some(child);
        }
        slice_of.push((axes[axes.len() - 1], axes.len() - 1));
    }
    let projected = layout.full_projected();
    let mut slices = vec![0.0f32; axes.len() * 2 * projected];
    project_all(reference, &axes, &layout.pixels, projected, &mut slices);
    (slice_of, slices)
}

fn image_of(groups: &Groups, kept: &Kept) -> usize {
    groups.samples[kept.sample as usize].image as usize
}

/// Φ += w e^{iφ}.
fn add_scaled(sum: &mut [Vec<f32>; 2], values: (&[f32], &[f32]), weight: f32) {
    let [re, im] = sum;
    pulp::Arch::new().dispatch(|| {
        for (s, v) in re.iter_mut().zip(values.0) {
            *s += weight * v;
        }
        for (s, v) in im.iter_mut().zip(values.1) {
            *s += weight * v;
        }
    });
}

/// Per pixel Re(conj(A)·s·C·F·Φ) and (s·C)²|A|². A struct so that it is compiled for the widest vectors of the machine.
struct ModelProducts<'a> {
    image: &'a StoreImage,
    slice: &'a [f32],
    half_power: &'a [f32],
    phase: &'a [Vec<f32>; 2],
    out: &'a mut [Vec<f32>; 2],
}

impl NullaryFnOnce for ModelProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let n = self.half_power.len();
        let image = self.image;
        let (a_re, a_im) = (&self.slice[..n], &self.slice[n..2 * n]);
        let (f_re, f_im, m2) = (
            &image.model[0][..n],
            &image.model[1][..n],
            &image.model_power[..n],
        );
        let (p_re, p_im) = (&self.phase[0][..n], &self.phase[1][..n]);
        let [xa, aa] = self.out;
        let (xa, aa) = (&mut xa[..n], &mut aa[..n]);
        for i in 0..n {
            let g_re = f_re[i] * p_re[i] - f_im[i] * p_im[i];
            let g_im = f_re[i] * p_im[i] + f_im[i] * p_re[i];
            xa[i] = a_re[i] * g_re + a_im[i] * g_im;
            aa[i] = 2.0 * self.half_power[i] * m2[i];
        }
    }
}

/// Add Σ w·s·C·V·F̃ and Σ w·(s·C)²·V of one image (spec 01 §7.1).
struct AddImage<'a> {
    image: &'a StoreImage,
    phase: &'a [Vec<f32>; 2],
    weight: f32,
    sum: &'a mut [Vec<f32>; 3],
}

impl NullaryFnOnce for AddImage<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let n = self.image.data_power.len();
        let [f_re, f_im] = &self.image.data;
        let (f_re, f_im, power) = (&f_re[..n], &f_im[..n], &self.image.data_power[..n]);
        let (p_re, p_im) = (&self.phase[0][..n], &self.phase[1][..n]);
        let [re, im, w] = self.sum;
        let (re, im, w) = (&mut re[..n], &mut im[..n], &mut w[..n]);
        for i in 0..n {
            re[i] += f_re[i] * p_re[i] - f_im[i] * p_im[i];
            im[i] += f_re[i] * p_im[i] + f_im[i] * p_re[i];
            w[i] += self.weight * power[i];
        }
    }
}

/// Adds the factors of one image in residuals, where it has its own.
fn add_residual_factors(factors: &mut Vec<f32>, of_image: &[f32], weight: f32) {
    factors.resize(of_image.len(), 0.0);
    for (sum, factor) in factors.iter_mut().zip(of_image) {
        *sum += weight * factor;
    }
}

/// Leaves of the sums of images what the reference does not explain (spec 05 §5); without factors of their own the weights
/// are those of the reference.
fn subtract_reference(sum: &mut [Vec<f32>; 3], slice: &[f32], factors: &[f32]) {
    let count = slice.len() / 2;
    let [re, im, weight] = sum;
    let factors = if factors.is_empty() { weight } else { factors };
    let sums = re.iter_mut().zip(im);
    let slices = slice[..count].iter().zip(&slice[count..]);
    for (((re, im), (&a_re, &a_im)), &factor) in sums.zip(slices).zip(factors) {
        [*re, *im] = residual([*re, *im], [a_re, a_im], factor);
    }
}

/// Sum over the pixels of every shell; a fixed number of partial sums keeps the loop free of one long dependency.
fn shell_sums(values: &[f32], shells: &[Range<usize>]) -> Vec<f64> {
    pulp::Arch::new().dispatch(|| {
        shells
            .iter()
            .map(|range| {
                let mut partial = [0.0f32; 8];
                let chunks = values[range.clone()].chunks_exact(8);
                let rest: f32 = chunks.remainder().iter().sum();
                for chunk in chunks {
                    for (p, v) in partial.iter_mut().zip(chunk) {
                        *p += v;
                    }
                }
                f64::from(partial.iter().sum::<f32>() + rest)
            })
            .collect()
    })
}

/// From list order to rows y = −n/2+1…n/2 of n/2+1 pixels.
fn in_rows(layout: &GroupLayout, sum: &[Vec<f32>; 3]) -> Vec<[f32; 3]> {
    let size = layout.pixels.size();
    let (width, half) = (size / 2 + 1, (size / 2) as i32);
    let mut rows = vec![[0.0f32; 3]; size * width];
    for i in 0..layout.pixels.len() {
        let row = (layout.pixels.y[i] + half - 1) as usize;
        rows[row * width + layout.pixels.x[i] as usize] = [sum[0][i], sum[1][i], sum[2][i]];
    }
    rows
}
