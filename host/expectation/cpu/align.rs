//! One batch of one optics group through all stages, and its share of the sums.

use super::super::{BatchItem, ExpectationError, IterationInput, ParticleOutcome, StageTimes};
use super::fine::{Groups, Significant};
use super::layout::GroupLayout;
use super::orientations::{self, OrientationList, Search};
use super::prepare::{PreparedImage, prepare};
use super::store::{Kept, StoreImage};
use super::weights::{Samples, Weights, keep_significant, smallest, weigh};
use super::{Iteration, coarse, fine, insert, store, ties};
use crate::expectation::Criterion;
use rayon::prelude::*;
use std::time::Instant;

/// Bytes of slices waiting to be inserted.
const SLICE_BUFFER: usize = 48 << 20;

/// Differences of one image with the orientations of one class.
struct CoarseView<'a> {
    class: usize,
    list: &'a OrientationList,
    log_prior: Vec<f64>,
    values: &'a [f32],
    stride: usize,
    offset: usize,
}

/// All coarse samples of one image.
struct CoarseSamples<'a> {
    views: Vec<CoarseView<'a>>,
    offset_log_prior: Vec<f64>,
}

impl CoarseSamples<'_> {
    /// View and orientation of a row: rows run over the orientations of one class after the other.
    fn locate(&self, mut row: usize) -> (usize, usize) {
        for (v, view) in self.views.iter().enumerate() {
            if row < view.log_prior.len() {
                return (v, row);
            }
            row -= view.log_prior.len();
        }
        unreachable!("rows are those of the views")
    }

    /// Samples with a difference of at most `limit`.
    fn up_to(&self, limit: f32) -> Vec<(u32, u32, u32)> {
        let mut found = Vec::new();
        for r in 0..self.rows() {
            let near = self
                .row(r)
                .0
                .iter()
                .enumerate()
                .filter(|(_, d)| **d <= limit);
            found.extend(near.map(|(c, _)| self.at(r, c)));
        }
        found
    }
}

impl Samples for CoarseSamples<'_> {
    type At = (u32, u32, u32);

    fn rows(&self) -> usize {
        self.views.iter().map(|v| v.log_prior.len()).sum()
    }

    fn row(&self, r: usize) -> (&[f32], f64, &[f64]) {
        let (v, o) = self.locate(r);
        let view = &self.views[v];
        let begin = o * view.stride + view.offset;
        (
            &view.values[begin..begin + self.offset_log_prior.len()],
            view.log_prior[o],
            &self.offset_log_prior,
        )
    }

    fn at(&self, r: usize, c: usize) -> Self::At {
        let (v, o) = self.locate(r);
        (v as u32, o as u32, c as u32)
    }
}

/// All fine samples of one image: children of its significant coarse samples.
struct FineSamples<'a> {
    samples: &'a [u32],
    groups: &'a Groups,
    values: &'a [f32],
    orientation_children: usize,
    shift_children: usize,
}

impl Samples for FineSamples<'_> {
    type At = (u32, u16, u16);

    fn rows(&self) -> usize {
        self.samples.len()
    }

    fn row(&self, r: usize) -> (&[f32], f64, &[f64]) {
        let s = self.samples[r] as usize;
        let per_sample = self.orientation_children * self.shift_children;
        (
            &self.values[s * per_sample..(s + 1) * per_sample],
            self.groups.samples[s].log_prior,
            &[],
        )
    }

    fn at(&self, r: usize, c: usize) -> Self::At {
        let (o, t) = (c / self.shift_children, c % self.shift_children);
        (self.samples[r], o as u16, t as u16)
    }
}

/// What the first pass found for one image.
struct CoarseResult {
    significant: Vec<Significant>,
    counted: usize,
    sum: f64,
    min_difference: f64,
}

/// What is known about one image after the second pass.
struct Aligned {
    outcome: ParticleOutcome,
    kept: Vec<Kept>,
    weight: f64,
    /// (class, direction, Σw).
    directions: Vec<(usize, usize, f64)>,
    sigma2_offset: f64,
}

/// Align `items` (all of optics group `group`), add them to the sums of the iteration, return what was found.
pub(super) fn align_batch(
    input: &IterationInput,
    iteration: &mut Iteration,
    group: usize,
    items: &[&BatchItem],
    times: &mut StageTimes,
) -> Result<Vec<ParticleOutcome>, ExpectationError> {
    let Iteration {
        layouts,
        global,
        sums,
        ..
    } = iteration;
    let layout = layouts[group].as_ref().expect("the caller made the layout");

    let clock = Instant::now();
    let images: Vec<PreparedImage> = items
        .par_iter()
        .map(|item| prepare(input, layout, item))
        .collect::<Result<_, _>>()?;
    times.get_img += clock.elapsed().as_secs_f64();

    let coarse = match Search::of(input) {
        Search::Global => coarse_global(input, layout, global, items, &images, times)?,
        _ => coarse_own(input, layout, items, &images, times)?,
    };

    let clock = Instant::now();
    let own = Search::of(input) == Search::Fixed;
    let groups = Groups::new(
        coarse
            .iter()
            .flat_map(|c| c.significant.iter().copied())
            .collect(),
        own,
    );
    let orientation_children = if own {
        1
    } else {
        input
            .sampling
            .orientation_children(input.options.oversampling)
    };
    let values = fine::differences(input, layout, items, &images, &groups, orientation_children);
    times.get_diff += clock.elapsed().as_secs_f64();

    let clock = Instant::now();
    let mut samples_of = vec![Vec::new(); items.len()];
    for (i, sample) in groups.samples.iter().enumerate() {
        samples_of[sample.image as usize].push(i as u32);
    }
    let fine_pass = FinePass {
        input,
        layout,
        groups: &groups,
        values: &values,
        orientation_children,
    };
    let aligned: Vec<Aligned> = (0..items.len())
        .into_par_iter()
        .map(|i| fine_pass.align(items[i], &images[i], &coarse[i], &samples_of[i]))
        .collect::<Result<_, _>>()?;
    times.convert += clock.elapsed().as_secs_f64();

    let clock = Instant::now();
    let mut outcomes: Vec<ParticleOutcome> = Vec::with_capacity(items.len());
    if !input.options.skip_maximize {
        let mut kept: Vec<Kept> = aligned
            .iter()
            .flat_map(|a| a.kept.iter().copied())
            .collect();
        kept.sort_unstable_by_key(|k| (k.sample, k.orientation, k.shift));
        let store_images: Vec<StoreImage> = images
            .par_iter()
            .map(|image| StoreImage::new(input, layout, group, image))
            .collect();
        let shares = add_to_volumes(
            input,
            layout,
            items,
            &store_images,
            &groups,
            &kept,
            &mut sums.backprojections,
        );
        let mut per_image: Vec<Vec<store::ImageShare>> =
            (0..items.len()).map(|_| Vec::new()).collect();
        for share in shares {
            per_image[share.image].push(share);
        }
        for (((item, image), aligned), shares) in
            items.iter().zip(&images).zip(aligned).zip(per_image)
        {
            outcomes.push(super::totals::add(
                input,
                layout,
                group,
                item,
                image,
                aligned.into(),
                &shares,
                sums,
            ));
        }
    } else {
        outcomes.extend(aligned.into_iter().map(|a| a.outcome));
    }
    times.store += clock.elapsed().as_secs_f64();
    Ok(outcomes)
}

impl From<Aligned> for super::totals::ParticleTotals {
    fn from(a: Aligned) -> Self {
        Self {
            outcome: a.outcome,
            weight: a.weight,
            directions: a.directions,
            sigma2_offset: a.sigma2_offset,
        }
    }
}

fn coarse_global(
    input: &IterationInput,
    layout: &GroupLayout,
    global: &[(OrientationList, Vec<crate::geometry::Matrix3>)],
    items: &[&BatchItem],
    images: &[PreparedImage],
    times: &mut StageTimes,
) -> Result<Vec<CoarseResult>, ExpectationError> {
    let clock = Instant::now();
    let classes: Vec<Vec<usize>> = items
        .iter()
        .map(|item| orientations::classes_of(input, item.position))
        .collect();
    // Per class: position of each image among the images that visit the class, and the differences.
    let mut blocks: Vec<(Vec<Option<usize>>, usize, Vec<f32>)> = Vec::new();
    for (k, (_, matrices)) in global.iter().enumerate() {
        let members: Vec<usize> = (0..items.len())
            .filter(|&i| classes[i].contains(&k))
            .collect();
        let mut place = vec![None; items.len()];
        for (j, &i) in members.iter().enumerate() {
            place[i] = Some(j);
        }
        let visiting: Vec<&PreparedImage> = members.iter().map(|&i| &images[i]).collect();
        let values = if visiting.is_empty() {
            Vec::new()
        } else {
            let columns = coarse::columns(layout, &visiting);
            coarse::differences(
                input,
                layout,
                &input.references[k],
                matrices,
                &visiting,
                &columns,
            )
        };
        blocks.push((place, visiting.len(), values));
    }
    times.get_diff += clock.elapsed().as_secs_f64();

    let clock = Instant::now();
    let found = (0..items.len())
        .into_par_iter()
        .map(|i| {
            let lists: Vec<&OrientationList> = classes[i].iter().map(|&k| &global[k].0).collect();
            let mean = mean_prior(&lists);
            let shifts = layout.shifts();
            let views = classes[i]
                .iter()
                .map(|&k| {
                    let (place, members, values) = &blocks[k];
                    let list = &global[k].0;
                    CoarseView {
                        class: k,
                        list,
                        log_prior: relative_log_priors(list, mean),
                        values,
                        stride: members * shifts,
                        offset: place[i].expect("the image visits the class") * shifts,
                    }
                })
                .collect();
            significant(input, layout, items[i], i, &images[i], views)
        })
        .collect();
    times.convert += clock.elapsed().as_secs_f64();
    found
}

fn coarse_own(
    input: &IterationInput,
    layout: &GroupLayout,
    items: &[&BatchItem],
    images: &[PreparedImage],
    times: &mut StageTimes,
) -> Result<Vec<CoarseResult>, ExpectationError> {
    let clock = Instant::now();
    let found = (0..items.len())
        .into_par_iter()
        .map(|i| {
            let classes = orientations::classes_of(input, items[i].position);
            let lists: Vec<OrientationList> = match Search::of(input) {
                Search::Fixed => classes
                    .iter()
                    .map(|&k| orientations::fixed_list(input, k))
                    .collect(),
                _ => vec![orientations::local_list(input, items[i].particle); classes.len()],
            };
            let columns = coarse::columns(layout, &[&images[i]]);
            let values: Vec<Vec<f32>> = classes
                .iter()
                .zip(&lists)
                .map(|(&k, list)| {
                    let reference = &input.references[k];
                    coarse::own_differences(
                        input,
                        layout,
                        reference,
                        &list.index,
                        items[i],
                        &images[i],
                        &columns,
                    )
                })
                .collect();
            let mean = mean_prior(&lists.iter().collect::<Vec<_>>());
            let views = classes
                .iter()
                .zip(&lists)
                .zip(&values)
                .map(|((&class, list), values)| CoarseView {
                    class,
                    list,
                    log_prior: relative_log_priors(list, mean),
                    values,
                    stride: columns.shifts,
                    offset: 0,
                })
                .collect();
            significant(input, layout, items[i], i, &images[i], views)
        })
        .collect();
    times.get_diff += clock.elapsed().as_secs_f64();
    found
}

/// ⟨p_o⟩ over classes and orientations, those of prior 0 included (spec 01 §6.1).
fn mean_prior(lists: &[&OrientationList]) -> f64 {
    let (sum, count) = lists
        .iter()
        .fold((0.0, 0), |(s, n), l| (s + l.total.0, n + l.total.1));
    if count > 0 { sum / count as f64 } else { 1.0 }
}

fn relative_log_priors(list: &OrientationList, mean: f64) -> Vec<f64> {
    list.prior.iter().map(|p| (p / mean).ln()).collect()
}

fn significant(
    input: &IterationInput,
    layout: &GroupLayout,
    item: &BatchItem,
    index: usize,
    image: &PreparedImage,
    mut views: Vec<CoarseView>,
) -> Result<CoarseResult, ExpectationError> {
    let mut offset_log_prior = orientations::offset_log_priors(
        input,
        image.old_offset,
        image.offset_prior,
        layout.pixel_size,
    );
    let mean_offset =
        offset_log_prior.iter().map(|e| e.exp()).sum::<f64>() / offset_log_prior.len() as f64;
    if mean_offset > 0.0 {
        offset_log_prior
            .iter_mut()
            .for_each(|e| *e -= mean_offset.ln());
    } else {
        // Every shift is far outside the prior: only differences between shifts matter.
        let largest = offset_log_prior
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        offset_log_prior.iter_mut().for_each(|e| *e -= largest);
    }
    if input.criterion == Criterion::CrossCorrelation {
        views.iter_mut().for_each(|v| v.log_prior.fill(0.0));
        offset_log_prior.fill(0.0);
    }
    let source = CoarseSamples {
        views,
        offset_log_prior,
    };
    let (samples, counted, sum, min_difference) = match input.criterion {
        Criterion::Likelihood => {
            let mut weights = weigh(&source).ok_or_else(|| not_comparable(input, item, layout))?;
            let counted = keep_significant(
                &mut weights,
                input.options.adaptive_fraction,
                input.options.max_significant,
            );
            let Weights {
                samples,
                sum,
                min_difference,
            } = weights;
            (
                samples.into_iter().map(|s| s.at).collect(),
                counted,
                sum,
                min_difference,
            )
        }
        Criterion::CrossCorrelation => {
            let (at, d) = smallest(&source).ok_or_else(|| not_comparable(input, item, layout))?;
            let tied = source.up_to(d + ties::TOLERANCE * d.abs());
            let samples = tied.iter().map(|&(v, o, t)| {
                let view = &source.views[v as usize];
                ties::Sample {
                    class: view.class,
                    orientation: view.list.index[o as usize],
                    shift: t as usize,
                }
            });
            let best = match tied.len() {
                0 | 1 => at,
                _ => ties::best(input, layout, item, image, samples).map_or(at, |i| tied[i]),
            };
            (vec![best], 1, 1.0, f64::from(d))
        }
    };
    let significant = samples
        .into_iter()
        .map(|(v, o, t)| {
            let view = &source.views[v as usize];
            Significant {
                class: view.class as u32,
                orientation: view.list.index[o as usize],
                image: index as u32,
                shift: t,
                log_prior: view.log_prior[o as usize] + source.offset_log_prior[t as usize],
            }
        })
        .collect();
    Ok(CoarseResult {
        significant,
        counted,
        sum,
        min_difference,
    })
}

/// Why no sample of a particle could be compared, in words.
fn not_comparable(
    input: &IterationInput,
    item: &BatchItem,
    layout: &GroupLayout,
) -> ExpectationError {
    let (low, high) = item
        .image
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &v| {
            (l.min(v), h.max(v))
        });
    let mean = item.image.iter().map(|&v| f64::from(v)).sum::<f64>() / item.image.len() as f64;
    ExpectationError::Particle {
        image: item.name.clone(),
        message: format!(
            "no orientation could be compared with it: every squared difference is infinite or NaN. Its pixels range from \
             {low} to {high} (mean {mean:.4}), rlnNormCorrection is {}, average norm {}, group scale {}, mask radius {} \
             pixels, box {} pixels. Likely causes: a corrupt image, an absurd normalisation or scale, or a reference that \
             is empty or not finite",
            item.particle.norm,
            input.model.average_norm,
            input
                .model
                .scales
                .get(item.particle.scale_group)
                .copied()
                .unwrap_or(1.0),
            layout.mask_radius,
            layout.box_size,
        ),
    }
}

struct FinePass<'a> {
    input: &'a IterationInput<'a>,
    layout: &'a GroupLayout,
    groups: &'a Groups,
    values: &'a [f32],
    orientation_children: usize,
}

impl FinePass<'_> {
    fn align(
        &self,
        item: &BatchItem,
        image: &PreparedImage,
        coarse: &CoarseResult,
        samples: &[u32],
    ) -> Result<Aligned, ExpectationError> {
        let (input, layout) = (self.input, self.layout);
        let source = FineSamples {
            samples,
            groups: self.groups,
            values: self.values,
            orientation_children: self.orientation_children,
            shift_children: layout.shift_children,
        };
        let single_pass = input.options.oversampling == 0;
        let fail = || not_comparable(input, item, layout);
        let (weighted, sum, log_likelihood) = match input.criterion {
            Criterion::CrossCorrelation => {
                let (at, d) = smallest(&source).ok_or_else(fail)?;
                (vec![(at, 1.0)], 1.0, -f64::from(d))
            }
            Criterion::Likelihood => {
                let mut weights = weigh(&source).ok_or_else(fail)?;
                let constants = 0.5 * image.high_power_sum + image.fine_power + layout.log_norm;
                if single_pass {
                    // The first pass was the only one: its sum and its smallest difference stand.
                    let shift = (coarse.min_difference - weights.min_difference).exp();
                    let sum = coarse.sum;
                    let samples = weights
                        .samples
                        .iter()
                        .map(|s| (s.at, s.weight * shift))
                        .collect();
                    (samples, sum, sum.ln() - coarse.min_difference - constants)
                } else {
                    keep_significant(&mut weights, input.options.adaptive_fraction, None);
                    let log_likelihood = weights.sum.ln() - weights.min_difference - constants;
                    (
                        weights
                            .samples
                            .iter()
                            .map(|s| (s.at, s.weight))
                            .collect::<Vec<_>>(),
                        weights.sum,
                        log_likelihood,
                    )
                }
            }
        };
        let mut best = weighted[0];
        for &candidate in &weighted[1..] {
            if candidate.1 > best.1 {
                best = candidate;
            }
        }
        let a_g = layout.pixel_size;
        let n_psi = input.sampling.n_psi();
        let shift_of = |sample: u32, child: u16| -> [f64; 2] {
            let coarse = self.groups.samples[sample as usize].shift as usize;
            let t = layout.fine_shifts[coarse * layout.shift_children + child as usize];
            std::array::from_fn(|i| image.old_offset[i] + t[i] + image.remainder[i])
        };
        let mut kept = Vec::with_capacity(weighted.len());
        let mut directions: Vec<(usize, usize, f64)> = Vec::new();
        let (mut total, mut sigma2_offset) = (0.0, 0.0);
        for &((sample, o, t), weight) in &weighted {
            let w = weight / sum;
            kept.push(Kept {
                sample,
                orientation: o,
                shift: t,
                weight: w as f32,
            });
            let parent = &self.groups.samples[sample as usize];
            let direction = parent.orientation as usize / n_psi;
            match directions.last_mut() {
                Some(last) if (last.0, last.1) == (parent.class as usize, direction) => last.2 += w,
                _ => directions.push((parent.class as usize, direction, w)),
            }
            let v = shift_of(sample, t);
            let (dx, dy) = (image.offset_prior[0] - v[0], image.offset_prior[1] - v[1]);
            sigma2_offset += w * a_g * a_g * (dx * dx + dy * dy);
            total += w;
        }
        let ((sample, o, t), weight) = best;
        let parent = &self.groups.samples[sample as usize];
        let [rot, tilt, psi] = match Search::of(input) {
            Search::Fixed => [item.particle.rot, item.particle.tilt, item.particle.psi],
            _ => input
                .sampling
                .angles(
                    parent.orientation as usize / n_psi,
                    parent.orientation as usize % n_psi,
                    input.options.oversampling,
                    o as usize,
                )
                .expect("a child of the grid"),
        };
        Ok(Aligned {
            outcome: ParticleOutcome {
                rot,
                tilt,
                psi,
                origin: shift_of(sample, t).map(|v| v * a_g),
                class: parent.class as usize + 1,
                norm: item.particle.norm,
                log_likelihood,
                max_probability: weight / sum,
                significant_samples: coarse.counted,
            },
            kept,
            weight: total,
            directions,
            sigma2_offset,
        })
    }
}

/// Weighted sums of the batch, inserted part by part so that waiting slices stay within a bound.
fn add_to_volumes(
    input: &IterationInput,
    layout: &GroupLayout,
    items: &[&BatchItem],
    images: &[StoreImage],
    groups: &Groups,
    kept: &[Kept],
    volumes: &mut [crate::fourier::backprojection::BackProjection],
) -> Vec<store::ImageShare> {
    let size = layout.pixels.size();
    let slice_bytes = size * (size / 2 + 1) * 12;
    let children = if Search::of(input) == Search::Fixed {
        1
    } else {
        input
            .sampling
            .orientation_children(input.options.oversampling)
    };
    let step = (SLICE_BUFFER / (slice_bytes * children)).max(1);
    let mut shares = Vec::new();
    for begin in (0..groups.parents.len()).step_by(step) {
        let range = begin..(begin + step).min(groups.parents.len());
        let mut slices = Vec::new();
        for parent in store::sums(input, layout, items, images, groups, kept, range) {
            slices.extend(parent.slices);
            shares.extend(parent.shares);
        }
        for (class, volume) in volumes.iter_mut().enumerate() {
            insert::insert_slices(volume, class, size, &slices);
        }
    }
    shares
}
