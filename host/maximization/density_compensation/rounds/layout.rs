//! How the arrays of the rounds are laid out: by pair of lines ±ky and block of kx, or by section of real space.

use super::{Mates, Products};
use crate::fourier::odd_transform::LANES;
use crate::fourier::shape::VolumeShape;

/// Sizes of the arrays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Side of the sums.
    side: usize,
    /// Rp: frequencies are −Rp+1…Rp−1.
    pub reach: usize,
    /// Blocks of kx.
    pub blocks: usize,
    /// Sections z = 0… of real space that the window reaches.
    pub sections: usize,
}

/// Returns the bytes that the rounds for sums of `shape` take beside the sums, at the most.
pub fn bytes(shape: &VolumeShape) -> usize {
    let layout = Layout::new(shape.side, shape.radius2(), usize::MAX);
    let products = layout.reach * layout.products_of_pair() * size_of::<Products>();
    let sections = layout.sections * layout.blocks * layout.reach * size_of::<Mates>();
    products + sections.max(size_of::<f64>() * shape.voxels())
}

impl Layout {
    /// For sums of a side up to a squared radius, and a window of `window` squared distances.
    pub(super) fn new(side: usize, radius2: i64, window: usize) -> Self {
        let reach = radius2.isqrt() as usize;
        let sections = (0..=side / 2).take_while(|z| z * z < window);
        Self {
            side,
            reach,
            blocks: reach.div_ceil(LANES),
            sections: sections.count(),
        }
    }

    /// Frequencies −Rp+1…Rp−1 along z.
    pub(super) fn frequencies(&self) -> usize {
        2 * self.reach - 1
    }

    /// Frequency along z of an index of the products.
    pub(super) fn frequency(&self, index: usize) -> i64 {
        index as i64 - (self.reach as i64 - 1)
    }

    /// Products of a pair of lines ±ky: by block, kz from −Rp+1 on.
    pub(super) fn products_of_pair(&self) -> usize {
        self.blocks * self.frequencies()
    }

    /// Values of the rows of a section: by group of [`LANES`] rows, kx.
    pub(super) fn rows_of_section(&self) -> usize {
        (self.side / 2 + 1).div_ceil(LANES) * self.blocks * LANES
    }

    /// Blocks of kx that the sphere reaches at ky = ±`pair`.
    pub(super) fn active(&self, pair: usize) -> std::ops::Range<usize> {
        // The largest kx has kx² < Rp² − ky².
        let last = (self.reach * self.reach - pair * pair - 1).isqrt();
        0..last / LANES + 1
    }

    /// Pairs of lines ±ky that the sphere reaches in a block.
    pub(super) fn pairs(&self, block: usize) -> usize {
        let left = self.reach * self.reach - (block * LANES).pow(2);
        (left - 1).isqrt() + 1
    }

    /// Number of lanes of a block that lie within the sphere, which are the first ones.
    pub(super) fn lanes_inside(&self, kz: i64, pair: usize, block: usize) -> usize {
        let others = kz.unsigned_abs().pow(2) as usize + pair * pair;
        let left = self.reach * self.reach;
        if others >= left {
            return 0;
        }
        let end = (left - others - 1).isqrt() + 1;
        end.saturating_sub(block * LANES).min(LANES)
    }
}
