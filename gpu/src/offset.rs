//! Prior of the shift of an image (spec 01 §4.5, spec 04 §4).

/// E(t) = −|r + t − µ|²·a²/(2σ²), the logarithm of the unnormalised offset prior: `start` is r, `shift` t, `centre` µ and
/// `factor` a²/(2σ²).
#[inline(always)]
pub fn log_prior(start: [f64; 2], shift: [f64; 2], centre: [f64; 2], factor: f64) -> f64 {
    let (dx, dy) = (
        start[0] + shift[0] - centre[0],
        start[1] + shift[1] - centre[1],
    );
    -(dx * dx + dy * dy) * factor
}
