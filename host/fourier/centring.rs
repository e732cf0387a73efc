//! Centring of classes (spec 02 §6.3).

use ndarray::Array3;

/// Centre of mass (x, y, z) relative to the box centre, in voxels; negative densities count as they are.
/// None when the densities sum to zero.
pub fn centre_of_mass(map: &Array3<f64>) -> Option<[f64; 3]> {
    let centre = (map.dim().0 / 2) as f64;
    let mut moment = [0.0; 3];
    let mut mass = 0.0;
    for ((z, y, x), value) in map.indexed_iter() {
        for (m, i) in moment.iter_mut().zip([x, y, z]) {
            *m += value * (i as f64 - centre);
        }
        mass += value;
    }
    (mass != 0.0).then(|| moment.map(|m| m / mass))
}

/// Map moved by `shift` (x, y, z) voxels, out(r) = in(r − shift), trilinear; what comes from outside is 0.
pub fn translate(map: &Array3<f64>, shift: [f64; 3]) -> Array3<f64> {
    let n = map.dim().0;
    // The fractional part is the same for all voxels.
    let [x, y, z] = shift.map(|s| {
        let whole = (-s).floor();
        (whole as i64, -s - whole)
    });
    let corner = |z: i64, y: i64, x: i64| {
        let inside = [z, y, x].iter().all(|i| (0..n as i64).contains(i));
        if inside {
            map[[z as usize, y as usize, x as usize]]
        } else {
            0.0
        }
    };
    Array3::from_shape_fn((n, n, n), |(k, j, i)| {
        let mut value = 0.0;
        for (dz, wz) in [(0, 1.0 - z.1), (1, z.1)] {
            for (dy, wy) in [(0, 1.0 - y.1), (1, y.1)] {
                for (dx, wx) in [(0, 1.0 - x.1), (1, x.1)] {
                    let weight = wz * wy * wx;
                    if weight > 0.0 {
                        value += weight
                            * corner(
                                k as i64 + z.0 + dz,
                                j as i64 + y.0 + dy,
                                i as i64 + x.0 + dx,
                            );
                    }
                }
            }
        }
        value
    })
}

/// Move the centre of mass to the box centre, by at most `max_shift` voxels. Returns the shift applied (x, y, z).
pub fn centre(map: &mut Array3<f64>, max_shift: f64) -> [f64; 3] {
    let Some(mass) = centre_of_mass(map) else {
        return [0.0; 3];
    };
    let length = mass.iter().map(|c| c * c).sum::<f64>().sqrt();
    let limit = if length > max_shift {
        max_shift / length
    } else {
        1.0
    };
    let shift = mass.map(|c| -c * limit);
    *map = translate(map, shift);
    shift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(n: usize, at: [usize; 3]) -> Array3<f64> {
        let mut map = Array3::zeros((n, n, n));
        map[at] = 3.0;
        map
    }

    #[test]
    fn a_point_moves_to_the_centre() {
        let mut map = point(16, [6, 8, 11]);
        assert_eq!(centre_of_mass(&map), Some([3.0, 0.0, -2.0]));
        assert_eq!(centre(&mut map, 10.0), [-3.0, 0.0, 2.0]);
        assert_eq!(map[[8, 8, 8]], 3.0);
    }

    #[test]
    fn the_shift_is_limited_in_length() {
        let mut map = point(16, [8, 8, 14]);
        assert_eq!(centre(&mut map, 2.5), [-2.5, 0.0, 0.0]);
        // Half way between two voxels: shared by linear interpolation.
        assert_eq!(map[[8, 8, 11]], 1.5);
        assert_eq!(map[[8, 8, 12]], 1.5);
    }

    #[test]
    fn what_leaves_the_box_is_lost_and_nothing_enters() {
        let map = translate(&point(8, [4, 4, 7]), [1.0, 0.0, 0.0]);
        assert!(map.iter().all(|v| *v == 0.0));
    }
}
