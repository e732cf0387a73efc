//! Two-dimensional real transforms of square images (unscaled forward, 1/N² inverse, as numpy does), with
//! only the columns that are asked for.

use num_complex::Complex64;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// Plans for images of `n`² pixels; half-complex spectra are stored row by row (FFT order), x = 0…columns−1.
pub struct PlaneTransform {
    n: usize,
    columns: usize,
    rows_forward: Arc<dyn RealToComplex<f64>>,
    rows_inverse: Arc<dyn ComplexToReal<f64>>,
    columns_forward: Arc<dyn Fft<f64>>,
    columns_inverse: Arc<dyn Fft<f64>>,
}

impl PlaneTransform {
    /// `columns` ≤ n/2+1 is how many half-complex columns the forward transform computes.
    pub fn new(n: usize, columns: usize) -> Self {
        let (mut real, mut complex) = (RealFftPlanner::new(), FftPlanner::new());
        Self {
            n,
            columns: columns.min(n / 2 + 1),
            rows_forward: real.plan_fft_forward(n),
            rows_inverse: real.plan_fft_inverse(n),
            columns_forward: complex.plan_fft_forward(n),
            columns_inverse: complex.plan_fft_inverse(n),
        }
    }

    /// Transform of a row-major image; the image is used as scratch space.
    pub fn forward(&self, image: &mut [f64]) -> Vec<Complex64> {
        let (n, w) = (self.n, self.columns);
        let mut out = vec![Complex64::default(); n * w];
        let mut row = self.rows_forward.make_output_vec();
        let mut scratch = self.rows_forward.make_scratch_vec();
        for (y, line) in image.chunks_exact_mut(n).enumerate() {
            // lengths come from the plan itself, so the only error (a wrong length) cannot occur
            self.rows_forward
                .process_with_scratch(line, &mut row, &mut scratch)
                .expect("row lengths match the plan");
            out[y * w..(y + 1) * w].copy_from_slice(&row[..w]);
        }
        self.along_columns(&*self.columns_forward, &mut out, w);
        out
    }

    /// Image of a full half-complex spectrum (n/2+1 columns), divided by n²; imaginary parts that no real image can
    /// have (columns 0 and n/2) are ignored.
    pub fn inverse(&self, mut spectrum: Vec<Complex64>) -> Vec<f64> {
        let (n, w) = (self.n, self.n / 2 + 1);
        self.along_columns(&*self.columns_inverse, &mut spectrum, w);
        let mut image = vec![0.0; n * n];
        let mut scratch = self.rows_inverse.make_scratch_vec();
        for (row, line) in spectrum.chunks_exact_mut(w).zip(image.chunks_exact_mut(n)) {
            row[0].im = 0.0;
            row[w - 1].im = 0.0;
            self.rows_inverse
                .process_with_scratch(row, line, &mut scratch)
                .expect("row lengths match the plan");
        }
        let scale = 1.0 / (n * n) as f64;
        image.iter_mut().for_each(|v| *v *= scale);
        image
    }

    fn along_columns(&self, fft: &dyn Fft<f64>, data: &mut [Complex64], w: usize) {
        let n = self.n;
        // a few columns at a time keep the strided copies inside cache lines
        const BLOCK: usize = 8;
        let mut buffer = vec![Complex64::default(); n * BLOCK];
        let mut scratch = vec![Complex64::default(); fft.get_inplace_scratch_len()];
        for x0 in (0..w).step_by(BLOCK) {
            let b = BLOCK.min(w - x0);
            for y in 0..n {
                for x in 0..b {
                    buffer[x * n + y] = data[y * w + x0 + x];
                }
            }
            fft.process_with_scratch(&mut buffer[..b * n], &mut scratch);
            for y in 0..n {
                for x in 0..b {
                    data[y * w + x0 + x] = buffer[x * n + y];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(n: usize) -> Vec<f64> {
        (0..n * n)
            .map(|i| ((i * 7919) % 101) as f64 - 50.0)
            .collect()
    }

    #[test]
    fn forward_is_the_sum_over_pixels() {
        let n = 6;
        let a = image(n);
        let transform = PlaneTransform::new(n, n / 2 + 1).forward(&mut a.clone());
        for (ky, kx) in [(0, 0), (1, 2), (4, 3), (5, 1)] {
            let direct: Complex64 = (0..n * n)
                .map(|i| {
                    let phase = -2.0 * std::f64::consts::PI * (ky * (i / n) + kx * (i % n)) as f64
                        / n as f64;
                    Complex64::from_polar(a[i], phase)
                })
                .sum();
            assert!((transform[ky * (n / 2 + 1) + kx] - direct).norm() < 1e-9);
        }
    }

    #[test]
    fn inverse_undoes_forward_and_columns_may_be_left_out() {
        let n = 20;
        let a = image(n);
        let full = PlaneTransform::new(n, n);
        let spectrum = full.forward(&mut a.clone());
        let part = PlaneTransform::new(n, 4).forward(&mut a.clone());
        for y in 0..n {
            for x in 0..4 {
                assert!((part[y * 4 + x] - spectrum[y * (n / 2 + 1) + x]).norm() < 1e-9);
            }
        }
        for (p, q) in full.inverse(spectrum).iter().zip(&a) {
            assert!((p - q).abs() < 1e-9);
        }
    }
}
