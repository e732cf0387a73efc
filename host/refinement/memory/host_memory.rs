//! How much host memory the expectation step may take, and images that are kept.

use crate::comm;
use std::path::Path;

/// Enough for boxes up to [`SMALL_BOX`] pixels.
const SMALL_BUDGET: usize = 400 << 20;
const SMALL_BOX: usize = 128;
/// Never ask for less than this, however little is free.
const LEAST: usize = 64 << 20;

/// Bytes for the batches of an engine on this machine: 400 MB for boxes up to 128 pixels and in proportion to the image
/// area above, but at most half of what this process may still take, one of `ranks` on the machine. `root` is the
/// file-system root that /proc and /sys are looked for in.
pub fn engine_budget(box_size: usize, ranks: usize, root: &Path) -> usize {
    let wanted = wanted_budget(box_size);
    match free(ranks, root) {
        Some(free) => wanted.min(free / 2).max(LEAST),
        None => wanted,
    }
}

/// Bytes for the batches of an engine where memory is ample: the same on every machine.
pub fn wanted_budget(box_size: usize) -> usize {
    SMALL_BUDGET * (box_size * box_size).div_ceil(SMALL_BOX * SMALL_BOX)
}

/// Bytes in which this process, one of `ranks` on the machine, may keep images between iterations: a quarter of what it may
/// still take; 0 where that is not known.
pub fn image_budget(ranks: usize, root: &Path) -> usize {
    free(ranks, root).map_or(0, |free| free / 4)
}

/// Bytes that this process, one of `ranks` on the machine, may still take; None where that is not known.
pub fn free(ranks: usize, root: &Path) -> Option<usize> {
    comm::memory::free(ranks, root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::memory::fixtures::Machine;

    #[test]
    fn half_of_what_is_free_is_divided_among_the_ranks() {
        let roomy = Machine::with_free(64 << 30);
        assert_eq!(engine_budget(64, 1, roomy.root()), SMALL_BUDGET);
        assert_eq!(engine_budget(256, 1, roomy.root()), 4 * SMALL_BUDGET);
        let small = Machine::with_free(400 << 20);
        assert_eq!(engine_budget(64, 1, small.root()), 200 << 20);
        assert_eq!(engine_budget(64, 2, small.root()), 100 << 20);
        assert_eq!(image_budget(2, small.root()), 50 << 20);
        let full = Machine::with_free(1 << 20);
        assert_eq!(engine_budget(64, 1, full.root()), LEAST);
    }

    #[test]
    fn machines_without_such_files_get_what_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(engine_budget(64, 1, dir.path()), SMALL_BUDGET);
        assert_eq!(image_budget(1, dir.path()), 0);
    }
}
