//! Squared distances to the nearest voxel of a set, up to a reach.

use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayViewMut2, Axis};

/// Squared distance of voxels farther away than the reach.
pub(super) const FAR: u32 = u32::MAX / 4;

/// Returns for each voxel the squared distance, in voxels, to the nearest voxel that is `wanted`; [`FAR`], or any value
/// above `reach`², where none is within `reach` along some axis. What lies outside the box does not count.
///
/// The squared distance is a sum over axes, so its minimum is found along x, then y, then z.
pub(super) fn squared_distances(set: &Array3<bool>, wanted: bool, reach: usize) -> Array3<u32> {
    let mut distances = set.mapv(|v| if v == wanted { 0 } else { FAR });
    let along_y_and_x = |mut plane: ArrayViewMut2<u32>| {
        for line in plane.rows_mut() {
            nearest(line, reach);
        }
        for line in plane.columns_mut() {
            nearest(line, reach);
        }
    };
    distances
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .for_each(along_y_and_x);
    distances
        .axis_iter_mut(Axis(1))
        .into_par_iter()
        .for_each(|mut plane| {
            for line in plane.columns_mut() {
                nearest(line, reach);
            }
        });
    distances
}

/// Replaces each value by the least of value + (distance along the line)².
fn nearest(mut line: ndarray::ArrayViewMut1<u32>, reach: usize) {
    let before = line.to_vec();
    if before.iter().all(|v| *v == before[0]) {
        return;
    }
    for (i, out) in line.iter_mut().enumerate() {
        let from = i.saturating_sub(reach);
        let to = (i + reach + 1).min(before.len());
        let at = |k: usize| before[k].saturating_add((k.abs_diff(i) * k.abs_diff(i)) as u32);
        *out = (from..to).map(at).fold(before[i], u32::min);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_a_search_over_all_voxels() {
        let n = 9;
        let set = Array3::from_shape_fn((n, n, n), |(z, y, x)| (z * 5 + y * 3 + x * 7) % 61 == 0);
        let found = squared_distances(&set, true, 4);
        for ((z, y, x), distance) in found.indexed_iter() {
            let all = set.indexed_iter().filter(|(_, v)| **v);
            let square = |a: usize, b: usize| (a.abs_diff(b) * a.abs_diff(b)) as u32;
            let least = all
                .map(|((c, b, a), _)| square(c, z) + square(b, y) + square(a, x))
                .min()
                .unwrap();
            if least <= 16 {
                assert_eq!(*distance, least, "({z}, {y}, {x})");
            } else {
                assert!(*distance > 16);
            }
        }
    }

    #[test]
    fn nothing_is_near_an_empty_set() {
        let found = squared_distances(&Array3::from_elem((4, 4, 4), false), true, 3);
        assert!(found.iter().all(|d| *d >= FAR));
    }
}
