//! One value of the contrast transfer function (spec 01 §3.7).

use crate::math::Real;

/// C = 1 inside the first peak (`--ctf_intact_first_peak`).
pub const INTACT_FIRST_PEAK: u32 = 1;
/// Images are phase flipped: |C| (`--ctf_phase_flipped`).
pub const PHASE_FLIPPED: u32 = 2;
/// Sign of C only (`--only_flip_phases`).
pub const ONLY_FLIP_PHASES: u32 = 4;
/// Images are premultiplied by their CTF: C².
pub const PREMULTIPLIED: u32 = 8;

/// Smaller values of |C| are replaced by this one, with the sign of C.
const FLOOR: f64 = 1e-8;

/// The CTF of one particle in terms of Fourier pixels (x, y) of its image: pixel size, box and anisotropic
/// magnification are folded in.
///
/// γ = xx·x² + xy·x·y + yy·y² + u4·(u²)² + constant + (aberration), u² = u_xx·x² + u_xy·x·y + u_yy·y² in Å⁻².
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CtfCoefficients<T> {
    /// Defocus phase per x² (radians).
    pub phase_xx: T,
    /// Defocus phase per x·y.
    pub phase_xy: T,
    /// Defocus phase per y².
    pub phase_yy: T,
    /// Spherical-aberration phase per (u²)², radians·Å⁴.
    pub phase_u4: T,
    /// Phase plate and amplitude contrast, radians.
    pub phase_constant: T,
    /// u² per x² (Å⁻²).
    pub u_xx: T,
    /// u² per x·y.
    pub u_xy: T,
    /// u² per y².
    pub u_yy: T,
    /// −B/4 (Å²); 0 for no damping.
    pub damping: T,
    /// `rlnCtfScalefactor`.
    pub scale: T,
    /// Sum of [`INTACT_FIRST_PEAK`], [`PHASE_FLIPPED`], [`ONLY_FLIP_PHASES`] and [`PREMULTIPLIED`].
    pub flags: u32,
}

impl CtfCoefficients<f64> {
    /// The same in single precision, for the device.
    pub fn single(&self) -> CtfCoefficients<f32> {
        CtfCoefficients {
            phase_xx: self.phase_xx as f32,
            phase_xy: self.phase_xy as f32,
            phase_yy: self.phase_yy as f32,
            phase_u4: self.phase_u4 as f32,
            phase_constant: self.phase_constant as f32,
            u_xx: self.u_xx as f32,
            u_xy: self.u_xy as f32,
            u_yy: self.u_yy as f32,
            damping: self.damping as f32,
            scale: self.scale as f32,
            flags: self.flags,
        }
    }
}

/// γ and the squared frequency at Fourier pixel (x, y); `aberration` is the phase of symmetric aberrations there.
#[inline(always)]
pub fn phase<T: Real>(ctf: &CtfCoefficients<T>, x: T, y: T, aberration: T) -> (T, T) {
    let (xx, xy, yy) = (x * x, x * y, y * y);
    let u2 = ctf.u_xx.mul_add(xx, ctf.u_xy.mul_add(xy, ctf.u_yy * yy));
    let defocus = ctf
        .phase_xx
        .mul_add(xx, ctf.phase_xy.mul_add(xy, ctf.phase_yy * yy));
    let gamma = (ctf.phase_u4 * u2).mul_add(u2, defocus + ctf.phase_constant + aberration);
    (gamma, u2)
}

/// C (or C², see [`PREMULTIPLIED`]) at Fourier pixel (x, y); `aberration` is the phase of symmetric aberrations there.
#[inline(always)]
pub fn value<T: Real>(ctf: &CtfCoefficients<T>, x: T, y: T, aberration: T) -> T {
    let (gamma, u2) = phase(ctf, x, y, aberration);
    let in_first_peak = gamma.abs() < T::of(core::f64::consts::FRAC_PI_2);
    let mut c = if ctf.flags & INTACT_FIRST_PEAK != 0 && in_first_peak {
        T::of(1.0)
    } else {
        -gamma.sin_cos().0
    };
    let zero = T::of(0.0);
    if ctf.damping != zero {
        c = c * (ctf.damping * u2).exp();
    }
    if ctf.flags & PHASE_FLIPPED != 0 {
        c = c.abs();
    } else if ctf.flags & ONLY_FLIP_PHASES != 0 {
        c = T::of(if c < zero { -1.0 } else { 1.0 });
    }
    c = c * ctf.scale;
    if c.abs() < T::of(FLOOR) {
        c = T::of(if c < zero { -FLOOR } else { FLOOR });
    }
    if ctf.flags & PREMULTIPLIED != 0 {
        c * c
    } else {
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// About 1.5 µm underfocus, 300 kV, 256 pixels of 1 Å.
    fn typical() -> CtfCoefficients<f64> {
        let per_pixel2 = 1.0 / (256.0 * 256.0);
        CtfCoefficients {
            phase_xx: -928.0 * per_pixel2,
            phase_xy: 3.0 * per_pixel2,
            phase_yy: -915.0 * per_pixel2,
            phase_u4: 323.0,
            phase_constant: -0.1,
            u_xx: per_pixel2,
            u_xy: 0.0,
            u_yy: per_pixel2,
            damping: -20.0,
            scale: 1.0,
            flags: 0,
        }
    }

    #[test]
    fn single_precision_follows_double() {
        let double = typical();
        let single = double.single();
        for (x, y) in [(0, 0), (1, 0), (17, -40), (64, 64), (128, 3)] {
            let exact = value(&double, f64::from(x), f64::from(y), 0.05);
            let device = value(&single, x as f32, y as f32, 0.05);
            // γ reaches 220 radians, known to 1e-5 in single precision.
            assert!((exact - f64::from(device)).abs() < 3e-5, "({x}, {y})");
        }
    }

    #[test]
    fn flags() {
        let at = |flags, x: f64| value(&CtfCoefficients { flags, ..typical() }, x, 0.0, 0.0);
        // Pixel 3: γ = −0.23, inside the first peak; damping is applied there too.
        let damping = (-20.0f64 * 9.0 / 65536.0).exp();
        assert!((at(INTACT_FIRST_PEAK, 3.0) - damping).abs() < 1e-12);
        let negative = (10..100).map(f64::from).find(|&x| at(0, x) < -0.3).unwrap();
        let plain = at(0, negative);
        assert_eq!(at(PHASE_FLIPPED, negative), -plain);
        assert_eq!(at(ONLY_FLIP_PHASES, negative), -1.0);
        assert_eq!(at(PREMULTIPLIED, negative), plain * plain);
        assert_eq!(at(INTACT_FIRST_PEAK, negative), plain);
    }

    #[test]
    fn tiny_values_are_kept_alive() {
        let zero = CtfCoefficients {
            scale: 0.0,
            ..typical()
        };
        assert_eq!(value(&zero, 3.0, 2.0, 0.0).abs(), 1e-8);
    }
}
