//! Soft edges of masks and filters (spec 01 §2.3, §2.10, §3.4).

use crate::math::Real;

/// Share of the background at distance `r` from the centre: 0 up to `radius`, 1 beyond `radius + edge`, a raised cosine
/// between. A pixel exactly on the radius is inside, so that a mask without an edge never divides 0 by 0.
#[inline(always)]
pub fn background_share<R: Real>(r: R, radius: R, edge: R) -> R {
    if r <= radius {
        R::of(0.0)
    } else if r > radius + edge {
        R::of(1.0)
    } else {
        let angle = R::of(core::f64::consts::PI) * (radius + edge - r) / edge;
        R::of(0.5) + R::of(0.5) * angle.sin_cos().1
    }
}

/// Share of a soft sphere at √`r2` voxels from its centre: 1 up to `radius`, 0 beyond `radius + edge`.
#[inline(always)]
pub fn sphere_share(r2: u32, radius: f64, edge: f64) -> f32 {
    1.0 - background_share(Real::sqrt(f64::from(r2)), radius, edge) as f32
}

/// Factor of the low-pass filter at Fourier radius `r`, for a limit of `limit` shells (not rounded): 1 up to
/// limit − 1, 0 from limit + 1, a cosine between (spec 01 §2.3).
#[inline(always)]
pub fn low_pass_factor<R: Real>(r: R, limit: R) -> R {
    R::of(1.0) - background_share(r, limit - R::of(1.0), R::of(2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_is_a_raised_cosine() {
        let share = |r: f64| background_share(r, 8.0, 4.0);
        assert_eq!([share(0.0), share(8.0), share(12.1)], [0.0, 0.0, 1.0]);
        assert!((share(10.0) - 0.5).abs() < 1e-15);
        assert!((share(9.0) - (0.5 - 0.125f64.sqrt())).abs() < 1e-15);
    }

    /// A mask without an edge has a value at every distance, the radius included.
    #[test]
    fn without_an_edge_the_radius_is_inside() {
        for (r, expected) in [(7.0f32, 0.0), (8.0, 0.0), (8.0001, 1.0)] {
            assert_eq!(background_share(r, 8.0, 0.0), expected, "at {r}");
            assert_eq!(
                background_share(f64::from(r), 8.0, 0.0),
                f64::from(expected)
            );
        }
    }

    #[test]
    fn the_filter_passes_below_its_limit_and_halves_at_it() {
        let factor = |r: f64| low_pass_factor(r, 8.0);
        assert_eq!([factor(6.9), factor(7.0), factor(9.1)], [1.0, 1.0, 0.0]);
        assert!((factor(8.0) - 0.5).abs() < 1e-15);
    }
}
