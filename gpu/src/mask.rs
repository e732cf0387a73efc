//! Soft circular mask of particle images (spec 01 §3.4).

use crate::math::Real;

/// Share of the background in the masked pixel at distance `r` from the box centre: 0 inside `radius`,
/// 1 beyond `radius + edge`, a raised cosine between.
#[inline(always)]
pub fn background_share(r: f32, radius: f32, edge: f32) -> f32 {
    if r < radius {
        0.0
    } else if r > radius + edge {
        1.0
    } else {
        0.5 + 0.5 * Real::sin_cos(core::f32::consts::PI * (radius + edge - r) / edge).1
    }
}
