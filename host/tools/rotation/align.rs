//! Laying one map onto another: rotation, shift and hand of the largest correlation.

use super::search::{self, Costs, Search};
use super::turner::Turner;
use crate::fourier::fft;
use crate::fourier::resample::resample;
use crate::fourier::shells::logical;
use crate::geometry::Matrix3;
use crate::maximization::centre_of_mass;
use crate::tools::progress::Progress;
use ndarray::Array3;
use num_complex::Complex64;
use std::f64::consts::TAU;

/// Shells of the first look at all rotations, and of the final search.
const CHEAP_SHELLS: usize = 10;
const WHOLE_SHELLS: usize = 20;

/// Largest box of the search, voxels. Larger maps are cropped to it in Fourier space: their last shell of the search is far below its edge.
const SEARCH_BOX: usize = 96;

/// Shifts are found to this part of a voxel.
const FINEST_SHIFT: f64 = 0.02;

/// How a map lies on another one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alignment {
    /// The map was mirrored (x → −x) first.
    pub mirrored: bool,
    /// Then it was moved by so many whole voxels (x, y, z), so that rotations about the centre of the box move it little.
    pub centring: [i64; 3],
    /// Matrix A of its rotation then, out(r) = in(Aᵀ r).
    pub rotation: Matrix3,
    /// Shift (x, y, z) of the result, voxels.
    pub shift: [f64; 3],
    /// Correlation coefficient over the shells of the search.
    pub correlation: f64,
}

/// Finds how `map` lies best on `reference` (cubes of one even side), in its own hand and mirrored: (own, mirrored).
pub fn both_hands(
    reference: &Array3<f64>,
    map: &Array3<f64>,
    progress: Progress,
) -> [Alignment; 2] {
    let n = reference.dim().0;
    let transforming = progress.phase("Transforming the maps", 0);
    let [reference, small] = [reference, map].map(|map| resample(map, n.min(SEARCH_BOX)));
    drop(transforming);
    let centre = centre_of_mass(map).unwrap_or([0.0; 3]);
    let [x, y, z] = centre.map(|v| -v.round() as i64);
    let lay = |small: &Array3<f64>, centring| align(&reference, small, n, centring, progress);
    let own = lay(&small, [x, y, z]);
    let mirrored = Alignment {
        mirrored: true,
        ..lay(&mirror(&small), [-x, y, z])
    };
    [own, mirrored]
}

/// Returns `map` as it lies on the other one.
pub fn apply(map: &Array3<f64>, alignment: &Alignment) -> Array3<f64> {
    let centred = placed(map, alignment.mirrored, alignment.centring);
    Turner::new(&centred, 2.0, 0).turned_and_moved(&[alignment.rotation], alignment.shift)
}

/// Mirror image: x → −x about the centre N/2.
fn mirror(map: &Array3<f64>) -> Array3<f64> {
    placed(map, true, [0; 3])
}

/// The map, mirrored (x → −x about the centre N/2) where that is wanted, then moved by whole voxels (x, y, z) around the edges of the box.
fn placed(map: &Array3<f64>, mirrored: bool, shift: [i64; 3]) -> Array3<f64> {
    let n = map.dim().0;
    // Where voxel i of each axis comes from.
    let from = |shift: i64, mirrored: bool| -> Vec<usize> {
        let sign = if mirrored { -1 } else { 1 };
        let source = |i: usize| sign * (i as i64 - shift);
        (0..n)
            .map(|i| source(i).rem_euclid(n as i64) as usize)
            .collect()
    };
    let (x_from, y_from, z_from) = (
        from(shift[0], mirrored),
        from(shift[1], false),
        from(shift[2], false),
    );
    Array3::from_shape_fn(map.dim(), |(z, y, x)| {
        map[[z_from[z], y_from[y], x_from[x]]]
    })
}

/// Fourier shift by (x, y, z) voxels.
fn moved(map: &Array3<f64>, shift: [f64; 3]) -> Array3<f64> {
    let n = map.dim().0;
    let mut transform = fft::forward3(map);
    for ((z, y, x), value) in transform.indexed_iter_mut() {
        let k = [x as i64, logical(y, n), logical(z, n)];
        let turns: f64 = k.iter().zip(shift).map(|(k, s)| *k as f64 * s).sum::<f64>() / n as f64;
        *value *= Complex64::from_polar(1.0, -TAU * turns);
    }
    fft::inverse3(transform, n)
}

/// Lays a map onto another one, both in the box of the search, where whole maps have `whole_box` voxels a side. `centring` and the shift that
/// is found are in those voxels.
fn align(
    reference: &Array3<f64>,
    map: &Array3<f64>,
    whole_box: usize,
    centring: [i64; 3],
    progress: Progress,
) -> Alignment {
    let n = reference.dim().0;
    let step = whole_box as f64 / n as f64;
    let centred = moved(map, centring.map(|v| v as f64 / step));
    let shells = |wanted: usize| wanted.min(n / 2 - 1);
    let turner = Turner::new(&centred, 2.0, shells(WHOLE_SHELLS));
    let transform = fft::forward3(reference);
    let correlator = |wanted| Correlator::new(&transform, whole_box, shells(wanted));
    let (cheap, whole) = (correlator(CHEAP_SHELLS), correlator(WHOLE_SHELLS));
    let search = Search {
        uniform: 600,
        axis_only: false,
        range: 1,
        step: 2.0,
    };
    let rough = |a: &Matrix3| -cheap.best_shift(&turner, a).0;
    let costs = Costs {
        rough,
        cheap: rough,
        whole: |a: &Matrix3| -whole.best_shift(&turner, a).0,
    };
    let best = search::smallest(&search, &costs, &[], progress);
    let (_, shift) = whole.best_shift(&turner, &best.rotation);
    let (correlation, shift) = whole.polished(&turner, &best.rotation, shift);
    Alignment {
        mirrored: false,
        centring,
        rotation: best.rotation,
        shift,
        correlation,
    }
}

/// Correlations of turned maps with one map, over all shifts.
struct Correlator {
    /// Conjugate transform of the map in a box of `side` voxels, with a power of 1; origin at the corner.
    values: Array3<Complex64>,
    side: usize,
    shells: usize,
    /// Voxels of the map per voxel of that box.
    step: f64,
}

impl Correlator {
    /// For the transform of a map that has `whole_box` voxels a side, or is cropped from such a map.
    fn new(transform: &Array3<Complex64>, whole_box: usize, shells: usize) -> Self {
        let (n, side) = (transform.dim().0, 2 * (shells + 1));
        let stored = |k: i64| k.rem_euclid(n as i64) as usize;
        let mut power = 0.0;
        let mut values = Array3::zeros((side, side, side / 2 + 1));
        for ((z, y, x), value) in values.indexed_iter_mut() {
            let k = [x as i64, logical(y, side), logical(z, side)];
            if is_used(k, shells) {
                let full: Complex64 = transform[[stored(k[2]), stored(k[1]), x]];
                *value = full.conj();
                power += mates(k) * full.norm_sqr();
            }
        }
        if power > 0.0 {
            values.mapv_inplace(|v| v / power.sqrt());
        }
        Self {
            values,
            side,
            shells,
            step: whole_box as f64 / side as f64,
        }
    }

    /// Spectrum of the correlations of the map turned by `a`: its value at a shift is the correlation there.
    fn spectrum(&self, turner: &Turner, a: &Matrix3) -> Array3<Complex64> {
        let steps = turner.steps(a);
        let mut power = 0.0;
        let mut product = self.values.clone();
        for ((z, y, x), value) in product.indexed_iter_mut() {
            let k = [x as i64, logical(y, self.side), logical(z, self.side)];
            if !is_used(k, self.shells) {
                continue;
            }
            let [re, im] = turner.value(&steps, k.map(|v| v as f32));
            // The origin of the turned map goes to the corner, where that of the other one is.
            let sign = if (k[0] + k[1] + k[2]) % 2 == 0 {
                1.0
            } else {
                -1.0
            };
            let turned = Complex64::new(f64::from(re), f64::from(im)) * sign;
            power += mates(k) * turned.norm_sqr();
            *value = (*value * turned).conj();
        }
        if power > 0.0 {
            product.mapv_inplace(|v| v / power.sqrt());
        }
        product
    }

    /// Largest correlation of the map turned by `a`, about, and the shift (x, y, z), voxels, that brings it onto the other one.
    fn best_shift(&self, turner: &Turner, a: &Matrix3) -> (f64, [f64; 3]) {
        let map = fft::inverse3(self.spectrum(turner, a), self.side);
        let (peak, _) = map
            .indexed_iter()
            .fold(((0, 0, 0), f64::NEG_INFINITY), |best, (at, v)| {
                if *v > best.1 { (at, *v) } else { best }
            });
        self.between(&map, peak)
    }

    /// Height and place of a peak between voxels, by parabolas along the axes; the place in voxels of the whole map.
    fn between(&self, map: &Array3<f64>, (z, y, x): (usize, usize, usize)) -> (f64, [f64; 3]) {
        let n = self.side;
        let at = |z: usize, y: usize, x: usize| map[[z % n, y % n, x % n]];
        let middle = at(z, y, x);
        let neighbours = [
            (at(z, y, x + n - 1), at(z, y, x + 1)),
            (at(z, y + n - 1, x), at(z, y + 1, x)),
            (at(z + n - 1, y, x), at(z + 1, y, x)),
        ];
        let mut height = middle;
        let mut place = [x, y, z].map(|i| logical(i, n) as f64);
        for (place, (before, after)) in place.iter_mut().zip(neighbours) {
            let bend = before - 2.0 * middle + after;
            if bend < 0.0 {
                *place += 0.5 * (before - after) / bend;
                height -= (before - after).powi(2) / (8.0 * bend);
            }
        }
        (height, place.map(|v| v * self.step))
    }

    /// Moves a shift to the place of the largest correlation near it: that correlation, and the shift.
    fn polished(&self, turner: &Turner, a: &Matrix3, start: [f64; 3]) -> (f64, [f64; 3]) {
        let spectrum = self.spectrum(turner, a);
        let extent = self.step * self.side as f64;
        let at = |shift: [f64; 3]| -> f64 {
            let terms = spectrum.indexed_iter().map(|((z, y, x), value)| {
                let k = [x as i64, logical(y, self.side), logical(z, self.side)];
                if !is_used(k, self.shells) {
                    return 0.0;
                }
                let turns: f64 = k.iter().zip(shift).map(|(k, s)| *k as f64 * s).sum();
                let wave = Complex64::from_polar(1.0, TAU * turns / extent);
                mates(k) * (value * wave).re
            });
            terms.sum()
        };
        let mut best = (at(start), start);
        let mut step = 0.5;
        while step > FINEST_SHIFT {
            let before = best.0;
            for axis in 0..3 {
                for way in [-step, step] {
                    let mut shift = best.1;
                    shift[axis] += way;
                    let value = at(shift);
                    if value > best.0 {
                        best = (value, shift);
                    }
                }
            }
            if best.0 == before {
                step /= 2.0;
            }
        }
        best
    }
}

/// Within the shells, and not the mean.
fn is_used(k: [i64; 3], shells: usize) -> bool {
    let r2: i64 = k.iter().map(|v| v * v).sum();
    r2 > 0 && r2 <= (shells * shells) as i64
}

/// Stored values that stand for two.
fn mates(k: [i64; 3]) -> f64 {
    if k[0] == 0 { 1.0 } else { 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{euler, symmetry::PointGroup};
    use crate::maximization::map_fsc::map_fsc;
    use crate::tools::simulate::phantom::{HelixBundle, helix_bundle};
    use crate::tools::simulate::truth_map;

    fn bundle() -> Array3<f64> {
        let shape = HelixBundle {
            diameter: 90.0,
            helices: 8,
            conformation: 0,
        };
        let atoms = helix_bundle(&shape, &PointGroup::c1());
        truth_map(&atoms, 32, 5.0, 300.0)
    }

    /// Maps larger than the box of the search are laid as closely as in their own box.
    #[test]
    fn large_maps_are_laid_by_small_ones() {
        let n = 2 * SEARCH_BOX;
        let truth = resample(&bundle(), n);
        let a = euler::matrix(50.0, 110.0, -80.0);
        let copy = Turner::new(&truth, 2.0, 0).turned_and_moved(&[a], [9.0, -31.0, 4.5]);
        let [reference, map] = [&truth, &copy].map(|map| resample(map, SEARCH_BOX));
        let found = align(&reference, &map, n, [-9, 31, -5], Progress::Silent);
        assert!(found.correlation > 0.97, "{found:?}");
        let fsc = map_fsc(&truth, &apply(&copy, &found)).unwrap();
        assert!(fsc[1..12].iter().all(|v| *v > 0.9), "{fsc:?}");
    }

    /// A copy that was turned, moved and mirrored comes to lie on the original, and only in its right hand.
    #[test]
    fn a_turned_copy_is_laid_back() {
        let truth = bundle();
        let turned = Turner::new(&truth, 2.0, 0).turned(&[euler::matrix(50.0, 110.0, -80.0)]);
        let copy = moved(&turned, [2.0, -1.0, 1.5]);
        for is_mirrored in [false, true] {
            let copy = if is_mirrored {
                mirror(&copy)
            } else {
                copy.clone()
            };
            let [own, other] = both_hands(&truth, &copy, Progress::Silent);
            let (right, wrong) = if is_mirrored {
                (other, own)
            } else {
                (own, other)
            };
            assert!(right.correlation > 0.97, "{right:?}");
            assert!(wrong.correlation < right.correlation - 0.05, "{wrong:?}");
            assert_eq!(right.mirrored, is_mirrored);
            let fsc = map_fsc(&truth, &apply(&copy, &right)).unwrap();
            assert!(fsc[1..12].iter().all(|v| *v > 0.9), "{fsc:?}");
        }
    }
}
