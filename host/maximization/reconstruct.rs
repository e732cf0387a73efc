//! From sums to a map (spec 02 §2.1–2.5).

use super::MaximizationOptions;
use crate::fourier::backprojection::BackProjection;
use ndarray::Array3;

/// Reconstruct a map of side `options.box_size`.
///
/// `tau2`: regularise with this spectrum (`options.regularise` permitting); None: un-regularised ("unfil") map.
/// `class_weight` only limits magnitudes on the gridding path.
pub fn reconstruct(
    _sums: BackProjection,
    _tau2: Option<&[f64]>,
    _class_weight: f64,
    _options: &MaximizationOptions,
) -> Array3<f64> {
    todo!()
}
