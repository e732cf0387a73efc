//! Moments follow a reference that was moved to the box centre (spec 05 §9).

use crate::fourier::shape::VolumeShape;
use crate::model::Moments;
use num_complex::Complex64;
use rayon::prelude::*;
use std::f64::consts::TAU;

/// Shifts shorter than this share of the particle's diameter …
const SHARE: f64 = 0.01;
/// … or than this, in pixels, are left alone.
const PIXELS: f64 = 2.0;

/// The shortest shift (pixels) by which a class is centred in a gradient run; `diameter`: of the particle, pixels.
pub fn least_shift(diameter: f64) -> f64 {
    (SHARE * diameter).max(PIXELS)
}

/// Follows a reference whose centre of mass was `centre` (x, y, z in pixels from the box centre) and is now 0.
///
/// The second half's first moment becomes that of the first half, as in the reference program: after a centring both agree.
pub fn follow(moments: &mut Moments, centre: [f64; 3]) {
    let shape = moments.shape;
    let [first, second] = &mut moments.first;
    let row = shape.half() + 1;
    first
        .par_chunks_mut(row)
        .enumerate()
        .for_each(|(line, values)| {
            let [y, z] = row_index(&shape, line);
            for (x, value) in values.iter_mut().enumerate() {
                let along = x as f64 * centre[0] + y * centre[1] + z * centre[2];
                let phase = TAU * along / shape.padded_box as f64;
                *value *= Complex64::from_polar(1.0, phase);
            }
        });
    second.clone_from(first);
}

/// Logical y and z of a stored row.
fn row_index(shape: &VolumeShape, line: usize) -> [f64; 2] {
    let (y, z) = (line % shape.side, line / shape.side);
    [
        y as f64 - shape.half() as f64,
        z as f64 - shape.half_depth() as f64,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::reference;
    use crate::fourier::shape::Dimensions;
    use ndarray::Array3;

    /// The transform of a moved point is the transform of the point times the phase.
    #[test]
    fn phases_are_those_of_a_moved_map() {
        let point = |z: usize, y: usize, x: usize| {
            let mut map = Array3::zeros((12, 12, 12));
            map[[z, y, x]] = 1.0;
            map
        };
        let shape = VolumeShape::new(Dimensions::Three, 12, 2.0, 8);
        let mut moments = Moments::new(shape);
        moments.first[0] = reference::transform(&point(7, 4, 9), &shape);
        follow(&mut moments, [3.0, -2.0, 1.0]);
        let expected = reference::transform(&point(6, 6, 6), &shape);
        for (a, b) in moments.first[0].iter().zip(&expected) {
            assert!((a - b).norm() < 1e-12);
        }
        assert_eq!(moments.first[0], moments.first[1]);
    }

    #[test]
    fn short_shifts_do_not_count() {
        assert_eq!(least_shift(85.0), 2.0);
        assert_eq!(least_shift(300.0), 3.0);
    }
}
