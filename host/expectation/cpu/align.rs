//! One batch of one optics group through all stages, and its share of the sums.

use super::super::layout::GroupLayout;
use super::super::noise_and_norm::{ClassShells, ParticleSums, ShellSums};
use super::super::orientations::{self, OrientationList, Search};
use super::super::priors::{mean_prior, relative_log_priors};
use super::super::{
    BatchItem, ExpectationError, IterationInput, ParticleOutcome, StageTimes, WeightedSums,
};
use super::coarse::{GridClass, GridColumns, Scratch};
use super::fine::Groups;
use super::first_pass::{CoarseResult, CoarseView, significant};
use super::prepare::{PreparedImage, prepare};
use super::second_pass::{Aligned, FinePass, ParticleTotals};
use super::store::{Kept, StoreImage};
use super::{Iteration, coarse, fine, insert, store};
use crate::fourier::backprojection::BackProjection;
use rayon::prelude::*;
use std::time::Instant;

/// Bytes of slices waiting to be inserted.
const SLICE_BUFFER: usize = 48 << 20;

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
        volumes,
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
    let outcomes = add_to_sums(&fine_pass, group, items, images, aligned, volumes, sums);
    times.store += clock.elapsed().as_secs_f64();
    Ok(outcomes)
}

/// Adds what the particles of a batch weigh to the sums; returns their outcomes.
fn add_to_sums(
    pass: &FinePass,
    group: usize,
    items: &[&BatchItem],
    images: Vec<PreparedImage>,
    aligned: Vec<Aligned>,
    volumes: &mut [BackProjection],
    sums: &mut WeightedSums,
) -> Vec<ParticleOutcome> {
    let (input, layout) = (pass.input, pass.layout);
    let mut outcomes: Vec<ParticleOutcome> = Vec::with_capacity(items.len());
    if input.options.skip_maximize {
        outcomes.extend(aligned.into_iter().map(|a| a.totals.outcome));
    } else {
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
            pass.groups,
            &kept,
            volumes,
        );
        let mut classes: Vec<Vec<ClassShells>> = vec![Vec::new(); items.len()];
        for share in shares {
            classes[share.image].push(share.shells);
        }
        for (((item, image), aligned), classes) in
            items.iter().zip(images).zip(aligned).zip(classes)
        {
            outcomes.push(add_totals(
                input,
                layout,
                item,
                image,
                aligned.totals,
                classes,
                sums,
            ));
        }
    }
    outcomes
}

/// Adds values to sums, one by one.
fn add(sums: &mut [f64], values: &[f64]) {
    sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
}

/// Add one particle to the sums that are not volumes; returns its outcome with the new norm correction.
fn add_totals(
    input: &IterationInput,
    layout: &GroupLayout,
    item: &BatchItem,
    image: PreparedImage,
    totals: ParticleTotals,
    classes: Vec<ClassShells>,
    sums: &mut WeightedSums,
) -> ParticleOutcome {
    let mut power = vec![0.0f64; layout.pixels.size() / 2 + 1];
    for (value, &shell) in image.masked.iter().zip(&layout.pixels.shell) {
        power[shell] += f64::from(value.norm_sqr());
    }
    let projected = layout.pixels.shell_ranges(layout.full_projected()).len();
    let mut shells = ShellSums {
        weight: totals.weight,
        power,
        high_power: image.high_power,
        xa: vec![0.0; projected],
        aa: vec![0.0; projected],
        scale: [0.0; 2],
    };
    for class in &classes {
        add(&mut shells.xa, &class.xa);
        add(&mut shells.aa, &class.aa);
        add(&mut shells.scale, &class.scale_sums(input));
    }
    let with_directions = Search::of(input) != Search::Fixed;
    for share in totals.shares {
        sums.class_weight[share.class] += share.weight;
        if with_directions {
            sums.direction_weight[share.class][share.direction] += share.weight;
        }
        for (sum, offset) in sums.class_offset[share.class].iter_mut().zip(share.offset) {
            *sum += offset;
        }
    }
    sums.sigma2_offset += totals.sigma2_offset;
    let mut outcome = totals.outcome;
    let found = ParticleSums {
        start: &image.start,
        shells: &shells,
        ctf: &image.ctf,
    };
    sums.add_particle(input, layout, item, found, &mut outcome);
    outcome
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
    let members: Vec<Vec<usize>> = (0..global.len())
        .map(|k| {
            (0..items.len())
                .filter(|&i| classes[i].contains(&k))
                .collect()
        })
        .collect();
    // Classes that the same images visit share their columns.
    let columns: Vec<(&[usize], GridColumns)> = {
        let mut sets: Vec<&[usize]> = members.iter().map(Vec::as_slice).collect();
        sets.sort_unstable();
        sets.dedup();
        let of = |set: &[usize]| set.iter().map(|&i| &images[i]).collect::<Vec<_>>();
        sets.into_iter()
            .map(|set| (set, coarse::grid_columns(layout, &of(set))))
            .collect()
    };
    // Per class: position of each image among the images that visit the class, and the differences.
    let blocks: Vec<(Vec<Option<usize>>, usize, Vec<f32>)> = global
        .par_iter()
        .zip(&members)
        .enumerate()
        .map(|(k, ((list, matrices), members))| {
            let mut place = vec![None; items.len()];
            for (j, &i) in members.iter().enumerate() {
                place[i] = Some(j);
            }
            let visiting: Vec<&PreparedImage> = members.iter().map(|&i| &images[i]).collect();
            let shared = columns.iter().find(|(set, _)| set == members);
            let values = match shared {
                Some((_, columns)) if !visiting.is_empty() => {
                    let class = GridClass {
                        reference: input.host_compared(k),
                        index: &list.index,
                        matrices,
                    };
                    coarse::differences(input, layout, &class, &visiting, columns)
                }
                _ => Vec::new(),
            };
            (place, visiting.len(), values)
        })
        .collect();
    times.get_diff += clock.elapsed().as_secs_f64();

    let clock = Instant::now();
    let found = (0..items.len())
        .into_par_iter()
        .map(|i| {
            let mean = mean_prior(classes[i].iter().map(|&k| &global[k].0));
            let shifts = layout.shifts();
            let views = classes[i]
                .iter()
                .map(|&k| {
                    let (place, members, values) = &blocks[k];
                    let list = &global[k].0;
                    CoarseView {
                        class: k,
                        list,
                        log_prior: relative_log_priors(input, list, mean),
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
        .map_init(Scratch::default, |scratch, i| {
            let classes = orientations::classes_of(input, items[i].position);
            let lists: Vec<OrientationList> = match Search::of(input) {
                Search::Fixed => classes
                    .iter()
                    .map(|&k| orientations::fixed_list(input, k))
                    .collect(),
                _ => vec![orientations::local_list(input, items[i].particle); classes.len()],
            };
            let columns = coarse::columns(layout, &images[i]);
            let values: Vec<Vec<f32>> = classes
                .iter()
                .zip(&lists)
                .map(|(&k, list)| {
                    coarse::own_differences(
                        input,
                        layout,
                        (input.host_compared(k), &list.index),
                        items[i],
                        &images[i],
                        &columns,
                        scratch,
                    )
                })
                .collect();
            let mean = mean_prior(&lists);
            let views = classes
                .iter()
                .zip(&lists)
                .zip(&values)
                .map(|((&class, list), values)| CoarseView {
                    class,
                    list,
                    log_prior: relative_log_priors(input, list, mean),
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

/// Weighted sums of the batch, inserted part by part so that waiting slices stay within a bound.
fn add_to_volumes(
    input: &IterationInput,
    layout: &GroupLayout,
    items: &[&BatchItem],
    images: &[StoreImage],
    groups: &Groups,
    kept: &[Kept],
    volumes: &mut [BackProjection],
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
        for (number, volume) in volumes.iter_mut().enumerate() {
            insert::insert_slices(volume, number, size, &slices);
        }
    }
    shares
}
