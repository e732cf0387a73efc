//! Real-to-complex transforms with RELION's conventions: forward divided by the number of samples,
//! half-complex storage with x fastest (spec 01 §1.1).

use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayViewMut2, Axis};
use num_complex::Complex64;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Half-complex transform of an N×N×N map, or of an image as a map of one section: index (z, y, x) in FFT order,
/// x = 0…N/2; no centring sign applied.
pub type HalfComplex3 = Array3<Complex64>;

/// Lines transformed together: enough to fill cache lines when they are gathered along y or z.
pub(super) const BLOCK: usize = 16;

static REAL: LazyLock<Mutex<RealFftPlanner<f64>>> =
    LazyLock::new(|| Mutex::new(RealFftPlanner::new()));
static COMPLEX: LazyLock<Mutex<FftPlanner<f64>>> = LazyLock::new(|| Mutex::new(FftPlanner::new()));

/// Plan for real lines of `n` values (plans are kept for the life of the program).
pub(super) fn real_forward(n: usize) -> Arc<dyn RealToComplex<f64>> {
    let mut planner = REAL.lock().unwrap_or_else(PoisonError::into_inner);
    planner.plan_fft_forward(n)
}

/// Plan back to real lines of `n` values.
pub(super) fn real_inverse(n: usize) -> Arc<dyn ComplexToReal<f64>> {
    let mut planner = REAL.lock().unwrap_or_else(PoisonError::into_inner);
    planner.plan_fft_inverse(n)
}

/// Plan for complex lines of `n` values.
pub(super) fn complex_plan(n: usize, inverse: bool) -> Arc<dyn Fft<f64>> {
    let mut planner = COMPLEX.lock().unwrap_or_else(PoisonError::into_inner);
    if inverse {
        planner.plan_fft_inverse(n)
    } else {
        planner.plan_fft_forward(n)
    }
}

/// One line back to real values; the coefficients whose mates are themselves keep only their real part.
pub(super) fn real_line(
    plan: &dyn ComplexToReal<f64>,
    line: &mut [Complex64],
    out: &mut [f64],
    scratch: &mut [Complex64],
) {
    line[0].im = 0.0;
    if out.len().is_multiple_of(2) {
        line[out.len() / 2].im = 0.0;
    }
    plan.process_with_scratch(line, out, scratch)
        .expect("buffer lengths are those of the plan");
}

/// Transform every column of a plane in place.
fn transform_columns(mut plane: ArrayViewMut2<Complex64>, plan: &dyn Fft<f64>, scale: f64) {
    let (n, width) = plane.dim();
    let mut lines = vec![Complex64::default(); n * BLOCK];
    let mut scratch = vec![Complex64::default(); plan.get_inplace_scratch_len()];
    for begin in (0..width).step_by(BLOCK) {
        let count = BLOCK.min(width - begin);
        for (i, row) in plane.rows().into_iter().enumerate() {
            for c in 0..count {
                lines[c * n + i] = row[begin + c];
            }
        }
        plan.process_with_scratch(&mut lines[..count * n], &mut scratch);
        for (i, mut row) in plane.rows_mut().into_iter().enumerate() {
            for c in 0..count {
                row[begin + c] = lines[c * n + i] * scale;
            }
        }
    }
}

/// Transform along z, in place, and multiply by `scale`; a single section is its own transform.
fn transform_depth(transform: &mut HalfComplex3, plan: &dyn Fft<f64>, scale: f64) {
    if transform.dim().0 == 1 {
        transform.mapv_inplace(|v| v * scale);
        return;
    }
    transform
        .axis_iter_mut(Axis(1))
        .into_par_iter()
        .for_each(|plane| transform_columns(plane, plan, scale));
}

/// Forward transform of an N×N×N map, or of a class average of 1×N×N, divided by the number of its values.
/// Multi-threaded (rayon).
pub fn forward3(map: &Array3<f64>) -> HalfComplex3 {
    let (sections, n, _) = map.dim();
    assert!(
        map.dim() == (n, n, n) || map.dim() == (1, n, n),
        "maps are cubic, class averages square"
    );
    let mut out = HalfComplex3::zeros((sections, n, n / 2 + 1));
    let rows = real_forward(n);
    let columns = complex_plan(n, false);
    out.axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(map.axis_iter(Axis(0)))
        .for_each(|(mut plane, section)| {
            let mut line = vec![0.0; n];
            let mut result = rows.make_output_vec();
            let mut scratch = rows.make_scratch_vec();
            for (mut row, values) in plane.rows_mut().into_iter().zip(section.rows()) {
                line.iter_mut().zip(values).for_each(|(l, v)| *l = *v);
                rows.process_with_scratch(&mut line, &mut result, &mut scratch)
                    .expect("buffer lengths are those of the plan");
                row.iter_mut().zip(&result).for_each(|(r, v)| *r = *v);
            }
            transform_columns(plane, columns.as_ref(), 1.0);
        });
    transform_depth(&mut out, columns.as_ref(), 1.0 / map.len() as f64);
    out
}

/// Inverse transform, unscaled; `n` is the real side length. Multi-threaded.
pub fn inverse3(mut transform: HalfComplex3, n: usize) -> Array3<f64> {
    let sections = transform.dim().0;
    assert!(
        [1, n].contains(&sections) && transform.dim() == (sections, n, n / 2 + 1),
        "transform of a map of side {n} expected"
    );
    let rows = real_inverse(n);
    let columns = complex_plan(n, true);
    transform_depth(&mut transform, columns.as_ref(), 1.0);
    let mut out = Array3::zeros((sections, n, n));
    out.axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(transform.axis_iter_mut(Axis(0)))
        .for_each(|(mut section, mut plane)| {
            transform_columns(plane.view_mut(), columns.as_ref(), 1.0);
            let mut line = rows.make_input_vec();
            let mut result = rows.make_output_vec();
            let mut scratch = rows.make_scratch_vec();
            for (row, mut values) in plane.rows().into_iter().zip(section.rows_mut()) {
                line.iter_mut().zip(row).for_each(|(l, v)| *l = *v);
                real_line(rows.as_ref(), &mut line, &mut result, &mut scratch);
                values.iter_mut().zip(&result).for_each(|(v, r)| *v = *r);
            }
        });
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::fourier::shells::logical;

    pub(in crate::fourier) fn noise(n: usize) -> Array3<f64> {
        Array3::from_shape_fn((n, n, n), |(z, y, x)| {
            ((z * 7919 + y * 104_729 + x * 1_299_709) % 1009) as f64 / 500.0 - 1.0
        })
    }

    #[test]
    fn forward_and_inverse_are_a_pair() {
        for n in [6, 20, 34] {
            let map = noise(n);
            let back = inverse3(forward3(&map), n);
            let worst = (&map - &back).iter().fold(0.0f64, |w, d| w.max(d.abs()));
            assert!(worst < 1e-12, "box {n}: {worst}");
        }
    }

    /// Parseval for the half-complex layout: planes strictly inside count twice.
    #[test]
    fn parseval() {
        let n = 18;
        let map = noise(n);
        let power: f64 = forward3(&map)
            .indexed_iter()
            .map(|((_, _, x), v)| v.norm_sqr() * if x == 0 || x == n / 2 { 1.0 } else { 2.0 })
            .sum();
        let mean_square = map.iter().map(|v| v * v).sum::<f64>() / map.len() as f64;
        assert!((power - mean_square).abs() < 1e-12 * mean_square);
    }

    /// A plane wave has one coefficient, at its own frequency and with half its amplitude.
    #[test]
    fn a_plane_wave_is_one_coefficient() {
        let n = 12;
        let (kz, ky, kx) = (-2i64, 3i64, 1i64);
        let map = Array3::from_shape_fn((n, n, n), |(z, y, x)| {
            let phase = (kz * z as i64 + ky * y as i64 + kx * x as i64) as f64 / n as f64;
            (2.0 * std::f64::consts::PI * phase).cos()
        });
        for ((z, y, x), v) in forward3(&map).indexed_iter() {
            let at = (logical(z, n), logical(y, n), x as i64) == (kz, ky, kx);
            let expected = if at { 0.5 } else { 0.0 };
            assert!((v.re - expected).abs() < 1e-12 && v.im.abs() < 1e-12);
        }
    }
}
