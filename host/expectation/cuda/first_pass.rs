//! First pass on the device: differences with all coarse orientations and shifts, and the list of significant samples.

use super::super::orientations::{Search, classes_of, fixed_list, local_list, offset_log_priors};
use super::super::{
    BatchItem, ClassSelection, Criterion, ExpectationError, IterationInput, StageTimes,
};
use super::images::Prepared;
use super::layout::DeviceLayout;
use super::rows::Rows;
use super::second_pass::{Differences, Groups};
use super::{Clock, Iteration, ties, work};
use crate::device::meter::Part;
use crate::device::{Buffer, Device, MatrixProduct, Pointer, Precision, Uploader};
use gpu::correlation::TIE_TOLERANCE;
use gpu::samples::{Alignment, Sample, Selection};
use gpu::shapes::ALL_CLASSES;
use rayon::prelude::*;

/// Significant coarse samples of a batch, in order of image, orientation and shift.
pub struct FirstPass {
    /// The list.
    pub samples: Buffer<Sample>,
    /// Where each image begins in it, and its end.
    pub first: Vec<u32>,
    /// What was selected of each image.
    pub selections: Vec<Selection>,
    /// Particle-specific orientations; None where those of the grid are meant.
    own_rows: Option<Rows>,
}

impl FirstPass {
    /// The orientations that samples refer to.
    pub fn rows<'a>(&'a self, layout: &'a DeviceLayout) -> &'a Rows {
        self.own_rows
            .as_ref()
            .or(layout.grid.as_ref().map(|g| &g.rows))
            .expect("a first pass is over the grid or over own orientations")
    }

    fn check(items: &[&BatchItem], selections: &[Selection]) -> Result<(), ExpectationError> {
        match selections.iter().position(|s| s.kept == 0) {
            None => Ok(()),
            Some(i) => Err(ExpectationError::Particle {
                image: items[i].name.clone(),
                message: "no orientation could be compared with it: every squared difference is infinite or NaN. Likely \
                          causes: a corrupt image, an absurd normalisation or scale, or a reference that is empty or not \
                          finite"
                    .into(),
            }),
        }
    }
}

/// ln of the offset prior of every coarse shift relative to its mean (0 in cross-correlations).
fn relative_offset_priors(
    input: &IterationInput,
    layout: &DeviceLayout,
    images: &Prepared,
) -> Vec<Vec<f32>> {
    images
        .starts
        .iter()
        .map(|p| {
            let mut logs =
                offset_log_priors(input, p.old_offset, p.offset_prior, layout.host.pixel_size);
            if input.criterion == Criterion::CrossCorrelation {
                logs.fill(0.0);
            }
            let mean = logs.iter().map(|e| e.exp()).sum::<f64>() / logs.len() as f64;
            let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            // Where every shift is far outside the prior only differences between shifts matter.
            let base = if mean > 0.0 { mean.ln() } else { largest };
            logs.iter().map(|e| (e - base) as f32).collect()
        })
        .collect()
}

fn running_sum(counts: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut first = vec![0];
    for count in counts {
        first.push(first[first.len() - 1] + count);
    }
    first
}

fn limit(input: &IterationInput) -> u32 {
    input.options.max_significant.map_or(u32::MAX, |m| m as u32)
}

/// Global search: matrix products of the grid's slices with all images and shifts.
#[allow(clippy::too_many_arguments)]
pub fn global(
    device: &Device,
    product: &MatrixProduct,
    precision: Precision,
    input: &IterationInput,
    iteration: &Iteration,
    layout: &DeviceLayout,
    items: &[&BatchItem],
    images: &Prepared,
    clock: &mut Clock,
    times: &mut StageTimes,
) -> Result<FirstPass, ExpectationError> {
    let grid = layout.grid.as_ref().expect("a global search has a grid");
    let (rows, count, shifts) = (grid.rows.count, items.len(), layout.host.shifts());
    let stride = layout.coarse_stride;
    // SAFETY: each is filled by a kernel below before it is read.
    let (columns, powers, cross, norm) = unsafe {
        (
            device.buffer::<[f32; 2]>(count * shifts * stride)?,
            device.buffer::<f32>(count * stride)?,
            device.buffer::<f32>(rows * count * shifts)?,
            device.buffer::<f32>(rows * count)?,
        )
    };
    // SAFETY: arrays of the sizes the kernels' documentation asks for.
    unsafe {
        device.weighted_columns(
            count as u32,
            images.masked.pointer(),
            layout.stride as u32,
            images.comparison_ctf(input),
            images.scales.pointer(),
            layout.coarse_weight.pointer(),
            layout.coarse_phases.pointer(),
            stride as u32,
            layout.coarse_count as u32,
            shifts as u32,
            columns.pointer(),
            stride as u32,
            powers.pointer(),
            stride as u32,
        )?;
    }
    for begin in (0..rows).step_by(grid.chunk.max(1)) {
        let part = begin..(begin + grid.chunk).min(rows);
        if !grid.is_whole() {
            layout.project(device, iteration, grid, part.clone())?;
        }
        let sizes = [
            (part.len(), count * shifts, 2 * stride),
            (part.len(), count, stride),
        ];
        // SAFETY: slices of the part are there; its rows exist in both products.
        device.metered(Part::CoarseProducts, || unsafe {
            product.run(
                device,
                precision,
                grid.slices.pointer().cast(),
                columns.pointer().cast(),
                sizes[0],
                cross.pointer().offset(begin * count * shifts),
                count * shifts,
            )?;
            product.run(
                device,
                precision,
                grid.half_powers.pointer(),
                powers.pointer(),
                sizes[1],
                norm.pointer().offset(begin * count),
                count,
            )
        })?;
        for size in sizes {
            work::count_product(device, size);
        }
    }
    drop((columns, powers));
    clock.add(&mut times.get_diff)?;

    let offset_priors: Vec<f32> = relative_offset_priors(input, layout, images).concat();
    let visited: Vec<u32> = items
        .iter()
        .map(|item| match input.classes {
            ClassSelection::RandomPerParticle => classes_of(input, item.position)[0] as u32,
            _ => ALL_CLASSES,
        })
        .collect();
    let (offset_priors, visited) = (device.upload(&offset_priors)?, device.upload(&visited)?);
    let selections = device.zeros::<Selection>(count)?;
    let kept = device.zeros::<u32>(count)?;
    let fraction = match input.criterion {
        Criterion::Likelihood => input.options.adaptive_fraction as f32,
        Criterion::CrossCorrelation => TIE_TOLERANCE,
    };
    let size = (rows as u32, count as u32, shifts as u32);
    // SAFETY: arrays of the sizes the kernel's documentation asks for.
    unsafe {
        device.coarse_select(
            cross.pointer(),
            norm.pointer(),
            grid.rows.log_prior.pointer(),
            grid.rows.class_of.pointer(),
            offset_priors.pointer(),
            visited.pointer(),
            images.powers(0),
            size.0,
            size.1,
            size.2,
            fraction,
            limit(input),
            selections.pointer(),
            kept.pointer(),
        )?;
    }
    let host_selections = device.download(&selections, count)?;
    FirstPass::check(items, &host_selections)?;
    let first = running_sum(host_selections.iter().map(|s| s.kept));
    let first_device = device.upload(&first)?;
    // SAFETY: filled by the kernel below.
    let samples = unsafe { device.buffer::<Sample>(first[count] as usize)? };
    // SAFETY: arrays of the sizes the kernel's documentation asks for.
    unsafe {
        device.coarse_list(
            cross.pointer(),
            norm.pointer(),
            grid.rows.log_prior.pointer(),
            grid.rows.class_of.pointer(),
            offset_priors.pointer(),
            visited.pointer(),
            images.powers(0),
            size.0,
            size.1,
            size.2,
            selections.pointer(),
            first_device.pointer(),
            samples.pointer(),
        )?;
    }
    let mut found = FirstPass {
        samples,
        first,
        selections: host_selections,
        own_rows: None,
    };
    if input.criterion == Criterion::CrossCorrelation {
        ties::decide(device, input, iteration, layout, images, &mut found)?;
    }
    clock.add(&mut times.convert)?;
    Ok(found)
}

/// Local search and fixed orientations: each particle has orientations of its own; its samples are listed on the host and compared pair by pair.
#[allow(clippy::too_many_arguments)]
pub fn own(
    device: &Device,
    lists: &mut Uploader,
    input: &IterationInput,
    iteration: &Iteration,
    layout: &DeviceLayout,
    items: &[&BatchItem],
    images: &Prepared,
    clock: &mut Clock,
    times: &mut StageTimes,
) -> Result<FirstPass, ExpectationError> {
    let plane = &layout.host.plane;
    let offsets = relative_offset_priors(input, layout, images);
    let (rows, of_image) = if Search::of(input) == Search::Fixed {
        let rows = Rows::fixed(device, lists, input, plane, items)?;
        (rows, fixed_orientations(input, items))
    } else {
        let (index, of_image) = local_orientations(input, items);
        let rows = Rows::of_sampling(device, lists, input, plane, index, &[])?;
        (rows, of_image)
    };
    let counts: Vec<usize> = of_image
        .iter()
        .zip(&offsets)
        .map(|(orientations, offsets)| orientations.len() * offsets.len())
        .collect();
    let first = running_sum(counts.iter().map(|&count| count as u32));
    let total = first[items.len()] as usize;
    let uploaded = lists.upload(&counts, |image, to: &mut [Sample]| {
        list_samples(image, &of_image[image], &offsets[image], to);
    })?;
    let samples = &uploaded.block;
    let first_device = device.upload(&first)?;
    let groups = Groups::new(device, samples.pointer(), total, rows.count)?;
    // SAFETY: filled by the kernels below.
    let values = unsafe { device.buffer::<f32>(total)? };
    Differences {
        axes: rows.coarse_axes.block.pointer(),
        class_of: &rows.class_of,
        children: 1,
        shift_children: 1,
        pixel_count: layout.coarse_count,
        weight: &layout.coarse_weight,
        phases: &layout.coarse_phases,
        phase_stride: layout.coarse_stride,
        powers: images.powers(0),
    }
    .run(
        device,
        input,
        iteration,
        layout,
        images,
        &groups,
        samples.pointer(),
        &values,
    )?;
    clock.add(&mut times.get_diff)?;

    let alignments = device.zeros::<Alignment>(items.len())?;
    let best = device.zeros::<u64>(items.len())?;
    let only_best = input.criterion == Criterion::CrossCorrelation;
    // SAFETY: arrays of the sizes the kernel's documentation asks for.
    unsafe {
        device.fine_weights(
            items.len() as u32,
            samples.pointer(),
            first_device.pointer(),
            1,
            1,
            input.options.adaptive_fraction as f32,
            limit(input),
            u32::from(only_best),
            Pointer::null(),
            values.pointer(),
            best.pointer(),
            alignments.pointer(),
        )?;
    }
    let selections: Vec<Selection> = device
        .download(&alignments, items.len())?
        .iter()
        .map(|a| Selection {
            kept: if only_best {
                a.selection.kept.min(1)
            } else {
                a.selection.kept
            },
            ..a.selection
        })
        .collect();
    FirstPass::check(items, &selections)?;
    let kept_first = running_sum(selections.iter().map(|s| s.kept));
    let kept_total = kept_first[items.len()] as usize;
    let kept_device = device.upload(&kept_first)?;
    // SAFETY: filled by the kernel below.
    let kept = unsafe { device.buffer::<Sample>(kept_total)? };
    // SAFETY: arrays of the sizes the kernel's documentation asks for.
    unsafe {
        device.list_kept(
            items.len() as u32,
            samples.pointer(),
            first_device.pointer(),
            values.pointer(),
            kept_device.pointer(),
            kept.pointer(),
        )?;
    }
    clock.add(&mut times.convert)?;
    Ok(FirstPass {
        samples: kept,
        first: kept_first,
        selections,
        own_rows: Some(rows),
    })
}

/// An orientation of a particle's own: its row, and ln of its prior relative to the mean.
type OwnOrientation = (u32, f32);

/// All samples of an image: each of its orientations with each shift, whose ln priors are `offsets`.
fn list_samples(image: usize, orientations: &[OwnOrientation], offsets: &[f32], to: &mut [Sample]) {
    for (&(row, log_prior), to) in orientations.iter().zip(to.chunks_exact_mut(offsets.len())) {
        for ((shift, offset), to) in offsets.iter().enumerate().zip(to) {
            *to = Sample {
                image: image as u32,
                orientation: row,
                shift: shift as u32,
                log_prior: log_prior + offset,
            };
        }
    }
}

/// Orientations of all particles of the batch (each once), and those of each particle.
fn local_orientations(
    input: &IterationInput,
    items: &[&BatchItem],
) -> (Vec<(u32, u32)>, Vec<Vec<OwnOrientation>>) {
    let lists: Vec<_> = items
        .par_iter()
        .map(|item| {
            (
                classes_of(input, item.position),
                local_list(input, item.particle),
            )
        })
        .collect();
    let mut index: Vec<(u32, u32)> = lists
        .iter()
        .flat_map(|(classes, list)| {
            classes
                .iter()
                .flat_map(|&k| list.index.iter().map(move |&o| (k as u32, o)))
        })
        .collect();
    index.par_sort_unstable();
    index.dedup();
    let likelihood = input.criterion == Criterion::Likelihood;
    let of_image = lists
        .par_iter()
        .map(|(classes, list)| {
            // All classes have the same list, so the mean over classes is that of one.
            let mean = if list.total.1 > 0 {
                list.total.0 / list.total.1 as f64
            } else {
                1.0
            };
            let orientations = classes.iter().flat_map(|&k| {
                let priors = list.index.iter().zip(&list.prior);
                priors.map(move |(&o, &prior)| (k, o, prior))
            });
            orientations
                .map(|(k, o, prior)| {
                    let row = index.binary_search(&(k as u32, o)).expect("listed above");
                    let log_prior = if likelihood {
                        (prior / mean).ln() as f32
                    } else {
                        0.0
                    };
                    (row as u32, log_prior)
                })
                .collect()
        })
        .collect();
    (index, of_image)
}

/// Orientations of particles whose orientation is fixed, one row a particle and class.
fn fixed_orientations(input: &IterationInput, items: &[&BatchItem]) -> Vec<Vec<OwnOrientation>> {
    let all = input.references.len();
    let likelihood = input.criterion == Criterion::Likelihood;
    let of_image = |(image, item): (usize, &&BatchItem)| {
        let classes = classes_of(input, item.position);
        let priors: Vec<f64> = classes
            .iter()
            .map(|&k| fixed_list(input, k).prior[0])
            .collect();
        let mean = priors.iter().sum::<f64>() / priors.len() as f64;
        let with_prior = classes.iter().zip(priors);
        with_prior
            .map(|(&class, prior)| {
                let log_prior = if likelihood {
                    (prior / mean).ln() as f32
                } else {
                    0.0
                };
                ((image * all + class) as u32, log_prior)
            })
            .collect()
    };
    items.iter().enumerate().map(of_image).collect()
}
