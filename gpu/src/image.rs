//! Per-pixel arithmetic of particle images and their transforms (spec 01 §1.1, §1.3, §3.2–3.3).

use crate::math::Real;

/// What is done to one raw image before its transform.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageTask {
    /// Norm correction: average norm / norm of the particle.
    pub factor: f32,
    /// Whole pixels (x, y) the image is moved by.
    pub shift: [i32; 2],
}

impl ImageTask {
    /// Index of the raw pixel that pixel `i` of the moved image takes; None where it lies outside.
    #[inline(always)]
    pub fn source(&self, i: u32, box_size: u32) -> Option<u32> {
        let n = box_size as i32;
        let x = (i % box_size) as i32 - self.shift[0];
        let y = (i / box_size) as i32 - self.shift[1];
        (x >= 0 && x < n && y >= 0 && y < n).then_some((y * n + x) as u32)
    }
}

/// (−1)^(x+y): moves the origin of a transform to the box centre.
#[inline(always)]
pub fn centre_sign(x: i32, y: i32) -> f32 {
    if (x + y) & 1 == 0 { 1.0 } else { -1.0 }
}

/// ROUND(√(x²+y²)).
#[inline(always)]
pub fn shell(x: i32, y: i32) -> u32 {
    (Real::sqrt((x * x + y * y) as f32) + 0.5) as u32
}

/// exp(−2πi(x·s_x + y·s_y)/N) for a shift of `s` pixels.
#[inline(always)]
pub fn shift_phase(x: i32, y: i32, s: [f32; 2], box_size: u32) -> [f32; 2] {
    let turns = (x as f32 * s[0] + y as f32 * s[1]) / box_size as f32;
    let (sin, cos) = Real::sin_cos(-core::f32::consts::TAU * turns);
    [cos, sin]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_round_half_away_from_zero() {
        for x in 0..300 {
            for y in -300..300 {
                let exact = f64::from(x * x + y * y).sqrt();
                assert_eq!(shell(x, y), (exact + 0.5) as u32, "{x} {y}");
            }
        }
    }

    #[test]
    fn moved_images_take_zeros_from_outside() {
        let task = ImageTask {
            factor: 1.0,
            shift: [1, -2],
        };
        assert_eq!(task.source(0, 8), None);
        assert_eq!(task.source(1, 8), Some(16));
        assert_eq!(task.source(7 * 8 + 3, 8), None);
    }
}
