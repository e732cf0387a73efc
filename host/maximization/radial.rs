//! Walking over the stored voxels of the sums by shell, in parallel over z planes; sums are added plane by plane, so
//! results do not depend on the number of threads.

use crate::fourier::backprojection::BackProjection;
use crate::fourier::shape::VolumeShape;
use crate::fourier::shells::shell_table;
use rayon::prelude::*;

/// Geometry of the sums, with the unpadded shell ROUND(|v|/p) of every squared radius up to Rp² in a table.
pub(super) struct Radial {
    /// h.
    pub half: i64,
    /// Largest logical index along z: h, or 0 in 2D.
    half_depth: i64,
    /// 2h + 1.
    pub side: usize,
    /// Rp².
    pub radius2: i64,
    shells: Vec<u32>,
}

impl Radial {
    pub(super) fn new(sums: &BackProjection) -> Self {
        Self::of(&sums.shape)
    }

    /// For sums of a shape, used up to Rp².
    pub(super) fn of(shape: &VolumeShape) -> Self {
        Self {
            half: shape.half() as i64,
            half_depth: shape.half_depth() as i64,
            side: shape.side,
            radius2: shape.radius2(),
            shells: shell_table(shape.radius2(), shape.padding),
        }
    }

    /// Shell of a squared radius ≤ Rp².
    pub(super) fn shell(&self, r2: i64) -> usize {
        self.shells[r2 as usize] as usize
    }

    /// Shells that occur.
    pub(super) fn shells(&self) -> usize {
        self.shells.last().map_or(0, |&s| s as usize) + 1
    }

    /// Stored voxels of a z plane.
    pub(super) fn plane(&self) -> usize {
        self.side * (self.half as usize + 1)
    }

    /// Squared radius and index of each stored voxel of plane `z` (stored index), in storage order. Walk over large volumes with
    /// `for_each`, which becomes a plain loop; `for` takes several times as long.
    pub(super) fn voxels(&self, z: usize) -> impl Iterator<Item = (i64, usize)> + use<> {
        let (half, width) = (self.half, self.half as usize + 1);
        let z2 = (z as i64 - self.half_depth).pow(2);
        (0..self.side).flat_map(move |y| {
            let zy2 = z2 + (y as i64 - half).pow(2);
            (0..width).map(move |x| (zy2 + (x * x) as i64, y * width + x))
        })
    }

    /// Σ of `f(bin of the voxel, value)` per bin, over the voxels with |v|² < Rp² (strictly).
    pub(super) fn sum_by<T: Copy + Sync, const M: usize>(
        &self,
        values: &[T],
        bins: usize,
        bin: impl Fn(i64) -> usize + Sync,
        f: impl Fn(usize, T) -> [f64; M] + Sync,
    ) -> Vec<[f64; M]> {
        let planes: Vec<Vec<[f64; M]>> = values
            .par_chunks(self.plane())
            .enumerate()
            .map(|(z, values)| {
                let mut sums = vec![[0.0; M]; bins];
                self.voxels(z).for_each(|(r2, i)| {
                    if r2 < self.radius2 {
                        let bin = bin(r2);
                        for (sum, v) in sums[bin].iter_mut().zip(f(bin, values[i])) {
                            *sum += v;
                        }
                    }
                });
                sums
            })
            .collect();
        added_in_order(planes)
    }

    /// Σ of `f(shell, value)` per shell.
    pub(super) fn sum_by_shell<T: Copy + Sync, const M: usize>(
        &self,
        values: &[T],
        f: impl Fn(usize, T) -> [f64; M] + Sync,
    ) -> Vec<[f64; M]> {
        self.sum_by(values, self.shells(), |r2| self.shell(r2), f)
    }
}

/// The sums of all planes, added plane by plane.
pub(super) fn added_in_order<const M: usize>(planes: Vec<Vec<[f64; M]>>) -> Vec<[f64; M]> {
    let mut planes = planes.into_iter();
    let mut total = planes.next().unwrap_or_default();
    for plane in planes {
        for (total, part) in total.iter_mut().zip(plane) {
            total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
        }
    }
    total
}
