//! Particle images: 2D transforms, integer shifts, soft masks, power spectra (spec 01 §1.1, §3.3–3.6).
//!
//! Images are row-major (y slow, x fast), side `n` even, particle centre at pixel n/2. Transforms are stored
//! half-complex, `n` rows of `n/2+1` values: row i ↔ y = i for i ≤ n/2, else i − n.

use num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

static REAL: LazyLock<Mutex<RealFftPlanner<f32>>> =
    LazyLock::new(|| Mutex::new(RealFftPlanner::new()));
static COMPLEX: LazyLock<Mutex<FftPlanner<f32>>> = LazyLock::new(|| Mutex::new(FftPlanner::new()));

/// Plans for one image size; shared by threads (each call uses its own buffers).
#[derive(Clone)]
pub struct ImageTransform {
    n: usize,
    rows: Arc<dyn RealToComplex<f32>>,
    rows_back: Arc<dyn ComplexToReal<f32>>,
    columns: Arc<dyn Fft<f32>>,
    columns_back: Arc<dyn Fft<f32>>,
}

impl ImageTransform {
    /// Plans for images of `n`×`n` pixels (plans are kept for the life of the program).
    pub fn new(n: usize) -> Self {
        let mut real = REAL.lock().unwrap_or_else(PoisonError::into_inner);
        let mut complex = COMPLEX.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            n,
            rows: real.plan_fft_forward(n),
            rows_back: real.plan_fft_inverse(n),
            columns: complex.plan_fft_forward(n),
            columns_back: complex.plan_fft_inverse(n),
        }
    }

    /// Side of the images, pixels.
    pub fn size(&self) -> usize {
        self.n
    }

    /// Forward transform divided by n², origin moved to the box centre (sign (−1)^(x+y)).
    ///
    /// Only columns x ≤ `max_x` are computed; the others hold no meaningful values.
    pub fn forward(&self, image: &[f32], max_x: usize) -> Vec<Complex32> {
        let (n, width) = (self.n, self.n / 2 + 1);
        assert_eq!(image.len(), n * n, "image of {n}×{n} pixels expected");
        let mut out = vec![Complex32::default(); n * width];
        let mut line = vec![0.0; n];
        let mut scratch = self.rows.make_scratch_vec();
        for (input, output) in image.chunks_exact(n).zip(out.chunks_exact_mut(width)) {
            line.copy_from_slice(input);
            self.rows
                .process_with_scratch(&mut line, output, &mut scratch)
                .expect("buffer lengths are those of the plan");
        }
        let used = (max_x + 1).min(width);
        transform_columns(&mut out, width, used, self.columns.as_ref());
        alternate_signs(&mut out, width, 1.0 / (n * n) as f32);
        out
    }

    /// Inverse (unscaled) of [`ImageTransform::forward`]: from a centred half-complex transform to an image.
    pub fn inverse(&self, transform: &[Complex32]) -> Vec<f32> {
        let (n, width) = (self.n, self.n / 2 + 1);
        assert_eq!(
            transform.len(),
            n * width,
            "transform of an {n}×{n} image expected"
        );
        let mut rows = transform.to_vec();
        alternate_signs(&mut rows, width, 1.0);
        transform_columns(&mut rows, width, width, self.columns_back.as_ref());
        let mut image = vec![0.0f32; n * n];
        let mut scratch = self.rows_back.make_scratch_vec();
        for (row, line) in rows.chunks_exact_mut(width).zip(image.chunks_exact_mut(n)) {
            // The mates of these two are themselves: only the real part exists.
            row[0].im = 0.0;
            row[width - 1].im = 0.0;
            self.rows_back
                .process_with_scratch(row, line, &mut scratch)
                .expect("buffer lengths are those of the plan");
        }
        image
    }
}

/// Transforms the first `used` columns of rows of `width` values in place.
fn transform_columns(rows: &mut [Complex32], width: usize, used: usize, plan: &dyn Fft<f32>) {
    /// Columns that are transformed together: the values of a cache line.
    const TOGETHER: usize = 8;
    let n = plan.len();
    let mut lines = vec![Complex32::default(); n * TOGETHER];
    let mut scratch = vec![Complex32::default(); plan.get_inplace_scratch_len()];
    for first in (0..used).step_by(TOGETHER) {
        let count = TOGETHER.min(used - first);
        for (y, row) in rows.chunks_exact(width).enumerate() {
            for (c, value) in row[first..first + count].iter().enumerate() {
                lines[c * n + y] = *value;
            }
        }
        plan.process_with_scratch(&mut lines[..count * n], &mut scratch);
        for (y, row) in rows.chunks_exact_mut(width).enumerate() {
            for (c, value) in row[first..first + count].iter_mut().enumerate() {
                *value = lines[c * n + y];
            }
        }
    }
}

/// Multiplies by `scale`·(−1)^(x+y).
fn alternate_signs(rows: &mut [Complex32], width: usize, scale: f32) {
    for (y, row) in rows.chunks_exact_mut(width).enumerate() {
        let even = if y % 2 == 0 { scale } else { -scale };
        for pair in row.chunks_mut(2) {
            pair[0] *= even;
            if let Some(odd) = pair.get_mut(1) {
                *odd *= -even;
            }
        }
    }
}

/// Logical row of a half-complex transform: y = i for i ≤ n/2, else i − n (the Nyquist row is +n/2).
pub fn logical_row(i: usize, n: usize) -> i32 {
    if i <= n / 2 {
        i as i32
    } else {
        i as i32 - n as i32
    }
}

/// Move an image by whole pixels, out(r) = in(r − shift); pixels from outside are 0 (spec 01 §3.3).
pub fn shift_by_pixels(image: &[f32], n: usize, shift: [i32; 2]) -> Vec<f32> {
    let mut out = vec![0.0f32; n * n];
    let n = n as i32;
    let [dx, dy] = shift;
    let (x_begin, x_end) = (dx.max(0), (n + dx).min(n));
    if x_begin >= x_end {
        return out;
    }
    for y in dy.max(0)..(n + dy).min(n) {
        let to = (y * n + x_begin) as usize..(y * n + x_end) as usize;
        let from = ((y - dy) * n + x_begin - dx) as usize..((y - dy) * n + x_end - dx) as usize;
        out[to].copy_from_slice(&image[from]);
    }
    out
}

/// Replacement of the outside of the particle.
pub enum Background<'a> {
    /// The mean of the outside, weighted by the mask's edge (`--zero_mask`).
    Mean,
    /// A noise image of the same size.
    Noise(&'a [f32]),
}

/// Soft circular mask of `radius` and `edge` pixels around the box centre (spec 01 §3.4).
/// Returns the background mean (0 when nothing lies outside).
pub fn mask_particle(
    image: &mut [f32],
    n: usize,
    radius: f32,
    edge: f32,
    background: Background,
) -> f64 {
    CircularMask::new(n, radius, edge).apply(image, background)
}

/// Soft circular mask (spec 01 §3.4) for many images.
pub struct CircularMask {
    /// Share of the background in each pixel.
    shares: Vec<f32>,
    /// Their sum.
    total: f64,
}

impl CircularMask {
    /// A mask of `radius` and `edge` pixels around the centre of images of `n`² pixels.
    pub fn new(n: usize, radius: f32, edge: f32) -> Self {
        let centre = (n / 2) as i32;
        let share = |i: usize| {
            let (x, y) = ((i % n) as i32 - centre, (i / n) as i32 - centre);
            gpu::mask::background_share(((x * x + y * y) as f32).sqrt(), radius, edge)
        };
        let shares: Vec<f32> = (0..n * n).map(share).collect();
        Self {
            total: shares.iter().copied().map(f64::from).sum(),
            shares,
        }
    }

    /// Masks an image and returns the mean of its background (0 when nothing lies outside).
    pub fn apply(&self, image: &mut [f32], background: Background) -> f64 {
        let mean = match self.total > 0.0 {
            true => self.background(image) / self.total,
            false => 0.0,
        };
        pulp::Arch::new().dispatch(|| {
            let pixels = image.iter_mut().zip(&self.shares);
            match background {
                Background::Mean => {
                    let fill = mean as f32;
                    pixels.for_each(|(value, c)| *value = (1.0 - c) * *value + c * fill);
                }
                Background::Noise(noise) => pixels
                    .zip(noise)
                    .for_each(|((value, c), fill)| *value = (1.0 - c) * *value + c * fill),
            }
        });
        mean
    }

    /// Sum of the background; a fixed number of partial sums keeps the loop free of one long dependency.
    fn background(&self, image: &[f32]) -> f64 {
        const PARTS: usize = 16;
        pulp::Arch::new().dispatch(|| {
            let mut parts = [0.0f64; PARTS];
            for (values, shares) in image.chunks(PARTS).zip(self.shares.chunks(PARTS)) {
                for ((part, value), share) in parts.iter_mut().zip(values).zip(shares) {
                    *part += f64::from(share * value);
                }
            }
            parts.iter().sum()
        })
    }
}

/// Sum of |F|² per shell ROUND(√(x²+y²)) ≤ n/2, without the redundant half of the x = 0 column.
pub fn shell_power(transform: &[Complex32], n: usize) -> Vec<f64> {
    let width = n / 2 + 1;
    let mut power = vec![0.0f64; width];
    for (i, row) in transform.chunks_exact(width).enumerate() {
        let y = logical_row(i, n);
        for (x, value) in row.iter().enumerate() {
            let shell =
                super::shells::round(f64::from(x as i32 * x as i32 + y * y).sqrt()) as usize;
            if shell < width && (x > 0 || y >= 0) {
                power[shell] += f64::from(value.norm_sqr());
            }
        }
    }
    power
}

/// Mean of |F|² per shell over *all* stored coefficients, both halves of the x = 0 column included
/// (initial noise spectra, spec 01 §2.6).
pub fn mean_power(transform: &[Complex32], n: usize) -> Vec<f64> {
    let width = n / 2 + 1;
    let (mut power, mut count) = (vec![0.0f64; width], vec![0.0f64; width]);
    for (i, row) in transform.chunks_exact(width).enumerate() {
        let y = logical_row(i, n);
        for (x, value) in row.iter().enumerate() {
            let shell =
                super::shells::round(f64::from(x as i32 * x as i32 + y * y).sqrt()) as usize;
            if shell < width {
                power[shell] += f64::from(value.norm_sqr());
                count[shell] += 1.0;
            }
        }
    }
    for (p, c) in power.iter_mut().zip(count) {
        *p /= c;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_image(n: usize) -> Vec<f32> {
        (0..n * n)
            .map(|i| ((i * 7919) % 101) as f32 / 50.0 - 1.0)
            .collect()
    }

    #[test]
    fn forward_and_inverse_are_a_pair() {
        let n = 12;
        let image = test_image(n);
        let t = ImageTransform::new(n);
        let back = t.inverse(&t.forward(&image, n / 2));
        for (a, b) in image.iter().zip(back) {
            assert!((a - b).abs() < 1e-5);
        }
    }

    /// Parseval for the half-complex layout: columns strictly inside count twice.
    #[test]
    fn parseval() {
        let n = 16;
        let image = test_image(n);
        let f = ImageTransform::new(n).forward(&image, n / 2);
        let mut power = 0.0;
        for row in f.chunks_exact(n / 2 + 1) {
            for (x, v) in row.iter().enumerate() {
                power += v.norm_sqr() * if x == 0 || x == n / 2 { 1.0 } else { 2.0 };
            }
        }
        let mean_square = image.iter().map(|v| v * v).sum::<f32>() / (n * n) as f32;
        assert!((power - mean_square).abs() < 1e-5 * mean_square);
    }

    /// A point at the box centre has a flat, real, positive transform: the sign moves the origin there.
    #[test]
    fn the_origin_is_the_box_centre() {
        let n = 8;
        let mut image = vec![0.0; n * n];
        image[n / 2 * n + n / 2] = (n * n) as f32;
        for v in ImageTransform::new(n).forward(&image, n / 2) {
            assert!((v.re - 1.0).abs() < 1e-5 && v.im.abs() < 1e-5);
        }
    }

    #[test]
    fn shifting_fills_with_zero() {
        let image: Vec<f32> = (1..=16).map(|v| v as f32).collect();
        let out = shift_by_pixels(&image, 4, [1, -1]);
        assert_eq!(&out[..4], &[0.0, 5.0, 6.0, 7.0]);
        assert_eq!(&out[12..], &[0.0; 4]);
        assert_eq!(shift_by_pixels(&image, 4, [9, 0]), vec![0.0; 16]);
    }

    #[test]
    fn the_mask_leaves_the_centre_and_fills_the_outside_with_its_mean() {
        let n = 32;
        let mut image = test_image(n);
        let before = image.clone();
        let mean = mask_particle(&mut image, n, 8.0, 4.0, Background::Mean);
        let centre = n / 2 * n + n / 2;
        assert_eq!(image[centre], before[centre]);
        assert!((f64::from(image[0]) - mean).abs() < 1e-6);
    }
}
