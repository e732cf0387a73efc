//! ZYZ Euler angles (spec 01 §1.2).

use super::Matrix3;

/// Matrix A of rot, tilt, psi in degrees: maps reference-frame vectors to the image frame.
pub fn matrix(_rot: f64, _tilt: f64, _psi: f64) -> Matrix3 {
    todo!()
}

/// (rot, tilt, psi) in degrees of a rotation matrix, by RELION's branch rules.
pub fn angles(_a: &Matrix3) -> [f64; 3] {
    todo!()
}

/// Matrix product a·b.
pub fn multiply(_a: &Matrix3, _b: &Matrix3) -> Matrix3 {
    todo!()
}

/// Transpose (inverse of a rotation).
pub fn transpose(_a: &Matrix3) -> Matrix3 {
    todo!()
}

/// Mean angle (degrees) between corresponding axes of two orientations, minimal over the operators
/// (identity included); the "change of orientation" of spec 01 §7.7.
pub fn distance(_a: [f64; 3], _b: [f64; 3], _operators: &[Matrix3]) -> f64 {
    todo!()
}
