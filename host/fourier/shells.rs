//! Resolution shells, rounding rules, cropping (spec 01 §0.1, §1.4, §1.6–1.7).

/// Round half away from zero, as RELION does.
pub fn round(x: f64) -> i64 {
    if x > 0.0 {
        (x + 0.5) as i64
    } else {
        (x - 0.5) as i64
    }
}
