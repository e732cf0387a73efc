//! Elementary functions that are the same call on host and device.
//!
//! The host uses the standard library. The device has no library of elementary functions: it uses those of `cuda_std`
//! and the angle below, which tests compare with the standard library.

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
                cuda_std::GpuFloat::sin_cos(self)
            }
            #[cfg(target_arch = "nvptx64")]
            #[inline(always)]
            fn sqrt(self) -> Self {
                cuda_std::GpuFloat::sqrt(self)
            }
            #[cfg(target_arch = "nvptx64")]
            #[inline(always)]
            fn exp(self) -> Self {
                cuda_std::GpuFloat::exp(self)
            }
            #[cfg(target_arch = "nvptx64")]
            #[inline(always)]
            fn atan2(self, x: Self) -> Self {
                software::atan2(f64::from(self), f64::from(x)) as $float
            }
            #[cfg(target_arch = "nvptx64")]
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                cuda_std::GpuFloat::mul_add(self, a, b)
            }
        }
    };
}

real!(f32);
real!(f64);

/// The angle in f64 from additions and multiplications only.
#[cfg(any(test, target_arch = "nvptx64"))]
mod software {
    use core::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

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
