//! Per-pixel arithmetic of particle images and their transforms (spec 01 §1.1, §1.3, §3.2–3.3).

use crate::math::Real;

/// Steps from one raw image to the one that is transformed.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageTask {
    /// Norm correction: average norm / norm of the particle.
    pub factor: f32,
    /// Whole pixels (x, y) the image is moved by.
    pub shift: [i32; 2],
    /// Pixels are 16-bit floats, else 32-bit ones: 1 or 0.
    pub half: u32,
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

/// Value of a 16-bit float (IEEE 754), exactly.
#[inline(always)]
pub fn half_to_single(bits: u16) -> f32 {
    /// 2¹¹²: the difference of the exponents' biases.
    const REBIAS: f32 = f32::from_bits((127 + 112) << 23);
    let sign = u32::from(bits & 0x8000) << 16;
    let rest = u32::from(bits & 0x7fff) << 13;
    if rest >= 0x7c00 << 13 {
        // Infinite or not a number.
        return f32::from_bits(sign | rest | 0x7f80_0000);
    }
    // Subnormal numbers become normal ones by the product.
    f32::from_bits(sign | (f32::from_bits(rest) * REBIAS).to_bits())
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
pub fn shift_phase<R: Real>(x: i32, y: i32, s: [R; 2], box_size: u32) -> [R; 2] {
    let of = |value: i32| R::of(f64::from(value));
    let turns = (of(x) * s[0] + of(y) * s[1]) / of(box_size as i32);
    let (sin, cos) = (R::of(-core::f64::consts::TAU) * turns).sin_cos();
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
    fn every_half_precision_number_has_its_value() {
        for bits in 0..=u16::MAX {
            let (sign, exponent, fraction) = (bits >> 15, bits >> 10 & 31, bits & 0x3ff);
            let value = match exponent {
                31 if fraction > 0 => f64::NAN,
                31 => f64::INFINITY,
                0 => f64::from(fraction) * 2f64.powi(-24),
                e => (1024.0 + f64::from(fraction)) * 2f64.powi(i32::from(e) - 25),
            };
            let value = if sign == 1 { -value } else { value };
            let found = f64::from(half_to_single(bits));
            assert!(
                found == value && found.is_sign_negative() == (sign == 1)
                    || found.is_nan() && value.is_nan(),
                "{bits:#06x}: {found} instead of {value}"
            );
        }
    }

    #[test]
    fn moved_images_take_zeros_from_outside() {
        let task = ImageTask {
            factor: 1.0,
            shift: [1, -2],
            half: 0,
        };
        assert_eq!(task.source(0, 8), None);
        assert_eq!(task.source(1, 8), Some(16));
        assert_eq!(task.source(7 * 8 + 3, 8), None);
    }
}
