//! Elementary functions that are the same call on host and device.
//!
//! The host uses the standard library. The device has no library of elementary functions: it uses the software
//! versions below, which the tests compare with the standard library.

use core::ops::{Add, Div, Mul, Neg, Sub};

/// f32 or f64 in shared arithmetic.
pub trait Real:
    Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// Nearest value of a constant.
    fn of(value: f64) -> Self;
    /// Sine and cosine of an angle in radians.
    fn sin_cos(self) -> (Self, Self);
    /// Square root.
    fn sqrt(self) -> Self;
    /// e to the power of the value.
    fn exp(self) -> Self;
    /// Angle of the vector (x, y), in (−π, π], where `self` is y.
    fn atan2(self, x: Self) -> Self;
    /// self·a + b; rounded once where the machine has an instruction for it (never a library call).
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self {
        if self < Self::of(0.0) { -self } else { self }
    }
}

macro_rules! real {
    ($float:ident) => {
        impl Real for $float {
            #[inline(always)]
            fn of(value: f64) -> Self {
                value as $float
            }
            #[cfg(not(target_arch = "nvptx64"))]
            #[inline(always)]
            fn sin_cos(self) -> (Self, Self) {
                $float::sin_cos(self)
            }
            #[cfg(not(target_arch = "nvptx64"))]
            #[inline(always)]
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }
            #[cfg(not(target_arch = "nvptx64"))]
            #[inline(always)]
            fn exp(self) -> Self {
                $float::exp(self)
            }
            #[cfg(not(target_arch = "nvptx64"))]
            #[inline(always)]
            fn atan2(self, x: Self) -> Self {
                $float::atan2(self, x)
            }
            #[cfg(not(target_arch = "nvptx64"))]
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                if cfg!(target_feature = "fma") {
                    $float::mul_add(self, a, b)
                } else {
                    self * a + b
                }
            }
            #[cfg(target_arch = "nvptx64")]
            #[inline(always)]
            fn sin_cos(self) -> (Self, Self) {
                let (s, c) = software::sin_cos(f64::from(self));
                (s as $float, c as $float)
            }
            #[cfg(target_arch = "nvptx64")]
            #[inline(always)]
            fn sqrt(self) -> Self {
                core::$float::math::sqrt(self)
            }
            #[cfg(target_arch = "nvptx64")]
            #[inline(always)]
            fn exp(self) -> Self {
                software::exp(f64::from(self)) as $float
            }
            #[cfg(target_arch = "nvptx64")]
            #[inline(always)]
            fn atan2(self, x: Self) -> Self {
                software::atan2(f64::from(self), f64::from(x)) as $float
            }
            #[cfg(target_arch = "nvptx64")]
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                core::$float::math::mul_add(self, a, b)
            }
        }
    };
}

real!(f32);
real!(f64);

/// Elementary functions in f64 from additions and multiplications only.
#[cfg(any(test, target_arch = "nvptx64"))]
mod software {
    use core::f64::consts::{FRAC_PI_2, FRAC_PI_4, LN_2, PI};

    /// Nearest whole number, for |x| < 2⁵¹: adding 1.5·2⁵² rounds away the fraction.
    fn nearest(x: f64) -> f64 {
        const SHIFT: f64 = 6_755_399_441_055_744.0;
        (x + SHIFT) - SHIFT
    }

    /// Sine and cosine by reduction to |r| ≤ π/4 and Taylor series; |x| up to 1e6 keeps 1e-12.
    pub fn sin_cos(x: f64) -> (f64, f64) {
        // π/2 in three parts of 33 bits and less, so that multiples of the first two are exact.
        const HIGH: f64 = 1.570_796_326_734_125_6;
        const MIDDLE: f64 = 6.077_100_506_303_966e-11;
        const LOW: f64 = 2.022_266_248_795_950_6e-21;
        let quadrant = nearest(x * (1.0 / FRAC_PI_2));
        let r = ((x - quadrant * HIGH) - quadrant * MIDDLE) - quadrant * LOW;
        let r2 = r * r;
        let series = |coefficients: &[f64]| coefficients.iter().fold(0.0, |sum, c| sum * r2 + c);
        let s = r * series(&[
            2.811_457_254_345_520_6e-15,
            -7.647_163_731_819_816e-13,
            1.605_904_383_682_161_3e-10,
            -2.505_210_838_544_172e-8,
            2.755_731_922_398_589e-6,
            -1.984_126_984_126_984e-4,
            8.333_333_333_333_333e-3,
            -1.666_666_666_666_666_6e-1,
            1.0,
        ]);
        let c = series(&[
            4.779_477_332_387_385e-14,
            -1.147_074_559_772_972_5e-11,
            2.087_675_698_786_81e-9,
            -2.755_731_922_398_589e-7,
            2.480_158_730_158_73e-5,
            -1.388_888_888_888_889e-3,
            4.166_666_666_666_666_4e-2,
            -0.5,
            1.0,
        ]);
        match (quadrant as i64) & 3 {
            0 => (s, c),
            1 => (c, -s),
            2 => (-s, -c),
            _ => (-c, s),
        }
    }

    /// e^x by reduction to |r| ≤ ln 2/2 and the Taylor series; 0 below −745, infinite above 709.
    pub fn exp(x: f64) -> f64 {
        if x < -745.0 {
            return 0.0;
        }
        if x > 709.7 {
            return f64::INFINITY;
        }
        const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
        const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
        let power = nearest(x * (1.0 / LN_2));
        let r = (x - power * LN_2_HIGH) - power * LN_2_LOW;
        let mut sum = 1.0;
        let mut k = 13.0;
        while k > 0.0 {
            sum = 1.0 + sum * r / k;
            k -= 1.0;
        }
        // Two factors, so that results below the normal range come out right.
        let half = (power as i64) / 2;
        let two_to = |n: i64| f64::from_bits(((1023 + n) as u64) << 52);
        sum * two_to(half) * two_to(power as i64 - half)
    }

    /// Angle of (x, y) in (−π, π].
    pub fn atan2(y: f64, x: f64) -> f64 {
        let (ax, ay) = (if x < 0.0 { -x } else { x }, if y < 0.0 { -y } else { y });
        if ax == 0.0 && ay == 0.0 {
            return 0.0;
        }
        let steep = ay > ax;
        let ratio = if steep { ax / ay } else { ay / ax };
        // Half the angle twice, to |t| ≤ tan(π/16)·1.01, by atan t = π/4 + atan((t−1)/(t+1)).
        let (base, t) = if ratio > 0.414_213_562_373_095 {
            (FRAC_PI_4, (ratio - 1.0) / (ratio + 1.0))
        } else {
            (0.0, ratio)
        };
        let t2 = t * t;
        // Alternating series 1 − t²/3 + t⁴/5 …; |t| ≤ 0.4143 leaves 1e-17 after 21 terms.
        let mut sum = 0.0;
        let mut k = 41.0;
        while k > 0.0 {
            sum = 1.0 / k - t2 * sum;
            k -= 2.0;
        }
        let mut angle = base + t * sum;
        if steep {
            angle = FRAC_PI_2 - angle;
        }
        if x < 0.0 {
            angle = PI - angle;
        }
        if y < 0.0 { -angle } else { angle }
    }
}

#[cfg(test)]
mod tests {
    use super::software;

    #[test]
    fn software_sine_and_cosine() {
        for i in -200_000..200_000 {
            let x = f64::from(i) * 0.017;
            let (s, c) = software::sin_cos(x);
            assert!((s - x.sin()).abs() < 2e-15, "sin {x}");
            assert!((c - x.cos()).abs() < 2e-15, "cos {x}");
        }
    }

    #[test]
    fn software_exponential() {
        for i in -7400..7090 {
            let x = f64::from(i) * 0.1;
            let ours = software::exp(x);
            assert!((ours - x.exp()).abs() <= 1e-15 * x.exp() + 5e-324, "{x}");
        }
        assert_eq!(software::exp(-800.0), 0.0);
        assert_eq!(software::exp(800.0), f64::INFINITY);
    }

    #[test]
    fn software_angle() {
        for i in -50..=50 {
            for j in -50..=50 {
                let (x, y) = (f64::from(i) * 0.37, f64::from(j) * 0.11);
                if (i, j) != (0, 0) {
                    assert!(
                        (software::atan2(y, x) - y.atan2(x)).abs() < 1e-15,
                        "{x} {y}"
                    );
                }
            }
        }
        assert_eq!(software::atan2(0.0, 0.0), 0.0);
    }
}
