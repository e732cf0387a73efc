//! The kernels of the second pass take the same comparison: slices, images and what they are weighted with. It is put together
//! once, for [`FineDifferences8x4`]; the launches of the others are made from it.

use super::fine::{FineDifferences1x1, FineDifferences2x4, FineDifferences8x4};
use super::wide::FineDifferencesWide;
use crate::samples::{Pair, Parent};
use core::ops::Range;
use cuda_std::launch::View;

/// Makes a launch of the comparison of another and the fields that it does not share.
macro_rules! same_comparison {
    ($from:ident => $kernel:ident { $($field:ident $(: $value:expr)?),* $(,)? }) => {
        $kernel {
            samples: $from.samples,
            slices: $from.slices,
            compared: $from.compared,
            phases: $from.phases,
            values: $from.values,
            $($field $(: $value)?),*
        }
    };
}

impl FineDifferences8x4 {
    /// Returns the launch of one orientation and one shift per block.
    pub fn single(self) -> FineDifferences1x1 {
        same_comparison!(self => FineDifferences1x1 {
            pair_count: self.pair_count,
            pairs: self.pairs,
            first_parent: self.first_parent,
        })
    }

    /// Returns the launch of a warp per sample, for the parents in `parents`; `rank` is the number of parents before each coarse
    /// orientation.
    pub fn of_samples(self, rank: View<u32>, parents: Range<u32>) -> FineDifferences2x4 {
        same_comparison!(self => FineDifferences2x4 {
            sample_count: self.samples.count,
            rank,
            first_parent: parents.start,
            parent_count: parents.end - parents.start,
        })
    }

    /// Returns the launch of a thread per sample, for the first `parent_count` of `parents`, whose images go through in `parts`, and so
    /// many coarse shifts. `pairs` are all there are.
    pub fn wide(
        self,
        pairs: View<Pair>,
        parents: View<Parent>,
        [parent_count, parts, shifts]: [u32; 3],
    ) -> FineDifferencesWide {
        same_comparison!(self => FineDifferencesWide {
            parents,
            parent_count,
            parts,
            pairs,
            shifts,
        })
    }
}
