//! Second pass and sums on the device: children of the significant samples, their weights, what they add.

use super::super::orientations::Search;
use super::super::{Criterion, ExpectationError, IterationInput};
use super::batch::BatchContext;
use super::clock::{Clock, Stage};
use super::differences::Differences;
use super::first_pass::FirstPass;
use super::groups::{Grouping, Groups, Listed};
use super::layout::DeviceLayout;
use super::offsets::own_start;
use super::{Iteration, totals, work};
use crate::device::meter::Part;
use crate::device::{Buffer, Coming, Staging, View};
use gpu::kernels::groups::{PhasesViews, ReferencesViews, SamplesViews};
use gpu::kernels::shares::ReduceShares;
use gpu::kernels::statistics::FineStatistics;
use gpu::kernels::store::{
    SharesViews, StoreOrientations1, StoreOrientations8, StoredImagesViews, StoredPixelsViews,
    SumsViews,
};
use gpu::kernels::weights::FineWeights;
use gpu::samples::{Alignment, Pair, Sample};
use gpu::shapes::children_at_once;
use gpu::slice::SliceAxes;
use std::ops::Range;

/// The second pass over the significant samples of a batch.
pub(super) struct SecondPass<'a> {
    pub batch: BatchContext<'a>,
    pub first: &'a FirstPass,
    /// Σ w Re(conj(sCA)·F) and Σ w|sCA|² per image, slot and pixel; zeros.
    pub shares: View<[f32; 2]>,
}

/// Results of the second pass for some images of a batch.
pub(super) struct Found {
    /// The images.
    pub part: Range<usize>,
    /// Their alignments.
    pub alignments: Coming<Alignment>,
    /// (Σ XA, Σ AA, Σ|F|², Σ V|F|² over compared pixels) per image, slot and shell.
    pub shares: Coming<[f32; 4]>,
}

/// Children of an orientation and of a shift in the second pass.
fn children(input: &IterationInput, layout: &DeviceLayout) -> (usize, usize) {
    let of_orientation = match Search::of(input) {
        Search::Fixed => 1,
        _ => input
            .sampling
            .orientation_children(input.options.oversampling),
    };
    (of_orientation, layout.host.shift_children)
}

/// Significant samples that go through the second pass at once within the plan.
pub(super) fn samples_at_once(
    input: &IterationInput,
    iteration: &Iteration,
    layout: &DeviceLayout,
) -> usize {
    let (children, shift_children) = children(input, layout);
    let per_sample = 4 * children * shift_children + size_of::<Sample>() + size_of::<Pair>();
    iteration.plan.second_pass / per_sample
}

impl SecondPass<'_> {
    /// Images from `begin` on whose samples go through at once within the plan; at least one.
    pub(super) fn part(&self, begin: usize) -> Range<usize> {
        let room = samples_at_once(self.batch.input, self.batch.iteration, self.batch.layout);
        let first = &self.first.list.first;
        let mut end = begin + 1;
        while end + 1 < first.len() && (first[end + 1] - first[begin]) as usize <= room {
            end += 1;
        }
        begin..end
    }

    /// Samples of the images of `part`.
    fn listed(&self, part: &Range<usize>) -> Listed {
        let list = &self.first.list;
        let begin = list.first[part.start];
        Listed {
            samples: list.samples.view().offset(begin as usize),
            count: (list.first[part.end] - begin) as usize,
            number: View::null(),
        }
    }

    /// Groups the samples of the images of `part`, and waits for what the host has to know of them.
    pub(super) fn group(
        &self,
        part: &Range<usize>,
        staging: &mut Staging,
    ) -> Result<Groups, ExpectationError> {
        let rows = self.first.rows(self.batch.layout).count;
        let grouping = Grouping::queue(self.batch.device, staging, self.listed(part), rows)?;
        staging.wait()?;
        Ok(grouping.arrived(staging))
    }

    /// Queues differences, weights and sums of the images of `part`, whose samples are `groups`. After an error nothing was
    /// added to the sums.
    pub(super) fn run(
        &self,
        part: Range<usize>,
        groups: &Groups,
        staging: &mut Staging,
        clock: &mut Clock,
    ) -> Result<Found, ExpectationError> {
        let (batch, first) = (&self.batch, self.first);
        let &BatchContext {
            device,
            input,
            layout,
            ..
        } = batch;
        let rows = first.rows(layout);
        let (children, shift_children) = children(input, layout);
        let Listed {
            samples,
            count: total,
            ..
        } = self.listed(&part);
        let fine_axes = device.metered_on_host(Part::Orientations, || {
            rows.fine_axes(
                device,
                staging,
                (input, &layout.host.plane),
                (groups.parents(), groups.chosen()),
            )
        })?;
        // SAFETY: filled by the kernels below.
        let values = unsafe { device.buffer::<f32>(total * children * shift_children)? };
        Differences {
            axes: fine_axes.view,
            class_of: &rows.class_of,
            children,
            shift_children,
            pixel_count: layout.fine_count,
            weight: &layout.fine_weight,
            phases: &layout.fine_phases,
            phase_stride: layout.stride,
            pass: 1,
        }
        .run(batch, groups, samples, &values)?;
        clock.end_of(Stage::GetDiff)?;

        let count = part.len();
        let only_best = input.criterion == Criterion::CrossCorrelation;
        // With one pass only, the sums of the first pass stand.
        let given = if input.options.oversampling == 0 && !only_best {
            Some(staging.upload(&first.list.selections[part.clone()])?)
        } else {
            None
        };
        let (own_first, starts) = self.firsts_and_starts(&part, staging)?;
        let alignments = device.zeros::<Alignment>(count)?;
        let best = device.zeros::<u64>(count)?;
        let slots = totals::slots(input);
        let shell_sums = device.zeros::<[f32; 4]>(count * slots * layout.shells)?;
        // From here on nothing is allocated: what follows adds to sums.
        // SAFETY: arrays of the sizes the kernels' documentation asks for.
        unsafe {
            device.launch(&FineWeights {
                images: count as u32,
                samples,
                first: own_first.view(),
                orientation_children: children as u32,
                shift_children: shift_children as u32,
                fraction: input.options.adaptive_fraction as f32,
                limit: u32::MAX,
                best_only: u32::from(only_best),
                given: given.as_ref().map_or(View::null(), Buffer::view),
                values: values.view(),
                best: best.view(),
                out: alignments.view(),
                kept: View::null(),
            })?;
        }
        self.add_statistics(&part, (&own_first, &starts), &values, &alignments)?;
        clock.end_of(Stage::Convert)?;
        if !input.options.skip_maximize {
            self.store(groups, fine_axes.view, samples, &values)?;
        }
        self.reduce_shares(&part, &shell_sums)?;
        let found = Found {
            alignments: staging.fetch(&alignments, 0, count)?,
            shares: staging.fetch(&shell_sums, 0, count * slots * layout.shells)?,
            part,
        };
        clock.end_of(Stage::Store)?;
        Ok(found)
    }

    /// Adds the weights of the images of `part` to the sums over directions and offsets.
    fn add_statistics(
        &self,
        part: &Range<usize>,
        (own_first, starts): (&Buffer<u32>, &Buffer<[f32; 2]>),
        values: &Buffer<f32>,
        alignments: &Buffer<Alignment>,
    ) -> Result<(), ExpectationError> {
        let &BatchContext {
            device,
            input,
            iteration,
            layout,
            ..
        } = &self.batch;
        let rows = self.first.rows(layout);
        let (children, shift_children) = children(input, layout);
        let Listed { samples, .. } = self.listed(part);
        // SAFETY: arrays of the sizes the kernel's documentation asks for.
        unsafe {
            device.launch(&FineStatistics {
                images: part.len() as u32,
                samples,
                first: own_first.view(),
                values: values.view(),
                orientation_children: children as u32,
                shift_children: shift_children as u32,
                slot_of: rows.slot_of.view(),
                direction_weight: iteration.direction_weight.view(),
                shifts: layout.fine_shifts.view(),
                start: starts.view(),
                class_of: rows.class_of.view(),
                centres: iteration.offsets.class_centres(),
                class_offset: iteration.offsets.sums().view(),
                pixel_size: layout.host.pixel_size as f32,
                out: alignments.view(),
            })?;
        }
        Ok(())
    }

    /// Adds up the shares of the images of `part` by shell.
    fn reduce_shares(
        &self,
        part: &Range<usize>,
        shell_sums: &Buffer<[f32; 4]>,
    ) -> Result<(), ExpectationError> {
        let &BatchContext {
            device,
            input,
            layout,
            images,
            ..
        } = &self.batch;
        let slots = totals::slots(input);
        let row = part.start * slots;
        // SAFETY: arrays of the sizes the kernel's documentation asks for.
        unsafe {
            device.launch(&ReduceShares {
                rows: (part.len() * slots) as u32,
                shares: self.shares.offset(row * layout.count),
                masked: images.masked.view().offset(part.start * layout.stride),
                compared: images.compared().offset(part.start * layout.stride),
                power_weight: layout.power_weight.view(),
                image_stride: layout.stride as u32,
                pixel_count: layout.count as u32,
                slots: slots as u32,
                shell_begin: layout.shell_begin.view(),
                shells: layout.shells as u32,
                out: shell_sums.view(),
            })?;
        }
        Ok(())
    }

    /// Where the samples of each image of `part` begin among those of the part, and r of each as the statistics take it.
    fn firsts_and_starts(
        &self,
        part: &Range<usize>,
        staging: &mut Staging,
    ) -> Result<(Buffer<u32>, Buffer<[f32; 2]>), ExpectationError> {
        let firsts = &self.first.list.first[part.start..=part.end];
        let own_first: Vec<u32> = firsts.iter().map(|f| f - firsts[0]).collect();
        let starts = self.batch.images.starts[part.clone()].iter();
        let starts: Vec<[f32; 2]> = starts
            .map(|s| {
                let own = own_start(self.batch.input, s);
                std::array::from_fn(|i| (own[i] + s.remainder[i]) as f32)
            })
            .collect();
        Ok((staging.upload(&own_first)?, staging.upload(&starts)?))
    }

    /// Adds to the volumes and to `shares`.
    fn store(
        &self,
        groups: &Groups,
        axes: View<SliceAxes>,
        samples: View<Sample>,
        values: &Buffer<f32>,
    ) -> Result<(), ExpectationError> {
        let first = self.first;
        let BatchContext {
            device,
            input,
            iteration,
            layout,
            images,
            ..
        } = self.batch;
        let rows = first.rows(layout);
        let (children, shift_children) = children(input, layout);
        let corners = input.references[0].shape().for_kernels().corners();
        let per_orientation = [children, values.len() / children];
        work::count_store(
            device,
            groups.parents(),
            per_orientation,
            layout.count,
            corners,
        );
        let sums = StoreOrientations8 {
            parent_count: groups.parents().len() as u32,
            parents: groups.parents_there(),
            pairs: groups.pairs(),
            samples: SamplesViews {
                count: (values.len() / (children * shift_children)) as u32,
                list: samples,
                orientation_children: children as u32,
                shift_children: shift_children as u32,
            },
            values: values.view(),
            references: ReferencesViews {
                volumes: iteration.references[0].view(),
                shape: iteration.shape.view(),
                axes,
                class_of: rows.class_of.view(),
            },
            pixels: StoredPixelsViews {
                pixels: layout.pixels.view(),
                inverse_variance: layout.inverse_variance.view(),
                projected: layout.projected as u32,
                count: layout.count as u32,
            },
            images: StoredImagesViews {
                count: images.starts.len() as u32,
                masked: images.masked.view(),
                unmasked: images.unmasked.view(),
                ctf: images.ctf.as_ref().map_or(View::null(), Buffer::view),
                stride: layout.stride as u32,
                scales: images.sum_scales.view(),
                half_of: images.half_of.as_ref().map_or(View::null(), Buffer::view),
            },
            phases: PhasesViews {
                shifts: (layout.host.shifts() * shift_children) as u32,
                rows: layout.fine_phases.view(),
                stride: layout.stride as u32,
            },
            flags: input.store_flags(layout.group),
            sums: SumsViews {
                volumes: iteration.volumes.view(),
                side: iteration.volume_shape.side as u32,
                scale: input.sums_scale(),
                max_radius2: iteration.volume_shape.insertion_limit2(),
                classes: input.references.len() as u32,
            },
            shares: SharesViews {
                sums: self.shares,
                slots: totals::slots(input) as u32,
                in_scale: layout.in_scale.as_ref().map_or(View::null(), Buffer::view),
            },
        };
        // SAFETY: arrays of the sizes the kernel's documentation asks for.
        device.metered(Part::Store, || unsafe {
            match children_at_once(children as u32, shift_children as u32) {
                8 => device.launch(&sums),
                _ => device.launch(&StoreOrientations1::from(sums)),
            }
        })?;
        Ok(())
    }
}
