//! ZYZ Euler angles (spec 01 §1.2).

use super::Matrix3;
use std::f64::consts::PI;

/// Below this sin(tilt) (16·FLT_EPSILON) rot and psi cannot be told apart.
const GIMBAL_LOCK: f64 = 16.0 * f32::EPSILON as f64;

/// Degrees to radians by the two roundings of the reference program (×π, ÷180): they decide which grid directions
/// that lie exactly on the border of an asymmetric unit count as inside.
pub(crate) fn radians(degrees: f64) -> f64 {
    degrees * PI / 180.0
}

/// The two factors of an orientation matrix that do not depend on psi: rows of A at psi = 0.
///
/// A(rot, tilt, psi) has rows cψ·b₀ + sψ·b₁, −sψ·b₀ + cψ·b₁ and b₂ (the viewing direction).
pub(crate) fn direction_frame(rot: f64, tilt: f64) -> Matrix3 {
    let (sin_rot, cos_rot) = radians(rot).sin_cos();
    let (sin_tilt, cos_tilt) = radians(tilt).sin_cos();
    [
        [cos_tilt * cos_rot, cos_tilt * sin_rot, -sin_tilt],
        [-sin_rot, cos_rot, 0.0],
        [sin_tilt * cos_rot, sin_tilt * sin_rot, cos_tilt],
    ]
}

/// Turn a [`direction_frame`] in the image plane by psi degrees.
pub(crate) fn turn_in_plane(frame: &Matrix3, psi: f64) -> Matrix3 {
    let (sin_psi, cos_psi) = radians(psi).sin_cos();
    let [b0, b1, b2] = frame;
    [
        std::array::from_fn(|i| cos_psi * b0[i] + sin_psi * b1[i]),
        std::array::from_fn(|i| -sin_psi * b0[i] + cos_psi * b1[i]),
        *b2,
    ]
}

/// Matrix A of rot, tilt, psi in degrees: maps reference-frame vectors to the image frame.
///
/// ```
/// use gerelion::geometry::euler;
/// // The third row is the viewing direction.
/// let a = euler::matrix(0.0, 90.0, 0.0);
/// assert!((a[2][0] - 1.0).abs() < 1e-15);
/// ```
pub fn matrix(rot: f64, tilt: f64, psi: f64) -> Matrix3 {
    turn_in_plane(&direction_frame(rot, tilt), psi)
}

/// Viewing direction (third row of [`matrix`]) of rot and tilt in degrees.
pub fn viewing_direction(rot: f64, tilt: f64) -> [f64; 3] {
    direction_frame(rot, tilt)[2]
}

/// (rot, tilt, psi) in degrees of a rotation matrix; tilt in [0, 180], rot and psi in [−180, 180].
///
/// Where the tilt is 0 or 180 only one angle is defined: it is given as psi, rot is 0.
pub fn angles(a: &Matrix3) -> [f64; 3] {
    let sin_tilt = a[0][2].hypot(a[1][2]);
    if sin_tilt > GIMBAL_LOCK {
        [
            a[2][1].atan2(a[2][0]).to_degrees(),
            sin_tilt.atan2(a[2][2]).to_degrees(),
            a[1][2].atan2(-a[0][2]).to_degrees(),
        ]
    } else if a[2][2] > 0.0 {
        [0.0, 0.0, (-a[1][0]).atan2(a[0][0]).to_degrees()]
    } else {
        [0.0, 180.0, a[1][0].atan2(-a[0][0]).to_degrees()]
    }
}

/// Matrix product a·b.
pub fn multiply(a: &Matrix3, b: &Matrix3) -> Matrix3 {
    std::array::from_fn(|i| {
        std::array::from_fn(|j| a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j])
    })
}

/// Matrix times column vector.
pub fn apply(a: &Matrix3, v: [f64; 3]) -> [f64; 3] {
    a.map(|row| dot(row, v))
}

/// Transpose (inverse of a rotation).
pub fn transpose(a: &Matrix3) -> Matrix3 {
    std::array::from_fn(|i| std::array::from_fn(|j| a[j][i]))
}

/// Scalar product.
pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Mean angle (degrees) between corresponding axes of two orientations (rot, tilt, psi in degrees), minimal over
/// the operators and the identity; the "change of orientation" of spec 01 §7.7.
pub fn distance(a: [f64; 3], b: [f64; 3], operators: &[Matrix3]) -> f64 {
    let a = matrix(a[0], a[1], a[2]);
    let b = matrix(b[0], b[1], b[2]);
    operators
        .iter()
        .map(|operator| mean_axis_angle(&a, &multiply(&b, operator)))
        .fold(mean_axis_angle(&a, &b), f64::min)
}

/// Mean angle in degrees between corresponding rows.
fn mean_axis_angle(a: &Matrix3, b: &Matrix3) -> f64 {
    let angle = |i: usize| dot(a[i], b[i]).clamp(-1.0, 1.0).acos().to_degrees();
    (angle(0) + angle(1) + angle(2)) / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::symmetry::PointGroup;
    use proptest::prelude::*;

    fn assert_close(a: &Matrix3, b: &Matrix3) {
        for (x, y) in a.iter().flatten().zip(b.iter().flatten()) {
            assert!((x - y).abs() < 1e-12, "{a:?} is not {b:?}");
        }
    }

    #[test]
    fn matrix_is_the_formula_of_the_specification() {
        let (rot, tilt, psi) = (30f64, 50f64, 70f64);
        let (sf, cf) = rot.to_radians().sin_cos();
        let (st, ct) = tilt.to_radians().sin_cos();
        let (sp, cp) = psi.to_radians().sin_cos();
        let expected = [
            [cp * ct * cf - sp * sf, cp * ct * sf + sp * cf, -cp * st],
            [-sp * ct * cf - cp * sf, -sp * ct * sf + cp * cf, sp * st],
            [st * cf, st * sf, ct],
        ];
        assert_close(&matrix(rot, tilt, psi), &expected);
    }

    #[test]
    fn poles_give_psi_only() {
        let up = angles(&matrix(20.0, 0.0, 15.0));
        assert_eq!(up[0], 0.0);
        assert_eq!(up[1], 0.0);
        assert!((up[2] - 35.0).abs() < 1e-12);
        let down = angles(&matrix(20.0, 180.0, 15.0));
        assert_eq!(down[..2], [0.0, 180.0]);
        assert_close(
            &matrix(down[0], down[1], down[2]),
            &matrix(20.0, 180.0, 15.0),
        );
    }

    #[test]
    fn distance_of_a_rotation_about_the_viewing_axis() {
        // Two axes move by 30°, the viewing axis not at all.
        assert!((distance([0.0, 0.0, 0.0], [0.0, 0.0, 30.0], &[]) - 20.0).abs() < 1e-9);
    }

    #[test]
    fn distance_ignores_symmetry_mates() {
        let c4 = PointGroup::parse("C4").unwrap();
        let near = distance([10.0, 40.0, 20.0], [101.0, 40.0, 20.0], c4.operators());
        assert!(near < 1.0, "{near}");
        let far = distance([10.0, 40.0, 20.0], [101.0, 40.0, 20.0], &[]);
        assert!(far > 50.0, "{far}");
    }

    proptest! {
        #[test]
        fn angles_invert_matrix(rot in -179.9..179.9f64, tilt in 0.01..179.99f64, psi in -179.9..179.9f64) {
            let [r, t, p] = angles(&matrix(rot, tilt, psi));
            prop_assert!((r - rot).abs() < 1e-9 && (t - tilt).abs() < 1e-9 && (p - psi).abs() < 1e-9);
        }

        #[test]
        fn negative_tilt_is_reproduced_as_a_matrix(rot in -180.0..180.0f64, tilt in -180.0..180.0f64, psi in 0.0..360.0f64) {
            let a = matrix(rot, tilt, psi);
            let [r, t, p] = angles(&a);
            prop_assert!((0.0..=180.0).contains(&t));
            assert_close(&matrix(r, t, p), &a);
            assert_close(&multiply(&a, &transpose(&a)), &[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        }
    }
}
