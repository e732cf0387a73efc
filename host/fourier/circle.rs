//! Pixels exactly on the circle of the outermost shell: which of them are inserted (spec 02 §1.3, spec 04 §2.2 and §7).
//!
//! A pixel at the largest radius lies on the limit of insertion whatever the orientation, so rounding decides on it. First
//! references have only a few shells, and such pixels are a good part of them: taking all changes class averages by up to
//! 2 % and maps by 4 %. In maps without regularisation the voxels there are divided by weights close to 0: taking all changes
//! the map of `relion_reconstruct` by 7 %. Here the reference program's rounding is repeated, in double precision as it is
//! compiled for processors with fused multiply–add. There a·b + c·d is one rounding of a·b + (c·d rounded), and a third
//! product is added in a further fused step.

use crate::fourier::shape::{Dimensions, VolumeShape};
use crate::geometry::Matrix3;
use crate::geometry::euler::radians;

/// Limit of insertion for an image in one orientation. It is known to be that of the reference program for radii that are
/// powers of 2, where the order of the operations below does not matter.
#[derive(Debug, Clone, Copy)]
pub enum Circle {
    /// Class averages: the form a·x² + 2b·x·y + c·y² = |q|², solved row by row.
    Form { a: f64, b: f64, c: f64, limit: f64 },
    /// Maps: q itself.
    Steps { axes: [[f64; 3]; 2], limit: f64 },
}

impl Circle {
    /// Returns the limit in sums of `shape` for an image with angles rot, tilt and psi in degrees.
    pub fn new(shape: &VolumeShape, angles: [f64; 3]) -> Self {
        let axes = image_axes(&orientation(angles)).map(|axis| axis.map(|v| shape.padding * v));
        let reach = shape.padding * shape.r_max as f64;
        match shape.dimensions {
            Dimensions::Two => Circle::Form {
                a: dot(axes[0], axes[0]),
                b: dot(axes[0], axes[1]),
                c: dot(axes[1], axes[1]),
                limit: reach.trunc().powi(2),
            },
            Dimensions::Three => Circle::Steps {
                axes,
                limit: reach.round().powi(2),
            },
        }
    }

    /// Whether the pixel (x, y) is inserted.
    pub fn takes(&self, x: i32, y: i32) -> bool {
        let (x, y) = (f64::from(x), f64::from(y));
        match *self {
            Circle::Form { a, b, c, limit } => {
                let middle = -b * y / a;
                // NaN, which no x lies within, where the row has no pixel at all.
                let reach = (middle * middle - (c * y * y - limit) / a).sqrt();
                middle - reach <= x && x <= middle + reach
            }
            Circle::Steps { axes, limit } => {
                let q = std::array::from_fn(|i| axes[0][i].mul_add(x, axes[1][i] * y));
                dot(q, q) <= limit
            }
        }
    }
}

/// Euler matrix A, which [`crate::geometry::euler::matrix`] also gives, but for the last bits.
fn orientation([rot, tilt, psi]: [f64; 3]) -> Matrix3 {
    let (sin_rot, cos_rot) = radians(rot).sin_cos();
    let (sin_tilt, cos_tilt) = radians(tilt).sin_cos();
    let (sin_psi, cos_psi) = radians(psi).sin_cos();
    let (x, y) = (cos_tilt * cos_rot, cos_tilt * sin_rot);
    [
        [
            cos_psi.mul_add(x, -(sin_psi * sin_rot)),
            cos_psi.mul_add(y, sin_psi * cos_rot),
            -cos_psi * sin_tilt,
        ],
        [
            (-sin_psi).mul_add(x, -(cos_psi * sin_rot)),
            (-sin_psi).mul_add(y, cos_psi * cos_rot),
            sin_psi * sin_tilt,
        ],
        [sin_tilt * cos_rot, sin_tilt * sin_rot, cos_tilt],
    ]
}

/// First two columns of A⁻¹: cofactors divided by the determinant, which is expanded along the first column.
fn image_axes(m: &Matrix3) -> [[f64; 3]; 2] {
    // Minor of two rows and two columns.
    let minor =
        |[r, s]: [usize; 2], [c, d]: [usize; 2]| m[r][c].mul_add(m[s][d], -(m[r][d] * m[s][c]));
    let columns = [[1, 2], [0, 2], [0, 1]];
    let cofactors = |rows: [usize; 2], sign: f64| {
        let [c0, c1, c2] = columns.map(|columns| minor(rows, columns));
        [sign * c0, -sign * c1, sign * c2]
    };
    let (first, second, third) = (
        cofactors([1, 2], 1.0),
        cofactors([0, 2], -1.0),
        cofactors([0, 1], 1.0),
    );
    let determinant = dot([m[0][0], m[1][0], m[2][0]], [first[0], second[0], third[0]]);
    [first, second].map(|column| column.map(|v| v / determinant))
}

/// Scalar product: the second product is rounded, the first and the third are fused.
fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[2].mul_add(b[2], a[0].mul_add(b[0], a[1] * b[1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::random::CRandom;

    /// Which of the pixels (2, 0) and (0, 2) the images 0…`images`−1 of a run with `seed` insert.
    fn taken(dimensions: Dimensions, padding: f64, seed: u32, images: u32) -> Vec<[bool; 2]> {
        (0..images)
            .map(|id| {
                let mut random = CRandom::new(seed + id);
                let mut draw = |range: f64| range * f64::from(random.uniform(0.0, 1.0));
                let angles = match dimensions {
                    Dimensions::Two => [0.0, 0.0, draw(360.0)],
                    Dimensions::Three => {
                        let (rot, tilt) = (draw(360.0), draw(180.0));
                        [rot, tilt, draw(360.0)]
                    }
                };
                let circle = Circle::new(&VolumeShape::new(dimensions, 64, padding, 4), angles);
                [circle.takes(2, 0), circle.takes(0, 2)]
            })
            .collect()
    }

    fn left_out(taken: &[[bool; 2]], pixel: usize, below: usize) -> Vec<usize> {
        (0..below).filter(|&i| !taken[i][pixel]).collect()
    }

    fn count(taken: &[[bool; 2]], pixel: usize) -> usize {
        taken.iter().filter(|t| t[pixel]).count()
    }

    /// The choice with which the first class averages of the reference runs come out to 3e-8 in relative L2.
    #[test]
    fn averages_take_what_the_reference_runs_take() {
        let without_ctf = taken(Dimensions::Two, 2.0, 7, 500);
        assert_eq!([0, 1].map(|p| count(&without_ctf, p)), [398, 380]);
        assert_eq!(
            left_out(&without_ctf, 0, 46),
            [3, 5, 8, 24, 25, 26, 33, 40, 43, 45]
        );
        assert_eq!(
            left_out(&without_ctf, 1, 44),
            [3, 5, 8, 24, 25, 26, 33, 35, 40, 43]
        );
        let with_ctf = taken(Dimensions::Two, 2.0, 42, 500);
        assert_eq!([0, 1].map(|p| count(&with_ctf, p)), [398, 380]);
        assert_eq!(
            left_out(&with_ctf, 1, 43),
            [0, 5, 8, 10, 13, 15, 21, 26, 33, 42]
        );
    }

    /// The choice with which the first map of the reference run comes out to 3e-8 in relative L2.
    #[test]
    fn maps_take_what_the_reference_run_takes() {
        let taken = taken(Dimensions::Three, 1.0, 42, 600);
        assert_eq!([0, 1].map(|p| count(&taken, p)), [375, 383]);
        assert_eq!(
            left_out(&taken, 0, 34),
            [1, 5, 8, 20, 22, 24, 26, 27, 31, 32, 33]
        );
        assert_eq!(
            left_out(&taken, 1, 30),
            [2, 3, 5, 10, 12, 20, 22, 24, 26, 27, 28, 29]
        );
    }

    /// Rounding decides on the circle only.
    #[test]
    fn pixels_off_the_circle_are_on_their_side() {
        for (dimensions, padding) in [(Dimensions::Two, 2.0), (Dimensions::Three, 1.0)] {
            for turn in 0..40 {
                let angles = match dimensions {
                    Dimensions::Two => [0.0, 0.0, 9.3 * f64::from(turn)],
                    Dimensions::Three => [31.0, 4.7 * f64::from(turn), 200.0],
                };
                let circle = Circle::new(&VolumeShape::new(dimensions, 64, padding, 10), angles);
                for y in -7i32..=7 {
                    for x in 0i32..=7 {
                        let squared = x * x + y * y;
                        if squared != 25 {
                            assert_eq!(circle.takes(x, y), squared < 25, "{angles:?} ({x}, {y})");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn axes_are_those_of_the_orientation() {
        let (angles, exact) = (
            [70.0, 100.0, 310.0],
            crate::geometry::euler::matrix(70.0, 100.0, 310.0),
        );
        let axes = image_axes(&orientation(angles));
        for (axis, row) in axes.iter().zip(&exact) {
            for (v, expected) in axis.iter().zip(row) {
                assert!((v - expected).abs() < 1e-15, "{axes:?} is not {exact:?}");
            }
        }
    }
}
