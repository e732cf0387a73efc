//! Orientations that cover all rotations evenly, and small rotations around one of them.

use crate::geometry::{Matrix3, euler};
use std::f64::consts::{PI, SQRT_2, TAU};

/// The second constant of the spirals, the positive root of ψ⁴ = ψ + 4.
const PSI: f64 = 1.533_751_168_755_204_3;

/// Returns `count` rotations that cover all rotations evenly: super-Fibonacci spirals (Alexa 2022, *CVPR*, 8291). The
/// same count gives the same rotations in every run.
pub fn even(count: usize) -> Vec<Matrix3> {
    (0..count)
        .map(|i| {
            let s = i as f64 + 0.5;
            let share = s / count as f64;
            let (near, far) = (share.sqrt(), (1.0 - share).sqrt());
            let (alpha, beta) = (TAU * s / SQRT_2, TAU * s / PSI);
            of_quaternion([
                near * alpha.sin(),
                near * alpha.cos(),
                far * beta.sin(),
                far * beta.cos(),
            ])
        })
        .collect()
}

/// Returns `count` rotations about z, evenly spaced over the whole turn.
pub fn about_z(count: usize) -> Vec<Matrix3> {
    (0..count)
        .map(|i| euler::matrix(360.0 * i as f64 / count as f64, 0.0, 0.0))
        .collect()
}

/// Returns the mean distance (degrees) of neighbours among `count` even rotations: the cube root of the volume of all
/// rotations, 8π², over their number.
pub fn spacing(count: usize) -> f64 {
    (8.0 * PI * PI / count.max(1) as f64).cbrt().to_degrees()
}

/// Returns the rotation by the length of `vector` (degrees) about its direction.
pub fn by_vector(vector: [f64; 3]) -> Matrix3 {
    let angle = euler::dot(vector, vector).sqrt();
    if angle == 0.0 {
        return of_quaternion([0.0, 0.0, 0.0, 1.0]);
    }
    let (sine, cosine) = (angle.to_radians() / 2.0).sin_cos();
    let [x, y, z] = vector.map(|v| v / angle * sine);
    of_quaternion([x, y, z, cosine])
}

/// Returns the angle (degrees) of the rotation between two orientations.
pub fn angle_between(a: &Matrix3, b: &Matrix3) -> f64 {
    let trace: f64 = (0..3).map(|i| euler::dot(a[i], b[i])).sum();
    ((trace - 1.0) / 2.0).clamp(-1.0, 1.0).acos().to_degrees()
}

/// Rotation matrix of a unit quaternion (x, y, z, w).
fn of_quaternion([x, y, z, w]: [f64; 4]) -> Matrix3 {
    [
        [
            1.0 - 2.0 * (y * y + z * z),
            2.0 * (x * y - z * w),
            2.0 * (x * z + y * w),
        ],
        [
            2.0 * (x * y + z * w),
            1.0 - 2.0 * (x * x + z * z),
            2.0 * (y * z - x * w),
        ],
        [
            2.0 * (x * z - y * w),
            2.0 * (y * z + x * w),
            1.0 - 2.0 * (x * x + y * y),
        ],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No rotation is far from the nearest one of an even set.
    #[test]
    fn even_rotations_leave_no_gap() {
        let set = even(400);
        let nearest = |a: &Matrix3| {
            let angles = set.iter().map(|b| angle_between(a, b));
            angles.fold(f64::MAX, f64::min)
        };
        // Another set as the probe.
        let distances: Vec<f64> = even(3001).iter().map(nearest).collect();
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let largest = distances.iter().copied().fold(0.0, f64::max);
        assert!(mean < 0.6 * spacing(400), "mean {mean}");
        assert!(largest < 1.3 * spacing(400), "largest {largest}");
    }

    #[test]
    fn rotations_by_vectors_have_their_axis_and_angle() {
        let turn = by_vector([0.0, 0.0, 90.0]);
        let turned = euler::apply(&turn, [1.0, 0.0, 0.0]);
        assert!((turned[1] - 1.0).abs() < 1e-12, "{turned:?}");
        let small = by_vector([1.0, -2.0, 2.0]);
        assert!((angle_between(&small, &by_vector([0.0; 3])) - 3.0).abs() < 1e-6);
    }
}
