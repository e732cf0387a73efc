//! Significant samples between the passes: listed and grouped on the device as soon as they are selected. Then the host
//! waits, once a batch, for what it has to know of them.

use super::super::layout::GroupLayout;
use super::super::{BatchItem, ExpectationError, IterationInput};
use super::groups::{Grouping, Groups, Listed};
use crate::device::{Buffer, Device, DeviceError, Staging, View};
use gpu::kernels::scan::ExclusiveScan;
use gpu::samples::{Sample, Selection};

/// Samples that are foreseen for a particle at the least: lists of so many cost nothing.
const FEWEST: usize = 100;

/// Samples a particle for which there will be room in the next batch, when `total` were those of `particles` now: twice as
/// many.
pub(super) fn foreseen(total: usize, particles: usize) -> usize {
    (2 * total).div_ceil(particles.max(1)).max(FEWEST)
}

/// Significant samples of a batch, in order of image, orientation and shift.
pub(super) struct Significant {
    /// The list.
    pub samples: Buffer<Sample>,
    /// Where each image begins in it, and its end.
    pub first: Vec<u32>,
    /// Selection of each image.
    pub selections: Vec<Selection>,
    /// All of them grouped; None where that has to be done in parts, or again.
    pub groups: Option<Groups>,
}

/// How significant samples are listed.
pub(super) struct Listing<'a> {
    pub device: &'a Device,
    pub input: &'a IterationInput<'a>,
    pub layout: &'a GroupLayout,
    pub items: &'a [&'a BatchItem<'a>],
    /// Orientations there are.
    pub rows: usize,
    /// Samples that are listed before their number is known.
    pub capacity: usize,
}

impl Listing<'_> {
    /// Lists and groups the `kept` samples of each image, and waits. `list` queues the kernel that writes them: it is given
    /// where each image begins, how many samples there is room for, and the list. `selections` reads what was selected, for
    /// which the host has been waiting then. When there are more samples than were foreseen they are listed again.
    pub(super) fn run(
        &self,
        staging: &mut Staging,
        kept: &Buffer<u32>,
        selections: impl FnOnce(&Staging) -> Vec<Selection>,
        list: impl Fn(View<u32>, u32, View<Sample>) -> Result<(), DeviceError>,
    ) -> Result<Significant, ExpectationError> {
        let (device, count) = (self.device, self.items.len());
        // SAFETY: both are filled by the kernels below.
        let (first, samples) = unsafe {
            (
                device.buffer::<u32>(count + 1)?,
                device.buffer::<Sample>(self.capacity)?,
            )
        };
        // SAFETY: arrays of the sizes the kernel's documentation asks for.
        unsafe {
            device.launch(&ExclusiveScan {
                values: kept.view(),
                count: count as u32,
                flags: 0,
                out: first.view(),
            })?;
        }
        list(first.view(), self.capacity as u32, samples.view())?;
        let listed = Listed {
            samples: samples.view(),
            count: self.capacity,
            number: first.view().offset(count),
        };
        let grouping = Grouping::queue(device, staging, listed, self.rows)?;
        staging.wait()?;
        let selections = selections(staging);
        if let Some(i) = selections.iter().position(|s| s.kept == 0) {
            let item = self.items[i];
            return Err(ExpectationError::not_comparable(
                self.input,
                self.layout,
                item,
            ));
        }
        let total = selections.iter().map(|s| u64::from(s.kept)).sum();
        if total > u64::from(u32::MAX) {
            return Err(device.too_long::<Sample>(total).into());
        }
        let total = total as usize;
        let host_first = running_sum(selections.iter().map(|s| s.kept));
        let (samples, groups) = if total <= self.capacity {
            (samples, Some(grouping.arrived(staging)))
        } else {
            drop((samples, grouping));
            // SAFETY: filled by the kernel below.
            let samples = unsafe { device.buffer::<Sample>(total)? };
            list(first.view(), total as u32, samples.view())?;
            (samples, None)
        };
        Ok(Significant {
            samples,
            first: host_first,
            selections,
            groups,
        })
    }
}

/// Where each of some parts begins, and the end.
pub(super) fn running_sum(counts: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut first = vec![0];
    for count in counts {
        first.push(first[first.len() - 1] + count);
    }
    first
}
