//! Device memory of the maximisation, from which runs are planned.

use crate::device::Cube;
use crate::fourier::shape::{Dimensions, VolumeShape};
use gpu::volume::BLOB_SAMPLES;

/// Shapes, operators of a point group, spectra.
const SMALL: usize = 16 << 10;

/// Bytes that each operation takes on a device at most, its sums included. cuFFT's work area is taken to be as large as
/// the transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Sums of one class, as the expectation hands them over.
    pub sums: usize,
    /// Adding sums turned by the operators of a point group.
    pub symmetrise: usize,
    /// The down-sampled average of one half-set.
    pub averages: usize,
    /// A map from sums that are freed on the way.
    pub regularised: usize,
    /// A map from sums that stay.
    pub unregularised: usize,
    /// Finding densities in place of division (`--dont_skip_gridding`); where there is no room the host finds them.
    pub densities: usize,
    /// References of all classes.
    pub prepare: usize,
}

impl Footprint {
    /// For `classes` references of `box_size` and sums of `shape`.
    pub fn new(shape: &VolumeShape, box_size: usize, classes: usize) -> Self {
        let sums = 16 * shape.voxels();
        if shape.dimensions == Dimensions::Two {
            // All class averages are made at once: their transforms, cuFFT's work area, padded and cut out, before and after
            // they are centred.
            let padded = shape.padded_box;
            let average =
                2 * 8 * padded * (padded / 2 + 1) + 4 * padded.pow(2) + 2 * 4 * box_size.pow(2);
            let statistics = 4 * 8 * (box_size / 2 + 1);
            return Self {
                sums,
                symmetrise: sums,
                averages: sums,
                regularised: sums + classes * (average + statistics) + SMALL,
                unregularised: sums,
                densities: sums,
                prepare: classes * 8 * shape.voxels(),
            };
        }
        let map = 4 * box_size.pow(3);
        let padded = Cube::<f32>::bytes(shape.padded_box);
        // In place with a work area, then cropped.
        let to_real_space = padded + padded.max(map);
        let unregularised = sums + to_real_space;
        Self {
            sums,
            symmetrise: 2 * sums + SMALL,
            averages: sums + 8 * (2 * shape.r_max + 3).pow(2) * (shape.r_max + 2),
            regularised: to_real_space.max(sums + padded) + SMALL,
            unregularised,
            densities: sums
                + 8 * (shape.voxels() + BLOB_SAMPLES as usize)
                + 2 * Cube::<f64>::bytes(shape.side),
            prepare: classes * 8 * shape.voxels() + 2 * padded + map,
        }
    }

    /// The operation that takes most of those that have to be on the device.
    pub fn largest(&self) -> usize {
        [
            self.symmetrise,
            self.averages,
            self.regularised,
            self.unregularised,
            self.prepare,
        ]
        .into_iter()
        .fold(self.sums, usize::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Box 512 with padding 2 in the last iteration: no operation takes more than 17 GiB.
    #[test]
    fn box_512_with_padding_2() {
        let footprint = Footprint::new(&VolumeShape::new(Dimensions::Three, 512, 2.0, 512), 512, 1);
        assert_eq!(footprint.sums, 16 * 1027 * 1027 * 514);
        assert!(footprint.regularised < 13 << 30, "{footprint:?}");
        assert!(footprint.largest() < 17 << 30, "{footprint:?}");
    }
}
