//! Samples grouped by coarse orientation, so that each orientation's children are projected once.

use super::super::ExpectationError;
use crate::device::{Buffer, Coming, Device, Staging, View};
use gpu::kernels::grouping::{CountPairs, ListParents, PlacePairs};
use gpu::kernels::scan::ExclusiveScan;
use gpu::samples::{Pair, Parent, Sample};

/// Samples that are to be grouped.
#[derive(Clone, Copy)]
pub(super) struct Listed {
    /// The list, sorted by image and orientation.
    pub samples: View<Sample>,
    /// How many there are at most.
    pub count: usize,
    /// Where the device has their number; nothing is grouped when it is larger than `count`. Null: they are `count`.
    pub number: View<u32>,
}

/// Parents and pairs on the device.
struct Lists {
    parents: Buffer<Parent>,
    pairs: Buffer<Pair>,
    /// Rows of the parents.
    chosen: Buffer<u32>,
    /// Parents before each row, and the number of all.
    rank: Buffer<u32>,
}

impl Lists {
    /// Queues the grouping over `rows` orientations.
    fn queue(device: &Device, listed: Listed, rows: usize) -> Result<Self, ExpectationError> {
        let counts = device.zeros::<u32>(rows)?;
        let cursor = device.zeros::<u32>(rows)?;
        // SAFETY: each is filled by a kernel below before it is read.
        let (first, rank, pairs, parents, chosen) = unsafe {
            (
                device.buffer::<u32>(rows + 1)?,
                device.buffer::<u32>(rows + 1)?,
                device.buffer::<Pair>(listed.count)?,
                device.buffer::<Parent>(rows)?,
                device.buffer::<u32>(rows)?,
            )
        };
        let (samples, count, number) = (listed.samples, listed.count as u32, listed.number);
        let rows = rows as u32;
        // SAFETY: arrays of the sizes the kernels' documentation asks for.
        unsafe {
            device.launch(&CountPairs {
                samples,
                count,
                number,
                counts: counts.view(),
            })?;
            device.launch(&ExclusiveScan {
                values: counts.view(),
                count: rows,
                flags: 0,
                out: first.view(),
            })?;
            device.launch(&ExclusiveScan {
                values: counts.view(),
                count: rows,
                flags: 1,
                out: rank.view(),
            })?;
            device.launch(&PlacePairs {
                samples,
                count,
                number,
                first: first.view(),
                rank: rank.view(),
                cursor: cursor.view(),
                pairs: pairs.view(),
            })?;
            device.launch(&ListParents {
                first: first.view(),
                rank: rank.view(),
                orientations: rows,
                parents: parents.view(),
                chosen: chosen.view(),
            })?;
        }
        Ok(Self {
            parents,
            pairs,
            chosen,
            rank,
        })
    }
}

/// Groups under way, of which the host knows nothing yet.
pub(super) struct Grouping {
    lists: Lists,
    number: Coming<u32>,
    parents: Coming<Parent>,
}

impl Grouping {
    /// Queues the grouping of samples over `rows` orientations, and what the host has to know of it.
    pub(super) fn queue(
        device: &Device,
        staging: &mut Staging,
        listed: Listed,
        rows: usize,
    ) -> Result<Self, ExpectationError> {
        let lists = Lists::queue(device, listed, rows)?;
        Ok(Self {
            number: staging.fetch(&lists.rank, rows, 1)?,
            // Every parent has a sample.
            parents: staging.fetch(&lists.parents, 0, rows.min(listed.count))?,
            lists,
        })
    }

    /// The groups, after the device was waited for.
    pub(super) fn arrived(self, staging: &Staging) -> Groups {
        let number = staging.values(&self.number)[0] as usize;
        Groups {
            host_parents: staging.values(&self.parents)[..number].to_vec(),
            lists: self.lists,
        }
    }
}

/// Samples grouped by coarse orientation.
pub(super) struct Groups {
    lists: Lists,
    host_parents: Vec<Parent>,
}

impl Groups {
    /// Of samples whose parents over `rows` orientations the host knows.
    pub(super) fn of_known(
        device: &Device,
        listed: Listed,
        rows: usize,
        parents: Vec<Parent>,
    ) -> Result<Self, ExpectationError> {
        Ok(Self {
            lists: Lists::queue(device, listed, rows)?,
            host_parents: parents,
        })
    }

    /// Orientations that have samples, in order.
    pub(super) fn parents(&self) -> &[Parent] {
        &self.host_parents
    }

    /// The same on the device.
    pub(super) fn parents_there(&self) -> View<Parent> {
        self.lists.parents.view()
    }

    /// Pairs, those of a parent together.
    pub(super) fn pairs(&self) -> View<Pair> {
        self.lists.pairs.view()
    }

    /// Parents before each row.
    pub(super) fn rank(&self) -> View<u32> {
        self.lists.rank.view()
    }

    /// Rows of the parents.
    pub(super) fn chosen(&self) -> View<u32> {
        self.lists.chosen.view()
    }
}
