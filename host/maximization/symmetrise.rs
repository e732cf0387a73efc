//! Friedel completion of the x = 0 plane and point-group symmetrisation of the sums (spec 02 §1.5).

use crate::fourier::backprojection::BackProjection;
use crate::geometry::Matrix3;

/// Sum Friedel mates on the x = 0 plane, then add the sums rotated by every non-identity operator.
pub fn symmetrise(_sums: &mut BackProjection, _operators: &[Matrix3]) {
    todo!()
}
