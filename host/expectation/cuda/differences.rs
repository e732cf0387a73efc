//! Differences of the second pass on the device, over samples grouped by orientation.

use super::super::ExpectationError;
use super::batch::BatchContext;
use super::groups::Groups;
use super::layout::DeviceLayout;
use super::work;
use crate::device::meter::Part;
use crate::device::{Buffer, View};
use gpu::kernels::fine::FineDifferences8x4;
use gpu::kernels::groups::{PhasesViews, SamplesViews, SlicesViews};
use gpu::kernels::project::ProjectSlices;
use gpu::samples::Sample;
use gpu::shapes::{WIDE_IMAGES, WIDE_SHIFTS};
use gpu::slice::SliceAxes;

/// One pass of differences over grouped samples.
pub(super) struct Differences<'a> {
    /// Axes of every child of every row.
    pub axes: View<SliceAxes>,
    /// Class of every row.
    pub class_of: &'a Buffer<u32>,
    /// Children of an orientation.
    pub children: usize,
    /// Children of a shift.
    pub shift_children: usize,
    /// Pixels compared.
    pub pixel_count: usize,
    /// Their weights.
    pub weight: &'a Buffer<f32>,
    /// Phases of the shifts' children.
    pub phases: &'a Buffer<[f32; 2]>,
    /// Row length of `phases`.
    pub phase_stride: usize,
    /// The first pass (0) or the second (1).
    pub pass: usize,
}

impl Differences<'_> {
    /// Fills `values`; parents are projected part by part.
    pub(super) fn run(
        &self,
        batch: &BatchContext,
        groups: &Groups,
        samples: View<Sample>,
        values: &Buffer<f32>,
    ) -> Result<(), ExpectationError> {
        let &BatchContext {
            device,
            iteration,
            layout,
            images,
            ..
        } = batch;
        let stride = self.pixel_count.next_multiple_of(32);
        let parents = groups.parents();
        let tiles = Tiles::of([self.children, self.shift_children]);
        let count = values.len() / (self.children * self.shift_children);
        let is_wide = tiles == Tiles::EightByFour && is_wide(count, parents.len(), layout);
        let part = match is_wide {
            true => Part::WideDifferences,
            false => Part::FineDifferences,
        };
        let step = (iteration.plan.family_slices / (8 * stride * self.children))
            .clamp(1, parents.len().max(1));
        // SAFETY: filled by the kernel below before it is read.
        let slices = unsafe { device.buffer::<[f32; 2]>(step * self.children * stride)? };
        for begin in (0..parents.len()).step_by(step) {
            let end = (begin + step).min(parents.len());
            let pairs = parents[begin].begin..parents[end - 1].end;
            // SAFETY: arrays of the sizes the kernel's documentation asks for.
            device.metered(Part::Slices, || unsafe {
                device.launch(&ProjectSlices {
                    orientations: ((end - begin) * self.children) as u32,
                    volume: iteration.compared[0].view(),
                    shape: iteration.shape.view(),
                    axes: self.axes,
                    selection: groups.chosen().offset(begin),
                    volume_of: self.class_of.view(),
                    children: self.children as u32,
                    pixels: layout.pixels.view(),
                    pixel_count: self.pixel_count as u32,
                    out: slices.view(),
                    stride: stride as u32,
                })
            })?;
            let differences = FineDifferences8x4 {
                pair_count: pairs.end - pairs.start,
                pairs: groups.pairs().offset(pairs.start as usize),
                samples: SamplesViews {
                    count: count as u32,
                    list: samples,
                    orientation_children: self.children as u32,
                    shift_children: self.shift_children as u32,
                },
                first_parent: begin as u32,
                slices: SlicesViews {
                    rows: slices.view(),
                    stride: stride as u32,
                },
                compared: batch.compared(self.pass, (self.weight, self.pixel_count)),
                phases: PhasesViews {
                    shifts: (layout.host.shifts() * self.shift_children) as u32,
                    rows: self.phases.view(),
                    stride: self.phase_stride as u32,
                },
                values: values.view(),
            };
            // SAFETY: pairs, parents and samples are those of the groups, which point into these arrays.
            device.metered(part, || unsafe {
                match tiles {
                    Tiles::EightByFour if is_wide => {
                        let parents = groups.parents_there().offset(begin);
                        let parts = (images.starts.len() as u32).div_ceil(WIDE_IMAGES);
                        let sizes = [(end - begin) as u32, parts, layout.host.shifts() as u32];
                        device.launch(&differences.wide(groups.pairs(), parents, sizes))
                    }
                    Tiles::EightByFour => device.launch(&differences),
                    Tiles::TwoByFour => {
                        let parents = begin as u32..end as u32;
                        device.launch(&differences.of_samples(groups.rank(), parents))
                    }
                    Tiles::Single => device.launch(&differences.single()),
                }
            })?;
        }
        work::count_slices(device, parents.len() * self.children, self.pixel_count);
        work::count_differences(
            (device, part),
            parents,
            [self.children, self.shift_children],
            self.pixel_count,
            values.len(),
        );
        Ok(())
    }
}

/// Samples an orientation from which on `fine_differences_wide` is the faster kernel (`benches/BENCHMARKING.md`).
const WIDE_FROM: usize = 64;

/// Whether so many of `samples` share an orientation that a thread each is faster than a block a pair.
fn is_wide(samples: usize, orientations: usize, layout: &DeviceLayout) -> bool {
    samples >= WIDE_FROM * orientations && layout.host.shifts() <= WIDE_SHIFTS as usize
}

/// How many children of an orientation and of a shift go through at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tiles {
    /// Those of maps.
    EightByFour,
    /// Those of class averages, of which psi alone has children.
    TwoByFour,
    /// One of each: no oversampling.
    Single,
}

impl Tiles {
    /// For these numbers of children.
    pub(super) fn of([orientation, shift]: [usize; 2]) -> Self {
        match (orientation, shift) {
            (8.., 4..) => Self::EightByFour,
            (2.., 4..) => Self::TwoByFour,
            _ => Self::Single,
        }
    }
}
