//! The CTF of many pixels at once, with a sine that the compiler makes vector instructions of.
//!
//! The sine of the standard library is a call per value, and most of the time of a CTF. This one is a polynomial after the
//! argument is reduced to −π/2…π/2; its error is below 1e-13 for the phases of electron microscopes.

use gpu::ctf::{self, CtfCoefficients};
use gpu::math::Real;
use num_complex::Complex64;
use std::f64::consts::{FRAC_1_PI, FRAC_PI_2, PI};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number of a row, for the shared arithmetic of the CTF.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Entry(f64);

macro_rules! operation {
    ($trait:ident, $name:ident) => {
        impl $trait for Entry {
            type Output = Self;

            #[inline(always)]
            fn $name(self, other: Self) -> Self {
                Self(self.0.$name(other.0))
            }
        }
    };
}

operation!(Add, add);
operation!(Sub, sub);
operation!(Mul, mul);
operation!(Div, div);

impl Neg for Entry {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Real for Entry {
    #[inline(always)]
    fn of(value: f64) -> Self {
        Self(value)
    }

    #[inline(always)]
    fn sin_cos(self) -> (Self, Self) {
        (Self(sine(self.0)), Self(sine(self.0 + FRAC_PI_2)))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.sqrt())
    }

    #[inline(always)]
    fn exp(self) -> Self {
        Self(self.0.exp())
    }

    #[inline(always)]
    fn atan2(self, x: Self) -> Self {
        Self(self.0.atan2(x.0))
    }

    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(self.0 * a.0 + b.0)
    }
}

/// Sine of an angle of up to some 10⁶ radians.
#[inline(always)]
fn sine(angle: f64) -> f64 {
    /// A number that is added leaves whole numbers in the last bits.
    const WHOLE: f64 = 6_755_399_441_055_744.0;
    /// π less its double-precision value.
    const PI_REST: f64 = 1.224_646_799_147_353_2e-16;
    let shifted = angle * FRAC_1_PI + WHOLE;
    let turns = shifted - WHOLE;
    let r = (angle - turns * PI) - turns * PI_REST;
    let r2 = r * r;
    // (−1)^k/(2k+1)!, from the last.
    let series = [
        -8.220_635_246_624_33e-18,
        2.811_457_254_345_521e-15,
        -7.647_163_731_819_816e-13,
        1.605_904_383_682_161_5e-10,
        -2.505_210_838_544_172e-8,
        2.755_731_922_398_589e-6,
        -1.984_126_984_126_984e-4,
        8.333_333_333_333_333e-3,
        -1.666_666_666_666_666_6e-1,
    ];
    let sum = series.iter().fold(0.0, |sum, c| sum * r2 + c);
    let sine = r + r * (r2 * sum);
    // Odd half turns change the sign.
    f64::from_bits(sine.to_bits() ^ (shifted.to_bits() << 63))
}

fn entries(of: &CtfCoefficients<f64>) -> CtfCoefficients<Entry> {
    CtfCoefficients {
        phase_xx: Entry(of.phase_xx),
        phase_xy: Entry(of.phase_xy),
        phase_yy: Entry(of.phase_yy),
        phase_u4: Entry(of.phase_u4),
        phase_constant: Entry(of.phase_constant),
        u_xx: Entry(of.u_xx),
        u_xy: Entry(of.u_xy),
        u_yy: Entry(of.u_yy),
        damping: Entry(of.damping),
        scale: Entry(of.scale),
        flags: of.flags,
    }
}

/// Replaces the phases of symmetric aberrations at the pixels (0…, `y`) by the CTF there. A struct so that it is compiled for the
/// widest vectors of the machine.
pub(super) struct Values<'a> {
    pub coefficients: &'a CtfCoefficients<f64>,
    pub y: i32,
    pub row: &'a mut [f64],
}

impl pulp::NullaryFnOnce for Values<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (of, y) = (entries(self.coefficients), Entry(self.y.into()));
        for (x, value) in self.row.iter_mut().enumerate() {
            let x = Entry(f64::from(x as i32));
            *value = ctf::value(&of, x, y, Entry(*value)).0;
        }
    }
}

/// Replaces the phases of symmetric aberrations, the real parts of a row, by i·e^{iγ} = −sin γ + i·cos γ, without damping and
/// factor.
pub(super) struct Waves<'a> {
    pub coefficients: &'a CtfCoefficients<f64>,
    pub y: i32,
    pub row: &'a mut [Complex64],
}

impl pulp::NullaryFnOnce for Waves<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (of, y) = (entries(self.coefficients), Entry(self.y.into()));
        for (x, value) in self.row.iter_mut().enumerate() {
            let x = Entry(f64::from(x as i32));
            let (gamma, _) = ctf::phase(&of, x, y, Entry(value.re));
            let (sin, cos) = gamma.sin_cos();
            *value = Complex64::new(-sin.0, cos.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sines_are_those_of_the_library() {
        for i in 0..200_000 {
            let angle = f64::from(i - 100_000) * 0.0123;
            let error = (sine(angle) - angle.sin()).abs();
            assert!(error < 2e-13, "sin({angle}): {error}");
        }
        assert_eq!(sine(0.0), 0.0);
    }
}
