//! The gridding correction: what interpolation between voxels does to a map (spec 01 §1.5, spec 02 §2.4).

use crate::math::Real;

/// Gridding correction of trilinear interpolation at `radius` voxels from the box centre: sinc²(r/`padded_box`), 1 at
/// the centre.
#[inline(always)]
pub fn gridding_factor<R: Real>(radius: R, padded_box: R) -> R {
    if radius <= R::of(0.0) {
        return R::of(1.0);
    }
    let u = R::of(core::f64::consts::PI) * radius / padded_box;
    let sinc = u.sin_cos().0 / u;
    sinc * sinc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gridding_is_one_at_the_centre_and_falls() {
        assert_eq!(gridding_factor(0.0, 64.0), 1.0);
        let at = gridding_factor(16.0, 64.0);
        assert!((at - 0.810_569).abs() < 1e-5, "{at}");
    }
}
