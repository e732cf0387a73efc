//! Moving the centre of mass of a map to the centre of its box (spec 05 §14 step 3).

use crate::maximization::trilinear;
use ndarray::Array3;

/// Returns the centre of mass (x, y, z) in voxels from the box centre, over voxels above 0; None without any.
pub fn of_mass(map: &Array3<f64>) -> Option<[f64; 3]> {
    let middle = (map.dim().0 / 2) as f64;
    let (mut mass, mut moments) = (0.0, [0.0; 3]);
    for ((z, y, x), &value) in map.indexed_iter().filter(|(_, v)| **v > 0.0) {
        mass += value;
        for (moment, i) in moments.iter_mut().zip([x, y, z]) {
            *moment += value * (i as f64 - middle);
        }
    }
    (mass > 0.0).then(|| moments.map(|moment| moment / mass))
}

/// Returns out(r) = in(r + shift), shift (x, y, z) in voxels: trilinear, 0 where the source lies outside the box.
pub fn shifted(map: &Array3<f64>, shift: [f64; 3]) -> Array3<f64> {
    Array3::from_shape_fn(map.dim(), |(z, y, x)| {
        let at = [
            z as f64 + shift[2],
            y as f64 + shift[1],
            x as f64 + shift[0],
        ];
        trilinear(map, at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mass_above_zero_is_moved_to_the_centre() {
        let mut map = Array3::from_elem((8, 8, 8), -1.0);
        map[[5, 4, 2]] = 2.0;
        let shift = of_mass(&map).unwrap();
        assert_eq!(shift, [-2.0, 0.0, 1.0]);
        assert_eq!(shifted(&map, shift)[[4, 4, 4]], 2.0);
        assert_eq!(of_mass(&Array3::from_elem((4, 4, 4), -1.0)), None);
    }
}
