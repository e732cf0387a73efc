//! The steps of making a mask: combine, extend, soften, cut, and the shell of `--denovo` (spec 02 §7.3, 06 §10).

use super::distance::squared_distances;
use gpu::mask::background_share;
use ndarray::{Array3, Axis, Zip};

/// How a second map takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logic {
    /// `--and`: both above the threshold.
    And,
    /// `--or`: one of them above.
    Or,
    /// `--and_not`: the first above, the second below.
    AndNot,
    /// `--or_not`: the first above, or the second below.
    OrNot,
}

impl Logic {
    /// Replaces the first map by threshold + 1 where the condition holds, by threshold − 1 elsewhere. "Above" and "below" are strict.
    pub fn combine(self, first: &mut Array3<f64>, second: &Array3<f64>, threshold: f64) {
        Zip::from(first).and(second).par_for_each(|a, &b| {
            let holds = match self {
                Self::And => *a > threshold && b > threshold,
                Self::Or => *a > threshold || b > threshold,
                Self::AndNot => *a > threshold && b < threshold,
                Self::OrNot => *a > threshold || b < threshold,
            };
            *a = threshold + if holds { 1.0 } else { -1.0 };
        });
    }
}

/// Returns the mask grown by `width` voxels (shrunk where negative): voxels strictly nearer than that to one that is set
/// (not set) become so too.
pub(crate) fn extend(mask: &Array3<bool>, width: f64) -> Array3<bool> {
    if width == 0.0 {
        return mask.clone();
    }
    let grow = width > 0.0;
    let distances = squared_distances(mask, grow, width.abs().ceil() as usize);
    let mut out = mask.clone();
    Zip::from(&mut out).and(&distances).par_for_each(|v, &d| {
        if f64::from(d) < width * width {
            *v = grow;
        }
    });
    out
}

/// Returns the mask as 0 and 1, with a raised cosine over `width` voxels outside.
pub(crate) fn soften(mask: &Array3<bool>, width: f64) -> Array3<f64> {
    let mut out = mask.mapv(|v| f64::from(u8::from(v)));
    if width > 0.0 {
        let distances = squared_distances(mask, true, width.ceil() as usize);
        Zip::from(&mut out).and(&distances).par_for_each(|v, &d| {
            if *v < 1.0 && f64::from(d) < width * width {
                *v = 1.0 - background_share(f64::from(d).sqrt(), 0.0, width);
            }
        });
    }
    out
}

/// Keeps the central `share` of the box along z, with ends of `width` voxels.
pub(super) fn cut_helix(mask: &mut Array3<f64>, share: f64, width: f64) {
    let n = mask.dim().0;
    let kept = n as f64 * share / 2.0;
    for (z, mut plane) in mask.axis_iter_mut(Axis(0)).enumerate() {
        let beyond = (z as f64 - (n / 2) as f64).abs() - kept;
        let factor = 1.0 - background_share(beyond, 0.0, width);
        plane.mapv_inplace(|v| v * factor);
    }
}

/// Returns a spherical shell with flanks of `width` voxels inside the inner and outside the outer radius; `centre` (x, y,
/// z) is relative to the box centre.
pub(super) fn shell(n: usize, radii: [f64; 2], centre: [f64; 3], width: f64) -> Array3<f64> {
    let [inner, outer] = radii;
    let middle = (n / 2) as f64;
    let mut out = Array3::zeros((n, n, n));
    Zip::indexed(&mut out).par_for_each(|(z, y, x), v| {
        let at = [x, y, z].map(|i| i as f64 - middle);
        let square: f64 = (0..3).map(|i| (at[i] - centre[i]).powi(2)).sum();
        let d = square.sqrt();
        *v = if d < inner {
            background_share(d, inner - width, width)
        } else {
            1.0 - background_share(d, outer, width)
        };
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ball(n: usize, radius: f64) -> Array3<bool> {
        shell(n, [0.0, radius], [0.0; 3], 0.0).mapv(|v| v > 0.5)
    }

    fn count(mask: &Array3<bool>) -> usize {
        mask.iter().filter(|v| **v).count()
    }

    #[test]
    fn masks_grow_and_shrink_by_less_than_the_width() {
        let mut point = Array3::from_elem((9, 9, 9), false);
        point[[4, 4, 4]] = true;
        // Nearer than 1: only itself; nearer than 1.1: 6 neighbours; nearer than 1.5: 12 more.
        for (width, voxels) in [(1.0, 1), (1.1, 7), (1.5, 19), (0.0, 1)] {
            assert_eq!(count(&extend(&point, width)), voxels, "{width}");
        }
        let large = ball(24, 8.0);
        let small = extend(&large, -2.5);
        assert!(count(&small) < count(&ball(24, 6.5)) && count(&small) > count(&ball(24, 5.0)));
        // Beyond the box there is nothing that could shrink a mask.
        assert_eq!(
            count(&extend(&Array3::from_elem((4, 4, 4), true), -2.0)),
            64
        );
    }

    #[test]
    fn edges_are_half_way_down_in_their_middle() {
        let mut point = Array3::from_elem((17, 17, 17), false);
        point[[8, 8, 8]] = true;
        let soft = soften(&point, 4.0);
        assert_eq!([soft[[8, 8, 8]], soft[[8, 12, 8]]], [1.0, 0.0]);
        assert!((soft[[8, 8, 10]] - 0.5).abs() < 1e-12);
        assert!((soft[[9, 8, 8]] - (0.5 + 0.125f64.sqrt())).abs() < 1e-12);
    }

    #[test]
    fn the_logic_of_two_maps() {
        let a = Array3::from_shape_vec((1, 1, 4), vec![2.0, 2.0, 0.0, 0.0]).unwrap();
        let b = Array3::from_shape_vec((1, 1, 4), vec![2.0, 0.0, 2.0, 0.0]).unwrap();
        for (logic, expected) in [
            (Logic::And, [true, false, false, false]),
            (Logic::Or, [true, true, true, false]),
            (Logic::AndNot, [false, true, false, false]),
            (Logic::OrNot, [true, true, false, true]),
        ] {
            let mut found = a.clone();
            logic.combine(&mut found, &b, 1.0);
            let found: Vec<bool> = found.iter().map(|v| *v >= 1.0).collect();
            assert_eq!(found, expected, "{logic:?}");
        }
    }

    #[test]
    fn shells_have_flanks_on_both_sides() {
        let mask = shell(32, [6.0, 9.0], [2.0, 0.0, 0.0], 2.0);
        let at = |x: usize| mask[[16, 16, x]];
        assert_eq!(
            [at(18), at(18 + 6), at(18 + 9), at(18 + 11)],
            [0.0, 1.0, 1.0, 0.0]
        );
        assert!((at(18 + 5) - 0.5).abs() < 1e-12 && (at(18 + 10) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn helices_lose_their_ends() {
        let mut mask = Array3::ones((20, 4, 4));
        cut_helix(&mut mask, 0.5, 2.0);
        let at = |z: usize| mask[[z, 0, 0]];
        assert_eq!(
            [at(10), at(6), at(14), at(17), at(3)],
            [1.0, 1.0, 1.0, 0.0, 0.0]
        );
        assert!((at(16) - 0.5).abs() < 1e-12, "{}", at(16));
    }
}
