//! Friedel completion of the x = 0 plane and point-group symmetrisation of the sums (spec 02 §1.5).

use super::radial::Radial;
use crate::fourier::backprojection::BackProjection;
use crate::geometry::Matrix3;
use num_complex::Complex64;
use rayon::prelude::*;

/// Sums Friedel mates on the x = 0 plane, then adds the sums rotated by every non-identity operator.
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

/// Adds the sums at R·v to those at v, for every operator R, within |v|² ≤ Rp².
fn add_rotated(sums: &mut BackProjection, operators: &[Matrix3]) {
    let turns: Vec<Turn> = operators.iter().map(Turn::new).collect();
    match turns.iter().all(Turn::keeps_planes) {
        true => add_rotated_by_planes(sums, &turns),
        false => add_rotated_as_a_whole(sums, &turns),
    }
}

/// Every operator maps a plane to itself or to the opposite one, so that two planes are all that is needed at a time.
fn add_rotated_by_planes(sums: &mut BackProjection, turns: &[Turn]) {
    let radial = Radial::new(sums);
    let plane = radial.plane();
    let middle = sums.shape.half_depth();
    let (below, rest) = sums.data.split_at_mut(middle * plane);
    let (data_of_middle, above) = rest.split_at_mut(plane);
    let data = below
        .par_chunks_mut(plane)
        .rev()
        .zip(above.par_chunks_mut(plane));
    let (below, rest) = sums.weight.split_at_mut(middle * plane);
    let (weight_of_middle, above) = rest.split_at_mut(plane);
    let weight = below
        .par_chunks_mut(plane)
        .rev()
        .zip(above.par_chunks_mut(plane));
    data.zip(weight)
        .enumerate()
        .for_each(|(index, (data, weight))| {
            let z = index as i64 + 1;
            let old = Planes {
                data: &[&*data.0, &*data.1].concat(),
                weight: &[&*weight.0, &*weight.1].concat(),
                radial: &radial,
                // Only −z and z are asked for.
                spacing: 2 * z,
                first: -z,
            };
            old.add_to(data.0, weight.0, -z, turns);
            old.add_to(data.1, weight.1, z, turns);
        });
    let (data, weight) = (data_of_middle.to_vec(), weight_of_middle.to_vec());
    let old = Planes {
        data: &data,
        weight: &weight,
        radial: &radial,
        spacing: 1,
        first: 0,
    };
    old.add_to(data_of_middle, weight_of_middle, 0, turns);
}

fn add_rotated_as_a_whole(sums: &mut BackProjection, turns: &[Turn]) {
    let old = sums.clone();
    let radial = Radial::new(sums);
    let old = Planes {
        data: &old.data,
        weight: &old.weight,
        radial: &radial,
        spacing: 1,
        first: -radial.half,
    };
    sums.data
        .par_chunks_mut(radial.plane())
        .zip(sums.weight.par_chunks_mut(radial.plane()))
        .enumerate()
        .for_each(|(z, (data, weight))| {
            old.add_to(data, weight, z as i64 - radial.half, turns);
        });
}

/// An operator, by how the sums at R·v are found.
enum Turn {
    /// R maps the grid onto itself: a permutation of the axes with signs.
    Permutation([[i64; 3]; 3]),
    /// The sums are interpolated.
    Rotation(Matrix3),
}

impl Turn {
    fn new(operator: &Matrix3) -> Self {
        /// Operators are products of a few rotations.
        const ROUNDING: f64 = 1e-9;
        let near = |v: f64| (v - v.round()).abs() < ROUNDING;
        match operator.iter().flatten().all(|&v| near(v)) {
            true => Self::Permutation(operator.map(|row| row.map(|v| v.round() as i64))),
            false => {
                Self::Rotation(operator.map(|row| row.map(|v| if near(v) { v.round() } else { v })))
            }
        }
    }

    /// Whether z becomes z or −z.
    fn keeps_planes(&self) -> bool {
        match self {
            Self::Permutation(m) => m[2][2] != 0,
            Self::Rotation(m) => m[2][2].abs() == 1.0,
        }
    }
}

/// The sums of some planes before symmetrisation.
struct Planes<'a> {
    data: &'a [Complex64],
    weight: &'a [f64],
    radial: &'a Radial,
    /// The first plane, and the distance to the next, logical z.
    first: i64,
    spacing: i64,
}

impl Planes<'_> {
    /// Adds the rotated sums to plane `z`.
    fn add_to(&self, data: &mut [Complex64], weight: &mut [f64], z: i64, turns: &[Turn]) {
        let radial = self.radial;
        let width = radial.half as usize + 1;
        let rows = data
            .chunks_exact_mut(width)
            .zip(weight.chunks_exact_mut(width));
        for (y, (data, weight)) in (-radial.half..).zip(rows) {
            let room = radial.radius2 - y * y - z * z;
            if room < 0 {
                continue;
            }
            let end = ((room as f64).sqrt() as usize + 1).min(width);
            for turn in turns {
                let (data, weight) = (&mut data[..end], &mut weight[..end]);
                match turn {
                    Turn::Permutation(m) => self.add_row(data, weight, [y, z], m),
                    Turn::Rotation(m) => self.add_interpolated_row(data, weight, [y, z], m),
                }
            }
        }
    }

    /// Index of row (z, y).
    fn row(&self, z: i64, y: i64) -> usize {
        let radial = self.radial;
        let plane = (z - self.first) / self.spacing;
        ((plane * radial.side as i64 + y + radial.half) * (radial.half + 1)) as usize
    }

    /// Adds to a row what lies at the permuted positions: along the row these are as far from each other as along an axis.
    fn add_row(
        &self,
        data: &mut [Complex64],
        weight: &mut [f64],
        [y, z]: [i64; 2],
        m: &[[i64; 3]; 3],
    ) {
        let [start, step] = [0, 1].map(|k| m.map(|row| [row[1] * y + row[2] * z, row[0]][k]));
        // The mates of positions with x < 0 are stored; on x = 0 both are.
        let mirrored = start[0] + step[0] < 0;
        let sign = if mirrored { -1 } else { 1 };
        let [start, step] = [start, step].map(|p| p.map(|c| sign * c));
        let width = self.radial.half + 1;
        let step = step[0] + step[1] * width + step[2] * self.radial.plane() as i64;
        let mut at = self.row(start[2], start[1]) as i64 + start[0];
        for (a, w) in data.iter_mut().zip(weight) {
            let value = self.data[at as usize];
            *a += if mirrored { value.conj() } else { value };
            *w += self.weight[at as usize];
            at += step;
        }
    }

    fn add_interpolated_row(
        &self,
        data: &mut [Complex64],
        weight: &mut [f64],
        [y, z]: [i64; 2],
        m: &Matrix3,
    ) {
        let start = m.map(|row| row[1] * y as f64 + row[2] * z as f64);
        for (x, (a, w)) in data.iter_mut().zip(weight).enumerate() {
            let x = x as f64;
            let p = [0, 1, 2].map(|axis: usize| start[axis] + m[axis][0] * x);
            let (data, weight) = self.interpolated(p);
            *a += data;
            *w += weight;
        }
    }

    /// Trilinear values of data and weight at `p` (x, y, z in padded voxels, inside Rp).
    #[inline]
    fn interpolated(&self, p: [f64; 3]) -> (Complex64, f64) {
        let mirrored = p[0] < 0.0;
        let p = if mirrored { p.map(|c| -c) } else { p };
        let whole = p.map(f64::floor);
        let [fx, fy, fz] = [0, 1, 2].map(|axis: usize| p[axis] - whole[axis]);
        let [x, y, z] = whole.map(|v| v as i64);
        let width = self.radial.half as usize + 1;
        let mut sums = [0.0; 3];
        for (z, wz) in [(z, 1.0 - fz), (z + 1, fz)] {
            // Planes that have no part may not be there.
            if wz == 0.0 {
                continue;
            }
            let at = self.row(z, y) + x as usize;
            for (at, wy) in [(at, wz * (1.0 - fy)), (at + width, wz * fy)] {
                let (a, w) = (&self.data[at..at + 2], &self.weight[at..at + 2]);
                let shares = [wy * (1.0 - fx), wy * fx];
                sums[0] += shares[0] * a[0].re + shares[1] * a[1].re;
                sums[1] += shares[0] * a[0].im + shares[1] * a[1].im;
                sums[2] += shares[0] * w[0] + shares[1] * w[1];
            }
        }
        let [re, im, weight] = sums;
        let im = if mirrored { -im } else { im };
        (Complex64::new(re, im), weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::symmetry::PointGroup;

    /// Rotation by `turn`/`fold` of a full turn about z.
    fn about_z(turn: usize, fold: usize) -> Matrix3 {
        let (s, c) = (2.0 * std::f64::consts::PI * turn as f64 / fold as f64).sin_cos();
        [[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]
    }

    fn c4() -> Vec<Matrix3> {
        (1..4).map(|turn| about_z(turn, 4)).collect()
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
        // The origin is its own mate.
        let row = sums.shape.half() * (sums.shape.side + 1);
        sums.data[row * (sums.shape.half() + 1)].im = 0.0;
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

    /// Trilinear values of data and weight at `p`.
    fn interpolate(sums: &BackProjection, p: [f64; 3]) -> (Complex64, f64) {
        let (half, width) = (sums.shape.half() as i64, sums.shape.half() + 1);
        let sign = if p[0] < 0.0 { -1.0 } else { 1.0 };
        let mut found = (Complex64::default(), 0.0);
        for corner in 0..8 {
            let mut share = 1.0;
            let at = [0, 1, 2].map(|axis: usize| {
                let p = sign * p[axis];
                let above = corner >> axis & 1;
                let f = p - p.floor();
                share *= if above == 1 { f } else { 1.0 - f };
                p.floor() as i64 + above
            });
            if share > 0.0 {
                let row = (at[2] + half) as usize * sums.shape.side + (at[1] + half) as usize;
                let i = row * width + at[0] as usize;
                found.0 += sums.data[i] * share;
                found.1 += sums.weight[i] * share;
            }
        }
        found.0.im *= sign;
        found
    }

    /// Returns the largest differences of data and weight from all operators applied to every voxel of the sphere, while voxels
    /// beyond it stay.
    fn error_of(group: &PointGroup) -> f64 {
        let operators = group.operators();
        let mut old = noise();
        complete_zero_plane(&mut old);
        let mut sums = noise();
        symmetrise(&mut sums, operators);
        let radial = Radial::new(&old);
        let width = old.shape.half() + 1;
        let mut largest = 0.0f64;
        for z in 0..old.shape.side {
            for (r2, i) in radial.voxels(z) {
                let at = [
                    (i % width) as f64,
                    (i / width) as f64 - radial.half as f64,
                    z as f64 - radial.half as f64,
                ];
                let i = z * radial.plane() + i;
                let mut expected = (old.data[i], old.weight[i]);
                if r2 <= radial.radius2 {
                    for m in operators {
                        let p = m.map(|r| r[0] * at[0] + r[1] * at[1] + r[2] * at[2]);
                        // Rounding must not reach for voxels beyond the last one.
                        let near = |c: f64| (c - c.round()).abs() < 1e-12;
                        let p = p.map(|c| if near(c) { c.round() } else { c });
                        let (a, w) = interpolate(&old, p);
                        expected = (expected.0 + a, expected.1 + w);
                    }
                }
                let (data, weight) = (sums.data[i] - expected.0, sums.weight[i] - expected.1);
                largest = largest.max(data.norm()).max(weight.abs());
            }
        }
        largest
    }

    /// Rotations about z and others, with and without operators that map the grid onto itself; icosahedral ones with the axes of the
    /// golden ratio φ: two-fold z, five-fold (1, 0, φ), three-fold (0, 1/φ, φ). Sums reach 4000.
    #[test]
    fn rotated_sums_are_added_voxel_by_voxel() {
        let folder = tempfile::tempdir().unwrap();
        let exact = folder.path().join("icosahedral.sym");
        let golden = (1.0 + 5f64.sqrt()) / 2.0;
        let axes = format!(
            "rot_axis 2 0 0 1\nrot_axis 5 1 0 {golden}\nrot_axis 3 0 {} {golden}\n",
            1.0 / golden
        );
        std::fs::write(&exact, axes).unwrap();
        let exact = exact.to_str().unwrap();
        for name in ["C4", "C3", "D3", "D2", "C4H", "T", "O", exact] {
            let group = PointGroup::parse(name).unwrap();
            let error = error_of(&group);
            println!("{name}: {error:.1e}");
            assert!(error < 1e-9, "{name}: {error:e}");
        }
    }

    /// The axes of RELION's icosahedral groups have up to ten digits, of which the last ones are wrong: 0.356822076 for
    /// 0.356822090. Elements of operators that would be 0 or 1 are so to 4·10⁻⁸, and those that are so to 10⁻⁹ are rounded here. That
    /// moves positions by up to 10⁻⁸ voxels, where sums change by 100 from voxel to voxel: 3·10⁻⁶ in I1 and I2, less in I4, and
    /// nothing in I3, which has no such elements, or with exact axes.
    #[test]
    fn published_icosahedral_axes_are_rounded_where_they_are_nearly_whole() {
        for name in ["I1", "I2", "I3", "I4"] {
            let group = PointGroup::parse(name).unwrap();
            let error = error_of(&group);
            println!("{name}: {error:.1e}");
            assert!(error < 1e-5, "{name}: {error:e}");
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
