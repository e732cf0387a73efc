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
use super::insert::Inserter;
use super::prepare::{PreparedImage, prepare};
use super::second_pass::{Aligned, FinePass, ParticleTotals};
use super::store::{Kept, StoreImage};
use super::{Iteration, coarse, fine, insert, store};
use crate::fourier::backprojection::BackProjection;
use rayon::prelude::*;
use std::ops::Range;
use std::time::Instant;

/// Classes and images of a task of the first pass of class averages, which have few orientations: enough to fill tiles, and to make what
/// a task computes cost far more than the slices that it cuts.
const AVERAGES_AT_ONCE: usize = 4;
const IMAGES_AT_ONCE: usize = 48;

/// Bytes of slices waiting to be inserted.
const SLICE_BUFFER: usize = 48 << 20;

/// Back-projections, and what adds slices to them.
type Volumes<'a> = (&'a mut [BackProjection], &'a mut Option<Inserter>);

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
        inserter,
        sums,
        ..
    } = iteration;
    let volumes = (volumes.as_mut_slice(), inserter);
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
    volumes: Volumes,
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
        kept.par_sort_unstable_by_key(|k| (k.sample, k.orientation, k.shift));
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
        let of_images = images.par_iter().zip(&aligned).zip(classes);
        let shells: Vec<ShellSums> = of_images
            .map(|((image, aligned), classes)| {
                shell_sums(input, layout, image, aligned.totals.weight, &classes)
            })
            .collect();
        for (((item, image), aligned), shells) in items.iter().zip(images).zip(aligned).zip(shells)
        {
            outcomes.push(add_totals(
                input,
                layout,
                item,
                (image, shells),
                aligned.totals,
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

/// Returns the sums per shell of a particle of total weight `weight`.
fn shell_sums(
    input: &IterationInput,
    layout: &GroupLayout,
    image: &PreparedImage,
    weight: f64,
    classes: &[ClassShells],
) -> ShellSums {
    let mut power = vec![0.0f64; layout.pixels.size() / 2 + 1];
    for (value, &shell) in image.masked.iter().zip(&layout.pixels.shell) {
        power[shell] += f64::from(value.norm_sqr());
    }
    let projected = layout.pixels.shell_ranges(layout.full_projected()).len();
    let mut shells = ShellSums {
        weight,
        power,
        high_power: image.high_power.clone(),
        xa: vec![0.0; projected],
        aa: vec![0.0; projected],
        scale: [0.0; 2],
    };
    for class in classes {
        add(&mut shells.xa, &class.xa);
        add(&mut shells.aa, &class.aa);
        add(&mut shells.scale, &class.scale_sums(input));
    }
    shells
}

/// Add one particle to the sums that are not volumes; returns its outcome with the new norm correction.
fn add_totals(
    input: &IterationInput,
    layout: &GroupLayout,
    item: &BatchItem,
    (image, shells): (PreparedImage, ShellSums),
    totals: ParticleTotals,
    sums: &mut WeightedSums,
) -> ParticleOutcome {
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

/// A task of the first pass: images that are compared with all orientations of classes.
struct FirstPassTask<'a> {
    classes: Range<usize>,
    images: &'a [usize],
}

/// Tasks of the first pass; `members` says which images visit each class. Maps have a task each, which is divided by directions.
fn first_pass_tasks(members: &[Vec<usize>], are_averages: bool) -> Vec<FirstPassTask<'_>> {
    let (averages, at_once) = match are_averages {
        true => (AVERAGES_AT_ONCE, IMAGES_AT_ONCE),
        false => (1, usize::MAX),
    };
    let mut tasks = Vec::new();
    let mut begin = 0;
    for same in members.chunk_by(|a, b| a == b) {
        let end = begin + same.len();
        for first in (begin..end).step_by(averages) {
            let classes = first..(first + averages).min(end);
            let chunks = same[0].chunks(at_once);
            tasks.extend(chunks.map(|images| FirstPassTask {
                classes: classes.clone(),
                images,
            }));
        }
        begin = end;
    }
    tasks
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
    let tasks = first_pass_tasks(&members, input.sampling.in_plane);
    // Tasks of the same images share their columns.
    let columns: Vec<(&[usize], GridColumns)> = {
        let mut sets: Vec<&[usize]> = tasks.iter().map(|task| task.images).collect();
        sets.sort_unstable();
        sets.dedup();
        let of = |set: &[usize]| set.iter().map(|&i| &images[i]).collect::<Vec<_>>();
        sets.into_iter()
            .map(|set| (set, coarse::grid_columns(layout, &of(set))))
            .collect()
    };
    let blocks: Vec<Vec<f32>> = tasks
        .par_iter()
        .map(|task| {
            let (_, columns) = columns
                .iter()
                .find(|(set, _)| *set == task.images)
                .expect("the columns of all tasks were made");
            let visiting: Vec<&PreparedImage> = task.images.iter().map(|&i| &images[i]).collect();
            let class = |k: usize| GridClass {
                reference: input.host_compared(k),
                index: &global[k].0.index,
                matrices: &global[k].1,
            };
            let classes: Vec<GridClass> = task.classes.clone().map(class).collect();
            coarse::differences(input, layout, &classes, &visiting, columns)
        })
        .collect();
    // Per image and class: the task, the first row of the class in its block, and the place of the image.
    let mut places = vec![vec![None; global.len()]; items.len()];
    for (number, task) in tasks.iter().enumerate() {
        let mut row = 0;
        for k in task.classes.clone() {
            for (place, &i) in task.images.iter().enumerate() {
                places[i][k] = Some((number, row, place));
            }
            row += global[k].0.index.len();
        }
    }
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
                    let (task, row, place) = places[i][k].expect("the image visits the class");
                    let list = &global[k].0;
                    let stride = tasks[task].images.len() * shifts;
                    CoarseView {
                        class: k,
                        list,
                        log_prior: relative_log_priors(input, list, mean),
                        values: &blocks[task][row * stride..],
                        stride,
                        offset: place * shifts,
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
    (volumes, inserter): Volumes,
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
        insert::insert_all(volumes, size, &slices, inserter);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each image meets each class that it visits once, in few large tasks.
    #[test]
    fn first_passes_are_divided_into_tasks() {
        let all: Vec<usize> = (0..100).collect();
        let odd: Vec<usize> = (1..100).step_by(2).collect();
        let mut members = vec![all; 6];
        members.push(odd.clone());
        members.push(Vec::new());
        members.push(odd);
        for are_averages in [false, true] {
            let tasks = first_pass_tasks(&members, are_averages);
            let mut met = vec![Vec::new(); members.len()];
            for task in &tasks {
                for k in task.classes.clone() {
                    met[k].extend_from_slice(task.images);
                }
            }
            assert_eq!(met, members);
            let largest = tasks.iter().map(|task| task.images.len()).max();
            let expected = match are_averages {
                // Two of 4 and 2 classes, in 3 parts; two of one class, in 2 parts.
                true => (10, Some(IMAGES_AT_ONCE)),
                false => (8, Some(100)),
            };
            assert_eq!((tasks.len(), largest), expected);
        }
    }
}
