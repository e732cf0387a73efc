//! Search of the operators that carry a masked region of a map onto its copies, near operators that are known roughly
//! (`relion_localsym --search`, spec 06 §2.4).
//!
//! An operator r → A·r + t turns the region about its centre of mass c and puts that centre to A·c + t. The search varies the
//! rotation and the place of the centre, which hardly depend on each other. All poses of a grid are tried with some of the voxels
//! of the mask; the best ones are compared with all voxels, and the best of these is improved in steps that become smaller.

use super::voxels::Voxels;
use crate::fourier::resample::resample;
use crate::geometry::{Matrix3, euler};
use crate::model::local_symmetry::{Operator, Region};
use ndarray::Array3;
use rayon::prelude::*;

/// Places of the grid that are compared with all voxels.
const KEPT: usize = 12;
/// The steps of the grid are halved so often when the best place is improved.
const HALVINGS: usize = 6;

/// Rotations that are tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rotations {
    /// All that turn the copy by no more than this angle, degrees, about any axis.
    Within(f64),
    /// All whose rot, tilt and psi differ by no more than these from those of the operator, degrees.
    Euler([f64; 3]),
}

/// Extent and steps of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranges {
    /// Rotations.
    pub rotations: Rotations,
    /// Step of the angles, degrees.
    pub angle_step: f64,
    /// Largest moves of the centre of mass along x, y and z, voxels.
    pub offsets: [f64; 3],
    /// Step of the moves, voxels.
    pub offset_step: f64,
    /// Poses of the grid that are improved, the best ones.
    pub improved: usize,
}

/// An operator that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    /// The operator.
    pub operator: Operator,
    /// Correlation of the region with its copy, before the search and after.
    pub correlation: [f64; 2],
}

/// A map and the mask of a region, on a coarser grid over the same width.
pub(super) struct Binned {
    map: Array3<f64>,
    mask: Array3<f32>,
    /// Voxels of the map per voxel here.
    factor: f64,
}

impl Binned {
    /// Bins a map and a mask to `side` voxels a side, an even number.
    pub(super) fn new(map: &Array3<f64>, mask: &Array3<f32>, side: usize) -> Self {
        /// Values of the binned mask below this come from its transform, which ends.
        const RINGING: f32 = 0.05;
        let clean = |m: f64| Some(m as f32).filter(|m| *m > RINGING).unwrap_or(0.0);
        Self {
            mask: resample(&mask.mapv(f64::from), side).mapv(|m| clean(m).min(1.0)),
            map: resample(map, side),
            factor: map.dim().0 as f64 / side as f64,
        }
    }
}

/// Returns the operator near `start` that correlates a region of `map` best with its copy; indices (z, y, x). The grid is searched
/// on the `binned` map where there is one, and the best poses are improved on the map as it is.
pub(super) fn search(
    map: &Array3<f64>,
    region: &Region,
    start: &Operator,
    ranges: &Ranges,
    binned: Option<&Binned>,
) -> Found {
    let voxels = Voxels::of(map, &region.mask);
    let own = Pose::of(start, voxels.centre);
    let grid = grid(&own, ranges);
    let (coarse, on, factor) = match binned {
        Some(binned) => {
            let coarse = Voxels::of(&binned.map, &binned.mask);
            (coarse.some(), &binned.map, binned.factor)
        }
        None => (voxels.some(), map, 1.0),
    };
    let mut scores: Vec<(f64, usize)> = grid
        .par_iter()
        .enumerate()
        .map(|(i, pose)| {
            let pose = pose.seen_from(voxels.centre, coarse.centre, factor);
            (coarse.correlation(on, &pose), i)
        })
        .collect();
    // The first of equal ones, whatever the number of threads.
    scores.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let before = voxels.correlation(map, &own);
    let kept = scores.iter().take(KEPT).map(|&(_, i)| grid[i]);
    let mut best: Vec<(f64, Pose)> = kept
        .map(|pose| (voxels.correlation(map, &pose), pose))
        .chain([(before, own)])
        .collect();
    best.sort_by(|a, b| b.0.total_cmp(&a.0));
    let improved = best
        .into_iter()
        .take(ranges.improved)
        .map(|pose| improved(&voxels, map, pose, ranges))
        .reduce(|a, b| if b.0 > a.0 { b } else { a });
    let (after, pose) = improved.unwrap_or((before, own));
    Found {
        operator: pose.operator(voxels.centre),
        correlation: [before, after],
    }
}

/// A rotation about the centre of mass of a region, and where that centre comes to, (x, y, z) from the centre voxel of the box.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pose {
    pub rotation: Matrix3,
    pub place: [f64; 3],
}

impl Pose {
    fn of(operator: &Operator, centre: [f64; 3]) -> Self {
        let turned = euler::apply(&operator.rotation, centre);
        Self {
            rotation: operator.rotation,
            place: std::array::from_fn(|i| turned[i] + operator.shift[i]),
        }
    }

    fn operator(&self, centre: [f64; 3]) -> Operator {
        let turned = euler::apply(&self.rotation, centre);
        Operator {
            rotation: self.rotation,
            shift: std::array::from_fn(|i| self.place[i] - turned[i]),
        }
    }

    /// The same motion for a region with its centre at `other` in voxels `factor` times as large, in those voxels.
    fn seen_from(&self, centre: [f64; 3], other: [f64; 3], factor: f64) -> Self {
        let Operator { rotation, shift } = self.operator(centre);
        let shift = shift.map(|t| t / factor);
        Self::of(&Operator { rotation, shift }, other)
    }

    /// The pose turned about x, y or z by an angle (degrees), or moved along it (voxels): coordinates 0 to 5.
    fn moved(&self, coordinate: usize, by: f64) -> Self {
        let mut moved = *self;
        match coordinate {
            0..3 => {
                let mut vector = [0.0; 3];
                vector[coordinate] = by;
                moved.rotation = euler::multiply(&about(vector), &self.rotation);
            }
            _ => moved.place[coordinate - 3] += by,
        }
        moved
    }
}

/// Returns the rotation about a vector (x, y, z) by its length in degrees.
fn about(vector: [f64; 3]) -> Matrix3 {
    let degrees = euler::dot(vector, vector).sqrt();
    if degrees == 0.0 {
        return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    }
    let axis = vector.map(|v| v / degrees);
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let [x, y, z] = axis;
    let cross = [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]];
    std::array::from_fn(|i| {
        std::array::from_fn(|j| {
            let identity = f64::from(u8::from(i == j));
            cosine * identity + sine * cross[i][j] + (1.0 - cosine) * axis[i] * axis[j]
        })
    })
}

/// Multiples of `step` from −range to range.
fn multiples(range: f64, step: f64) -> impl Iterator<Item = f64> + Clone {
    let n = (range / step + 1e-9).floor().max(0.0) as i64;
    (-n..=n).map(move |i| i as f64 * step)
}

/// All poses of the grid around `own`.
fn grid(own: &Pose, ranges: &Ranges) -> Vec<Pose> {
    let step = ranges.angle_step;
    let triples = |[a, b, c]: [f64; 3], step: f64| -> Vec<[f64; 3]> {
        multiples(a, step)
            .flat_map(|x| multiples(b, step).map(move |y| [x, y]))
            .flat_map(|[x, y]| multiples(c, step).map(move |z| [x, y, z]))
            .collect()
    };
    let rotations: Vec<Matrix3> = match ranges.rotations {
        Rotations::Within(limit) => triples([limit; 3], step)
            .into_iter()
            .filter(|&vector| euler::dot(vector, vector).sqrt() <= limit + 1e-9)
            .map(|vector| euler::multiply(&about(vector), &own.rotation))
            .collect(),
        Rotations::Euler(limits) => {
            let [rot, tilt, psi] = euler::angles(&own.rotation);
            triples(limits, step)
                .into_iter()
                .map(|[a, b, c]| euler::matrix(rot + a, tilt + b, psi + c))
                .collect()
        }
    };
    let moves = triples(ranges.offsets, ranges.offset_step);
    let pose = |rotation: &Matrix3, by: &[f64; 3]| Pose {
        rotation: *rotation,
        place: std::array::from_fn(|i| own.place[i] + by[i]),
    };
    rotations
        .iter()
        .flat_map(|rotation| moves.iter().map(move |by| pose(rotation, by)))
        .collect()
}

/// Returns an upper bound of the number of poses that are tried.
pub(super) fn most_poses(ranges: &Ranges) -> f64 {
    let number = |range: f64, step: f64| 2.0 * (range / step + 1e-9).floor().max(0.0) + 1.0;
    let angles = match ranges.rotations {
        Rotations::Within(limit) => [limit; 3],
        Rotations::Euler(limits) => limits,
    };
    let rotations: f64 = angles
        .map(|range| number(range, ranges.angle_step))
        .iter()
        .product();
    let moves = ranges
        .offsets
        .map(|range| number(range, ranges.offset_step));
    rotations * moves.iter().product::<f64>()
}

/// Goes from a pose and its correlation to neighbours that correlate better, in steps that are halved where none does.
fn improved(
    voxels: &Voxels,
    map: &Array3<f64>,
    (mut best, mut pose): (f64, Pose),
    ranges: &Ranges,
) -> (f64, Pose) {
    let mut steps = [ranges.angle_step, ranges.offset_step];
    for _ in 0..HALVINGS {
        steps = steps.map(|step| step / 2.0);
        loop {
            let neighbours: Vec<Pose> = (0..6)
                .flat_map(|i| {
                    let step = steps[i / 3];
                    [pose.moved(i, step), pose.moved(i, -step)]
                })
                .collect();
            let scores: Vec<f64> = neighbours
                .par_iter()
                .map(|neighbour| voxels.correlation(map, neighbour))
                .collect();
            let found = scores.iter().zip(&neighbours);
            let Some((&score, better)) = found.max_by(|a, b| a.0.total_cmp(b.0)) else {
                break;
            };
            // Rounding alone does not go on for ever.
            if score <= best + 1e-12 {
                break;
            }
            (best, pose) = (score, *better);
        }
    }
    (best, pose)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::local_symmetry::centre_of_mask;
    use std::path::PathBuf;

    const BOX: usize = 40;

    /// A lump without symmetry of its own, from blobs at (x, y, z) from the centre voxel.
    const LUMP: [[f64; 3]; 5] = [
        [-9.0, 2.0, 1.0],
        [-6.0, -3.0, 2.0],
        [-8.0, 0.0, -4.0],
        [-11.0, -1.0, -1.0],
        [-7.0, 4.0, -2.0],
    ];

    /// A map of the lump and its copy, and the region of the lump.
    fn simulated(truth: &Operator) -> (Array3<f64>, Region) {
        let middle = (BOX / 2) as f64;
        let copies = LUMP.map(|blob| {
            let turned = euler::apply(&truth.rotation, blob);
            std::array::from_fn(|i| turned[i] + truth.shift[i])
        });
        let blobs: Vec<[f64; 3]> = LUMP.into_iter().chain(copies).collect();
        let at = |(z, y, x): (usize, usize, usize)| [x, y, z].map(|i| i as f64 - middle);
        let map = Array3::from_shape_fn((BOX, BOX, BOX), |voxel| {
            let here = at(voxel);
            let of_blob = |blob: &[f64; 3]| {
                let d2: f64 = (0..3).map(|i| (here[i] - blob[i]).powi(2)).sum();
                (-d2 / 4.5).exp()
            };
            blobs.iter().map(of_blob).sum()
        });
        let mask = Array3::from_shape_fn((BOX, BOX, BOX), |voxel| {
            let here = at(voxel);
            let d2: f64 = (0..3)
                .map(|i| (here[i] - [-8.0, 0.0, -1.0][i]).powi(2))
                .sum();
            (8.0 - d2.sqrt()).clamp(0.0, 1.0) as f32
        });
        let region = Region {
            mask_file: PathBuf::from("mask.mrc"),
            mask,
            operators: Vec::new(),
        };
        (map, region)
    }

    /// Angle between two rotations, degrees.
    fn between(a: &Matrix3, b: &Matrix3) -> f64 {
        let product = euler::multiply(a, &euler::transpose(b));
        let trace = product[0][0] + product[1][1] + product[2][2];
        ((trace - 1.0) / 2.0).clamp(-1.0, 1.0).acos().to_degrees()
    }

    /// A known operator is found again from one that is wrong by 7° and 2 voxels, by rotations about any axis and by Euler
    /// angles, to a small fraction of a degree and of a voxel.
    #[test]
    fn a_known_operator_is_found() {
        let truth = Operator {
            rotation: euler::matrix(35.0, 140.0, -20.0),
            shift: [3.3, -2.4, 1.7],
        };
        let (map, region) = simulated(&truth);
        for (start, rotations) in [
            (
                euler::multiply(&about([4.0, -5.0, 3.0]), &truth.rotation),
                Rotations::Within(8.0),
            ),
            (
                euler::matrix(41.0, 137.0, -25.0),
                Rotations::Euler([8.0; 3]),
            ),
        ] {
            let centre = centre_of_mask(&region.mask);
            let mut wrong = Pose::of(&truth, centre);
            wrong.rotation = start;
            wrong.place[0] += 1.4;
            wrong.place[2] -= 1.5;
            let ranges = Ranges {
                rotations,
                angle_step: 4.0,
                offsets: [2.0; 3],
                offset_step: 1.0,
                improved: 1,
            };
            let found = search(&map, &region, &wrong.operator(centre), &ranges, None);
            let [before, after] = found.correlation;
            let angle = between(&found.operator.rotation, &truth.rotation);
            let found_place = Pose::of(&found.operator, centre).place;
            let true_place = Pose::of(&truth, centre).place;
            let away = (0..3)
                .map(|i| (found_place[i] - true_place[i]).abs())
                .fold(0.0, f64::max);
            println!("{angle:.3}°, {away:.3} voxels, {before:.4} to {after:.4}");
            assert!(angle < 0.5 && away < 0.1, "{angle}°, {away} voxels");
            assert!(before < 0.8 && after > 0.98, "{before} {after}");
        }
    }

    /// Nothing is known but where the copy is: all rotations are tried, on the map and on a binned one.
    #[test]
    fn an_operator_is_found_from_its_place_alone() {
        let truth = Operator {
            rotation: euler::matrix(35.0, 140.0, -20.0),
            shift: [3.3, -2.4, 1.7],
        };
        let (map, region) = simulated(&truth);
        let centre = centre_of_mask(&region.mask);
        let mut start = Pose::of(&truth, centre);
        start.rotation = about([0.0; 3]);
        let ranges = Ranges {
            rotations: Rotations::Within(180.0),
            angle_step: 15.0,
            offsets: [0.0; 3],
            offset_step: 1.0,
            improved: KEPT,
        };
        let binned = Binned::new(&map, &region.mask, BOX / 2);
        for binned in [None, Some(&binned)] {
            let found = search(&map, &region, &start.operator(centre), &ranges, binned);
            let angle = between(&found.operator.rotation, &truth.rotation);
            println!("{angle:.3}°, {:?}", found.correlation);
            assert!(angle < 0.5 && found.correlation[1] > 0.98, "{angle}°");
        }
    }

    /// The grid has its own place and the ends of all ranges; rotations about any axis fill a ball.
    #[test]
    fn the_grid_covers_its_ranges() {
        let start = Operator {
            rotation: euler::matrix(10.0, 50.0, 30.0),
            shift: [0.0; 3],
        };
        let ranges = |rotations| Ranges {
            rotations,
            angle_step: 2.0,
            offsets: [1.0, 0.0, 0.5],
            offset_step: 0.5,
            improved: 1,
        };
        let own = Pose::of(&start, [0.0; 3]);
        let euler = ranges(Rotations::Euler([4.0, 2.0, 0.0]));
        assert_eq!(grid(&own, &euler).len(), (5 * 3) * (5 * 3));
        assert_eq!(most_poses(&euler), 225.0);
        let ball = ranges(Rotations::Within(4.0));
        // Points of a cubic lattice within two steps: 33.
        assert_eq!(grid(&own, &ball).len(), 33 * 15);
        assert_eq!(most_poses(&ball), 125.0 * 15.0);
        for pose in grid(&own, &ball) {
            assert!(between(&pose.rotation, &own.rotation) < 4.0 + 1e-6);
        }
    }

    #[test]
    fn rotations_about_vectors() {
        let quarter = about([0.0, 0.0, 90.0]);
        let turned = euler::apply(&quarter, [1.0, 0.0, 0.0]);
        assert!((turned[1] - 1.0).abs() < 1e-12, "{turned:?}");
        let (a, b) = (about([3.0, -7.0, 2.0]), about([-3.0, 7.0, -2.0]));
        let product = euler::multiply(&a, &b);
        assert!(between(&product, &about([0.0; 3])) < 1e-6);
    }
}
