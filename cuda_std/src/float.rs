//! Mathematics of single and double precision for kernels.
//!
//! On the host the standard library has these methods; on the device [`GpuFloat`] supplies them under the same names,
//! so that shared arithmetic reads the same. `sin_cos` and `exp` are plain Rust, tested on the host against the
//! standard library: the device's own approximations are not accurate enough for phases.

/// Methods of `f32` and `f64` that `core` lacks. Import it in code that is also compiled for the device.
pub trait GpuFloat: Sized {
    /// self · a + b, rounded once. The compiler never fuses `a * b + c` by itself.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// Largest integer not above.
    fn floor(self) -> Self;
    /// Smallest integer not below.
    fn ceil(self) -> Self;
    /// Integer part.
    fn trunc(self) -> Self;
    /// Nearest integer, ties to even.
    fn round_ties_even(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// 1/√self.
    fn rsqrt(self) -> Self;
    /// Sine and cosine of an angle in radians.
    fn sin_cos(self) -> (Self, Self);
    /// Sine.
    fn sin(self) -> Self {
        self.sin_cos().0
    }
    /// Cosine.
    fn cos(self) -> Self {
        self.sin_cos().1
    }
    /// e to the power self; 0 where the result would be denormal.
    fn exp(self) -> Self;
    /// Natural logarithm of a positive, normal number.
    fn ln(self) -> Self;
}

#[cfg(target_arch = "nvptx64")]
use core::f32::math as m32;
#[cfg(target_arch = "nvptx64")]
use core::f64::math as m64;

/// The same names over the standard library, for the tests on the host.
#[cfg(not(target_arch = "nvptx64"))]
mod host {
    macro_rules! module {
        ($name:ident, $float:ident) => {
            pub mod $name {
                pub fn mul_add(x: $float, a: $float, b: $float) -> $float {
                    $float::mul_add(x, a, b)
                }
                pub fn floor(x: $float) -> $float {
                    $float::floor(x)
                }
                pub fn ceil(x: $float) -> $float {
                    $float::ceil(x)
                }
                pub fn trunc(x: $float) -> $float {
                    $float::trunc(x)
                }
                pub fn round_ties_even(x: $float) -> $float {
                    $float::round_ties_even(x)
                }
                pub fn sqrt(x: $float) -> $float {
                    $float::sqrt(x)
                }
            }
        };
    }
    module!(m32, f32);
    module!(m64, f64);
}
#[cfg(not(target_arch = "nvptx64"))]
use host::{m32, m64};

impl GpuFloat for f32 {
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32) -> f32 {
        m32::mul_add(self, a, b)
    }
    #[inline(always)]
    fn floor(self) -> f32 {
        m32::floor(self)
    }
    #[inline(always)]
    fn ceil(self) -> f32 {
        m32::ceil(self)
    }
    #[inline(always)]
    fn trunc(self) -> f32 {
        m32::trunc(self)
    }
    #[inline(always)]
    fn round_ties_even(self) -> f32 {
        m32::round_ties_even(self)
    }
    #[inline(always)]
    fn sqrt(self) -> f32 {
        m32::sqrt(self)
    }
    #[inline(always)]
    fn rsqrt(self) -> f32 {
        1.0 / m32::sqrt(self)
    }
    #[inline(always)]
    fn sin_cos(self) -> (f32, f32) {
        sin_cos_f32(self)
    }
    #[inline(always)]
    fn exp(self) -> f32 {
        exp_f32(self)
    }
    #[inline(always)]
    fn ln(self) -> f32 {
        ln_f64(f64::from(self)) as f32
    }
}

impl GpuFloat for f64 {
    #[inline(always)]
    fn mul_add(self, a: f64, b: f64) -> f64 {
        m64::mul_add(self, a, b)
    }
    #[inline(always)]
    fn floor(self) -> f64 {
        m64::floor(self)
    }
    #[inline(always)]
    fn ceil(self) -> f64 {
        m64::ceil(self)
    }
    #[inline(always)]
    fn trunc(self) -> f64 {
        m64::trunc(self)
    }
    #[inline(always)]
    fn round_ties_even(self) -> f64 {
        m64::round_ties_even(self)
    }
    #[inline(always)]
    fn sqrt(self) -> f64 {
        m64::sqrt(self)
    }
    #[inline(always)]
    fn rsqrt(self) -> f64 {
        1.0 / m64::sqrt(self)
    }
    #[inline(always)]
    fn sin_cos(self) -> (f64, f64) {
        sin_cos_f64(self)
    }
    #[inline(always)]
    fn exp(self) -> f64 {
        exp_f64(self)
    }
    #[inline(always)]
    fn ln(self) -> f64 {
        ln_f64(self)
    }
}

/// Places the sine and cosine of the reduced angle according to the quadrant.
macro_rules! by_quadrant {
    ($quadrant:expr, $sin:expr, $cos:expr) => {{
        let (s, c) = if $quadrant & 1 == 0 {
            ($sin, $cos)
        } else {
            ($cos, $sin)
        };
        (
            if $quadrant & 2 == 0 { s } else { -s },
            if ($quadrant + 1) & 2 == 0 { c } else { -c },
        )
    }};
}

/// Sine and cosine, within 1.5e-7 for |x| up to 1e4 (three-part reduction by π/2, polynomials of Cephes).
#[inline(always)]
fn sin_cos_f32(x: f32) -> (f32, f32) {
    let n = m32::round_ties_even(x * core::f32::consts::FRAC_2_PI);
    // π/2 in three floats.
    let r = m32::mul_add(n, -1.570_796_4, x);
    let r = m32::mul_add(n, 4.371_139e-8, r);
    let r = m32::mul_add(n, 1.715_124_4e-15, r);
    let quadrant = n as i32;
    let z = r * r;
    let p = m32::mul_add(z, -1.951_529_6e-4, 8.332_161e-3);
    let p = m32::mul_add(z, p, -1.666_665_5e-1);
    let sin = m32::mul_add(r * z, p, r);
    let q = m32::mul_add(z, 2.443_315_7e-5, -1.388_731_6e-3);
    let q = m32::mul_add(z, q, 4.166_664_6e-2);
    let cos = m32::mul_add(z * z, q, m32::mul_add(z, -0.5, 1.0));
    by_quadrant!(quadrant, sin, cos)
}

/// Sine and cosine, within 3e-16 · (1 + |x|/1e5) (two-part reduction, Taylor polynomials on ±π/4).
#[inline(always)]
fn sin_cos_f64(x: f64) -> (f64, f64) {
    let n = m64::round_ties_even(x * core::f64::consts::FRAC_2_PI);
    let r = m64::mul_add(n, -core::f64::consts::FRAC_PI_2, x);
    // π/2 − its double.
    let r = m64::mul_add(n, -6.123_233_995_736_766e-17, r);
    let quadrant = n as i64;
    let z = r * r;
    let horner = |coefficients: &[f64]| {
        let mut p = coefficients[0];
        for c in &coefficients[1..] {
            p = m64::mul_add(z, p, *c);
        }
        p
    };
    let sin = m64::mul_add(
        r * z,
        horner(&[
            -1.0 / 1_307_674_368_000.0,
            1.0 / 6_227_020_800.0,
            -1.0 / 39_916_800.0,
            1.0 / 362_880.0,
            -1.0 / 5_040.0,
            1.0 / 120.0,
            -1.0 / 6.0,
        ]),
        r,
    );
    let cos = m64::mul_add(
        z * z,
        horner(&[
            1.0 / 20_922_789_888_000.0,
            -1.0 / 87_178_291_200.0,
            1.0 / 479_001_600.0,
            -1.0 / 3_628_800.0,
            1.0 / 40_320.0,
            -1.0 / 720.0,
            1.0 / 24.0,
        ]),
        m64::mul_add(z, -0.5, 1.0),
    );
    by_quadrant!(quadrant, sin, cos)
}

/// eˣ within 2 units in the last place; 0 below −87.3, infinity above 88.7 (polynomial of Cephes).
#[inline(always)]
fn exp_f32(x: f32) -> f32 {
    if x < -87.33 {
        return 0.0;
    }
    if x > 88.72 {
        return f32::INFINITY;
    }
    let n = m32::round_ties_even(x * core::f32::consts::LOG2_E);
    let r = m32::mul_add(n, -0.693_359_4, x);
    let r = m32::mul_add(n, 2.121_944_4e-4, r);
    let p = m32::mul_add(r, 1.987_569_1e-4, 1.398_2e-3);
    let p = m32::mul_add(r, p, 8.333_452e-3);
    let p = m32::mul_add(r, p, 4.166_579_6e-2);
    let p = m32::mul_add(r, p, 1.666_666_5e-1);
    let p = m32::mul_add(r, p, 0.5);
    let y = m32::mul_add(r * r, p, r + 1.0);
    // Two steps: 2ⁿ alone may be out of range at either end.
    let half = n as i32 / 2;
    let power = |e: i32| f32::from_bits(((e + 127) as u32) << 23);
    y * power(half) * power(n as i32 - half)
}

/// eˣ within 2 units in the last place; 0 below −708, infinity above 709.7.
#[inline(always)]
fn exp_f64(x: f64) -> f64 {
    if x < -708.0 {
        return 0.0;
    }
    if x > 709.7 {
        return f64::INFINITY;
    }
    let n = m64::round_ties_even(x * core::f64::consts::LOG2_E);
    let r = m64::mul_add(n, -core::f64::consts::LN_2, x);
    // ln 2 − its double.
    let r = m64::mul_add(n, -2.319_046_813_846_3e-17, r);
    let mut p = 1.0;
    let mut k = 13.0;
    while k >= 1.0 {
        p = m64::mul_add(p, r / k, 1.0);
        k -= 1.0;
    }
    let half = n as i64 / 2;
    let power = |e: i64| f64::from_bits(((e + 1023) as u64) << 52);
    p * power(half) * power(n as i64 - half)
}

/// ln x within 2 units in the last place, for positive normal x: 2 artanh((m − 1)/(m + 1)) + n ln 2 for x = m·2ⁿ.
#[inline(always)]
fn ln_f64(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut n = (bits >> 52) as i64 - 1023;
    let mut m = f64::from_bits((bits & ((1 << 52) - 1)) | 1023 << 52);
    if m > core::f64::consts::SQRT_2 {
        (m, n) = (0.5 * m, n + 1);
    }
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut p = 1.0 / 23.0;
    let mut k = 21.0;
    while k >= 1.0 {
        p = m64::mul_add(p, z, 1.0 / k);
        k -= 2.0;
    }
    // ln 2 − its double.
    let rest = m64::mul_add(n as f64, 2.319_046_813_846_3e-17, 2.0 * s * p);
    m64::mul_add(n as f64, core::f64::consts::LN_2, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points spread over ±`limit`, never on a grid.
    fn points(limit: f64) -> impl Iterator<Item = f64> {
        (0..40_001).map(move |i| {
            let golden = (i as f64 * 0.618_033_988_749_894_9).fract();
            (2.0 * golden - 1.0) * limit
        })
    }

    #[test]
    fn sine_and_cosine_agree_with_the_standard_library() {
        for limit in [1.0, 10.0, 1e4] {
            for x in points(limit) {
                let (s, c) = sin_cos_f32(x as f32);
                let exact = f64::from(x as f32);
                assert!((f64::from(s) - exact.sin()).abs() < 1.5e-7, "sin {x}: {s}");
                assert!((f64::from(c) - exact.cos()).abs() < 1.5e-7, "cos {x}: {c}");
                let (s, c) = sin_cos_f64(x);
                assert!((s - x.sin()).abs() < 4e-16, "sin {x}: {s} {}", x.sin());
                assert!((c - x.cos()).abs() < 4e-16, "cos {x}: {c} {}", x.cos());
            }
        }
    }

    #[test]
    fn exponential_agrees_with_the_standard_library() {
        for x in points(87.0) {
            let exact = f64::from(x as f32).exp();
            assert!(
                (f64::from(exp_f32(x as f32)) / exact - 1.0).abs() < 2.4e-7,
                "{x}"
            );
            assert!((exp_f64(x) / x.exp() - 1.0).abs() < 5e-16, "{x}");
        }
        assert_eq!(exp_f32(-200.0), 0.0);
        assert_eq!(exp_f32(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp_f32(0.0), 1.0);
        assert_eq!(exp_f32(89.0), f32::INFINITY);
        assert_eq!(exp_f64(-1e300), 0.0);
    }
    #[test]
    fn logarithm_agrees_with_the_standard_library() {
        for x in points(300.0).map(f64::exp).chain([1.0, 1e-300, 2.0, 0.999]) {
            let error = (ln_f64(x) - x.ln()).abs();
            assert!(error <= 5e-16 * x.ln().abs().max(0.1), "{x}: {error}");
        }
    }
}
