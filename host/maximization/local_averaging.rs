//! Averaging of a map over its local symmetry (spec 06 §2.2), and sums of copies of its regions (§2.4).

use super::trilinear;
use crate::geometry::{Matrix3, euler};
use crate::model::local_symmetry::{LocalSymmetry, Operator, Region};
use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis};

/// Values of masks below this count as 0, and those that differ by less as equal.
const TOLERANCE: f64 = 1e-6;

const IDENTITY: Matrix3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// Replaces every region of a map and its copies by their mean, weighted by the masks; density outside all of them stays.
///
/// `map` has indices (z, y, x) and the box of the masks.
///
/// # Panics
/// If the boxes differ: [`LocalSymmetry::read`] is given the box of the map.
pub fn average(map: &Array3<f64>, symmetry: &LocalSymmetry) -> Array3<f64> {
    let mut sums = Copies::new(map.dim());
    for region in &symmetry.regions {
        let mean = mean_of_copies(map, region);
        sums.add(&mean, region);
    }
    let Copies { value, weight } = sums;
    let mut out = value;
    ndarray::Zip::from(&mut out)
        .and(&weight)
        .and(map)
        .par_for_each(|sum, &w, &original| {
            if w > 1.0 + TOLERANCE {
                *sum /= w;
            } else if w <= TOLERANCE {
                *sum = original;
            } else if w < 1.0 - TOLERANCE {
                *sum += (1.0 - w) * original;
            }
        });
    out
}

/// Returns the sum over all regions of what lies in the original and in each of its copies: of the map under the mask, or of
/// the masks alone where there is no map.
pub fn duplicate(map: Option<&Array3<f64>>, symmetry: &LocalSymmetry) -> Array3<f64> {
    let mut sums = Copies::new(symmetry.regions[0].mask.dim());
    for region in &symmetry.regions {
        let mut original = region.mask.mapv(f64::from);
        if let Some(map) = map {
            original *= map;
        }
        sums.add(&original, region);
    }
    sums.value
}

/// Returns a map that an operator has moved: what was at r is then at A·r + t. Places whose density comes from outside of the box are 0.
pub fn moved(map: &Array3<f64>, operator: &Operator) -> Array3<f64> {
    let n = map.dim().0;
    let (inverse, last) = (Motion::backward(operator, n), (n - 1) as f64);
    let mut out = Array3::zeros(map.dim());
    out.axis_iter_mut(Axis(0))
        .into_par_iter()
        .enumerate()
        .for_each(|(z, mut plane)| {
            for ((y, x), value) in plane.indexed_iter_mut() {
                let at = inverse.apply([z, y, x]);
                if at.iter().all(|c| (0.0..=last).contains(c)) {
                    *value = trilinear(map, at);
                }
            }
        });
    out
}

/// Sums over originals and copies.
struct Copies {
    value: Array3<f64>,
    /// Of the masks.
    weight: Array3<f64>,
}

impl Copies {
    fn new(dim: (usize, usize, usize)) -> Self {
        Self {
            value: Array3::zeros(dim),
            weight: Array3::zeros(dim),
        }
    }

    /// Adds `original`, which is 0 outside of the mask of `region`, and its copies.
    fn add(&mut self, original: &Array3<f64>, region: &Region) {
        let mask = region.mask.mapv(f64::from);
        self.value += original;
        self.weight += &mask;
        let around = Around::of(&mask);
        for operator in &region.operators {
            let inverse = Motion::backward(operator, mask.dim().0);
            self.value
                .axis_iter_mut(Axis(0))
                .into_par_iter()
                .zip(self.weight.axis_iter_mut(Axis(0)))
                .enumerate()
                .for_each(|(z, (mut values, mut weights))| {
                    for (((y, x), value), weight) in values.indexed_iter_mut().zip(&mut weights) {
                        let at = inverse.apply([z, y, x]);
                        if around.reaches(at) {
                            *value += trilinear(original, at);
                            *weight += trilinear(&mask, at);
                        }
                    }
                });
        }
    }
}

/// Returns m·u: the mean over the original and its copies, brought onto the original, under the mask; 0 elsewhere.
fn mean_of_copies(map: &Array3<f64>, region: &Region) -> Array3<f64> {
    let n = map.dim().0;
    let motions: Vec<Motion> = region
        .operators
        .iter()
        .map(|operator| Motion::forward(operator, n))
        .collect();
    let copies = (motions.len() + 1) as f64;
    let mut out = Array3::zeros(map.dim());
    out.axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(region.mask.axis_iter(Axis(0)))
        .enumerate()
        .for_each(|(z, (mut plane, mask))| {
            for (((y, x), out), &mask) in plane.indexed_iter_mut().zip(&mask) {
                let mask = f64::from(mask);
                if mask > TOLERANCE {
                    let others = motions
                        .iter()
                        .map(|motion| trilinear(map, motion.apply([z, y, x])));
                    *out = mask * (map[[z, y, x]] + others.sum::<f64>()) / copies;
                }
            }
        });
    out
}

/// A motion of voxel positions (z, y, x).
struct Motion {
    rotation: Matrix3,
    /// Voxels (x, y, z), added after the rotation, positions from the centre voxel.
    shift: [f64; 3],
    centre: f64,
}

impl Motion {
    /// r → A·r + t: from the original onto the copy.
    fn forward(operator: &Operator, box_size: usize) -> Self {
        Self {
            rotation: operator.rotation,
            shift: operator.shift,
            centre: (box_size / 2) as f64,
        }
    }

    /// r → Aᵀ·(r − t): from the copy onto the original.
    fn backward(operator: &Operator, box_size: usize) -> Self {
        let rotation = euler::transpose(&operator.rotation);
        let shift = euler::apply(&rotation, operator.shift.map(|t| -t));
        Self {
            rotation,
            shift,
            centre: (box_size / 2) as f64,
        }
    }

    fn apply(&self, voxel: [usize; 3]) -> [f64; 3] {
        let [z, y, x] = voxel.map(|i| i as f64);
        if self.rotation == IDENTITY && self.shift == [0.0; 3] {
            return [z, y, x];
        }
        let from_centre = [x, y, z].map(|i| i - self.centre);
        let turned = euler::apply(&self.rotation, from_centre);
        let [x, y, z] = std::array::from_fn(|i| turned[i] + self.shift[i] + self.centre);
        [z, y, x]
    }
}

/// Voxels (z, y, x) among which all of a mask lies.
struct Around {
    first: [f64; 3],
    last: [f64; 3],
}

impl Around {
    fn of(mask: &Array3<f64>) -> Self {
        let mut around = Self {
            first: [f64::INFINITY; 3],
            last: [f64::NEG_INFINITY; 3],
        };
        for ((z, y, x), &value) in mask.indexed_iter() {
            if value != 0.0 {
                for (axis, i) in [z, y, x].into_iter().enumerate() {
                    around.first[axis] = around.first[axis].min(i as f64);
                    around.last[axis] = around.last[axis].max(i as f64);
                }
            }
        }
        around
    }

    /// A voxel of the mask takes part in the interpolation at a position.
    fn reaches(&self, at: [f64; 3]) -> bool {
        (0..3).all(|axis| at[axis] > self.first[axis] - 1.0 && at[axis] < self.last[axis] + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::volume::read_map;
    use std::path::PathBuf;

    fn region(mask: Array3<f32>, operators: Vec<Operator>) -> Region {
        Region {
            mask_file: PathBuf::from("mask.mrc"),
            mask,
            operators,
        }
    }

    /// Moves by whole voxels.
    fn shift(x: f64, y: f64, z: f64) -> Operator {
        Operator {
            rotation: IDENTITY,
            shift: [x, y, z],
        }
    }

    fn noise(n: usize) -> Array3<f64> {
        Array3::from_shape_fn((n, n, n), |(z, y, x)| {
            ((z * 7919 + y * 104_729 + x * 1_299_709) % 1009) as f64 / 500.0 - 1.0
        })
    }

    fn block(n: usize, value: f32) -> Array3<f32> {
        let mut mask = Array3::zeros((n, n, n));
        mask.slice_mut(ndarray::s![4..7, 4..7, 4..7]).fill(value);
        mask
    }

    #[test]
    fn original_and_copy_become_their_mean_and_the_rest_stays() {
        let map = noise(16);
        let regions = vec![region(block(16, 1.0), vec![shift(5.0, 0.0, 1.0)])];
        let out = average(&map, &LocalSymmetry { regions });
        let mean = (map[[5, 4, 6]] + map[[6, 4, 11]]) / 2.0;
        assert!((out[[5, 4, 6]] - mean).abs() < 1e-12);
        assert!((out[[6, 4, 11]] - mean).abs() < 1e-12);
        let changed = out.iter().zip(&map).filter(|(a, b)| a != b).count();
        assert_eq!(changed, 2 * 27);
    }

    /// Half a mask mixes mean and original; copies that overlap share their voxels; a constant stays one.
    #[test]
    fn soft_masks_and_overlaps() {
        let map = noise(16);
        let soft = vec![region(block(16, 0.5), vec![shift(6.0, 0.0, 0.0)])];
        let out = average(&map, &LocalSymmetry { regions: soft });
        let mean = (map[[5, 5, 5]] + map[[5, 5, 11]]) / 2.0;
        assert!((out[[5, 5, 5]] - 0.5 * (mean + map[[5, 5, 5]])).abs() < 1e-12);
        let overlapping = LocalSymmetry {
            regions: vec![region(block(16, 1.0), vec![shift(1.0, 0.0, 0.0)])],
        };
        let out = average(&map, &overlapping);
        // Voxel 5 is the copy of 4 and the original of 6's.
        let at = |x: usize| map[[5, 5, x]];
        let mean = ((at(5) + at(6)) / 2.0 + (at(4) + at(5)) / 2.0) / 2.0;
        assert!((out[[5, 5, 5]] - mean).abs() < 1e-12);
        let flat = Array3::from_elem((16, 16, 16), 3.0);
        let out = average(&flat, &overlapping);
        assert!(out.iter().all(|v| (v - 3.0).abs() < 1e-12));
    }

    #[test]
    fn copies_of_a_region_are_summed() {
        let map = noise(16);
        let symmetry = LocalSymmetry {
            regions: vec![region(
                block(16, 1.0),
                vec![shift(6.0, 0.0, 0.0), shift(0.0, 6.0, 0.0)],
            )],
        };
        let masks = duplicate(None, &symmetry);
        assert_eq!(masks.sum(), 3.0 * 27.0);
        let copies = duplicate(Some(&map), &symmetry);
        assert_eq!(copies[[4, 5, 12]], map[[4, 5, 6]]);
        assert_eq!(copies[[4, 11, 6]], map[[4, 5, 6]]);
        assert_eq!(copies[[8, 8, 8]], 0.0);
    }

    /// The reference run without local symmetry, averaged, is the reference run with it; with the operators inverted it is not.
    /// Shifts are applied after the rotation: a quarter turn about z, under which (x, y) becomes (y, −x), and two voxels along x.
    #[test]
    fn maps_move_as_the_operator_says() {
        let map = noise(9);
        let operator = Operator {
            rotation: euler::matrix(90.0, 0.0, 0.0),
            ..shift(2.0, 0.0, 0.0)
        };
        let found = moved(&map, &operator);
        for (x, y) in [(0i32, 0i32), (1, 2), (-3, 1), (2, -4)] {
            let at = |x: i32, y: i32| [3, (y + 4) as usize, (x + 4) as usize];
            let error = found[at(y + 2, -x)] - map[at(x, y)];
            assert!(error.abs() < 1e-9, "{x} {y}: {error}");
        }
        // What came from outside of the box.
        assert_eq!(found[[3, 4, 0]], 0.0);
    }

    #[test]
    fn averages_as_the_reference_run() {
        let Some(golden) = material::golden("more") else {
            return;
        };
        let read = |name: &str| read_map(&golden.join(name)).unwrap();
        let before = read("localsym_off/run_it001_class001.mrc");
        let after = read("localsym_on/run_it001_class001.mrc")
            .data
            .mapv(f64::from);
        let map = before.data.mapv(f64::from);
        let description = golden.join("input/localsym.star");
        let symmetry = LocalSymmetry::read(&description, 32, before.pixel_size.unwrap()).unwrap();
        let relative = |symmetry: &LocalSymmetry| {
            let square = |a: &Array3<f64>| a.iter().map(|v| v * v).sum::<f64>();
            let ours = average(&map, symmetry);
            (square(&(&ours - &after)) / square(&after)).sqrt()
        };
        let error = relative(&symmetry);
        assert!(error < 5e-8, "relative L2 {error:e}");
        let mut inverted = symmetry;
        for operator in inverted.regions.iter_mut().flat_map(|r| &mut r.operators) {
            let motion = Motion::backward(operator, 32);
            (operator.rotation, operator.shift) = (motion.rotation, motion.shift);
        }
        assert!(relative(&inverted) > 0.3);
    }
}
