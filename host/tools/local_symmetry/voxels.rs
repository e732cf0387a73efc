//! The voxels of a region of a map, and how well they correlate with those where a pose puts them.

use super::search::Pose;
use crate::geometry::euler;
use crate::geometry::random::shuffle_in_place;
use crate::maximization::trilinear;
use crate::model::local_symmetry::centre_of_mask;
use ndarray::Array3;

/// Voxels of the mask that the grid is searched with.
const SAMPLED_VOXELS: usize = 4000;
/// Values of masks below this count as 0.
const TOLERANCE: f32 = 1e-6;

/// The voxels of a region, from the centre of mass of its mask.
pub(super) struct Voxels {
    /// Centre of mass (x, y, z) from the centre voxel of the box.
    pub centre: [f64; 3],
    /// Index of the centre voxel.
    middle: f64,
    list: Vec<Voxel>,
}

/// A voxel of a region.
#[derive(Clone, Copy)]
struct Voxel {
    /// (x, y, z) from the centre of mass.
    at: [f64; 3],
    /// Of the mask.
    weight: f64,
    /// Of the map.
    value: f64,
}

impl Voxels {
    pub(super) fn of(map: &Array3<f64>, mask: &Array3<f32>) -> Self {
        let middle = (map.dim().0 / 2) as f64;
        let there = mask.indexed_iter().filter(|(_, m)| **m > TOLERANCE);
        let mut list: Vec<Voxel> = there
            .map(|((z, y, x), &mask)| Voxel {
                at: [x, y, z].map(|i| i as f64 - middle),
                weight: mask.into(),
                value: map[[z, y, x]],
            })
            .collect();
        let centre = centre_of_mask(mask);
        for voxel in &mut list {
            voxel.at = std::array::from_fn(|i| voxel.at[i] - centre[i]);
        }
        Self {
            centre,
            middle,
            list,
        }
    }

    /// A few of them, spread at random, always the same.
    pub(super) fn some(&self) -> Self {
        let mut list = self.list.clone();
        if list.len() > SAMPLED_VOXELS {
            shuffle_in_place(&mut list, 1);
            list.truncate(SAMPLED_VOXELS);
        }
        Self { list, ..*self }
    }

    /// Correlation of the map at the voxels with the map where a pose puts them, weighted by the mask.
    pub(super) fn correlation(&self, map: &Array3<f64>, pose: &Pose) -> f64 {
        let mut sums = Moments::default();
        for voxel in &self.list {
            let turned = euler::apply(&pose.rotation, voxel.at);
            let [x, y, z] = std::array::from_fn(|i| turned[i] + pose.place[i] + self.middle);
            sums.add(voxel.weight, voxel.value, trilinear(map, [z, y, x]));
        }
        sums.correlation()
    }
}

/// Weighted sums of pairs of values.
#[derive(Default)]
struct Moments {
    weight: f64,
    first: [f64; 2],
    second: [f64; 3],
}

impl Moments {
    fn add(&mut self, weight: f64, a: f64, b: f64) {
        self.weight += weight;
        self.first[0] += weight * a;
        self.first[1] += weight * b;
        self.second[0] += weight * a * a;
        self.second[1] += weight * a * b;
        self.second[2] += weight * b * b;
    }

    /// 0 where one side is constant.
    fn correlation(&self) -> f64 {
        let [a, b] = self.first.map(|sum| sum / self.weight);
        let [aa, ab, bb] = self.second.map(|sum| sum / self.weight);
        let power = (aa - a * a) * (bb - b * b);
        if power > 0.0 {
            (ab - a * b) / power.sqrt()
        } else {
            0.0
        }
    }
}
