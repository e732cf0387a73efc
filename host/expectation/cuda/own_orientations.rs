//! The first pass of local searches and fixed orientations: each particle has orientations of its own.

use super::super::orientations::{OrientationList, Search, classes_of, fixed_list};
use super::super::priors::{
    OffsetLogPriors, mean_prior, relative_log_priors, relative_offset_log_priors,
};
use super::super::start::ParticleStart;
use super::super::{BatchItem, Criterion, ExpectationError, IterationInput};
use super::batch::BatchContext;
use super::clock::{Clock, Stage};
use super::differences::Differences;
use super::first_pass::{FirstPass, limit};
use super::groups::{Groups, Listed};
use super::intake::Intake;
use super::listing::{Listing, running_sum};
use super::local;
use super::rows::Rows;
use crate::device::meter::Part;
use crate::device::{Buffer, Staging, Uploader, View};
use gpu::kernels::own_samples::ListOwnSamples;
use gpu::kernels::weights::{FineWeights, ListKept};
use gpu::samples::{Alignment, OwnOrientation, Parent, Sample, Selection};
use rayon::prelude::*;

/// Local search and fixed orientations: each particle has orientations of its own, which the host lists. Those of local searches
/// are projected and compared in one kernel; a single one a particle is compared pair by pair.
/// `capacity` as in [`global`](super::first_pass::global).
pub(super) fn first_pass(
    batch: &BatchContext,
    (intake, lists): (&Intake, &mut Uploader),
    capacity: usize,
    staging: &mut Staging,
    clock: &mut Clock,
) -> Result<FirstPass, ExpectationError> {
    let &BatchContext {
        device,
        input,
        layout,
        items,
        ..
    } = batch;
    let plane = &layout.host.plane;
    let search = Search::of(input);
    let (rows, counts, own, parents) = if search == Search::Fixed {
        let rows = Rows::fixed(staging, lists, input, plane, items)?;
        let of_image = fixed_orientations(input, items);
        let counts: Vec<usize> = of_image.iter().map(Vec::len).collect();
        let own = lists.queue(&counts, |image, to: &mut [OwnOrientation]| {
            to.copy_from_slice(&of_image[image]);
        })?;
        let parents = parents(&of_image, rows.count);
        (rows, counts, own, Some(parents))
    } else {
        device.metered_on_host(Part::Orientations, || {
            let mut searched = intake.orientations(input, items);
            let index = searched.take_index();
            let rows = Rows::of_particles(staging, lists, input, plane, index)?;
            let counts = searched.counts();
            let own = lists.queue(&counts, |image, to| searched.write(input, image, to))?;
            Ok::<_, ExpectationError>((rows, counts, own, None))
        })?
    };
    let shifts = layout.host.shifts();
    let own_first = running_sum(counts.iter().map(|&count| count as u32));
    let first: Vec<u32> = own_first.iter().map(|f| f * shifts as u32).collect();
    let total = first[items.len()] as usize;
    let samples = list_samples(batch, own.block.view(), staging)?;
    let first_device = staging.upload(&first)?;
    // SAFETY: filled by the kernels below.
    let values = unsafe { device.buffer::<f32>(total)? };
    if let Some(parents) = parents {
        compare_single(batch, &rows, parents, &samples, &values)?;
    } else {
        let own_first = (&own_first[..], staging.upload(&own_first)?);
        local::compare(batch, &rows, own.block.view(), own_first, &values)?;
    }
    clock.end_of(Stage::GetDiff)?;

    let (alignments, kept) = weigh(batch, &samples, &first_device, &values)?;
    let (chosen, numbers) = (
        staging.fetch(&alignments, 0, items.len())?,
        staging.fetch(&kept, 0, items.len())?,
    );
    let listing = Listing {
        device,
        input,
        layout: &layout.host,
        items,
        rows: rows.count,
        capacity: capacity.min(total),
    };
    let list = listing.run(
        staging,
        &kept,
        |staging| {
            let chosen = staging.values(&chosen).iter().map(|a| a.selection);
            chosen
                .zip(staging.values(&numbers))
                .map(|(selection, &kept)| Selection { kept, ..selection })
                .collect()
        },
        |first, capacity, kept| {
            // SAFETY: arrays of the sizes the kernel's documentation asks for.
            unsafe {
                device.launch(&ListKept {
                    images: items.len() as u32,
                    samples: samples.view(),
                    first: first_device.view(),
                    values: values.view(),
                    kept_first: first,
                    capacity,
                    out: kept,
                })
            }
        },
    )?;
    clock.end_of(Stage::Convert)?;
    Ok(FirstPass {
        list,
        own_rows: Some(rows),
    })
}

/// Turns the differences of all samples into weights; returns the best of each image and how many it keeps.
fn weigh(
    batch: &BatchContext,
    samples: &Buffer<Sample>,
    first: &Buffer<u32>,
    values: &Buffer<f32>,
) -> Result<(Buffer<Alignment>, Buffer<u32>), ExpectationError> {
    let &BatchContext {
        device,
        input,
        items,
        ..
    } = batch;
    let alignments = device.zeros::<Alignment>(items.len())?;
    let best = device.zeros::<u64>(items.len())?;
    // SAFETY: filled by the kernel below.
    let kept = unsafe { device.buffer::<u32>(items.len())? };
    let only_best = input.criterion == Criterion::CrossCorrelation;
    // SAFETY: arrays of the sizes the kernel's documentation asks for.
    unsafe {
        device.launch(&FineWeights {
            images: items.len() as u32,
            samples: samples.view(),
            first: first.view(),
            orientation_children: 1,
            shift_children: 1,
            fraction: input.options.adaptive_fraction as f32,
            limit: limit(input),
            best_only: u32::from(only_best),
            given: View::null(),
            values: values.view(),
            best: best.view(),
            out: alignments.view(),
            kept: kept.view(),
        })?;
    }
    Ok((alignments, kept))
}

/// Compares particles whose orientations are fixed: one each and class, so that a block takes a pair.
fn compare_single(
    batch: &BatchContext,
    rows: &Rows,
    parents: Vec<Parent>,
    samples: &Buffer<Sample>,
    values: &Buffer<f32>,
) -> Result<(), ExpectationError> {
    let layout = batch.layout;
    let listed = Listed {
        samples: samples.view(),
        count: samples.len(),
        number: View::null(),
    };
    let groups = Groups::of_known(batch.device, listed, rows.count, parents)?;
    Differences {
        axes: rows.coarse_axes.block.view(),
        class_of: &rows.class_of,
        children: 1,
        shift_children: 1,
        pixel_count: layout.coarse_count,
        weight: &layout.coarse_weight,
        phases: &layout.coarse_phases,
        phase_stride: layout.coarse_stride,
        pass: 0,
    }
    .run(batch, &groups, samples.view(), values)
}

/// Lists the samples of all images on the device: each of their orientations `own` with each shift.
fn list_samples(
    batch: &BatchContext,
    own: View<OwnOrientation>,
    staging: &mut Staging,
) -> Result<Buffer<Sample>, ExpectationError> {
    let offsets = offset_priors(batch);
    let offset_lists = offsets.first().map_or(1, |of_image| of_image.lists());
    let log_priors: Vec<f32> = offsets
        .iter()
        .flat_map(|of_image| of_image.values().map(|log| log as f32))
        .collect();
    let offsets = staging.upload(&log_priors)?;
    let shifts = batch.layout.host.shifts();
    // SAFETY: filled by the kernel below.
    let samples = unsafe { batch.device.buffer::<Sample>(own.len() * shifts)? };
    // SAFETY: arrays of the sizes the kernel's documentation asks for.
    unsafe {
        batch.device.launch(&ListOwnSamples {
            own,
            orientations: own.len() as u32,
            shifts: shifts as u32,
            offset_log_prior: offsets.view(),
            offset_lists: offset_lists as u32,
            out: samples.view(),
        })?;
    }
    Ok(samples)
}

/// Priors of the coarse shifts of each particle.
fn offset_priors(batch: &BatchContext) -> Vec<OffsetLogPriors> {
    let (input, pixel_size) = (batch.input, batch.layout.host.pixel_size);
    let of_particle = |(item, start): (&&BatchItem, &ParticleStart)| {
        let classes = classes_of(input, item.position);
        relative_offset_log_priors(input, start, &classes, pixel_size)
    };
    let particles = batch.items.par_iter().zip(&batch.images.starts);
    particles.map(of_particle).collect()
}

/// The orientations that images have among `rows`, in order, with a pair for each image: what grouping their samples gives.
fn parents(of_image: &[Vec<OwnOrientation>], rows: usize) -> Vec<Parent> {
    let mut images = vec![0u32; rows];
    for own in of_image.iter().flatten() {
        images[own.row as usize] += 1;
    }
    let first = running_sum(images.iter().copied());
    let ranges = (0..).zip(first.windows(2));
    ranges
        .filter(|(_, range)| range[0] < range[1])
        .map(|(orientation, range)| Parent {
            orientation,
            begin: range[0],
            end: range[1],
        })
        .collect()
}

/// Orientations of particles whose orientation is fixed, one row a particle and class.
fn fixed_orientations(input: &IterationInput, items: &[&BatchItem]) -> Vec<Vec<OwnOrientation>> {
    let all = input.references.len();
    let of_image = |(image, item): (usize, &&BatchItem)| {
        let classes = classes_of(input, item.position);
        let lists: Vec<OrientationList> = classes.iter().map(|&k| fixed_list(input, k)).collect();
        let mean = mean_prior(&lists);
        let of_class = classes.iter().zip(&lists).enumerate();
        of_class
            .map(|(place, (&class, list))| OwnOrientation {
                image: image as u32,
                row: (image * all + class) as u32,
                place: place as u32,
                log_prior: relative_log_priors(input, list, mean)[0] as f32,
            })
            .collect()
    };
    items.iter().enumerate().map(of_image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_the_orientations_that_images_have() {
        let own = |row| OwnOrientation {
            row,
            ..OwnOrientation::default()
        };
        let of_image = [vec![own(4), own(1)], vec![], vec![own(4), own(5)]];
        let parent = |orientation, begin, end| Parent {
            orientation,
            begin,
            end,
        };
        let expected = [parent(1, 0, 1), parent(4, 1, 3), parent(5, 3, 4)];
        assert_eq!(parents(&of_image, 7), expected);
    }
}
