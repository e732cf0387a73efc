//! Wave aberrations as Zernike polynomials of spatial frequency (spec 01 §3.7).
//!
//! Frequencies are in 1/Å and not normalised to the unit disc, as in the coefficient tables of optics groups.

/// A polynomial Σ c_ij x^i y^j in spatial frequency (1/Å), radians.
///
/// Every Zernike polynomial R_n^m(u)·cos(mϑ) is one (n − m is even), so that no angle or root is taken per pixel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Polynomial {
    /// `rows[j][i]` belongs to x^i y^j.
    rows: Vec<Vec<f64>>,
}

impl Polynomial {
    /// Σ c_j Z_j over the symmetric polynomials (`rlnEvenZernike`); `None` when all coefficients are zero.
    pub(super) fn even(coefficients: &[f64]) -> Option<Self> {
        Self::sum(coefficients, even_index)
    }

    /// Σ c_j Z_j over the anti-symmetric polynomials (`rlnOddZernike`); `None` when all coefficients are zero.
    pub(super) fn odd(coefficients: &[f64]) -> Option<Self> {
        Self::sum(coefficients, odd_index)
    }

    fn sum(coefficients: &[f64], index: fn(usize) -> (usize, i64)) -> Option<Self> {
        let mut polynomial = Polynomial { rows: Vec::new() };
        for (j, &coefficient) in coefficients.iter().enumerate() {
            if coefficient != 0.0 {
                let (n, m) = index(j);
                polynomial.add_zernike(coefficient, n, m);
            }
        }
        (!polynomial.rows.is_empty()).then_some(polynomial)
    }

    /// Value at a spatial frequency (1/Å).
    pub(super) fn value(&self, x: f64, y: f64) -> f64 {
        self.rows.iter().rev().fold(0.0, |sum, row| {
            sum * y + row.iter().rev().fold(0.0, |sum, c| sum * x + c)
        })
    }

    /// Add c·Z_n^m = c·Σ_k (−1)^k (n−k)! / (k! ((n+|m|)/2−k)! ((n−|m|)/2−k)!) · (x²+y²)^p · T_m(x, y) with
    /// p = (n−|m|)/2 − k and T_m the real part (m ≥ 0) or imaginary part (m < 0) of (x+iy)^|m|.
    fn add_zernike(&mut self, coefficient: f64, n: usize, m: i64) {
        let size = m.unsigned_abs() as usize;
        let half_difference = (n - size) / 2;
        for k in 0..=half_difference {
            let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
            let radial = sign * factorial(n - k)
                / (factorial(k) * factorial((n + size) / 2 - k) * factorial(half_difference - k));
            let power = half_difference - k;
            for ring in 0..=power {
                let from_ring = coefficient * radial * binomial(power, ring);
                // Terms of (x+iy)^size: i^a x^(size−a) y^a; even a are real, odd a imaginary.
                for a in (usize::from(m < 0)..=size).step_by(2) {
                    let turn = if (a / 2) % 2 == 0 { 1.0 } else { -1.0 };
                    let (i, j) = (2 * (power - ring) + size - a, 2 * ring + a);
                    self.add(i, j, from_ring * binomial(size, a) * turn);
                }
            }
        }
    }

    fn add(&mut self, i: usize, j: usize, coefficient: f64) {
        if self.rows.len() <= j {
            self.rows.resize(j + 1, Vec::new());
        }
        let row = &mut self.rows[j];
        if row.len() <= i {
            row.resize(i + 1, 0.0);
        }
        row[i] += coefficient;
    }
}

/// (n, m) of the j-th symmetric polynomial.
fn even_index(j: usize) -> (usize, i64) {
    let kappa = j.isqrt();
    let m = 2 * (j as i64 - (kappa * kappa + kappa) as i64);
    (2 * kappa, m)
}

/// (n, m) of the j-th anti-symmetric polynomial.
fn odd_index(j: usize) -> (usize, i64) {
    let kappa = ((1 + 4 * j).isqrt() - 1) / 2;
    let n = 2 * kappa + 1;
    (n, 2 * (j - kappa * kappa - kappa) as i64 - n as i64)
}

fn factorial(n: usize) -> f64 {
    (1..=n).map(|k| k as f64).product()
}

fn binomial(n: usize, k: usize) -> f64 {
    factorial(n) / (factorial(k) * factorial(n - k))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// R_n^|m|(u)·cos(mϑ) or ·sin(|m|ϑ), straight from the definition.
    fn definition(n: usize, m: i64, x: f64, y: f64) -> f64 {
        let (u, angle) = (x.hypot(y), y.atan2(x));
        let size = m.unsigned_abs() as usize;
        let radial: f64 = (0..=(n - size) / 2)
            .map(|k| {
                (-1f64).powi(k as i32) * factorial(n - k)
                    / (factorial(k) * factorial((n + size) / 2 - k) * factorial((n - size) / 2 - k))
                    * u.powi((n - 2 * k) as i32)
            })
            .sum();
        let turn = size as f64 * angle;
        radial * if m < 0 { turn.sin() } else { turn.cos() }
    }

    #[test]
    fn numbering() {
        let even: Vec<_> = (0..9).map(even_index).collect();
        let rows = [
            (0, 0),
            (2, -2),
            (2, 0),
            (2, 2),
            (4, -4),
            (4, -2),
            (4, 0),
            (4, 2),
            (4, 4),
        ];
        assert_eq!(even, rows);
        let odd: Vec<_> = (0..6).map(odd_index).collect();
        assert_eq!(odd, [(1, -1), (1, 1), (3, -3), (3, -1), (3, 1), (3, 3)]);
    }

    #[test]
    fn zero_coefficients_are_no_aberration() {
        assert_eq!(Polynomial::even(&[]), None);
        assert_eq!(Polynomial::odd(&[0.0, 0.0]), None);
    }

    proptest! {
        #[test]
        fn polynomials_are_the_definition(j in 0usize..25, x in -0.5..0.5f64, y in -0.5..0.5f64) {
            for (sum, index) in [
                (Polynomial::even as fn(&[f64]) -> Option<Polynomial>, even_index as fn(usize) -> (usize, i64)),
                (Polynomial::odd, odd_index),
            ] {
                let mut coefficients = vec![0.0; j + 1];
                coefficients[j] = 1.5;
                let (n, m) = index(j);
                let ours = sum(&coefficients).unwrap().value(x, y);
                prop_assert!((ours - 1.5 * definition(n, m, x, y)).abs() < 1e-11, "j {} ({}, {})", j, n, m);
            }
        }
    }
}
