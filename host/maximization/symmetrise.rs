//! Friedel completion of the x = 0 plane and point-group symmetrisation of the sums (spec 02 §1.5).

use super::radial::Radial;
use crate::fourier::backprojection::BackProjection;
use crate::geometry::Matrix3;
use num_complex::Complex64;
use rayon::prelude::*;

/// Sum Friedel mates on the x = 0 plane, then add the sums rotated by every non-identity operator.
pub fn symmetrise(sums: &mut BackProjection, operators: &[Matrix3]) {
    complete_zero_plane(sums);
    if !operators.is_empty() {
        add_rotated(sums, operators);
    }
}

/// Mates (0, y, z) and (0, −y, −z) both get the sum: elsewhere a sample and its mate already share a voxel. The origin
/// stays.
fn complete_zero_plane(sums: &mut BackProjection) {
    let width = sums.shape.half() + 1;
    let last = sums.shape.depth() * sums.shape.side - 1;
    // Rows of the plane in (z, y) order; the mate of row i is row last − i, the origin lies in the middle.
    for row in 0..last.div_ceil(2) {
        let (i, mate) = (row * width, (last - row) * width);
        let data = sums.data[i] + sums.data[mate].conj();
        sums.data[i] = data;
        sums.data[mate] = data.conj();
        let weight = sums.weight[i] + sums.weight[mate];
        sums.weight[i] = weight;
        sums.weight[mate] = weight;
    }
}

fn add_rotated(sums: &mut BackProjection, operators: &[Matrix3]) {
    let old = sums.clone();
    let radial = Radial::new(sums);
    let width = old.shape.half() + 1;
    sums.data
        .par_chunks_mut(radial.plane())
        .zip(sums.weight.par_chunks_mut(radial.plane()))
        .enumerate()
        .for_each(|(z, (data, weight))| {
            for (r2, i) in radial.voxels(z) {
                if r2 > radial.radius2 {
                    continue;
                }
                let at = [
                    (i % width) as f64,
                    ((i / width) as i64 - radial.half) as f64,
                    (z as i64 - radial.half) as f64,
                ];
                for operator in operators {
                    let turned =
                        operator.map(|row| row[0] * at[0] + row[1] * at[1] + row[2] * at[2]);
                    let (a, w) = interpolate(&old, turned);
                    data[i] += a;
                    weight[i] += w;
                }
            }
        });
}

/// Trilinear values of data and weight at `p` (x, y, z in padded voxels, inside Rp).
fn interpolate(sums: &BackProjection, p: [f64; 3]) -> (Complex64, f64) {
    let mirrored = p[0] < 0.0;
    let [x, y, z] = if mirrored { p.map(|c| -c) } else { p };
    let (half, width) = (sums.shape.half() as i64, sums.shape.half() + 1);
    let (x0, y0, z0) = (x.floor(), y.floor(), z.floor());
    let (fx, fy, fz) = (x - x0, y - y0, z - z0);
    let row = |z: i64, y: i64| (z as usize * sums.shape.side + y as usize) * width + x0 as usize;
    let (z0, y0) = (z0 as i64 + half, y0 as i64 + half);
    let mut data = Complex64::default();
    let mut weight = 0.0;
    for (dz, wz) in [(0, 1.0 - fz), (1, fz)] {
        for (dy, wy) in [(0, 1.0 - fy), (1, fy)] {
            let at = row(z0 + dz, y0 + dy);
            let w = wz * wy;
            data += (sums.data[at] * (1.0 - fx) + sums.data[at + 1] * fx) * w;
            weight += (sums.weight[at] * (1.0 - fx) + sums.weight[at + 1] * fx) * w;
        }
    }
    (if mirrored { data.conj() } else { data }, weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rotation by `turn`/`fold` of a full turn about z.
    fn about_z(turn: usize, fold: usize) -> Matrix3 {
        let (s, c) = (2.0 * std::f64::consts::PI * turn as f64 / fold as f64).sin_cos();
        [[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]
    }

    fn c4() -> Vec<Matrix3> {
        (1..4).map(|turn| about_z(turn, 4)).collect()
    }

    fn d2() -> Vec<Matrix3> {
        [[1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]
            .map(|d| [[d[0], 0.0, 0.0], [0.0, d[1], 0.0], [0.0, 0.0, d[2]]])
            .to_vec()
    }

    fn noise() -> BackProjection {
        let mut sums = BackProjection::new(16, 2.0, 12);
        for (i, (a, w)) in sums.data.iter_mut().zip(&mut sums.weight).enumerate() {
            *a = Complex64::new(
                (i * 7919 % 101) as f64 - 50.0,
                (i * 104_729 % 97) as f64 - 48.0,
            );
            *w = (i * 31 % 13) as f64;
        }
        sums
    }

    #[test]
    fn mates_on_the_zero_plane_become_conjugates_and_the_origin_stays() {
        let mut sums = noise();
        let before = sums.clone();
        symmetrise(&mut sums, &[]);
        let (half, width) = (sums.shape.half(), sums.shape.half() + 1);
        let at = |z: usize, y: usize, x: usize| (z * sums.shape.side + y) * width + x;
        let (a, b) = (at(half + 2, half - 3, 0), at(half - 2, half + 3, 0));
        assert_eq!(sums.data[a], before.data[a] + before.data[b].conj());
        assert_eq!(sums.data[b], sums.data[a].conj());
        assert_eq!(sums.weight[b], before.weight[a] + before.weight[b]);
        let origin = at(half, half, 0);
        assert_eq!(sums.data[origin], before.data[origin]);
        let inside = at(half, half, 1);
        assert_eq!(sums.data[inside], before.data[inside]);
    }

    /// The result is invariant under the group: for operators that map the grid onto itself, exactly so.
    #[test]
    fn symmetrised_sums_are_invariant() {
        for operators in [c4(), d2()] {
            let mut sums = noise();
            symmetrise(&mut sums, &operators);
            let width = sums.shape.half() + 1;
            let half = sums.shape.half() as i64;
            for (z, y, x) in [
                (3i64, -4i64, 5i64),
                (0, 7, 2),
                (-6, 0, 0),
                (1, 1, 1),
                (0, 3, 0),
            ] {
                let at = (((z + half) as usize * sums.shape.side) + (y + half) as usize) * width
                    + x as usize;
                for operator in &operators {
                    let turned =
                        operator.map(|r| r[0] * x as f64 + r[1] * y as f64 + r[2] * z as f64);
                    let (a, w) = interpolate(&sums, turned);
                    assert!((a - sums.data[at]).norm() < 1e-9, "{z},{y},{x}");
                    assert!((w - sums.weight[at]).abs() < 1e-9);
                }
            }
        }
    }

    /// Sums that are symmetric already are multiplied by the order of the group, not averaged.
    #[test]
    fn there_is_no_division_by_the_group_order() {
        let mut sums = BackProjection::new(16, 2.0, 12);
        sums.weight.fill(1.0);
        symmetrise(&mut sums, &c4());
        let width = sums.shape.half() + 1;
        let at = |x: usize| (sums.shape.half() * sums.shape.side + sums.shape.half()) * width + x;
        // On the x = 0 plane mates were summed before; elsewhere 4 operators add up.
        assert!((sums.weight[at(5) + 2 * width] - 4.0).abs() < 1e-9);
    }
}
